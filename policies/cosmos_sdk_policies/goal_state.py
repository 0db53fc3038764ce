"""Distance of a readout, such as the state of the scene, to a goal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from cosmos_sdk.errors import ShapeError, UnknownNameError
from cosmos_sdk.protocols import Rollout
from cosmos_sdk.state import Control
from cosmos_sdk_policies.reward_objective import running


@final
@dataclass(frozen=True, eq=False)
class GoalState:
    """Cost (B,): squared distance to the goal at the best state, and a little of the mean over all states.

    The best state makes reaching the goal count whenever it happens. What makes an earlier one better is `step_cost`:
    the price of time is the same wherever the detour leads, while the mean forbids a detour that leads far away.
    """

    goal: Tensor  # (P,) or (B, P), in the units of the readout
    scale: Sequence[float] | float = (
        1.0  # per component, the difference that costs 1; infinity leaves it out
    )
    angles: Sequence[int] = ()  # components in radians, compared the short way round
    # Components of what moves at will, such as an arm among things that it pushes: together they cost
    # log(1 + squared distance). Squared, a far hand outweighs everything it could do on the way.
    free: Sequence[int] = ()
    mean_weight: float = 0.05
    step_cost: float = 0.0  # of each state later
    every: int = 1  # only each `every`-th state counts, the last of a block
    readout: str = "state"
    terminated: str | None = None  # a head: after the ending that it predicts, no state counts

    def rows(self, index: slice | Tensor) -> GoalState:
        """The same for some of the worlds."""
        return replace(self, goal=self.goal[index]) if self.goal.ndim == 2 else self

    def cost(self, rollout: Rollout, control: Control) -> Tensor:
        """Raises UnknownNameError without the readout, ShapeError if the goal has another length."""
        if self.readout not in rollout.values:
            raise UnknownNameError("readout", self.readout, rollout.values)
        states = rollout.values[self.readout].flatten(2)  # (B, K / chunk, P)
        goal = self.goal.to(states).view(-1, 1, self.goal.shape[-1])  # (B | 1, 1, P)
        if goal.shape[2] != states.shape[2] or goal.shape[0] not in (1, states.shape[0]):
            raise ShapeError(
                "goal", tuple(self.goal.shape), f"(P,) or (B, P) with P = {states.shape[2]}"
            )
        error = states - goal
        if self.angles:
            angles = torch.zeros(error.shape[2], dtype=torch.bool, device=error.device)
            angles[list(self.angles)] = True
            error = torch.where(
                angles, torch.remainder(error + math.pi, 2 * math.pi) - math.pi, error
            )
        squares = (error / torch.as_tensor(self.scale).to(error)).square()
        distance = squares.sum(2)  # (B, K / chunk)
        if self.free:
            far = squares[..., list(self.free)].sum(2)
            distance = distance - far + far.log1p()
        if self.terminated is not None:
            distance = self._until_end(distance, rollout, self.terminated)
        return nearest(distance[:, self.every - 1 :: self.every], self.mean_weight, self.step_cost)

    def _until_end(self, distance: Tensor, rollout: Rollout, terminated: str) -> Tensor:
        """After a predicted ending the last state stands."""
        chunk = (
            rollout.values[terminated].shape[1] // distance.shape[1]
            if terminated in rollout.values
            else 1
        )
        ends = distance.new_zeros(distance.shape[0], distance.shape[1] * chunk)
        runs = running(rollout, terminated, ends)[:, ::chunk] > 0.5  # (B, K / chunk)
        last = (runs.sum(1) - 1).clamp_min(0)[:, None]  # (B, 1)
        place = torch.arange(distance.shape[1], device=distance.device)[None].minimum(last)
        return distance.gather(1, place)


def nearest(distance: Tensor, mean_weight: float, step_cost: float = 0.0) -> Tensor:
    """(B,): min_k D_k + k `step_cost` of the distances D (B, n), plus `mean_weight` times their mean."""
    if not distance.shape[1]:
        raise ShapeError(
            "the plan", "too short: no state counts", "a horizon of at least `every` states"
        )
    late = step_cost * torch.arange(distance.shape[1], device=distance.device)
    return (distance + late).amin(1) + mean_weight * distance.mean(1)
