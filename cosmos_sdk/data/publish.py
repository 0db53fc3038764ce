"""Joins recorded units into the next file of each kind of a LeRobotDataset v3 folder.

Every file takes its place when it is complete, and `meta/info.json`, which counts the episodes, comes last: a reader
sees the dataset before or after, and a killed publication is overwritten by the next.
"""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosmos_sdk.data.lerobot import (
    DATA_PATH,
    EPISODES_PATH,
    INFO,
    STATS,
    TASKS,
    VIDEO_PATH,
    LeRobotDataset,
)
from cosmos_sdk.data.parquet import read_columns, read_records, write_columns, write_records
from cosmos_sdk.data.stats import NAMES, merge_stats, plain
from cosmos_sdk.data.video import join_videos, video_feature

CHUNK_SIZE = 1000  # files of a folder


@dataclass(frozen=True)
class Facts:
    """What is true of every episode: rate in Hz, the task in words, and names and units of a column where known."""

    rate: float
    names: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    task: str = ""
    units: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])


@dataclass(frozen=True)
class Unit:
    """Episodes `first` to `first + count`, recorded and complete."""

    first: int
    count: int
    folder: Path

    @property
    def cameras(self) -> list[str]:
        """The cameras, sorted."""
        return sorted(path.stem for path in self.folder.glob("*.mp4"))


def publish(
    root: Path, facts: Facts, units: Sequence[Unit], published: LeRobotDataset | None
) -> None:
    """Adds units that follow one another, and the `published` episodes, as one file of rows and one a camera."""
    # The next free number; what a killed publication left there is overwritten.
    number = len({episode.data for episode in published.episodes}) if published else 0
    place = {"chunk_index": number // CHUNK_SIZE, "file_index": number % CHUNK_SIZE}
    start = len(published) if published else 0
    parts = [read_columns(unit.folder / "rows.parquet") for unit in units]
    rows = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    rows["index"] = np.arange(start, start + len(rows["timestamp"]))[:, None]
    cameras = units[0].cameras
    for camera in cameras:
        with replacing(root / VIDEO_PATH.format(video_key=camera, **place)) as partial:
            join_videos(partial, [unit.folder / f"{camera}.mp4" for unit in units], facts.rate)
    with replacing(root / DATA_PATH.format(**place)) as partial:
        write_columns(partial, rows)
    stats = [own for unit in units for own in json.loads((unit.folder / "stats.json").read_text())]
    places = {f"{kind}/{name}": value for kind in _kinds(cameras) for name, value in place.items()}
    episodes = [{**row, **places} for row in _episodes(rows, stats, cameras, facts)]
    with replacing(root / EPISODES_PATH.format(**place)) as partial:
        write_records(partial, episodes)
    features = {key: _feature(values, key, facts) for key, values in rows.items()}
    features |= {
        camera: video_feature(units[0].folder / f"{camera}.mp4", facts.rate) for camera in cameras
    }
    num_episodes = units[-1].first + units[-1].count
    with replacing(root / TASKS) as partial:
        write_records(partial, [{"task_index": 0, "task": facts.task}], index="task")
    _write_json(root / STATS, _merged_stats(root, features, num_episodes))
    _write_json(root / INFO, _info(features, facts, num_episodes, start + len(rows["index"])))


@contextmanager
def replacing(path: Path) -> Generator[Path]:
    """A name to write to, that takes the place of `path` when all went well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _kinds(cameras: Sequence[str]) -> list[str]:
    return ["data", "meta/episodes", *(f"videos/{camera}" for camera in cameras)]


def _episodes(
    rows: Mapping[str, NDArray[Any]],
    stats: Sequence[Mapping[str, Any]],
    cameras: Sequence[str],
    facts: Facts,
) -> Generator[dict[str, Any]]:
    """One record an episode: its rows, its seconds of each video, its statistics."""
    owner, start = rows["episode_index"][:, 0], int(rows["index"][0, 0])
    numbers, begins, lengths = np.unique(owner, return_index=True, return_counts=True)
    for own, episode, begin, length in zip(
        stats, numbers.tolist(), begins.tolist(), lengths.tolist(), strict=True
    ):
        row: dict[str, Any] = {"episode_index": episode, "tasks": [facts.task], "length": length}
        row |= {"dataset_from_index": start + begin, "dataset_to_index": start + begin + length}
        for camera in cameras:
            row[f"videos/{camera}/from_timestamp"] = begin / facts.rate
            row[f"videos/{camera}/to_timestamp"] = (begin + length) / facts.rate
        yield row | {
            f"stats/{key}/{name}": value
            for key, named in own.items()
            for name, value in named.items()
        }


def _merged_stats(root: Path, features: Mapping[str, Any], num_episodes: int) -> dict[str, Any]:
    """Statistics of the whole dataset, from those of every episode."""
    paths = sorted((root / "meta/episodes").glob("*/*.parquet"))
    records = [record for path in paths for record in read_records(path)]
    records = [record for record in records if record["episode_index"] < num_episodes]
    known = [key for key in features if f"stats/{key}/min" in records[0]]
    stacked = {
        key: {
            name: np.array([record[f"stats/{key}/{name}"] for record in records]) for name in NAMES
        }
        for key in known
    }
    return {key: plain(merge_stats(named)) for key, named in stacked.items()}


def _info(
    features: Mapping[str, Any], facts: Facts, num_episodes: int, num_rows: int
) -> dict[str, Any]:
    border = num_episodes - max(num_episodes // 10, min(1, num_episodes - 1))
    return {
        "codebase_version": "v3.0",
        "robot_type": None,
        "total_episodes": num_episodes,
        "total_frames": num_rows,
        "total_tasks": 1,
        "chunks_size": CHUNK_SIZE,
        "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 200,
        "fps": int(facts.rate) if facts.rate == int(facts.rate) else facts.rate,
        "splits": {"train": f"0:{border}", "test": f"{border}:{num_episodes}"},
        "data_path": DATA_PATH,
        "video_path": VIDEO_PATH,
        "features": dict(features),
    }


def _feature(values: NDArray[Any], key: str, facts: Facts) -> dict[str, Any]:
    """What LeRobot says of a column, and its units, a key of ours that LeRobot leaves alone."""
    names, units = facts.names.get(key), facts.units.get(key)
    return {
        "dtype": str(values.dtype),
        "shape": [values.shape[1]],
        "names": list(names) if names else None,
        **({"units": list(units)} if units else {}),
    }


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    with replacing(path) as partial:
        partial.write_text(json.dumps(values, indent=1))
