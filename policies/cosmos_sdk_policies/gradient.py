"""Planning by gradients: Adam (Kingma and Ba 2015, arXiv:1412.6980) through the world, projected on the action box."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch

from cosmos_sdk.errors import PluginError
from cosmos_sdk.protocols import Objective, PlanResult
from cosmos_sdk.rng import Rng
from cosmos_sdk.state import Signals, WorldState
from cosmos_sdk.world import WorldModel
from cosmos_sdk_policies.aliases import accepts_aliases
from cosmos_sdk_policies.coordinates import Box
from cosmos_sdk_policies.search import NOTHING, Search, check_settings
from cosmos_sdk_policies.suiting import samplers


@final
@accepts_aliases
@dataclass(frozen=True)
class Gradient:
    """Planner: `num_samples` plans descend at once, the first from the first guess, the others from around it.

    A plan has `horizon` blocks of `action_block` frames, in which one action is held. Only for backends that declare
    themselves differentiable: a gradient that stops at a quantised latent looks healthy, and misses all behind it.
    """

    searches: ClassVar = Box
    needs_gradients: ClassVar[bool] = True

    horizon: int = 5
    action_block: int = 5
    num_samples: int = 8
    num_iterations: int = 50
    learning_rate: float = 0.1  # in half widths of the action box
    sigma: float = 0.5  # spread of the starts, in half widths
    betas: tuple[float, float] = (0.9, 0.999)
    signal: str = "action"
    batch_size: int = 512

    def __post_init__(self) -> None:
        check_settings(self)

    @torch.enable_grad()
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
        """See `cosmos_sdk.protocols.Planner`. Gradients of the world's parameters are left alone.

        Raises:
            PluginError: the backend is not differentiable.
        """
        if not world.backend.differentiable:
            reason = (
                "declares differentiable = False, and the gradient planner needs true gradients."
            )
            spaces = {name: part.space for name, part in world.conditioners.items()}
            remedy = f"Plan with {samplers(spaces.get(self.signal))}, which only sample."
            raise PluginError(type(world.backend).__name__, reason, remedy)
        state = state.map(torch.detach)
        search = Search(self, world, state, objective, rng, given, previous)
        noise = search.normal(self.num_samples)
        spread = torch.full_like(search.guess, self.sigma)
        plans = search.around(search.guess, spread, noise).requires_grad_()  # (B, N, H, D)
        adam = torch.optim.Adam([plans], self.learning_rate, self.betas)
        for _ in search.iterations(deadline):
            costs = search.costs(plans)  # (B, N)
            search.keep(plans.detach(), costs.detach())
            (slope,) = torch.autograd.grad(costs.sum(), plans)
            plans.grad = slope.nan_to_num(
                0.0, 0.0, 0.0
            )  # a candidate without a finite cost stays where it is
            adam.step()
            with torch.no_grad():
                plans.clamp_(-1, 1)
        return search.result()
