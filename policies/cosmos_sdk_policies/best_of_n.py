"""Best of N: a policy proposes, the world judges, as NVIDIA's cosmos-policy plans."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, final

import torch
from torch import Tensor

from cosmos_sdk.errors import ShapeError
from cosmos_sdk.protocols import Objective, PlanResult
from cosmos_sdk.rng import PLANNER, Rng
from cosmos_sdk.state import Signals, WorldState
from cosmos_sdk.world import WorldModel
from cosmos_sdk_policies.aliases import accepts_aliases
from cosmos_sdk_policies.search import NOTHING, Search, check_settings


class Prior(Protocol):
    """Proposes plans: a policy that gives several actions at once, or `ImaginedPolicy` around one that does not.

    Actions (N, K, *space.shape) for one world, `state` of one row and `rng` of one row; proposals may repeat.
    """

    def propose(
        self, world: WorldModel, state: WorldState, rng: Rng, num_samples: int, num_frames: int
    ) -> Tensor: ...


@final
@accepts_aliases
@dataclass(frozen=True)
class BestOfN:
    """Planner: `num_samples` plans of a policy, the cheapest wins. With the last plan among them at a warm start.

    A plan has `horizon` blocks of `action_block` frames; of a block the prior's first action is held.
    """

    prior: Prior
    horizon: int = 25
    action_block: int = 1
    num_samples: int = 32
    num_iterations: int = 1  # so many times `num_samples` proposals, while the deadline allows
    signal: str = "action"
    batch_size: int = 512

    def __post_init__(self) -> None:
        check_settings(self)

    @torch.no_grad()
    def plan(
        self,
        world: WorldModel,
        state: WorldState,
        objective: Objective,
        rng: Rng,
        given: Signals = NOTHING,
        previous: PlanResult | None = None,
        deadline: float | None = None,
    ) -> PlanResult:
        """See `cosmos_sdk.protocols.Planner`.

        Raises:
            ShapeError: the prior proposes something else than (num_samples, frames, *space.shape).
        """
        search = Search(self, world, state, objective, rng, given, previous, over=None)
        for iteration in search.iterations(deadline):
            proposed: list[Tensor] = []
            seeds = rng.integers().split(1)
            for present, seed in zip(search.states, seeds, strict=True):
                noise = Rng(seed, torch.zeros_like(seed), PLANNER)
                args = (world, present, noise, self.num_samples, search.num_frames)
                actions = self.prior.propose(*args)  # (N, K, *)
                expected = (self.num_samples, search.num_frames, *search.coordinates.shape)
                if actions.shape != expected:
                    raise ShapeError("the prior's actions", tuple(actions.shape), expected)
                firsts = actions[:, :: self.action_block][:, : self.horizon]
                firsts = firsts.reshape(self.num_samples, *search.size)  # (N, H, D)
                proposed.append(search.coordinates.unit(firsts))
            samples = torch.stack(proposed)  # (B, N, H, D)
            if iteration == 0:
                warm = search.warm[:, None, None]
                samples[:, 0] = torch.where(warm, search.guess, samples[:, 0])
            search.cheapest(samples)
        return search.result()


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
        seeds = Rng(rng.integers().expand(num_samples), torch.arange(num_samples), rng.stream)
        state, chunk = state.branch(num_samples), world.backend.chunk
        shape = getattr(world.conditioners[self.signal].space, "shape", None) or ()
        taken: list[Tensor] = []
        for _ in range(num_frames // chunk):
            action = self.act(state, seeds)
            if action.ndim == 1 + len(shape):
                action = action[:, None].expand(-1, chunk, *action.shape[1:])
            state, _ = world.step(state, {self.signal: action})
            taken.append(action)
        return torch.cat(taken, 1)
