"""Tell a 7-joint arm what to do in words: VLA policies on ROS 2 behind a guard."""
