"""The demonstration: start the graph, say three things, watch, and leave a film and a figure."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from vla_ros.core.embodiment import load_arm
from vla_ros.errors import ConfigError, ObservationError
from vla_ros.ros.demo_figure import write_figure
from vla_ros.ros.demo_recording import Recording, Scene
from vla_ros.ros.demo_video import write_video
from vla_ros.ros.instruction import clean_instruction
from vla_ros.ros.local_graph import LocalGraph, local_graph
from vla_ros.ros.rollout import RosRollout
from vla_ros.ros.rollout_record import REACHED_M, Rollout, Settled, Update
from vla_ros.sim.grammar import SHAPE_WORDS

PHRASINGS = ('reach the {}', 'move over to the {}, please', 'put the gripper over the {}')
TIMEOUT_S = 8.0
_DOUBT_S = 2.0  # a policy that does not believe what it hears for so long will not
_RED_AT_M = 0.30
IMAGE = (640, 480)
FILM, FIGURE = 'demo.mp4', 'demo.png'


@dataclass(frozen=True)
class DemoConfig:
    """What to show.

    Attributes:
        instruction: the user's own; empty for three of our own.
        seed: which scene; the default is one that training never saw.
        output: folder of demo.mp4 and demo.png.
        policy: name or checkpoint folder.
        device: auto, cpu or cuda.
    """

    instruction: str = ''
    seed: int = 1_000_974
    output: Path = Path()
    policy: str = 'vla-reach'
    device: str = 'auto'


def run_demo(config: DemoConfig, console: Console) -> bool:
    """Run the demonstration; return whether every instruction was carried out.

    Raises:
        VlaRosError: the graph does not start, or the instruction or the folder cannot be used.
    """
    _check(config)
    arm = load_arm('sim')
    recording = Recording()
    arguments = {
        'policy': config.policy,
        'device': config.device,
        'image_width': str(IMAGE[0]),
        'image_height': str(IMAGE[1]),
    }
    with local_graph(arguments) as graph:
        client = RosRollout(
            arm,
            cameras=('front', 'wrist'),
            on_frame=recording.add_frame,
            domain_id=graph.domain_id,
        )
        try:
            _wait(client, graph, console)
            objects = client.reset(config.seed)
            console.print(f'on the table: {", ".join(objects)}', highlight=False)
            own = config.instruction.strip()
            instructions = [own] if own else _our_own(list(objects))
            for instruction in instructions:
                scene = _play(client, instruction, list(objects), console)
                graph.check()
                recording.scenes.append(scene)
                if scene.rollout.updates[-1].guard_state == 'stop':
                    client.rearm()
            client.halt()
        finally:
            client.close()
    _write(recording, config.output, console)
    return all(scene.success for scene in recording.scenes)


def _check(config: DemoConfig) -> None:
    """Say what is wrong before anything is started."""
    if config.seed < 0:
        raise ConfigError(f'seed is {config.seed}; it must be 0 or more')
    try:
        clean_instruction(config.instruction)
    except ObservationError as error:
        raise ConfigError(str(error)) from error
    try:
        config.output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=config.output):
            pass
    except OSError as error:
        raise ConfigError(f"output '{config.output}' cannot be written to: {error}") from error


def named_object(instruction: str, objects: list[str]) -> str | None:
    """Return the object on the table whose colour and shape an instruction names, if just one."""
    words = ''.join(c if c.isalnum() else ' ' for c in instruction.lower()).split()
    named = []
    for name in objects:
        colour, shape = name.split()
        if colour in words and any(word in words for word in SHAPE_WORDS[shape]):
            named.append(name)
    return named[0] if len(named) == 1 else None


def _our_own(objects: list[str]) -> list[str]:
    return [phrasing.format(name) for phrasing, name in zip(PHRASINGS, objects, strict=False)]


def _wait(client: RosRollout, graph: LocalGraph, console: Console) -> None:
    """Show what is still missing until all three nodes work."""
    columns = (SpinnerColumn(), TextColumn('{task.description}'), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task('starting simulator, policy and guard')

        def on_wait(missing: str) -> None:
            progress.update(task, description=f'starting: {missing}')

        client.wait_until_ready(on_wait=on_wait, check=graph.check)
    console.print('simulator, policy and guard are ready')


def _play(client: RosRollout, instruction: str, objects: list[str], console: Console) -> Scene:
    """Say one instruction and show what happens."""
    target = named_object(instruction, objects)
    console.print(f'\n[bold]“{instruction}”[/bold]', highlight=False)
    settled = [Settled(target)] if target else [Settled(name) for name in objects]
    last: list[Update] = []
    with Live(console=console, auto_refresh=False, transient=True) as live:

        def on_update(update: Update) -> bool:
            last.append(update)
            live.update(_line(update, target), refresh=True)
            doubts = update.confidence is not None and update.confidence < 0.5
            if doubts and update.elapsed_s > _DOUBT_S:
                return True
            at_rest = [judge(update) for judge in settled]  # each has to see every update
            return any(at_rest)

        rollout = client.run(instruction, TIMEOUT_S, on_update)
    success, outcome = _judge(rollout, target)
    colour = 'green' if success else 'red'
    console.print(f'  [{colour}]{"✓" if success else "✗"} {outcome}[/{colour}]', highlight=False)
    return Scene(rollout, target, success, outcome)


def _judge(rollout: Rollout, target: str | None) -> tuple[bool, str]:
    update = rollout.updates[-1]
    if not rollout.believed:
        return False, f'not understood: {rollout.note}'
    if update.guard_state == 'stop':
        return False, f'stopped by the guard: {update.reason}'
    nearest = min(rollout.distances_m, key=lambda name: rollout.distances_m[name])
    goal = target or nearest
    distance_mm = 1000 * rollout.distances_m[goal]
    if target is None:
        return (
            False,
            f'names no object on the table; ended {distance_mm:.0f} mm from the {nearest}',
        )
    if rollout.reached(goal):
        return True, f'reached the {goal} in {update.elapsed_s:.1f} s, {distance_mm:.0f} mm off'
    return False, f'not reached: {distance_mm:.0f} mm from the point over the {goal}'


def _line(update: Update, target: str | None) -> Text:
    """Return the live line: distance, speed, limiter ratio, latency."""
    distances: Mapping[str, float] = update.distances_m
    distance = distances.get(target, float('nan')) if target else min(distances.values())
    filled = 0 if math.isnan(distance) else round(20 * max(0.0, 1 - distance / _RED_AT_M))
    line = Text('  ')
    line.append('█' * filled, 'green' if distance < REACHED_M else 'yellow')
    line.append('░' * (20 - filled), 'dim')
    line.append(f'  {1000 * distance:4.0f} mm   {update.tool_speed_m_s:.2f} m/s')
    line.append(f'   joints {update.joint_speed_rad_s:.2f} rad/s')
    line.append(f'   limiter {_number(update.limit_ratio, "{:.2f}")}')
    line.append(f'   latency {_number(update.latency_ms, "{:.0f} ms")}')
    line.append(f'   {update.guard_state}', 'dim')
    return line


def _number(value: float | None, form: str) -> str:
    return '–' if value is None else form.format(value)


def _write(recording: Recording, output: Path, console: Console) -> None:
    writers: dict[str, Callable[[Recording, Path], None]] = {
        FILM: write_video,
        FIGURE: write_figure,
    }
    console.print()
    for name, write in writers.items():
        with console.status(f'writing {name}'):
            write(recording, output / name)
        console.print(f'written: {(output / name).resolve()}', highlight=False, soft_wrap=True)
