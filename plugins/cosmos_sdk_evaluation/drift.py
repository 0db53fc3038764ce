"""Metric `drift`: what is left of the scene when a world dreams far longer than it was trained to.

A world that blows up leaves the range of pictures, one that forgets loses what it once showed. Both are measured
against the simulator under the same actions, and shown.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cosmos_sdk.results import Measurement, Result
from cosmos_sdk.statistics import bootstrap, wilson
from cosmos_sdk.world import WorldModel
from cosmos_sdk_evaluation.episodes import check_counts
from cosmos_sdk_evaluation.open_loop import (
    OpenLoopConfig,
    Windows,
    imagine,
    most_changed,
    windows,
)
from cosmos_sdk_evaluation.pixel import psnr

DIFFERENT = 0.1  # of full intensity: where a pixel is not background
GONE = 0.5  # of the true area: less, and an object has faded or left


@dataclass
class DriftConfig:
    """Long held-out windows; the last horizon is the length of the dream."""

    env: str = "gym_pusht/PushT-v0"
    policy: str = "pusht-scripted"
    windows: int = 50
    horizons: tuple[int, ...] = (1, 8, 32, 64, 100, 150, 200)
    seed: int = 0

    def __post_init__(self) -> None:
        check_counts(self, "windows", "horizons")


@torch.no_grad()
def drift(world: WorldModel, config: DriftConfig) -> Measurement:
    """PSNR beside the empty scene's, and the area that movable things cover beside the true one, at each horizon."""
    size = world.spec.frames[1:] if world.spec else (64, 64)
    long = OpenLoopConfig(
        config.env, config.policy, config.windows, config.horizons, seed=config.seed
    )
    data = windows(long, size, world.backend.context)
    imagined = imagine(world, data, data.actions[:, data.context :], long).frames
    future = data.frames[:, data.context :]
    title = "True above imagined, where the scene changes most"
    picture = most_changed(imagined, future, config.horizons)
    return Measurement(compare(imagined, future, background(data), config), {title: picture})


def compare(imagined: Tensor, future: Tensor, empty: Tensor, config: DriftConfig) -> list[Result]:
    """The figures of dreams (n, H, V, 3, h, w) beside their true futures and the empty scene (V, 3, h, w)."""
    results: list[Result] = []
    for h in config.horizons:
        dreamt, true = imagined[:, h - 1], future[:, h - 1]
        share = covered(dreamt, empty) / covered(true, empty).clamp_min(1)
        kept = int((share >= GONE).sum())
        results += [
            _mean(f"world PSNR @{h}", psnr(dreamt, true), "dB", config),
            _mean(f"empty scene PSNR @{h}", psnr(empty.expand_as(true), true), "dB", config),
            _mean(f"area of movable things, imagined / true @{h}", share, "x", config),
            Result(
                f"dreams that keep at least half of that area @{h}",
                100 * kept / len(share),
                "%",
                len(share),
                tuple(100 * bound for bound in wilson(kept, len(share))),  # pyright: ignore
                config.seed,
            ),
        ]
    return results


def background(data: Windows) -> Tensor:
    """The scene without what moves, (V, 3, h, w) uint8: the median of the true frames."""
    step = max(1, data.frames.shape[1] // 10)
    return data.frames[:, ::step].flatten(0, 1).median(0).values


def covered(frames: Tensor, empty: Tensor) -> Tensor:
    """Pixels (n,) of frames (n, V, 3, h, w) uint8 in which any colour differs from the empty scene."""
    difference = (frames.float() - empty.float()).abs().amax(2)
    return (difference > DIFFERENT * 255).flatten(1).sum(1).float()


def _mean(name: str, values: Tensor, unit: str, config: DriftConfig) -> Result:
    array = values.flatten().double().numpy()
    interval = bootstrap(array, config.seed)
    return Result(name, float(np.mean(array)), unit, array.size, interval, config.seed)
