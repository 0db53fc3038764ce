"""Model-predictive path integral control (Williams et al. 2017, arXiv:1707.02342), as in TD-MPC2 (arXiv:2310.16828)."""

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
class MPPI:
    """Planner: the mean moves to all elites, each weighted by exp(-cost / temperature).

    A plan has `horizon` blocks of `action_block` frames, in which one action is held. `temperature` has the unit of the
    cost: near 0 the cheapest sample wins, at infinity all elites count alike, which is CEM.
    """

    searches: ClassVar = Box

    horizon: int = 5
    action_block: int = 5
    num_samples: int = 300
    num_elites: int = 30
    num_iterations: int = 10
    temperature: float = 0.5
    sigma: float = 1.0  # first and largest standard deviation, in half widths of the action box
    min_sigma: float = 0.05
    signal: str = "action"
    batch_size: int = 512

    def __post_init__(self) -> None:
        check_settings(self, num_elites=self.num_elites)

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
        """See `cosmos_sdk.protocols.Planner`; the mean itself is always a candidate."""
        search = Search(self, world, state, objective, rng, given, previous)
        mean = search.guess  # (B, H, D)
        std = torch.full_like(mean, self.sigma)
        for _ in search.iterations(deadline):
            samples = search.around(mean, std, search.normal(self.num_samples))  # (B, N, H, D)
            elites, elite_costs = search.cheapest(samples, self.num_elites)  # (B, E, H, D)
            weights = torch.softmax((elite_costs[:, :1] - elite_costs) / self.temperature, 1)
            weights = weights[:, :, None, None].to(elites)  # (B, E, 1, 1)
            mean = (weights * elites).sum(1)
            variance = (weights * (elites - mean[:, None]) ** 2).sum(1)
            std = variance.sqrt().clamp(self.min_sigma, max(self.sigma, self.min_sigma))
        return search.result()
