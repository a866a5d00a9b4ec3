"""RT-1 (Brohan et al., RT-1: Robotics Transformer for real-world control at scale, 2022)."""
