"""Episodes in the LeRobot v3.0 layout: recorded, read, imported and checked."""
