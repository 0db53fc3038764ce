"""Statistics of features, as LeRobot keeps them: of each episode, and merged over a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Stats = dict[str, NDArray[np.float64]]  # of the feature's shape; "count": (1,)
NAMES = ("min", "max", "mean", "std", "count")


def describe_rows(values: NDArray[Any]) -> Stats:
    """Statistics of rows (N, *shape)."""
    rows = values.astype(np.float64)
    count = np.array([len(rows)], np.float64)
    return {
        "min": rows.min(0),
        "max": rows.max(0),
        "mean": rows.mean(0),
        "std": rows.std(0),
        "count": count,
    }


def describe_frames(frames: NDArray[np.uint8]) -> Stats:
    """Statistics (3, 1, 1) of the channels of frames (F, h, w, 3), as parts of 255."""
    pixels = describe_rows(frames.reshape(-1, 3) / 255)
    stats = {name: value.reshape(3, 1, 1) for name, value in pixels.items() if name != "count"}
    return {**stats, "count": np.array([len(frames)], np.float64)}


def merge_stats(parts: Mapping[str, NDArray[Any]]) -> Stats:
    """Statistics of the union of E parts, given as (E, *shape): variances add up by the law of total variance."""
    count = parts["count"].astype(np.float64)  # (E, 1)
    weight = (count[:, 0] / count.sum()).reshape(-1, *[1] * (parts["mean"].ndim - 1))
    mean = (weight * parts["mean"]).sum(0)
    variance = (weight * (parts["std"] ** 2 + (parts["mean"] - mean) ** 2)).sum(0)
    low, high = parts["min"].min(0), parts["max"].max(0)
    return {"min": low, "max": high, "mean": mean, "std": np.sqrt(variance), "count": count.sum(0)}


def plain(stats: Stats) -> dict[str, Any]:
    """Lists, for JSON and parquet."""
    return {name: value.tolist() for name, value in stats.items()}
