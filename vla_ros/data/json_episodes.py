"""Episodes described in JSON: steps of image file, instruction and action.

    {"fps": 10, "episodes": [
      {"instruction": "reach the red cube", "steps": [
        {"image": "frames/000.png", "action": [0.1, 0, 0, 0, 0, 0, 0],
         "joint_positions": [0, -0.4, 0, -2.2, 0, 1.8, 0.785]}, …]}, …]}

A JSONL file holds one episode a line. `docs/data.md` names every key.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vla_ros.data.layout import first_line
from vla_ros.errors import DatasetError
from vla_ros.types import ARM_JOINTS, ImageArray

FRONT = 'front'  # the camera of a step that gives one image without a name
EPISODE_KEYS = ('instruction', 'steps')
FILE_KEYS = ('fps', 'robot_type', 'episodes')
STEP_KEYS = ('image', 'images', 'instruction', 'action', 'joint_positions', 'gripper_opening_m')
_NUMBERS = (int, float)


@dataclass(frozen=True)
class Step:
    """One step: camera → image file, what to do, and SI numbers."""

    images: Mapping[str, Path]
    instruction: str
    action: tuple[float, ...]
    state: tuple[float, ...]


@dataclass(frozen=True)
class JsonEpisodes:
    """What a file describes; `fps` and `robot_type` are None where it does not say."""

    episodes: tuple[tuple[Step, ...], ...]
    fps: int | None
    robot_type: str | None


def read_json_episodes(path: Path) -> JsonEpisodes:
    """Read a JSON or JSONL file of episodes; image files are found from where it lies.

    Raises:
        DatasetError: no such file, not of the form, or steps that differ in what they hold.
    """
    content = _load(path)
    head = content if isinstance(content, dict) else {}
    _known(head, FILE_KEYS, str(path))
    listed = head.get('episodes') if isinstance(content, dict) else content
    if not isinstance(listed, list) or not listed:
        raise DatasetError(f"{path}: a list 'episodes' with at least one is needed")
    episodes = tuple(_episode(e, path, f'episode {k}') for k, e in enumerate(listed))
    kinds = {_kind(step): k for k, episode in enumerate(episodes) for step in episode}
    if len(kinds) > 1:
        (one, first), (other, second) = list(kinds.items())[:2]
        raise DatasetError(f'{path}: episode {first} has {one}, but episode {second} has {other}')
    fps, robot = head.get('fps'), head.get('robot_type')
    if fps is not None and (isinstance(fps, bool) or not isinstance(fps, int)):
        raise DatasetError(f'{path}: fps {fps!r} is not a whole number')
    return JsonEpisodes(episodes, fps, str(robot) if robot else None)


def load_image(path: Path) -> ImageArray:
    """Read an image file as (H, W, 3) RGB.

    Raises:
        DatasetError: no such file, or no image.
    """
    if not path.is_file():
        raise DatasetError(f'{path}: missing; paths count from the folder of the JSON file')
    try:
        image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        image = None
    if image is None:
        raise DatasetError(f'{path}: no image, or a damaged one')
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def _load(path: Path) -> Any:  # noqa: ANN401  what JSON holds
    if not path.is_file():
        raise DatasetError(f"file '{path}' does not exist")
    try:
        text = path.read_text(encoding='utf-8')
    except UnicodeDecodeError as error:
        raise DatasetError(f'{path}: not text in UTF-8: {error}') from error
    if path.suffix == '.jsonl':
        return list(_lines(text, path))
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DatasetError(f'{path}: no valid JSON: {first_line(error)}') from error


def _lines(text: str, path: Path) -> Iterator[Any]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                yield json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DatasetError(
                    f'{path}:{number}: no valid JSON: {first_line(error)}'
                ) from error


def _episode(value: object, path: Path, where: str) -> tuple[Step, ...]:
    if not isinstance(value, dict):
        raise DatasetError(f'{path}: {where} is no object with instruction and steps')
    _known(value, EPISODE_KEYS, f'{path}: {where}')
    steps = value.get('steps')
    if not isinstance(steps, list) or not steps:
        raise DatasetError(f"{path}: {where}: a list 'steps' with at least one is needed")
    instruction = value.get('instruction', '')
    return tuple(_step(s, instruction, path, f'{where}, step {k}') for k, s in enumerate(steps))


def _step(value: object, instruction: object, path: Path, where: str) -> Step:
    where = f'{path}: {where}'
    if not isinstance(value, dict):
        raise DatasetError(f'{where} is no object with image and action')
    _known(value, STEP_KEYS, where)
    sentence = value.get('instruction', instruction)
    if not isinstance(sentence, str) or not sentence.strip():
        raise DatasetError(f'{where}: no instruction, neither here nor in the episode')
    images = value.get('images', {FRONT: value['image']} if 'image' in value else {})
    if not isinstance(images, dict) or not images:
        raise DatasetError(f"{where}: no image; give 'image', or 'images' by camera")
    for camera, file in images.items():
        if not isinstance(file, str) or not file:
            raise DatasetError(f"{where}: image of '{camera}' is {file!r}, no path")
    action = _numbers(value, 'action', (ARM_JOINTS, ARM_JOINTS + 1), where)
    state: tuple[float, ...] = ()
    if 'joint_positions' in value:
        state = _numbers(value, 'joint_positions', (ARM_JOINTS,), where)
    if 'gripper_opening_m' in value:
        if not state:
            raise DatasetError(f'{where}: gripper_opening_m needs joint_positions beside it')
        opening = {'gripper_opening_m': [value['gripper_opening_m']]}
        state += _numbers(opening, 'gripper_opening_m', (1,), where)
    return Step({c: path.parent / f for c, f in images.items()}, sentence, action, state)


def _numbers(
    value: Mapping[str, object], key: str, sizes: tuple[int, ...], where: str
) -> tuple[float, ...]:
    numbers = value.get(key)
    wanted = ' or '.join(map(str, sizes))
    if not isinstance(numbers, list) or len(numbers) not in sizes:
        size = f'{len(numbers)} values' if isinstance(numbers, list) else repr(numbers)
        raise DatasetError(f'{where}: {key} has {size}; {wanted} numbers are needed')
    for number in numbers:
        plain = isinstance(number, _NUMBERS) and not isinstance(number, bool)
        if not plain or not abs(number) < 1e30:
            raise DatasetError(f'{where}: {key} holds {number!r}; {wanted} numbers are needed')
    return tuple(map(float, numbers))


def _kind(step: Step) -> str:
    cameras = ', '.join(sorted(step.images))
    return f'cameras {cameras}, {len(step.action)} action and {len(step.state)} state values'


def _known(value: Mapping[str, object], keys: tuple[str, ...], where: str) -> None:
    if unknown := sorted(set(value) - set(keys)):
        raise DatasetError(f"{where}: unknown key '{unknown[0]}'; known: {', '.join(keys)}")
