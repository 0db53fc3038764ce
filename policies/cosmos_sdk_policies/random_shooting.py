"""Random shooting: uniform plans, the cheapest wins. The baseline that every planner must beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch

from cosmos_sdk.protocols import Objective, PlanResult
from cosmos_sdk.rng import Rng
from cosmos_sdk.state import Signals, WorldState
from cosmos_sdk.world import WorldModel
from cosmos_sdk_policies.aliases import accepts_aliases
from cosmos_sdk_policies.search import NOTHING, Search, check_settings, in_inference_mode


@final
@accepts_aliases
@dataclass(frozen=True)
class RandomShooting:
    """Planner: the best of `num_iterations` x `num_samples` plans, uniform in the action box or over the choices.

    A plan has `horizon` blocks of `action_block` frames, in which one action is held.
    """

    horizon: int = 5
    action_block: int = 5
    num_samples: int = 300
    num_iterations: int = 1
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
        """See `cosmos_sdk.protocols.Planner`; the first candidate is the rest of the previous plan."""
        search = Search(self, world, state, objective, rng, given, previous, over=None)
        guess = search.guess[:, None]  # (B, 1, H, D)
        for _ in search.iterations(deadline):
            uniform = search.coordinates.spread(search.uniform(self.num_samples))  # (B, N, H, D)
            samples = torch.cat((guess, uniform[:, 1:]), 1)
            search.cheapest(samples)
        return search.result()
