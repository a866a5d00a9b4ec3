"""The simulated arm: MuJoCo scene, tasks, scripted experts, instruction grammar."""

import os

from vla_ros.errors import ConfigError

os.environ.setdefault('MUJOCO_GL', 'egl')  # no display is needed; read when mujoco is imported

try:
    import mujoco  # noqa: F401 - it loads OpenGL, and fails without
except ModuleNotFoundError:
    raise
except Exception as error:  # whatever OpenGL's binding stumbles over
    from vla_ros.sim.drawing import cannot_draw

    raise ConfigError(cannot_draw()) from error
