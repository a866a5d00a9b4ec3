"""What the arm is to do: a task, the object that it is about, and where that object belongs."""

from __future__ import annotations

from dataclasses import dataclass

from vla_ros.errors import ConfigError, choose
from vla_ros.sim.scene import CONTAINERS, OBJECT_KINDS
from vla_ros.types import TASKS

DIRECTIONS = {
    'left': (0.0, 1.0),
    'right': (0.0, -1.0),
    'forward': (1.0, 0.0),
    'back': (-1.0, 0.0),
}
"""Directions on the table, (x, y) in the base frame, as seen by one who sits on the base."""
IN, NEXT_TO = 'in ', 'next to '
_OBJECTS = tuple(kind.name for kind in OBJECT_KINDS)


@dataclass(frozen=True)
class Goal:
    """One thing to do with one object. Hashable.

    Attributes:
        task: reach, push, pick or put.
        object: name of the object that it is about, such as 'red cube'.
        argument: empty for reach and pick; for push a direction, left, right, forward or back;
            for put 'in <container>' or 'next to <object>'.
    """

    task: str
    object: str
    argument: str = ''

    def __post_init__(self) -> None:
        """Refuse what no one could carry out."""
        choose('task', self.task, TASKS)
        choose('object', self.object, _OBJECTS)
        if self.task == 'push':
            choose('direction', self.argument, DIRECTIONS)
        elif self.task == 'put':
            self._check_place()
        elif self.argument:
            raise ConfigError(f"{self.task}: takes no argument, got '{self.argument}'")

    def _check_place(self) -> None:
        if self.argument.startswith(IN):
            choose('container', self.place, CONTAINERS)
        elif self.argument.startswith(NEXT_TO):
            choose('object', self.place, set(_OBJECTS) - {self.object})
        else:
            raise ConfigError(
                f"put: '{self.argument}' is no place; say 'in <container>' or 'next to <object>'"
            )

    @property
    def place(self) -> str:
        """Name of the container to put it in or of the object to put it next to; else empty."""
        if self.task != 'put':
            return ''
        return self.argument.removeprefix(IN).removeprefix(NEXT_TO)

    @property
    def inside(self) -> bool:
        """It belongs in a container."""
        return self.task == 'put' and self.argument.startswith(IN)
