"""The cross-entropy method over choices (Rubinstein and Kroese, 2004, chapter 4: independent odds)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch
import torch.nn.functional as F

from cosmos_sdk.protocols import Objective, PlanResult
from cosmos_sdk.rng import Rng
from cosmos_sdk.state import Signals, WorldState
from cosmos_sdk.world import WorldModel
from cosmos_sdk_policies.aliases import accepts_aliases
from cosmos_sdk_policies.coordinates import Choices
from cosmos_sdk_policies.search import NOTHING, Search, check_settings, in_inference_mode


@final
@accepts_aliases
@dataclass(frozen=True)
class CategoricalCEM:
    """Planner for Discrete and MultiDiscrete signals: the odds of each choice move to its share among the elites.

    A plan has `horizon` blocks of `action_block` frames, in which one action is held. Components and blocks are
    independent of one another.
    """

    searches: ClassVar = Choices

    horizon: int = 5
    action_block: int = 5
    num_samples: int = 300
    num_elites: int = 30
    num_iterations: int = 10
    alpha: float = 0.1  # share of the old odds that is kept in each iteration
    trust: float = (
        0.5  # of the first odds, what the last plan gets at a warm start; the rest is uniform
    )
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
        """See `cosmos_sdk.protocols.Planner`; the likeliest plan is always a candidate: a warm start is kept."""
        search = Search(self, world, state, objective, rng, given, previous, over=Choices)
        allowed = search.choices.allowed  # (D, n) bool
        num_choices = allowed.shape[1]
        likeliest = search.guess  # (B, H, D)
        uniform = (allowed / allowed.sum(1, keepdim=True)).expand(*likeliest.shape, -1)
        trust = self.trust * search.warm[:, None, None, None].to(uniform)
        known = F.one_hot(likeliest, num_choices).to(uniform)
        odds = torch.lerp(uniform, known, trust)  # (B, H, D, n)
        for _ in search.iterations(deadline):
            draws = search.uniform(self.num_samples)[..., None]  # (B, N, H, D, 1) in (0, 1)
            samples = (draws > odds.cumsum(-1)[:, None]).sum(-1)  # the inverse of the distribution
            samples = samples.minimum(search.choices.count - 1)
            samples[:, 0] = likeliest
            elites, _ = search.cheapest(samples, self.num_elites)  # (B, E, H, D)
            shares = F.one_hot(elites, num_choices).to(odds).mean(1)
            odds = torch.lerp(shares, odds, self.alpha)
            likeliest = odds.argmax(-1)
        return search.result()
