"""The set-up of every check: the world in double precision with noise on its weights, and states in odd places."""

from __future__ import annotations

import copy
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from cosmos_sdk.errors import CosmosError
from cosmos_sdk.state import Masked, Signals, WorldState
from cosmos_sdk.testing.conformance import check
from cosmos_sdk.world import WorldModel

Starts = Callable[
    [WorldModel, Tensor], WorldState
]  # seed (B,) -> B first states, each a function of its own seed
ROWS = 4


@dataclass(frozen=True, eq=False)
class Opening:
    """What an episode starts from."""

    frames: Tensor  # (B, context, V, 3, h, w) uint8
    start: dict[str, Tensor]
    history: dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Trial:
    """A world under test."""

    world: WorldModel
    starts: Starts
    frames: bool  # true when a world starts from frames; a simulator starts from its own states
    random: np.random.Generator

    @cached_property
    def states(self) -> dict[str, WorldState]:
        """A fresh state; one that runs three steps beyond the window; a branch of it; it with one slot reset."""
        running = self.advance(self.fresh(), self.world.backend.window + 3)
        return {
            "fresh": self.fresh(),
            "running": running,
            "branched": running.rows(slice(1)).branch(3),
            "with a reset slot": running.put(torch.tensor([1]), self.fresh(1)),
        }

    def seeds(self, rows: int) -> Tensor:
        """New seeds (rows,)."""
        return torch.as_tensor(self.random.integers(0, 2**62, rows))

    def fresh(self, rows: int = ROWS) -> WorldState:
        """States of worlds that have just been reset."""
        return self.starts(self.world, self.seeds(rows))

    def signals(self, rows: int, predicts: int = 1) -> dict[str, Tensor]:
        """Signals (rows, predicts * chunk, ...) sampled from the space of each conditioner."""
        lead = (rows, predicts * self.world.backend.chunk)
        spaces_of = {name: c.space for name, c in self.world.conditioners.items()}
        return sample_all(spaces_of, lead, self.random)

    def step(self, state: WorldState, signals: Signals) -> tuple[WorldState, dict[str, Tensor]]:
        """The next state, and everything that can be told after it, under flat names."""
        after, values = self.world.step(state, signals)
        said = {f"values/{name}": value for name, value in values.items()}
        seen = {f"readouts/{name}": value for name, value in self.world.observe(after).items()}
        return after, {**after.tensors(), **said, **seen}

    def advance(self, state: WorldState, predicts: int) -> WorldState:
        """The state after some steps under sampled signals."""
        for _ in range(predicts):
            state, _ = self.world.step(state, self.signals(len(state)))
        return state


@contextmanager
def under_global_seed(seed: int) -> Generator[None, None, None]:
    """Torch's global generator seeded, and put back afterwards."""
    before = torch.get_rng_state()
    try:
        torch.default_generator.manual_seed(seed)
        yield
    finally:
        torch.set_rng_state(before)


def make_trial(world: WorldModel, starts: Starts | None, seed: int) -> Trial:
    """Sets a copy of the world up in double precision, with noise on its weights.

    Raises:
        ConformanceError: check 15, when the world steps as it is but not in double precision.
        CosmosError: there is nothing to start from.
    """
    if starts is None and world.spec is None:
        raise CosmosError(
            "The checks need first states: give the world a `spec`, whose frames are then drawn at random, "
            "or pass starts=, a function (world, seed (B,)) -> WorldState. A simulator needs the second."
        )
    trial = Trial(world, starts or random_starts, starts is None, np.random.default_rng(seed))
    with torch.no_grad():
        trial.advance(
            trial.fresh(1), 1
        )  # what fails here fails for everybody: its own error says most
        trial = replace(trial, world=copy.deepcopy(world).double().eval())
        add_noise(trial.world, seed)
        double_precision_steps(trial)
    return trial


@check(
    15,
    "Usual cause: a part that is no registered Module (a plain wrapper, a list of layers, a tensor that is no "
    "buffer), or a fixed dtype such as .float(). Register it; cast noise and constants with .to(other_tensor).",
)
def double_precision_steps(trial: Trial) -> None:
    """15: `world.double()` reaches every part."""
    trial.advance(trial.fresh(1), 1)


def add_noise(module: nn.Module, seed: int) -> None:
    """Zero-initialised layers would hide the effect of an action, and block gradients, in an untrained module."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        if parameter.is_floating_point():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(0.02 * noise.to(parameter))


def random_starts(world: WorldModel, seed: Tensor) -> WorldState:
    """First states from random frames and signals, each row a function of its own seed."""
    opening = make_opening(world, seed)
    return world.reset(opening.frames, opening.start, seed, opening.history)


def make_opening(world: WorldModel, seed: Tensor) -> Opening:
    """Random frames and signals of the spec, each row a function of its own seed."""
    assert world.spec is not None
    views, height, width = world.spec.frames
    context = world.backend.context
    frames: list[np.ndarray] = []
    start: list[dict[str, Tensor]] = []
    history: list[dict[str, Tensor]] = []
    for row in seed:
        random = np.random.default_rng(int(row))
        frames.append(random.integers(0, 256, (context, views, 3, height, width), np.uint8))
        start.append(
            sample_all({n: c.start_space for n, c in world.conditioners.items()}, (1,), random)
        )
        history.append(
            sample_all({n: c.space for n, c in world.conditioners.items()}, (1, context), random)
        )
    return Opening(torch.as_tensor(np.stack(frames)), _stack(start), _stack(history))


def _stack(rows: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.cat([row[name] for row in rows]) for name in rows[0]}


def sample_all(
    spaces_of: Mapping[str, spaces.Space[Any] | None],
    lead: tuple[int, ...],
    random: np.random.Generator,
) -> dict[str, Tensor]:
    """One signal (*lead, *space.shape) for every name that has a space."""
    return {n: sample(space, lead, random) for n, space in spaces_of.items() if space is not None}


def sample(space: spaces.Space[Any], lead: tuple[int, ...], random: np.random.Generator) -> Tensor:
    """Draws (*lead, *space.shape) by the space's own `sample`, so that a space of poses can draw poses."""
    space = copy.deepcopy(space)
    space.seed(int(random.integers(2**31)))
    drawn = np.stack([np.asarray(space.sample()) for _ in range(int(np.prod(lead)))])
    return torch.as_tensor(drawn.reshape(*lead, *drawn.shape[1:]))


def masked_at_random(
    signals: Mapping[str, Tensor], lead: int, random: np.random.Generator
) -> dict[str, Masked]:
    """The signals with each entry of their first `lead` axes present in half of the cases."""
    return {
        name: Masked(values, torch.as_tensor(random.random(values.shape[:lead]) < 0.5))
        for name, values in signals.items()
    }
