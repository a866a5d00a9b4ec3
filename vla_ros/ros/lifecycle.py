"""A lifecycle node that may start itself, and that says why it did not."""

from __future__ import annotations

import re
from typing import Any

from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from vla_ros.errors import VlaRosError

_RETRY_S = 0.05  # a fraction of what discovery takes, so that starting is not slower for it
_DIGITS = re.compile(r'[-\d.]+')


class ManagedNode(LifecycleNode):
    """A lifecycle node whose transitions are plain methods that raise VlaRosError.

    A subclass overrides `configure`, `activate`, `deactivate` and `cleanup`. What they raise is
    logged, fails the transition and stays readable in `problem`. `deactivate` runs while
    lifecycle publishers still publish, so it can send the safe command.
    """

    def __init__(self, name: str, **node_arguments: Any) -> None:  # noqa: ANN401  rclpy's own
        """Make the node; `node_arguments` are those of `rclpy.lifecycle.LifecycleNode`."""
        super().__init__(name, **node_arguments)
        self.configured = False
        self.active = False
        self.problem = ''
        """Why the last transition failed, empty when it did not."""

    def configure(self) -> None:
        """Load what the node needs; raises VlaRosError when it cannot be had."""

    def activate(self) -> None:
        """Begin to work; raises VlaRosError when the node may not yet."""

    def deactivate(self) -> None:
        """Make the robot safe and stop working."""

    def cleanup(self) -> None:
        """Release what `configure` loaded."""

    def start_by_itself(self) -> None:
        """Configure and activate from a timer, again and again until the node may be active.

        A failed `configure` (a wrong file or parameter) does not heal by waiting: it is raised
        out of the executor and ends the process.
        """
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._start_timer = self.create_timer(_RETRY_S, self._try_to_start, clock=steady)

    def _try_to_start(self) -> None:
        if not self.configured:
            self.trigger_configure()
            if not self.configured:
                raise VlaRosError(self.problem)
        if not self.active:
            self.trigger_activate()
        if self.active:
            self._start_timer.cancel()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Handle the transition unconfigured → inactive."""
        if not self._succeeds(self.configure):
            return TransitionCallbackReturn.FAILURE
        self.configured = True
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Handle the transition inactive → active."""
        super().on_activate(state)
        if not self._succeeds(self.activate):
            super().on_deactivate(state)
            return TransitionCallbackReturn.FAILURE
        self.active = True
        return TransitionCallbackReturn.SUCCESS

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Handle the transition active → inactive."""
        self.active = False
        self._succeeds(self.deactivate)
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Handle the transition inactive → unconfigured."""
        self.configured = False
        self._succeeds(self.cleanup)
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Handle the transition to finalized from any state."""
        if self.active:
            self.on_deactivate(state)
        if self.configured:
            self.on_cleanup(state)
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Handle a transition that failed by a bug: back to unconfigured."""
        self.active = self.configured = False
        return super().on_error(state)

    def _succeeds(self, transition: Any) -> bool:  # noqa: ANN401  a bound method
        """Run a transition; rclpy would swallow whatever it raises without a word."""
        try:
            transition()
        except VlaRosError as error:
            # Retried many times a second: say it once, whatever numbers are in it.
            if _DIGITS.sub('', str(error)) != _DIGITS.sub('', self.problem):
                self.get_logger().warning(f'cannot {transition.__name__}: {error}')
            self.problem = str(error)
            return False
        except Exception as error:
            self.get_logger().error(f'{transition.__name__} failed: {error!r}')
            self.problem = repr(error)
            raise
        self.problem = ''
        return True
