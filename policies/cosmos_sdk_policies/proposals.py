"""Where plans come from that are not drawn at random: policies that propose, and a planner chooses or refines."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol, final

import torch
from torch import Tensor

from cosmos_sdk.errors import ShapeError, UnknownNameError
from cosmos_sdk.protocols import Readout
from cosmos_sdk.rng import PLANNER, Rng
from cosmos_sdk.state import WorldState
from cosmos_sdk.world import WorldModel
from cosmos_sdk_policies.search import Search


class Prior(Protocol):
    """Proposes plans: a policy that gives several actions at once, or `ImaginedPolicy` around one that does not.

    Actions (N, K, *space.shape) for one world, `state` of one row and `rng` of one row; proposals may repeat. One that
    differs between worlds also has `rows(index)`, as objectives do.
    """

    def propose(
        self, world: WorldModel, state: WorldState, rng: Rng, num_samples: int, num_frames: int
    ) -> Tensor: ...


def proposed(search: Search, prior: Prior, rng: Rng, num_samples: int) -> Tensor:
    """Plans (B, num_samples, H, D) of a prior; of a block its first action is held.

    Raises:
        ShapeError: the prior proposes something else than (num_samples, frames, *space.shape).
    """
    plans: list[Tensor] = []
    rows = zip(search.states, rng.integers().split(1), strict=True)
    for row, (state, seed) in enumerate(rows):
        own = prior.rows(slice(row, row + 1)) if hasattr(prior, "rows") else prior  # pyright: ignore
        noise = Rng(seed, torch.zeros_like(seed), PLANNER)
        actions = own.propose(search.world, state, noise, num_samples, search.num_frames)
        expected = (num_samples, search.num_frames, *search.coordinates.shape)
        if actions.shape != expected:
            raise ShapeError("the prior's actions", tuple(actions.shape), expected)
        settings = search.settings
        firsts = actions[:, :: settings.action_block][:, : settings.horizon]
        plans.append(search.coordinates.unit(firsts.reshape(num_samples, *search.size)))
    return torch.stack(plans)


class ActsOnStates(Protocol):
    """A stochastic policy on the states of N worlds; row n draws from row n of `rng`."""

    def __call__(self, state: WorldState, rng: Rng) -> Tensor: ...


@final
@dataclass(frozen=True)
class ImaginedPolicy:
    """Prior: a policy of single actions, asked again after every imagined predict, which costs a rollout more.

    `act(state, rng)` sees the states of N worlds, `world.observe(state)` included, and gives (N, *space.shape) or, as
    many as the world's chunk, (N, chunk, *space.shape).
    """

    act: ActsOnStates
    signal: str = "action"

    def propose(
        self, world: WorldModel, state: WorldState, rng: Rng, num_samples: int, num_frames: int
    ) -> Tensor:
        """(N, num_frames, *space.shape)."""
        noise, chunk = spread(rng, num_samples), world.backend.chunk
        state = state.branch(num_samples)
        shape = getattr(world.conditioners[self.signal].space, "shape", None) or ()
        taken: list[Tensor] = []
        for _ in range(num_frames // chunk):
            action = self.act(state, noise)
            if action.ndim == 1 + len(shape):
                action = action[:, None].expand(-1, chunk, *action.shape[1:])
            state, _ = world.step(state, {self.signal: action})
            taken.append(action)
        return torch.cat(taken, 1)


class Proposes(Readout, Protocol):
    """What readout `proposal` has beside `read`."""

    config: object

    def goal(self, state: WorldState) -> Tensor: ...
    def propose(self, state: WorldState, goal: Tensor, frames_left: Tensor, rng: Rng) -> Tensor: ...


@final
@dataclass(frozen=True, eq=False)
class GoalPrior:
    """Prior: what recordings did on the way to where they came later, asked anew for every block of a plan.

    How long it may take is drawn for each proposal, up to `longest` frames: quick ways and detours.
    """

    goal: Tensor  # (B | 1, W), of the readout
    longest: int = 40  # frames
    hold: int = 5  # frames for which an action is held, as the readout learned
    readout: str = "proposal"
    signal: str = "action"

    @classmethod
    def towards(cls, world: WorldModel, frames: Tensor, readout: str = "proposal") -> GoalPrior:
        """A prior towards pictures (B, V, 3, h, w) uint8.

        Raises:
            UnknownNameError: the world has no such readout.
        """
        if readout not in world.readouts:
            raise UnknownNameError("readout", readout, world.readouts)
        seeds = torch.zeros(len(frames), dtype=torch.int64)
        with torch.no_grad():
            seen = world.reset(frames[:, None].to(world.device), {}, seeds)
            proposal = _readout(world, readout)
            return cls(proposal.goal(seen), hold=proposal.config.hold, readout=readout)  # pyright: ignore

    def rows(self, index: slice | Tensor) -> GoalPrior:
        """The same for some of the worlds."""
        return replace(self, goal=self.goal[index]) if len(self.goal) > 1 else self

    def propose(
        self, world: WorldModel, state: WorldState, rng: Rng, num_samples: int, num_frames: int
    ) -> Tensor:
        """(N, num_frames, *space.shape)."""
        noise, proposal = spread(rng, num_samples), _readout(world, self.readout)
        state, chunk = state.branch(num_samples), world.backend.chunk
        hold = math.ceil(self.hold / chunk) * chunk
        left = hold * (1 + (noise.uniform(1)[:, 0] * max(1, self.longest // hold)).long())
        taken: list[Tensor] = []
        for begin in range(0, num_frames, hold):
            action = proposal.propose(state, self.goal, left, noise)
            held = action[:, None].expand(-1, min(hold, num_frames - begin), *action.shape[1:])
            taken.append(held)
            left = (left - hold).clamp_min(hold)
            if begin + hold < num_frames:
                state = world.rollout(state, {self.signal: held}).state
        return torch.cat(taken, 1)


def spread(rng: Rng, num_samples: int) -> Rng:
    """Noise of N candidates from that of one world."""
    return Rng(rng.integers().expand(num_samples), torch.arange(num_samples), rng.stream)


def _readout(world: WorldModel, name: str) -> Proposes:
    return world.readouts[name]  # pyright: ignore[reportReturnType]
