"""What Medusa heads save: tokens per pass of the transformer and frames/s, beside what Cosmos reports of its own.

At batch 1, from the starting clips of the world, since how many drafts hold depends on what is seen. Actions are held
for some frames each, as planners hold them.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cosmos_sdk.control import frames_of
from cosmos_sdk.results import Result
from cosmos_sdk.state import WorldState
from cosmos_sdk.statistics import bootstrap
from cosmos_sdk.world import WorldModel
from cosmos_sdk_evaluation.modes import accepts
from cosmos_sdk_evaluation.speed import actions

HEADS = (0, 3, 6, 9)
CLIPS, CHECKED = 16, 4  # starting clips; those in which greedy tokens are compared
HELD = 5  # frames of one action

# arXiv:2501.03575: the 4B model at 640 x 1024, forward passes and tokens per second with 0 and with 9 heads
PAPER = (
    Result("decoding, Cosmos 4B, 0 heads: passes for 7,680 tokens", 7680),
    Result("decoding, Cosmos 4B, 9 heads: passes for 7,680 tokens", 1812),
    Result("decoding, Cosmos 4B, 9 heads: tokens per pass", 7680 / 1812),
    Result("decoding, Cosmos 4B, 9 heads: throughput against 0 heads", 894.67 / 444.95, "x"),
)


class Options(Protocol):
    """The part of the command's arguments that is used here."""

    world: str
    device: str
    steps: int


@dataclass(frozen=True, eq=False)
class Rolled:
    """An imagined future of F frames."""

    tokens: Tensor  # (B, F, N)
    passes: Tensor  # (B, F)
    seconds: float


def decoding(world: WorldModel, options: Options) -> list[Result]:
    """Every number of heads, greedy and as the world samples; nothing of a world without heads."""
    heads = choices(world)
    if not heads:
        return []
    states, frames = starts(options.world, CLIPS, options.device), max(2, options.steps // 2)
    results = [
        *compare(world.using(temperature=0.0), "greedy", states, frames, heads),
        *compare(world, "sampled", states, frames, heads),
        *agreement(world, states.rows(slice(0, CHECKED)), frames, heads),
    ]
    return [*results, *PAPER]


def choices(world: WorldModel) -> list[int]:
    """0, 3, 6 and 9 heads as far as the world has them, and all that it has; empty where it has none."""
    most = 0
    while accepts(world, medusa=most + 1):
        most += 1
    return sorted({count for count in HEADS if count <= most} | {most}) if most else []


def starts(source: str, rows: int, device: str = "cpu") -> WorldState:
    """States from clips that stand beside the weights of a world, as its environment begins episodes.

    Raises:
        ConfigError: the world has no such clips.
    """
    env = gymnasium.make_vec(
        "cosmos_sdk_envs:CosmosSDK/World-v0", num_envs=rows, world=source, device=device
    )
    env.reset(seed=0)
    state: WorldState = env.unwrapped.state  # pyright: ignore[reportAttributeAccessIssue]
    env.close()
    return state


def compare(
    world: WorldModel, how: str, states: WorldState, frames: int, heads: Sequence[int]
) -> list[Result]:
    """Passes and frames/s of each number of heads: one clip after the other, the numbers of heads in turn."""
    signals = held_actions(world, len(states), frames)
    rolled: dict[int, list[Rolled]] = {count: [] for count in heads}
    for row in range(-1, len(states)):  # the first time is for warming up
        index = slice(max(row, 0), max(row, 0) + 1)
        for count in heads:
            given = {name: signal[index] for name, signal in signals.items()}
            made = roll(world.using(medusa=count), states.rows(index), given)
            if row >= 0:
                rolled[count].append(made)
    rates = {n: np.array([frames / r.seconds for r in made]) for n, made in rolled.items()}
    results: list[Result] = []
    for count, made in rolled.items():
        name, num_tokens = f"decoding, {how}, {count} heads", made[0].tokens.shape[-1]
        passes = np.array([float(r.passes.float().mean()) for r in made])
        mean, (low, high), n = float(passes.mean()), bootstrap(passes), len(passes)
        per_pass = (num_tokens / high, num_tokens / low)
        results += [
            Result(f"{name}: tokens per pass", num_tokens / mean, "", n, per_pass),
            Result(f"{name}: passes per frame", mean, "", n, (low, high)),
            _median(f"{name}: latents, batch 1", rates[count], "frames/s"),
        ]
        if count:
            gain = rates[count] / rates[heads[0]]
            results.append(_median(f"{name}: throughput against {heads[0]} heads", gain, "x"))
    return results


def agreement(
    world: WorldModel, states: WorldState, frames: int, heads: Sequence[int]
) -> list[Result]:
    """The share of greedy tokens that are the same with heads as without, in float64, where no tie is near."""
    exact = copy.deepcopy(world).double().using(temperature=0.0)
    states = states.map(lambda t: t.double() if t.is_floating_point() else t)
    signals = held_actions(exact, len(states), frames)
    plain = roll(exact.using(medusa=0), states, signals).tokens
    results: list[Result] = []
    for count in heads:
        if count:
            tokens = roll(exact.using(medusa=count), states, signals).tokens
            share = 100 * float((tokens == plain).double().mean())
            name = f"decoding, {count} heads: greedy tokens that are those without heads"
            results.append(Result(name, share, "%", plain.numel()))
    return results


@torch.inference_mode()
def roll(world: WorldModel, state: WorldState, signals: dict[str, Tensor]) -> Rolled:
    """Imagines; only this is timed."""
    chunk = world.backend.chunk
    tokens: list[Tensor] = []
    passes: list[Tensor] = []
    start = perf_counter()
    for k in range(next(iter(signals.values())).shape[1] // chunk):
        state, _ = world.step(state, frames_of(signals, slice(k * chunk, (k + 1) * chunk)))
        tokens.append(state.latents[:, -1])
        passes.append(state.memory["backend"]["passes"])
    seconds = perf_counter() - start
    return Rolled(torch.stack(tokens, 1), torch.stack(passes, 1), seconds)


def held_actions(world: WorldModel, rows: int, frames: int) -> dict[str, Tensor]:
    """Uniform actions (rows, frames * chunk, A), each held for some frames."""
    count = frames * world.backend.chunk
    drawn = actions(world, rows, -(-count // HELD))
    return {name: x.repeat_interleave(HELD, 1)[:, :count] for name, x in drawn.items()}


def _median(name: str, values: NDArray[np.float64], unit: str) -> Result:
    interval = bootstrap(values, statistic=np.median)
    return Result(name, float(np.median(values)), unit, len(values), interval)
