"""Metric `tokenizer`: held-out frames through encode and decode, the state read from their latents, tokens in use."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cosmos_sdk.results import Measurement, Result
from cosmos_sdk.state import WorldState
from cosmos_sdk.statistics import bootstrap
from cosmos_sdk.training.contact_sheet import contact_sheet
from cosmos_sdk.vocabulary import Vocabulary, code_usage
from cosmos_sdk.world import WorldModel
from cosmos_sdk_evaluation.episodes import Episode, check_counts, held_out
from cosmos_sdk_evaluation.open_loop import observed
from cosmos_sdk_evaluation.pixel import psnr, ssim


@dataclass
class TokenizerConfig:
    """Held-out episodes; a clip begins at every tenth frame, so that clips differ."""

    env: str = "gym_pusht/PushT-v0"
    policy: str = "pusht-scripted"
    episodes: int = 100
    length: int = 50  # steps of an episode
    every: int = 10
    seed: int = 0
    readout: str = "state"
    frames: int = 1  # of a clip, coded together: more show compressed time and shared context

    def __post_init__(self) -> None:
        check_counts(self, "episodes", "length", "every", "frames")


@torch.no_grad()
def tokenizer_quality(world: WorldModel, config: TokenizerConfig) -> Measurement:
    """PSNR, SSIM, readout errors and, of a vocabulary, how much is used.

    Beyond the end of an episode a clip repeats the last frame. A readout reads the newest frame of each clip. Intervals
    are over episodes, whose frames are not independent.
    """
    size = world.spec.frames[1:] if world.spec else (64, 64)
    rows: dict[str, list[float]] = {}
    units = {"PSNR": "dB"}
    sheets: list[NDArray[np.uint8]] = []
    spoken: list[Tensor] = []
    episodes = held_out(
        config.env, config.policy, config.episodes, config.length, size, config.seed
    )
    for episode in episodes:
        index = _clips(episode, config)  # (n, F)
        frames, newest = episode.frames[index], index[:, -1]
        latents = world.tokenizer.encode(frames.to(world.device))
        coded = world.tokenizer.decode(latents, config.frames).cpu()
        spoken.append(latents.cpu())
        if not sheets:
            times = [f"{k}" for k in newest.tolist()]
            sheets.append(contact_sheet(frames[None, :, -1], coded[None, :, -1], times))
        found = {"PSNR": psnr(coded, frames), "SSIM": ssim(coded, frames)}
        if config.readout in world.readouts:
            read = world.readouts[config.readout].read(_state_of(world, latents[:, -1:])).cpu()
            true = episode.observations[newest]
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
        ]
        + _usage(world, torch.cat(spoken), config),
        {"The first episode: true frames above what comes back from their latents": sheets[0]},
    )


def _clips(episode: Episode, config: TokenizerConfig) -> Tensor:
    """The frames (n, F) of the clips of an episode, by number."""
    begin = torch.arange(0, len(episode.frames), config.every)
    return (begin[:, None] + torch.arange(config.frames)).clamp(max=len(episode.frames) - 1)


def _usage(world: WorldModel, latents: Tensor, config: TokenizerConfig) -> list[Result]:
    """Share and perplexity of the tokens of all frames; no interval, as episodes drawn again repeat their tokens."""
    if not isinstance(world.tokenizer, Vocabulary):
        return []
    share, perplexity = code_usage(latents, world.tokenizer.vocabulary_size)
    n, seed = config.episodes, config.seed
    return [
        Result("tokenizer vocabulary used", 100 * share, "%", n, seed=seed),
        Result("tokenizer perplexity", perplexity, "tokens", n, seed=seed),
    ]


def _state_of(world: WorldModel, latents: Tensor) -> WorldState:
    """A state whose newest frame is the given one, for a readout of a single frame."""
    rows = latents.shape[0]
    state = world.start(latents, {}, torch.arange(rows))
    return replace(state, latents=latents.expand(-1, world.backend.window, *latents.shape[2:]))
