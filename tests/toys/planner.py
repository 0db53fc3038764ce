"""A toy planner: random shooting, in any world and over any signal, with a switch for planted defects."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from cosmos_sdk.protocols import Objective, PlanResult
from cosmos_sdk.rng import Rng
from cosmos_sdk.state import Control, Masked, Signals, WorldState
from cosmos_sdk.world import WorldModel


@dataclass(frozen=True)
class Shooting:
    """The cheapest of `num_samples` uniform plans of `num_predicts` chunks."""

    num_samples: int = 8
    num_predicts: int = 2
    signal: str = "action"
    defect: str = ""

    @torch.no_grad()
    def plan(
        self,
        world: WorldModel,
        state: WorldState,
        objective: Objective,
        rng: Rng,
        given: Signals | None = None,
        previous: PlanResult | None = None,
        deadline: float | None = None,
    ) -> PlanResult:
        begun = perf_counter()
        rows, num_frames = len(state), self.num_predicts * world.backend.chunk
        if self.defect == "ignores the chunk":
            num_frames += 1
        plans = self._sample(world.conditioners[self.signal].space, num_frames, rng)
        if self.defect != "foresees the noise":
            state = state.reseed(rng.integers())
        signals = {self.signal: plans.flatten(0, 1)[:, : self.num_predicts * world.backend.chunk]}
        rollout = world.rollout(state.branch(self.num_samples), signals)
        present = torch.ones(rows * self.num_samples, num_frames, dtype=torch.bool)
        control = Control({self.signal: Masked(plans.flatten(0, 1), present)}, {})
        cost = objective.cost(rollout, control).view(rows, self.num_samples)
        if self.defect == "ranks over the batch":
            cost = cost.mean(0, keepdim=True).expand(rows, -1)
        best = cost.argmin(1)
        every = torch.arange(rows)
        lowest = cost[every, best]
        return PlanResult(plans[every, best], lowest, lowest[:, None], perf_counter() - begun)

    def _sample(self, space: Any, num_frames: int, rng: Rng) -> Tensor:
        """Plans (B, N, K, *space.shape)."""
        uniform = rng.uniform(self.num_samples, num_frames, *space.shape)
        if isinstance(space, spaces.Discrete):
            return space.start + (uniform * int(space.n)).long()
        low, high = (torch.as_tensor(np.asarray(bound)) for bound in (space.low, space.high))
        if self.defect == "leaves the bounds":
            high = 2 * high
        return low + uniform * (high - low)
