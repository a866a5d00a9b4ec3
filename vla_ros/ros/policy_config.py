"""The parameters of policy_node."""

from __future__ import annotations

from dataclasses import dataclass

from vla_ros.errors import ConfigError, ObservationError, choose
from vla_ros.ros.instruction import clean_instruction


@dataclass(frozen=True)
class PolicyConfig:
    """Parameters of policy_node.

    Attributes:
        arm: name in config/arms or YAML file.
        policy: name of a policy that ships with the package, or a checkpoint folder.
        device: auto, cpu or cuda; never changed behind the user's back.
        instruction: what to do from activation on; empty waits for `/vla/instruction`.
        threads: CPU threads of the model.
        autostart: configure and activate without being told to.
    """

    arm: str = 'sim'
    policy: str = 'vla-reach'
    device: str = 'auto'
    instruction: str = ''
    threads: int = 1
    autostart: bool = False

    def __post_init__(self) -> None:
        """Refuse values that no policy can run with."""
        choose('device', self.device, ('auto', 'cpu', 'cuda'))
        if not 1 <= self.threads <= 256:
            raise ConfigError(f'threads is {self.threads}; it must be within 1 and 256')
        try:
            clean_instruction(self.instruction)
        except ObservationError as error:
            raise ConfigError(str(error)) from error
