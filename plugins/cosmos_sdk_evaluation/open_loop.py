"""Metric `open-loop`: how well a world imagines held-out futures under true actions, and what false ones change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from cosmos_sdk.errors import ConfigError
from cosmos_sdk.registry import registry
from cosmos_sdk.results import Measurement, Result
from cosmos_sdk.state import WorldState
from cosmos_sdk.statistics import bootstrap, bootstrap_ratio
from cosmos_sdk.training.contact_sheet import contact_sheet
from cosmos_sdk.world import WorldModel
from cosmos_sdk_evaluation.episodes import Episode, check_counts, held_out
from cosmos_sdk_evaluation.modes import modes
from cosmos_sdk_evaluation.pixel import psnr, ssim
from cosmos_sdk_evaluation.state_errors import Quantity, quantities


@dataclass
class OpenLoopConfig:
    """Held-out windows: `context` real frames, then `horizon` imagined ones."""

    env: str = "gym_pusht/PushT-v0"
    policy: str = "pusht-scripted"
    windows: int = 100
    horizons: tuple[int, ...] = (1, 8, 16, 32)
    # sampling steps; none: those that say most about the world. The first is compared with shuffled actions
    num_steps: tuple[int, ...] = ()
    seed: int = 0
    batch_size: int = 50
    readout: str = "state"

    def __post_init__(self) -> None:
        check_counts(self, "windows", "horizons", "batch_size")


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows of one length, stacked: context frames, then the true future."""

    frames: Tensor  # (n, C + H, 1, 3, h, w) uint8
    actions: Tensor  # (n, C + H, A): entry k led to frame k; entry 0 is absent
    observations: Tensor  # (n, C + H, P)
    context: int

    def __len__(self) -> int:
        return self.frames.shape[0]

    def rows(self, index: slice) -> Windows:
        """Some of the windows."""
        return Windows(
            self.frames[index], self.actions[index], self.observations[index], self.context
        )


@dataclass(frozen=True, eq=False)
class Imagined:
    """An imagined future of H frames beside its windows."""

    frames: Tensor  # (n, H, 1, 3, h, w) uint8
    observations: Tensor | None  # (n, H, P) by the readout


def windows(config: OpenLoopConfig, size: tuple[int, int], context: int) -> Windows:
    """One window from each of the first held-out episodes that are long enough.

    Raises:
        ConfigError: none is.
    """
    length = context + max(config.horizons)
    episodes = held_out(
        config.env, config.policy, 4 * config.windows, length + 8, size, config.seed
    )
    chosen: list[Windows] = []
    for episode in episodes:
        spare = len(episode) + 1 - length
        if spare >= 0:
            chosen.append(_window(episode, spare // 2, length, context))
        if len(chosen) == config.windows:
            break
    if not chosen:
        problem = f"horizons: no held-out episode of {config.policy!r} lasts {length} frames"
        raise ConfigError([f"{problem} ({context} of context); the longest horizon is too long."])
    frames, actions = (
        torch.cat([getattr(w, name) for w in chosen]) for name in ("frames", "actions")
    )
    return Windows(frames, actions, torch.cat([w.observations for w in chosen]), context)


def _window(episode: Episode, first: int, length: int, context: int) -> Windows:
    led_to = torch.cat(
        [torch.zeros_like(episode.actions[:1]), episode.actions]
    )  # entry k led to frame k
    part = slice(first, first + length)
    return Windows(
        episode.frames[part][None], led_to[part][None], episode.observations[part][None], context
    )


@torch.no_grad()
def imagine(world: WorldModel, data: Windows, actions: Tensor, config: OpenLoopConfig) -> Imagined:
    """Rolls the world forward from each window's context under `actions` (n, H, A), decoding every frame."""
    parts: list[Imagined] = []
    for first in range(0, len(data), config.batch_size):
        rows = data.rows(slice(first, first + config.batch_size))
        parts.append(
            _imagine(world, rows, actions[first : first + config.batch_size], config, first)
        )
    observed = [part.observations for part in parts if part.observations is not None]
    return Imagined(
        torch.cat([part.frames for part in parts]), torch.cat(observed) if observed else None
    )


def _imagine(
    world: WorldModel, data: Windows, actions: Tensor, config: OpenLoopConfig, first: int
) -> Imagined:
    seed = torch.arange(first, first + len(data)) + 1_000_003 * config.seed
    history = {"action": data.actions[:, : data.context]}
    state = world.reset(data.frames[:, : data.context], {}, seed, history)
    frames: list[Tensor] = []
    observed: list[Tensor] = []
    chunk, length = world.backend.chunk, actions.shape[1]
    actions = functional.pad(actions, (0, 0, 0, -length % chunk))  # to the end of the last block
    read = config.readout in world.readouts and _sees_each_frame(world, data.frames)
    for k in range(0, length, chunk):
        before = state
        state, _ = world.step(state, {"action": actions[:, k : k + chunk]})
        frames.append(world.decode(state).cpu())
        if read:
            moments = _moments(before, state)
            observed += [world.observe(moment)[config.readout].cpu() for moment in moments]
    return Imagined(
        torch.cat(frames, 1)[:, :length],
        torch.stack(observed, 1)[:, :length] if observed else None,
    )


def _sees_each_frame(world: WorldModel, frames: Tensor) -> bool:
    """Whether there is a state for each frame to read: one frame a step, or one latent a frame."""
    chunk, window = world.backend.chunk, world.backend.window
    if chunk == 1:
        return True
    return window >= chunk and world.tokenizer.encode(frames[:1, :chunk]).shape[1] == chunk


def _moments(before: WorldState, after: WorldState) -> Iterator[WorldState]:
    """The states at the frames of a step, for readouts: histories of latents and features that end at each of them."""
    chunk, window = after.features.shape[1], after.latents.shape[1]
    latents = torch.cat((before.latents, after.latents[:, -chunk:]), 1)
    features = torch.cat((before.features, after.features), 1)
    for k in range(1, chunk):
        yield replace(
            after,
            latents=latents[:, k : k + window],
            features=features[:, k : k + chunk],
            time=before.time + k,
        )
    yield after


def open_loop(world: WorldModel, config: OpenLoopConfig) -> Measurement:
    """PSNR and SSIM at each horizon for each K beside copying the last frame, and what false actions cost.

    The pictures are the windows in which the scene changes most: the hard ones, not the first ones.
    """
    size = world.spec.frames[1:] if world.spec else (64, 64)
    data = windows(config, size, world.backend.context)
    future = data.frames[:, data.context :]
    actions = data.actions[:, data.context :]
    copied = data.frames[:, data.context - 1 : data.context].expand_as(future)
    results = _pictures("copy last frame", copied, future, config)
    coded = world.tokenizer.decode(world.tokenizer.encode(future[:, -1:]), 1)
    results += [_mean("tokenizer limit PSNR", psnr(coded, future[:, -1:]).flatten(), "dB", config)]
    pictures: dict[str, NDArray[np.uint8]] = {}
    for number, mode in enumerate(modes(world, config.num_steps)):
        model, label = world.using(**mode.options), mode.name or "world"
        imagined = imagine(model, data, actions, config)
        results += _pictures(label, imagined.frames, future, config)
        name = f"{label}: true above imagined, where the scene changes most"
        pictures[name] = most_changed(imagined.frames, future, config.horizons)
        if imagined.observations is not None:
            results += _states(
                label, imagined.observations, data.observations[:, data.context :], config
            )
        if number == 0:
            results += _shuffled(model, label, data, imagined, config)
    return Measurement(results, pictures)


def most_changed(
    imagined: Tensor, future: Tensor, horizons: Sequence[int], count: int = 8
) -> NDArray[np.uint8]:
    """Contact sheet of the windows (n, H, 1, 3, h, w) whose last true frame differs most from the first."""
    change = (future[:, -1].float() - future[:, 0].float()).square().flatten(1).mean(1)
    rows = change.topk(min(count, len(change))).indices
    columns = [h - 1 for h in horizons]
    true, dreamt = (frames[rows][:, columns] for frames in (future, imagined))
    return contact_sheet(true, dreamt, [f"+{h}" for h in horizons])


def _pictures(label: str, imagined: Tensor, future: Tensor, config: OpenLoopConfig) -> list[Result]:
    results: list[Result] = []
    for h in config.horizons:
        pair = imagined[:, h - 1], future[:, h - 1]
        results.append(_mean(f"{label} PSNR @{h}", psnr(*pair).flatten(), "dB", config))
        results.append(_mean(f"{label} SSIM @{h}", ssim(*pair).flatten(), "", config))
    return results


def _states(label: str, imagined: Tensor, true: Tensor, config: OpenLoopConfig) -> list[Result]:
    results: list[Result] = []
    for quantity in observed(config.env):
        errors = quantity.error(imagined, true)
        for h in config.horizons:
            name = f"{label} {quantity.name} error @{h}"
            results.append(_mean(name, errors[:, h - 1], quantity.unit, config))
    return results


def observed(env: str) -> list[Quantity]:
    """What the simulator of an environment observes."""
    simulator = registry().load("simulator", env)
    return quantities(simulator.observation_names, simulator.observation_units)


def _shuffled(
    world: WorldModel, label: str, data: Windows, imagined: Imagined, config: OpenLoopConfig
) -> list[Result]:
    """The error under the actions of other windows, as a multiple of the error under the true ones."""
    order = others(len(data), config.seed)
    false = imagine(world, data, data.actions[order, data.context :], config)
    if imagined.observations is None or false.observations is None:
        return []
    true = data.observations[:, data.context :]
    first = observed(config.env)[0]  # what actions move directly
    wrong, right = (first.error(o, true) for o in (false.observations, imagined.observations))
    results: list[Result] = []
    for h in config.horizons:
        top, bottom = wrong[:, h - 1], right[:, h - 1]
        interval = bootstrap_ratio(top.numpy(), bottom.numpy(), config.seed)
        name = f"{label} {first.name} error, shuffled / true actions @{h}"
        ratio = float(top.mean() / bottom.mean())
        results.append(Result(name, ratio, "x", len(data), interval, config.seed))
    return results


def others(count: int, seed: int) -> NDArray[np.int64]:
    """For each of `count` windows another one: a random cycle through all, so that none keeps its own."""
    order = np.random.default_rng(seed).permutation(count)
    return np.roll(order, 1)[np.argsort(order)]


def _mean(name: str, values: Tensor, unit: str, config: OpenLoopConfig) -> Result:
    array = values.double().numpy()
    return Result(
        name, float(array.mean()), unit, array.size, bootstrap(array, config.seed), config.seed
    )
