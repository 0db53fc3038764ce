"""Sample-efficient CEM (iCEM; Pinneri et al. 2020, arXiv:2008.06389, algorithm 1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from cosmos_sdk.protocols import Objective, PlanResult
from cosmos_sdk.rng import Rng
from cosmos_sdk.state import Signals, WorldState
from cosmos_sdk.world import WorldModel
from cosmos_sdk_policies.aliases import accepts_aliases
from cosmos_sdk_policies.coordinates import Box
from cosmos_sdk_policies.search import NOTHING, Search, check_settings, in_inference_mode, refit


def coloured(white: Tensor, beta: float) -> Tensor:
    """White noise (..., H, D) with its power along H shaped as 1 / frequency**beta, of unit variance again.

    beta = 0 leaves it white; 2 gives the slow, large movements that reach far (section 3.1). The mean counts as the
    lowest frequency.
    """
    length = white.shape[-2]
    frequency = torch.fft.rfftfreq(length, device=white.device).clamp_min(1 / length)
    shape = (frequency ** (-beta / 2)).to(white)
    response = torch.fft.irfft(shape, n=length)
    spectrum = torch.fft.rfft(white, dim=-2) * shape[:, None]
    return torch.fft.irfft(spectrum, n=length, dim=-2) / response.norm()


@final
@accepts_aliases
@dataclass(frozen=True)
class ICEM:
    """Planner: CEM with coloured noise, elites that stay candidates, and a population that shrinks.

    A plan has `horizon` blocks of `action_block` frames, in which one action is held.
    """

    searches: ClassVar = Box

    horizon: int = 5
    action_block: int = 5
    num_samples: int = 300
    num_elites: int = 30
    num_kept_elites: int = 5  # candidates again in the next iteration
    num_iterations: int = 10
    population_decay: float = (
        1.25  # each iteration has so many times fewer samples, but at least two per elite
    )
    noise_beta: float = 2.0
    sigma: float = 1.0  # first standard deviation, in half widths of the action box
    min_sigma: float = 0.01
    alpha: float = 0.1  # share of the old Gaussian that is kept in each iteration
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
        """See `cosmos_sdk.protocols.Planner`."""
        search = Search(self, world, state, objective, rng, given, previous)
        mean = search.guess  # (B, H, D)
        std = torch.full_like(mean, self.sigma)
        kept = mean[:, None][:, :0]  # (B, 0, H, D)
        fewest = min(2 * self.num_elites, self.num_samples)
        for iteration in search.iterations(deadline):
            num_samples = max(int(self.num_samples * self.population_decay**-iteration), fewest)
            noise = coloured(search.normal(num_samples), self.noise_beta)  # (B, N, H, D)
            samples = search.around(mean, std, noise)
            candidates = torch.cat((samples, kept), 1)
            elites, _ = search.cheapest(candidates, self.num_elites)  # (B, E, H, D)
            kept = elites[:, : self.num_kept_elites]
            mean, std = refit(elites, mean, std, self.alpha)
            std = std.clamp_min(self.min_sigma)
        return search.result()
