"""Every frame of a dataset, decoded once, in one memory-mapped array that training reads at random."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from tqdm import tqdm

from cosmos_sdk.data.lerobot import INFO, LeRobotDataset
from cosmos_sdk.data.video import resize_area
from cosmos_sdk.errors import DatasetError


def cached_frames(
    dataset: LeRobotDataset,
    cameras: Sequence[str],
    size: tuple[int, int],
    folder: Path | None = None,
    progress: bool = False,
) -> NDArray[np.uint8]:
    """Frames (N, V, 3, h, w) uint8 of all rows, made at first use in `folder` (default `.cache` of the dataset).

    Raises:
        DatasetError: a video is truncated (names the episode), or the folder cannot be written.
    """
    folder = folder or dataset.root / ".cache"
    shape = (len(dataset), len(cameras), 3, *size)
    path = folder / f"frames-{_fingerprint(dataset, cameras, size)}.npy"
    if not path.is_file():
        partial = path.with_name(f".{path.stem}.{os.getpid()}.npy")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            array = open_memmap(partial, "w+", np.uint8, shape)
            _decode(dataset, cameras, array, progress)
            array.flush()
            partial.replace(path)
        except OSError as error:
            remedy = f"Name another folder: cache=...; {np.prod(shape) / 2**20:.0f} MiB are needed."
            raise DatasetError(
                f"{folder}: cannot keep decoded frames ({error}). {remedy}"
            ) from error
        finally:
            with suppress(OSError):
                partial.unlink()
    return np.load(path, mmap_mode="r")


def _decode(
    dataset: LeRobotDataset, cameras: Sequence[str], array: NDArray[np.uint8], progress: bool
) -> None:
    height, width = array.shape[3:]
    with tqdm(total=len(dataset) * len(cameras), unit="frame", disable=not progress) as bar:
        for view, camera in enumerate(cameras):
            for row, frame in dataset.every_frame(camera):
                array[row, view] = resize_area(frame, height, width).transpose(2, 0, 1)
                bar.update()


def _fingerprint(dataset: LeRobotDataset, cameras: Sequence[str], size: tuple[int, int]) -> str:
    """Changes with the dataset, the cameras and the size."""
    files = {path for episode in dataset.episodes for path, _ in episode.videos.values()}
    stamps = [
        (str(path.relative_to(dataset.root)), path.stat().st_size)
        for path in sorted(files)
        if path.exists()
    ]
    facts = repr((list(cameras), size, len(dataset), stamps)).encode()
    return hashlib.sha256((dataset.root / INFO).read_bytes() + facts).hexdigest()[:16]
