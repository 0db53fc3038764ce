"""Best of N: a policy proposes, the world judges, as NVIDIA's cosmos-policy plans."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch

from cosmos_sdk.protocols import Objective, PlanResult
from cosmos_sdk.rng import Rng
from cosmos_sdk.state import Signals, WorldState
from cosmos_sdk.world import WorldModel
from cosmos_sdk_policies.aliases import accepts_aliases
from cosmos_sdk_policies.proposals import Prior, proposed
from cosmos_sdk_policies.search import NOTHING, Search, check_settings, in_inference_mode


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

    @in_inference_mode
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
            samples = proposed(search, self.prior, rng, self.num_samples)  # (B, N, H, D)
            if iteration == 0:
                warm = search.warm[:, None, None]
                samples[:, 0] = torch.where(warm, search.guess, samples[:, 0])
            search.cheapest(samples)
        return search.result()
