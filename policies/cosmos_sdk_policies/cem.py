"""The cross-entropy method (Rubinstein and Kroese, 2004), as planners use it.

Chua et al. 2018 (PETS, arXiv:1805.12114, section 5) plan with it through learned dynamics.
"""

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
from cosmos_sdk_policies.search import NOTHING, Search, check_settings, in_inference_mode, refit


@final
@accepts_aliases
@dataclass(frozen=True)
class CEM:
    """Planner: a Gaussian over plans moves to its cheapest samples.

    A plan has `horizon` blocks of `action_block` frames, in which one action is held. The defaults are those of DINO-WM
    (arXiv:2411.04983), but for its 30 iterations, which are 10 here for speed.
    """

    searches: ClassVar = Box

    horizon: int = 5
    action_block: int = 5
    num_samples: int = 300
    num_elites: int = 30
    num_iterations: int = 10
    sigma: float = 1.0  # first standard deviation, in half widths of the action box
    min_sigma: float = 0.01  # so that one elite does not end the search
    alpha: float = 0.0  # share of the old Gaussian that is kept in each iteration
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
        """See `cosmos_sdk.protocols.Planner`; the mean itself is always a candidate, so a warm start is never lost."""
        search = Search(self, world, state, objective, rng, given, previous)
        mean = search.guess  # (B, H, D)
        std = torch.full_like(mean, self.sigma)
        for _ in search.iterations(deadline):
            samples = search.around(mean, std, search.normal(self.num_samples))  # (B, N, H, D)
            elites, _ = search.cheapest(samples, self.num_elites)  # (B, E, H, D)
            mean, std = refit(elites, mean, std, self.alpha)
            std = std.clamp_min(self.min_sigma)
        return search.result()
