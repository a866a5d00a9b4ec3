"""Tell a 7-joint arm what to do in words: VLA policies on ROS 2 behind a guard."""

__version__ = '0.1.0'
