"""How slippery objects are and how fast the fingers close, where objects are handled.

Scenes for reaching keep the values of `scene.xml`, so that what was recorded and trained in them
comes out the same to the bit.
"""

# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from a compiled module, which pyright cannot see into.

from __future__ import annotations

import mujoco
import numpy as np

from vla_ros.sim.scene import CONTAINERS, OBJECT_KINDS

SLIDING = 0.5  # of an object on the table: a cylinder pushed below its top stays upright
ROLLING_M = 0.003  # a ball that is let go at 0.15 m/s comes to rest within 2 cm
FINGER_DAMPING_NS_M = 80.0  # the gripper closes around an object in 0.05 to 0.1 s


class Surfaces:
    """Switches a model between the surfaces for reaching and those for handling objects."""

    def __init__(self, model: mujoco.MjModel) -> None:
        """Keep the model and its own values, those for reaching."""
        self._model = model
        self._own_friction = model.geom_friction.copy()
        self._own_condim = model.geom_condim.copy()
        self._own_damping = model.dof_damping.copy()
        self._objects = [model.geom(kind.name).id for kind in OBJECT_KINDS]
        self._balls = [model.geom(k.name).id for k in OBJECT_KINDS if k.shape == 'ball']
        bowls = [model.body(name).id for name in CONTAINERS]
        self._ground = [model.geom('table').id, *np.flatnonzero(np.isin(model.geom_bodyid, bowls))]
        fingers = [model.joint(name) for name in ('left_finger', 'right_finger')]
        self._fingers = [joint.dofadr[0] for joint in fingers]

    def set(self, handling: bool) -> None:
        """Choose the surfaces for handling objects, or those for reaching."""
        model = self._model
        model.geom_friction[:] = self._own_friction
        model.geom_condim[:] = self._own_condim
        model.dof_damping[:] = self._own_damping
        if handling:
            model.geom_friction[self._objects + self._ground, 0] = SLIDING
            model.geom_friction[self._objects, 2] = 0.0001
            model.geom_friction[self._balls, 2] = ROLLING_M
            model.geom_condim[self._balls] = 6
            model.dof_damping[self._fingers] = FINGER_DAMPING_NS_M
