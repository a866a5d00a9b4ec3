"""The simulated arm: MuJoCo scene, tasks, scripted experts, instruction grammar."""

import os

os.environ.setdefault('MUJOCO_GL', 'egl')  # no display is needed; read when mujoco is imported
