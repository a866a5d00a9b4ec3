"""Read a data set: columns as arrays, images as one block or episode by episode."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vla_ros.data import layout, video
from vla_ros.data.columns import to_numpy
from vla_ros.data.episodes import Episode, read_episodes, read_tasks
from vla_ros.data.features import Feature, Spec
from vla_ros.data.images import from_png, packed
from vla_ros.data.layout import Info, read_info, read_json, reading
from vla_ros.data.statistics import Statistics, from_lists
from vla_ros.errors import DatasetError, choose
from vla_ros.types import ImageArray


@dataclass(frozen=True)
class Dataset:
    """A data set on disk; nothing but its tables of episodes and tasks is in memory.

    Attributes:
        folder: where it lies.
        info: what its info.json says.
        tasks: what was to be done, in words; `task_index` counts them.
        episodes: one after the other.
    """

    folder: Path
    info: Info
    tasks: tuple[str, ...]
    episodes: tuple[Episode, ...]

    @property
    def spec(self) -> Spec:
        """What it holds, and how often."""
        return self.info.spec

    def __len__(self) -> int:
        """How many frames it has."""
        return self.info.total_frames

    def statistics(self) -> Statistics:
        """Read the statistics of the whole data set; images are from 0 to 1."""
        path = self.folder / layout.STATISTICS
        with reading(path):
            value = read_json(path)
            if not isinstance(value, dict) or not all(isinstance(v, dict) for v in value.values()):
                raise DatasetError(f'{path}: damaged: no statistics of features')
            return from_lists(value)

    def columns(self, names: Sequence[str], episode: int | None = None) -> dict[str, np.ndarray]:
        """Return columns of numbers or text of all frames, or of one episode.

        Args:
            names: features that are no images; `tasks` are found by `task_index`.
            episode: number of the episode; None for all.

        Returns:
            feature → (N, *shape); (N,) where a frame has one value.

        Raises:
            DatasetError: damaged files.
            ConfigError: unknown features or episodes; lists those that there are.
        """
        features = {name: self._feature(name, image=False) for name in names}
        parts: dict[str, list[np.ndarray]] = {name: [] for name in names}
        for path, table in self._tables(list(names), episode):
            with reading(path):
                for name, feature in features.items():
                    parts[name].append(to_numpy(name, feature, table[name]))
        return {
            n: part[0] if len(part) == 1 else np.concatenate(part) for n, part in parts.items()
        }

    def column(self, name: str, episode: int | None = None) -> np.ndarray:
        """Return one column, as `columns` does."""
        return self.columns([name], episode)[name]

    def images(self, camera: str, episode: int | None = None) -> ImageArray:
        """Decode the images of a camera, of all frames or of one episode.

        All frames of a big data set may not fit into memory: `image_bytes` says what they need.

        Returns:
            (N, H, W, 3) uint8, RGB.

        Raises:
            DatasetError: damaged files or images.
            ConfigError: unknown cameras or episodes; lists those that there are.
        """
        feature = self._feature(camera, image=True)
        episodes = self._chosen(episode)
        frames = episodes[-1].end - episodes[0].first
        out = np.empty((frames, *feature.height_and_width, 3), np.uint8)
        if feature.dtype == 'video':
            self._decode_videos(camera, episodes, out)
            return out
        row = 0
        for path, table in self._tables([camera], episode):
            with reading(path):
                from_png(camera, table[camera], out[row : row + len(table)])
            row += len(table)
        return out

    def packed_images(self, camera: str) -> list[bytes]:
        """Return the PNG bytes of all images of a camera whose images are no video.

        Raises:
            DatasetError: damaged files.
            ConfigError: an unknown camera; lists those that there are.
        """
        self._feature(camera, image=True)
        found: list[bytes] = []
        for path, table in self._tables([camera], None):
            with reading(path):
                found += packed(camera, table[camera])
        return found

    def image_bytes(self, camera: str) -> int:
        """Return how much memory all decoded images of a camera take."""
        height, width = self._feature(camera, image=True).height_and_width
        return len(self) * height * width * 3

    def _decode_videos(self, camera: str, episodes: Sequence[Episode], out: ImageArray) -> None:
        """Decode each run of episodes that lie one behind the other in one file at once."""
        fps, start = self.spec.fps, episodes[0].first
        first, k = 0, 0
        while first < len(episodes):
            span = episodes[first].videos[camera]
            number = round(span.from_s * fps)
            k = first
            while k + 1 < len(episodes):
                following = episodes[k + 1].videos[camera]
                gone = episodes[k + 1].first - episodes[first].first
                if following.place != span.place or round(following.from_s * fps) != number + gone:
                    break
                k += 1
            path = self.info.video_file(self.folder, camera, span.place)
            rows = out[episodes[first].first - start : episodes[k].end - start]
            video.decode(path, number, fps, rows)
            first = k + 1

    def _tables(self, names: list[str], episode: int | None) -> Iterator[tuple[Path, pa.Table]]:
        """Read columns, a table a file; of one episode only the row groups that hold it."""
        chosen = self._chosen(episode)
        for place in dict.fromkeys(e.place for e in chosen):
            inside = [e for e in self.episodes if e.place == place]
            begin, frames = inside[0].first, sum(e.length for e in inside)
            path = self.info.data_file(self.folder, place)
            with reading(path):
                file = pq.ParquetFile(path)
                if file.metadata.num_rows != frames:
                    raise DatasetError(
                        f'{path}: {file.metadata.num_rows} frames, but meta/episodes says {frames}'
                    )
                first = 0 if episode is None else chosen[0].first - begin
                end = frames if episode is None else chosen[0].end - begin
                table = _rows(file, names, first, end)
            yield path, table

    def _chosen(self, episode: int | None) -> Sequence[Episode]:
        if episode is None:
            return self.episodes
        if not 0 <= episode < len(self.episodes):
            raise DatasetError(
                f'there is no episode {episode}; {self.folder} has 0 to {len(self.episodes) - 1}'
            )
        return self.episodes[episode : episode + 1]

    def _feature(self, name: str, image: bool) -> Feature:
        features = {n: f for n, f in self.spec.all_features.items() if f.is_image == image}
        return features[choose('camera' if image else 'column', name, features)]


def open_dataset(folder: Path) -> Dataset:
    """Open a data set of the LeRobot v3.0 layout, recorded by this package or by lerobot.

    Raises:
        DatasetError: no data set, one of another version, an unfinished or a damaged one.
    """
    info = read_info(folder)
    if not info.total_episodes:
        raise DatasetError(f"'{folder}' has no episodes")
    return Dataset(folder, info, read_tasks(folder), read_episodes(folder, info))


def _rows(file: pq.ParquetFile, names: list[str], first: int, end: int) -> pa.Table:
    """Read rows first to end, from the row groups that hold them."""
    before, groups, skipped = 0, [], None
    for group in range(file.metadata.num_row_groups):
        rows = file.metadata.row_group(group).num_rows
        if before < end and before + rows > first:
            groups.append(group)
            skipped = before if skipped is None else skipped
        before += rows
    table = file.read_row_groups(groups, columns=names)
    return table.slice(first - (skipped or 0), end - first)
