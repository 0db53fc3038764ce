"""Metric `tokenizer`: held-out frames through encode and decode, and the state read from their latents."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cosmos_sdk.results import Measurement, Result
from cosmos_sdk.state import WorldState
from cosmos_sdk.training.contact_sheet import contact_sheet
from cosmos_sdk.world import WorldModel
from cosmos_sdk_evaluation.episodes import check_counts, held_out
from cosmos_sdk_evaluation.open_loop import observed
from cosmos_sdk_evaluation.pixel import psnr, ssim
from cosmos_sdk_evaluation.statistics import bootstrap


@dataclass
class TokenizerConfig:
    """Held-out episodes; every tenth frame is judged, so that frames differ."""

    env: str = "gym_pusht/PushT-v0"
    policy: str = "pusht-scripted"
    episodes: int = 100
    length: int = 50  # steps of an episode
    every: int = 10
    seed: int = 0
    readout: str = "state"

    def __post_init__(self) -> None:
        check_counts(self, "episodes", "length", "every")


@torch.no_grad()
def tokenizer_quality(world: WorldModel, config: TokenizerConfig) -> Measurement:
    """PSNR, SSIM and readout errors; intervals over episodes, whose frames are not independent."""
    size = world.spec.frames[1:] if world.spec else (64, 64)
    rows: dict[str, list[float]] = {}
    units = {"PSNR": "dB"}
    sheets: list[NDArray[np.uint8]] = []
    episodes = held_out(
        config.env, config.policy, config.episodes, config.length, size, config.seed
    )
    for episode in episodes:
        frames = episode.frames[:: config.every][:, None]  # (n, 1, V, 3, h, w)
        latents = world.tokenizer.encode(frames.to(world.device))
        coded = world.tokenizer.decode(latents, 1).cpu()
        if not sheets:
            times = [f"{config.every * k}" for k in range(len(frames))]
            sheets.append(contact_sheet(frames[None, :, 0], coded[None, :, 0], times))
        found = {"PSNR": psnr(coded, frames), "SSIM": ssim(coded, frames)}
        if config.readout in world.readouts:
            read = world.readouts[config.readout].read(_state_of(world, latents)).cpu()
            true = episode.observations[:: config.every]
            for quantity in observed(config.env):
                name = f"readout {quantity.name} error"
                found[name] = quantity.error(read, true)
                units[name] = quantity.unit
        for name, values in found.items():
            rows.setdefault(name, []).append(float(values.mean()))
    n, seed = config.episodes, config.seed
    return Measurement(
        [
            Result(
                f"tokenizer {name}", sum(v) / n, units.get(name, ""), n, bootstrap(v, seed), seed
            )
            for name, v in rows.items()
        ],
        {"The first episode: true frames above what comes back from their latents": sheets[0]},
    )


def _state_of(world: WorldModel, latents: Tensor) -> WorldState:
    """A state whose newest frame is the given one, for a readout of a single frame."""
    rows = latents.shape[0]
    state = world.start(latents, {}, torch.arange(rows))
    return replace(state, latents=latents.expand(-1, world.backend.window, *latents.shape[2:]))
