"""Distance to a goal in latent space (DINO-WM, arXiv:2411.04983, equation 5)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, final

import torch
from torch import Tensor

from cosmos_sdk.errors import ShapeError
from cosmos_sdk.protocols import Rollout
from cosmos_sdk.state import Control
from cosmos_sdk.vocabulary import Vocabulary
from cosmos_sdk.world import WorldModel
from cosmos_sdk_policies.goal_state import nearest


@final
@dataclass(frozen=True, eq=False)
class GoalLatent:
    """Cost (B,): mean squared distance between latents and the goal's, at the best frame and a little on average."""

    needs_latents: ClassVar[bool] = True  # the planner asks the rollout to keep them

    goal: Tensor  # (B, *latent), or (1, *latent) for one goal of all worlds
    mean_weight: float = 0.05
    step_cost: float = 0.0  # of each state later, as in GoalState
    every: int = 1  # only each `every`-th state counts, the last of a block
    codes: Callable[[Tensor], Tensor] | None = None  # of tokens, whose own size says nothing

    @classmethod
    def encode(
        cls, world: WorldModel, images: Tensor, mean_weight: float = 0.05, step_cost: float = 0.0
    ) -> GoalLatent:
        """Goals given as pictures, those of B worlds (B, V, 3, h, w) uint8."""
        with torch.no_grad():
            latents = world.tokenizer.encode(images[:, None].to(world.device))
        codes = world.tokenizer.codes if isinstance(world.tokenizer, Vocabulary) else None
        return cls(latents[:, -1], mean_weight, step_cost, codes=codes)

    def rows(self, index: slice | Tensor) -> GoalLatent:
        """The same for some of the worlds."""
        return replace(self, goal=self.goal[index]) if self.goal.shape[0] > 1 else self

    def cost(self, rollout: Rollout, control: Control) -> Tensor:
        """Raises ShapeError if the rollout kept no latents or the goal has another shape."""
        if rollout.latents is None:
            raise ShapeError(
                "rollout.latents", None, "latents", "Call world.rollout(..., keep_latents=True)."
            )
        latents = rollout.latents[:, :, -1]  # (B, K / chunk, *latent)
        if self.goal.shape[1:] != latents.shape[2:] or self.goal.shape[0] not in (
            1,
            latents.shape[0],
        ):
            raise ShapeError(
                "goal", tuple(self.goal.shape), f"(1 | B, {', '.join(map(str, latents.shape[2:]))})"
            )
        goal = self.goal[:, None].to(latents)
        if self.codes is not None:
            latents, goal = self.codes(latents), self.codes(goal)
        distance = (latents - goal).flatten(2).square().mean(2)
        return nearest(distance[:, self.every - 1 :: self.every], self.mean_weight, self.step_cost)
