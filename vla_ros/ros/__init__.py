"""Everything that imports rclpy: conversions, QoS, parameters and thin nodes."""
