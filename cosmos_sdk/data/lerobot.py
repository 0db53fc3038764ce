"""Reads LeRobotDataset v3 folders (parquet, mp4, json), ours and a stranger's.

The layout (huggingface/lerobot, `datasets/utils.py`): `meta/info.json` holds rate and features; `meta/episodes/` says
for each episode which rows and which seconds of which files are its own; `data/` and `videos/<camera>/` hold many
episodes a file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from cosmos_sdk.data.parquet import column_names, read_column, read_records, reading
from cosmos_sdk.data.video import read_video
from cosmos_sdk.errors import DatasetError, did_you_mean

VERSION = "v3."
INFO, STATS, TASKS = "meta/info.json", "meta/stats.json", "meta/tasks.parquet"
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
EPISODES_PATH = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
TOLERANCE = 1e-3  # s, of time stamps; float32 seconds are exact to this for four hours


@dataclass(frozen=True)
class Episode:
    """Rows `start` to `stop` of the whole dataset, and where its frames lie."""

    index: int
    start: int
    stop: int
    data: Path
    videos: Mapping[
        str, tuple[Path, float]
    ]  # camera -> file, seconds at which its first frame lies

    def __len__(self) -> int:
        return self.stop - self.start


@final
class LeRobotDataset:
    """A folder, opened for reading. N rows in all; a row is one moment of one episode.

    Raises:
        DatasetError: no such folder, another version, or a file at fault, with the episodes it holds.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self.info = self._read_info()
        self.rate = float(self.info["fps"])
        self.features: dict[str, dict[str, Any]] = self.info["features"]
        self.cameras = tuple(
            key for key, feature in self.features.items() if feature["dtype"] == "video"
        )
        self.episodes = self._read_episodes()
        self._columns: dict[str, NDArray[Any]] = {}

    def __len__(self) -> int:
        return self.episodes[-1].stop if self.episodes else 0

    @cached_property
    def stats(self) -> dict[str, dict[str, NDArray[np.float64]]]:
        """Statistics by feature: min, max, mean, std, and quantiles such as q01 where the writer knew them."""
        path = self.root / STATS
        if not path.is_file():
            raise DatasetError(f"{path}: no such file; the recording was not finished.")
        stats: dict[str, dict[str, Any]] = json.loads(path.read_text())
        return {
            key: {name: np.asarray(v, np.float64) for name, v in named.items()}
            for key, named in stats.items()
        }

    def column(self, key: str) -> NDArray[Any]:
        """One feature of every row, (N, *shape); a feature of shape (1,) is (N, 1).

        Raises:
            DatasetError: no such feature, or a file lacks the column; names the episodes.
        """
        if key not in self._columns:
            numeric = [name for name in self.features if name not in self.cameras]
            if key not in numeric:
                raise DatasetError(
                    f"{self.root}: no feature {key!r}.{did_you_mean(key, numeric)} Features: {numeric}."
                )
            parts = [self._read_column(path, episodes, key) for path, episodes in self._files()]
            self._columns[key] = np.concatenate(parts)
        return self._columns[key]

    def frames(self, camera: str, episode: int) -> NDArray[np.uint8]:
        """The frames (L, h, w, 3) uint8 of one episode."""
        chosen = self.episodes[episode]
        path, _ = chosen.videos[camera]
        found = dict(self._decode(camera, path, [chosen]))
        return np.stack([found[row] for row in range(chosen.start, chosen.stop)])

    def every_frame(self, camera: str) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Yields (row, frame (h, w, 3)) for every row, decoding each file once."""
        files: dict[Path, list[Episode]] = {}
        for episode in self.episodes:
            files.setdefault(episode.videos[camera][0], []).append(episode)
        for path, episodes in files.items():
            yield from self._decode(camera, path, episodes)

    def check(self, frames: bool = True) -> None:
        """Reads everything once.

        Raises:
            DatasetError: a missing column, rows that are not the episode's, a gap in time stamps, a truncated video;
                names the first episode at fault.
        """
        for key in self.features:
            if key not in self.cameras:
                self.column(key)
        self._check_rows()
        self._check_times()
        for camera in self.cameras if frames else ():
            for _ in self.every_frame(camera):
                pass

    def _read_info(self) -> dict[str, Any]:
        path = self.root / INFO
        try:
            info: dict[str, Any] = json.loads(path.read_text())
        except FileNotFoundError as error:
            raise DatasetError(f"{self.root} is no LeRobot dataset: {INFO} is missing.") from error
        except json.JSONDecodeError as error:
            raise DatasetError(f"{path}: not valid JSON ({error}).") from error
        if not str(info.get("codebase_version")).startswith(VERSION):
            remedy = "Convert it with LeRobot's own converter to v3.0."
            raise DatasetError(
                f"{self.root}: version {info.get('codebase_version')}; expected v3. {remedy}"
            )
        if missing := [key for key in ("fps", "features", "total_episodes") if key not in info]:
            raise DatasetError(f"{path}: {', '.join(missing)} missing.")
        return info

    def _read_episodes(self) -> list[Episode]:
        rows: list[dict[str, Any]] = []
        for path in sorted((self.root / "meta/episodes").glob("*/*.parquet")):
            with reading(path, "the list of episodes"):
                rows += read_records(path, leave_out="stats/")
        # A killed writer may leave more than info.json counts: that one is written last.
        rows = sorted(
            (row for row in rows if row["episode_index"] < self.info["total_episodes"]), key=_index
        )
        if [_index(row) for row in rows] != list(range(self.info["total_episodes"])):
            raise DatasetError(
                f"{self.root}: {len(rows)} of {self.info['total_episodes']} episodes are listed."
            )
        return [self._episode(row) for row in rows]

    def _episode(self, row: Mapping[str, Any]) -> Episode:
        def place(prefix: str) -> dict[str, int]:
            return {name: row[f"{prefix}/{name}"] for name in ("chunk_index", "file_index")}

        pattern = self.info.get("video_path") or VIDEO_PATH
        videos = {
            camera: (
                self.root / pattern.format(video_key=camera, **place(f"videos/{camera}")),
                float(row[f"videos/{camera}/from_timestamp"]),
            )
            for camera in self.cameras
        }
        data = self.root / self.info.get("data_path", DATA_PATH).format(**place("data"))
        return Episode(
            _index(row), row["dataset_from_index"], row["dataset_to_index"], data, videos
        )

    def _files(self) -> list[tuple[Path, list[Episode]]]:
        files: dict[Path, list[Episode]] = {}
        for episode in self.episodes:
            files.setdefault(episode.data, []).append(episode)
        return list(files.items())

    def _read_column(self, path: Path, episodes: list[Episode], key: str) -> NDArray[Any]:
        with reading(path, _span(episodes)):
            names = column_names(path)
            if key not in names:
                raise DatasetError(
                    f"{_span(episodes)}: {path} has no column {key!r}; it has {names}."
                )
            values = read_column(path, key)
        shape = tuple(self.features[key]["shape"])
        expected = sum(len(episode) for episode in episodes)
        if values.size != expected * int(np.prod(shape)):
            got = f"{values.size} numbers in {key!r}; expected {expected} rows of shape {shape}"
            raise DatasetError(f"{_span(episodes)}: {path} has {got}.")
        return values.reshape(expected, *shape)

    def _decode(
        self, camera: str, path: Path, episodes: list[Episode]
    ) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        begins = {
            episode.index: round(episode.videos[camera][1] * self.rate) for episode in episodes
        }
        wanted = {begins[e.index] + i: (e.start + i, e) for e in episodes for i in range(len(e))}
        left = dict(wanted)
        reason = ""
        try:
            start = min(episode.videos[camera][1] for episode in episodes)
            for number, frame in read_video(path, self.rate, start):
                if number in left:
                    yield left.pop(number)[0], frame
                if not left:
                    return
        except DatasetError as error:
            reason = f" {error}"
        row, episode = left[min(left)]
        where = f"{camera} has {row - episode.start} of {len(episode)} frames in {path.name}; truncated?"
        raise DatasetError(f"episode {episode.index}: {where}{reason}")

    def _check_rows(self) -> None:
        owner, frame = self.column("episode_index")[:, 0], self.column("frame_index")[:, 0]
        for episode in self.episodes:
            rows = slice(episode.start, episode.stop)
            whole = np.array_equal(frame[rows], np.arange(len(episode)))
            if not whole or (owner[rows] != episode.index).any():
                raise DatasetError(
                    f"episode {episode.index}: its rows {episode.start}:{episode.stop} are not its own."
                )

    def _check_times(self) -> None:
        times = self.column("timestamp")[:, 0].astype(np.float64)
        for episode in self.episodes:
            own = times[episode.start : episode.stop]
            wrong = np.flatnonzero(np.abs(np.diff(own) - 1 / self.rate) > TOLERANCE)
            if len(wrong):
                k = int(wrong[0])
                jump = f"from {own[k]:.3f} s to {own[k + 1]:.3f} s at frame {k + 1}"
                raise DatasetError(
                    f"episode {episode.index}: time stamps jump {jump}; expected steps of {1 / self.rate:.3f} s."
                )


def _index(row: Mapping[str, Any]) -> int:
    return int(row["episode_index"])


def _span(episodes: list[Episode]) -> str:
    first, last = episodes[0].index, episodes[-1].index
    return f"episode {first}" if first == last else f"episodes {first} to {last}"
