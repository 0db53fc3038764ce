"""Predictive sampling (Howell et al. 2022, arXiv:2212.00541): the best of noisy copies of the plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch

from cosmos_sdk.protocols import Objective, PlanResult
from cosmos_sdk.rng import Rng
from cosmos_sdk.state import Signals, WorldState
from cosmos_sdk.world import WorldModel
from cosmos_sdk_policies.aliases import accepts_aliases
from cosmos_sdk_policies.coordinates import Box
from cosmos_sdk_policies.search import NOTHING, Search, check_settings, in_inference_mode


@final
@accepts_aliases
@dataclass(frozen=True)
class PredictiveSampling:
    """Planner: copies of the nominal plan with noise of constant size; the cheapest is the next nominal plan.

    A plan has `horizon` blocks of `action_block` frames, in which one action is held: a spline of order zero whose
    knots are the blocks. Made for warm starts at a high rate: one iteration a decision.
    """

    searches: ClassVar = Box

    horizon: int = 5
    action_block: int = 5
    num_samples: int = 300
    num_iterations: int = 1
    sigma: float = 0.3  # standard deviation, in half widths of the action box
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
        """See `cosmos_sdk.protocols.Planner`; the nominal plan itself is always a candidate."""
        search = Search(self, world, state, objective, rng, given, previous)
        nominal = search.guess  # (B, H, D)
        spread = torch.full_like(nominal, self.sigma)
        for _ in search.iterations(deadline):
            noise = search.normal(self.num_samples)
            samples = search.around(nominal, spread, noise)  # (B, N, H, D)
            nominal = search.cheapest(samples)[0][:, 0]
        return search.result()
