"""CEM from several places at once, for costs with more than one valley: left or right round an obstacle.

CEM with one Gaussian averages two good ways into a bad one. Here each way has a Gaussian of its own, and the samples
of those that fall behind go to the others (successive halving: Jamieson and Talwalkar 2016, arXiv:1502.07943). What a
policy prior proposes stands among the first samples, as in TD-MPC2 (Hansen et al. 2023, arXiv:2310.16828).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from cosmos_sdk.errors import ConfigError
from cosmos_sdk.protocols import Objective, PlanResult
from cosmos_sdk.rng import Rng
from cosmos_sdk.state import Signals, WorldState
from cosmos_sdk.world import WorldModel
from cosmos_sdk_policies.aliases import accepts_aliases
from cosmos_sdk_policies.coordinates import Box
from cosmos_sdk_policies.proposals import Prior, proposed
from cosmos_sdk_policies.search import NOTHING, Search, check_settings, in_inference_mode

TOGETHER = 2  # iterations after the first in which all Gaussians stay; then one goes in each


@final
@accepts_aliases
@dataclass(frozen=True)
class MixtureCEM:
    """Planner: the first samples surround the last plan, or come from a prior; the best that differ are refined.

    A plan has `horizon` blocks of `action_block` frames, in which one action is held.
    """

    searches: ClassVar = Box

    horizon: int = 5
    action_block: int = 5
    num_samples: int = 300
    num_elites: int = 30
    num_iterations: int = 10
    num_modes: int = 3
    apart: float = 0.2  # root mean square distance of plans that count as different ways
    sigma: float = 1.0  # first standard deviation, in half widths of the action box
    mode_sigma: float = 0.25  # that of each Gaussian when it begins
    min_sigma: float = 0.01
    prior: Prior | None = None
    prior_share: float = 0.5  # of the first samples, if there is a prior
    signal: str = "action"
    batch_size: int = 512

    def __post_init__(self) -> None:
        check_settings(self, num_elites=self.num_elites, num_modes=self.num_modes)
        if not 0 <= self.prior_share <= 1:
            raise ConfigError([f"MixtureCEM: prior_share is {self.prior_share}; expected 0 to 1"])
        if self.num_modes > self.num_samples:
            given = f"num_modes is {self.num_modes}"
            expected = f"expected at most num_samples = {self.num_samples}"
            raise ConfigError([f"MixtureCEM: {given}; {expected}"])

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
        mean = std = search.guess[:, None]  # (B, M, H, D)
        for iteration in search.iterations(deadline):
            if iteration == 0:
                many = max(self.num_elites, self.num_modes)
                elites, _ = search.cheapest(self._first(search, rng), many)
                mean = different(elites, self.num_modes, self.apart)
                std = torch.full_like(mean, self.mode_sigma)
            else:
                left = max(1, self.num_modes - max(0, iteration - TOGETHER))
                mean, std = self._refined(search, mean, std, left)
        return search.result()

    def _refined(
        self, search: Search, mean: Tensor, std: Tensor, left: int
    ) -> tuple[Tensor, Tensor]:
        """Means and standard deviations (B, left, H, D) of the Gaussians that found the cheapest samples."""
        modes = mean.shape[1]
        each = self.num_samples // modes
        noise = search.normal(modes * each).unflatten(1, (modes, each))  # (B, M, N / M, H, D)
        noise[:, :, 0] = 0  # the means themselves
        samples = torch.addcmul(mean[:, :, None], std[:, :, None], noise).clamp_(-1, 1)
        plans = samples.flatten(1, 2)
        flat = search.costs(plans)
        search.keep(plans, flat)
        costs = flat.unflatten(1, (modes, each))
        elites = _cheapest_of_each(samples, costs, max(2, self.num_elites // modes))
        std, mean = torch.std_mean(elites, 2, correction=0)
        std = std.clamp_min(self.min_sigma)
        if left == modes:
            return mean, std
        ahead = costs.amin(2).topk(left, dim=1, largest=False).indices
        return _rows(mean, ahead), _rows(std, ahead)

    def _first(self, search: Search, rng: Rng) -> Tensor:
        """The first samples (B, N, H, D): around the last plan or the middle of the box, and of the prior."""
        around, own = search.guess, self.num_samples
        std = torch.full_like(around, self.sigma)
        if self.prior is None:
            return search.around(around, std, search.normal(own))
        told = min(int(self.prior_share * own), own - 1)  # the last plan is always among them
        drawn = search.around(around, std, search.normal(own - told))
        return torch.cat((drawn, proposed(search, self.prior, rng, told)), 1) if told else drawn


def different(plans: Tensor, count: int, apart: float) -> Tensor:
    """The first `count` of plans (B, E, H, D), best first, that are `apart` from all chosen before; then the rest."""
    rows, many = plans.shape[:2]
    order = torch.arange(many, device=plans.device).expand(rows, -1)
    near = torch.zeros(rows, many, device=plans.device)
    taken = torch.zeros_like(near)
    chosen: list[Tensor] = []
    for _ in range(count):
        best = (order + many * near + 2 * many * taken).argmin(1, keepdim=True)  # (B, 1)
        plan = _rows(plans, best)
        chosen.append(plan)
        near = near.maximum(((plans - plan).square().mean((2, 3)).sqrt() < apart).float())
        taken = taken.scatter(1, best, 1.0)
    return torch.cat(chosen, 1)


def _cheapest_of_each(samples: Tensor, costs: Tensor, count: int) -> Tensor:
    """(B, M, count, H, D) of samples (B, M, n, H, D) by their costs (B, M, n)."""
    index = costs.topk(min(count, costs.shape[2]), dim=2, largest=False).indices
    return samples.gather(2, index[..., None, None].expand(-1, -1, -1, *samples.shape[3:]))


def _rows(values: Tensor, index: Tensor) -> Tensor:
    """Those of values (B, E, H, D) that index (B, n) names."""
    return values.gather(1, index[:, :, None, None].expand(-1, -1, *values.shape[2:]))
