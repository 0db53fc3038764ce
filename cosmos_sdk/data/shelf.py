"""Where episodes wait to be published: an episode is whole or absent, whatever happens to the process.

A `Shelf` (`<root>/.recording/`) takes units, runs of consecutive episodes. A unit is written into a folder of another
name and renamed when complete; `publish` joins the units that follow the published episodes into the dataset.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from cosmos_sdk.data.lerobot import INFO, LeRobotDataset
from cosmos_sdk.data.parquet import write_columns
from cosmos_sdk.data.publish import Facts, Unit, publish
from cosmos_sdk.data.stats import describe_frames, describe_rows, plain
from cosmos_sdk.data.video import write_video
from cosmos_sdk.errors import DatasetError


@dataclass(frozen=True)
class Recording:
    """One episode of L rows: columns (L, *shape) and the frames (L, h, w, 3) uint8 of each camera."""

    columns: Mapping[str, NDArray[Any]]
    frames: Mapping[str, NDArray[np.uint8]]  # camera, such as "observation.images.top"

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))


@final
class Shelf:
    """The units of one recording. Several processes may put, one publishes."""

    def __init__(self, root: Path, facts: Facts) -> None:
        self.root, self.facts = root, facts
        self.folder = root / ".recording"

    def units(self) -> list[Unit]:
        """The complete units, in order."""
        found = (path.name.split("-")[1:] for path in self.folder.glob("unit-*-*"))
        return [self._unit(int(first), int(count)) for first, count in sorted(found)]

    def put(self, first: int, recordings: Sequence[Recording]) -> None:
        """Keeps episodes `first`, `first` + 1, ... as one unit, whole or not at all.

        Raises:
            DatasetError: the disk is full, or cannot be written.
        """
        partial = self.folder / f"partial-{first:06d}-{os.getpid()}"
        try:
            with _saving(self.root):
                partial.mkdir(parents=True)
                self._write(partial, first, recordings)
                complete = self._unit(first, len(recordings)).folder
                if (
                    not complete.exists()
                ):  # else a process that outlived its parent recorded the same
                    partial.rename(complete)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def tidy(self) -> None:
        """Removes what killed processes left half written."""
        for path in self.folder.glob("partial-*"):
            shutil.rmtree(path, ignore_errors=True)

    def publish(self) -> int:
        """Moves the units that follow the published episodes into the dataset; returns how many it then has."""
        published = LeRobotDataset(self.root) if (self.root / INFO).is_file() else None
        done = len(published.episodes) if published else 0
        following: list[Unit] = []
        for unit in self.units():
            if unit.first == done:
                following.append(unit)
                done += unit.count
        if following:
            with _saving(self.root):
                publish(self.root, self.facts, following, published)
        for unit in self.units():
            if unit.first < done:
                shutil.rmtree(unit.folder)
        return done

    def _unit(self, first: int, count: int) -> Unit:
        return Unit(first, count, self.folder / f"unit-{first:06d}-{count:06d}")

    def _write(self, folder: Path, first: int, recordings: Sequence[Recording]) -> None:
        for camera in recordings[0].frames:
            joined = np.concatenate([recording.frames[camera] for recording in recordings])
            write_video(folder / f"{camera}.mp4", joined, self.facts.rate)
        rows = [
            self._columns(episode, recording) for episode, recording in enumerate(recordings, first)
        ]
        write_columns(
            folder / "rows.parquet",
            {key: np.concatenate([own[key] for own in rows]) for key in rows[0]},
        )
        stats = [
            {key: plain(describe_rows(values)) for key, values in own.items()}
            | {
                camera: plain(describe_frames(frames))
                for camera, frames in recording.frames.items()
            }
            for own, recording in zip(rows, recordings, strict=True)
        ]
        (folder / "stats.json").write_text(json.dumps(stats))

    def _columns(self, episode: int, recording: Recording) -> dict[str, NDArray[Any]]:
        """Every column of an episode as (L, width); `index` is known when it is published."""
        clock = np.arange(len(recording))[:, None]
        return {
            **{key: values.reshape(len(values), -1) for key, values in recording.columns.items()},
            "timestamp": (clock / self.facts.rate).astype(np.float32),
            "frame_index": clock,
            "episode_index": np.full_like(clock, episode),
            "task_index": np.zeros_like(clock),
        }


@contextmanager
def _saving(root: Path) -> Generator[None]:
    """Explains a disk that cannot be written."""
    try:
        yield
    except OSError as error:
        remedy = "Complete episodes are kept: make room and give the same command again."
        raise DatasetError(f"{root}: cannot write ({error}). {remedy}") from error
