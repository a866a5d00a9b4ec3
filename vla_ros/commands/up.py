"""vla-ros up."""

from __future__ import annotations

import signal
import threading

from rich.console import Console
from rich.text import Text

from vla_ros.errors import VlaRosError
from vla_ros.ros.bringup import ARGUMENTS, node_specs
from vla_ros.ros.processes import NodeProcesses

_DEFAULTS = {argument.name: argument.default for argument in ARGUMENTS}
_COLOURS = {'sim_node': 'green', 'guard_node': 'yellow', 'policy_node': 'cyan'}


def main(
    arm: str = _DEFAULTS['arm'],
    sim: str = _DEFAULTS['sim'],
    policy: str = _DEFAULTS['policy'],
    output: str = _DEFAULTS['output'],
    estop_topic: str = _DEFAULTS['estop_topic'],
    device: str = _DEFAULTS['device'],
    instruction: str = _DEFAULTS['instruction'],
    seed: str = _DEFAULTS['seed'],
    task: str = _DEFAULTS['task'],
    threads: str = _DEFAULTS['threads'],
    image_width: str = _DEFAULTS['image_width'],
    image_height: str = _DEFAULTS['image_height'],
) -> int:
    """Start simulator, policy and guard, as ros2 launch vla_ros bringup.launch.py does.

    The nodes run until Ctrl-C, which ends them with the arm at rest. Arguments may be written as
    for ros2 launch, too: vla-ros up arm:=sim seed:=5

    Args:
        arm: name in config/arms, or a YAML file of your own.
        sim: start the simulated robot: true, false, or auto (true for arm 'sim').
        policy: shipped policy, 'hold' (never moves), or a checkpoint folder; empty takes vla-reach
            for arm 'sim', for which it was trained, else hold.
        output: velocity or trajectory; empty takes the arm's own.
        estop_topic: std_msgs/Bool of an e-stop button, true while pressed: the arm moves only
            while it is heard; empty for no button.
        device: auto, cpu or cuda.
        instruction: what to do from the start; empty waits for vla-ros say.
        seed: layout of the objects of the simulated scene.
        task: kind of simulated scene: reach, push, pick, put; there are bowls in those of the last
            three.
        threads: CPU threads of the policy.
        image_width: width of the simulated cameras; 0 takes the arm's YAML.
        image_height: height of the simulated cameras; 0 takes the arm's YAML.
    """
    specs = node_specs(dict(locals()))
    console = Console(highlight=False, soft_wrap=True)
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stopping.set())

    def show(name: str, line: str) -> None:
        console.print(Text(f'{name:>11} ', _COLOURS[name]) + Text.from_ansi(line))

    with NodeProcesses(specs, show) as processes:
        console.print("in another terminal: vla-ros say 'reach the red cube', vla-ros watch")
        while not stopping.wait(0.1):
            if (ended := processes.ended()) is not None:
                raise VlaRosError(f'{ended} has ended; the others were ended, too')
    console.print('ended, the arm is at rest')
    return 0
