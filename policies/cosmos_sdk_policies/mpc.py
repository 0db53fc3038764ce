"""Model-predictive control: plan in the imagined world, act in the real one, look, plan again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cosmos_sdk.errors import ConfigError, ShapeError
from cosmos_sdk.protocols import Objective, Planner, PlanResult
from cosmos_sdk.rng import PLANNER, Rng
from cosmos_sdk.state import Masked, Signals, WorldState
from cosmos_sdk.world import WorldModel
from cosmos_sdk_policies.search import NOTHING, rows_of
from cosmos_sdk_policies.sight import Sight, views_of
from cosmos_sdk_policies.suiting import check_plan

__all__ = ["MPCPolicy", "shifted", "views_of"]


def shifted(plan: PlanResult, num_frames: int) -> PlanResult | None:
    """What is left of a plan after `num_frames` of it were executed: the warm start of the next one."""
    rest = plan.actions[:, num_frames:]
    return replace(plan, actions=rest) if rest.shape[1] else None


@final
class MPCPolicy:
    """Policy of one real environment, or of a vector of them: executes `replan_every` actions of a plan, plans again.

    It keeps the last `context` frames and the actions between them. Each time it plans, it enters the world with them
    by `world.reset`: imagination starts from what was really seen, and the search from the rest of the last plan.
    Actions are those that the world takes; converting them for an environment that takes others is the caller's.

    With `num_envs` it takes observations of B slots and gives B actions. The slots whose plan is used up are planned in
    one call; what a slot does depends on no other. A slot that begins an episode is told by `reset(slots=...)`:

    ```python
    observations, _ = envs.reset(seed=0)
    while ...:
        observations, _, terminated, truncated, _ = envs.step(policy.act(observations))
        policy.reset(slots=terminated | truncated)  # AutoresetMode.SAME_STEP; in NEXT_STEP mode, one step later
    ```
    """

    def __init__(
        self,
        planner: Planner,
        world: WorldModel,
        objective: Objective,
        replan_every: int = 5,
        *,
        num_envs: int | None = None,
        signal: str = "action",
        start: Signals = NOTHING,
        given: Signals = NOTHING,
        deadline: float | None = None,
        views: Callable[[Any], NDArray[np.uint8]] = views_of,
        enter: Callable[[], WorldState] | None = None,
        seed: int | Sequence[int] = 0,
    ) -> None:
        """See the class.

        Args:
            planner: plans `signal`; a plan must have at least `replan_every` frames.
            world: the world to plan in.
            objective: what to minimise; with a goal for each slot if it has `rows`. It may be replaced at any time.
            replan_every: frames between two plans.
            num_envs: B, of a vector environment; None for one environment, whose observations have no batch axis.
            signal: the name of the action among the world's signals.
            start: once-per-episode signals, (1 | B, ...).
            given: signals fixed during every plan, (1 | B, K, ...).
            deadline: seconds for one call of the planner.
            views: takes the frames (V, h, w, 3) out of one observation.
            enter: gives the world's state now, one row per slot, where it comes from elsewhere than from frames: a
                true simulator as the world is entered by its own state. Observations are then not looked at.
            seed: of the planning noise; see `reset`.
        """
        for name, count in (("replan_every", replan_every), ("num_envs", num_envs)):
            if count is not None and count < 1:
                raise ConfigError([f"MPCPolicy: {name} is {count}; expected at least 1"])
        self.check(planner, world, objective)
        self.planner, self.world, self.objective = planner, world, objective
        self.replan_every, self.signal, self.deadline = replan_every, signal, deadline
        self.num_envs = num_envs
        self._rows = num_envs or 1
        self._start, self._given, self._enter = start, given, enter
        self._sight = Sight(world.backend.context, self._rows, views)
        self.reset(seed)

    @staticmethod
    def check(planner: Planner, world: WorldModel, objective: Objective | None = None) -> None:
        """Raises ConfigError where they do not suit one another, before anything is driven; see `check_plan`."""
        check_plan(planner, world, objective)

    def reset(
        self, seed: int | Sequence[int] | None = None, slots: NDArray[np.bool_] | None = None
    ) -> None:
        """New episodes: forgets frames, actions and plans.

        Args:
            seed: slot b gets seed + b, or its own of a sequence. Without one the last is used again, from its beginning
                where all slots begin anew, and going on where only some do.
            slots: (B,) bool, which of them; by default all.
        """
        if slots is None:
            numbers = self._seeds(seed)
            self._seed = self._seed if numbers is None else numbers
            self._clock = torch.zeros(self._rows, dtype=torch.int64)  # frames on this seed
            self._place = torch.zeros(self._rows, dtype=torch.int64)  # frames of the plan executed
            self._plans: Tensor | None = None  # (B, K, *); NaN where there is none
            self._taken: Tensor | None = None  # (B, *), led to by the last observation
            self._sight.forget(torch.ones(self._rows, dtype=torch.bool))
            self.plan: PlanResult | None = None  # the newest, of the rows that were planned
            self.seconds: list[float] = []  # per call of the planner, entering the world included
            return
        chosen = torch.as_tensor(slots, dtype=torch.bool)
        if chosen.shape != (self._rows,):
            raise ShapeError("slots", tuple(chosen.shape), f"({self._rows},) bool")
        if (numbers := self._seeds(seed)) is not None:
            self._seed = torch.where(chosen, numbers, self._seed)
            self._clock = self._clock.masked_fill(chosen, 0)
        self._place = self._place.masked_fill(chosen, 0)
        self._sight.forget(chosen)
        if self._plans is not None:
            self._plans[chosen] = torch.nan

    def act(self, observation: Any) -> NDArray[Any]:
        """The action (*space.shape) for the newest observation; (B, *space.shape) with `num_envs`. Once a frame."""
        if self._enter is None:
            batch = [observation] if self.num_envs is None else observation
            self._sight.see(batch, self._taken)
        due = self._place % self.replan_every == 0
        if due.any():
            self._replan(due)
        assert self._plans is not None
        action = self._plans[torch.arange(self._rows), self._place]  # (B, *)
        self._place, self._clock = self._place + 1, self._clock + 1
        self._taken = action.to(self._dtype)
        given = self._taken.numpy()
        return given[0] if self.num_envs is None else given

    def _replan(self, due: Tensor) -> None:
        begin = perf_counter()
        rows = due.nonzero().flatten()
        state = self._enter().rows(rows) if self._enter is not None else self._look(rows)
        objective = self.objective
        if len(rows) < self._rows:
            objective = rows_of(objective, rows)
        plan = self.planner.plan(
            self.world,
            state,
            objective,
            Rng(self._seed[rows], self._clock[rows], PLANNER),
            _rows_of(self._given, rows),
            self._previous(rows),
            self.deadline,
        )
        self.seconds.append(perf_counter() - begin)
        frames = plan.actions.shape[1]
        if frames < self.replan_every:
            problem = f"replan_every is {self.replan_every}, and plans have {frames} frames"
            raise ConfigError([f"MPCPolicy: {problem}"])
        self.plan, self._dtype = plan, plan.actions.dtype
        actions = plan.actions.cpu()
        # a plan that can be absent holds NaN there, so whole numbers are kept as floats
        actions = actions if actions.is_floating_point() else actions.double()
        if self._plans is None or self._plans.shape[1:] != actions.shape[1:]:
            self._plans = actions.new_full((self._rows, *actions.shape[1:]), torch.nan)
        self._plans[rows] = actions
        self._place[rows] = 0

    def _previous(self, rows: Tensor) -> PlanResult | None:
        """What is left of the last plans of some rows."""
        if self._plans is None or self.plan is None:
            return None
        rest = self._plans[rows, self.replan_every :]
        if not rest.shape[1] or rest.isnan().all():
            return None
        unknown = rest.new_full((len(rows),), torch.nan)
        return PlanResult(rest, unknown, unknown[:, None], self.plan.seconds)

    def _look(self, rows: Tensor) -> WorldState:
        """The world's state now, of some rows, from the frames and actions of the real environments."""
        space: Any = self.world.conditioners[self.signal].space
        whole = np.issubdtype(space.dtype, np.integer)
        idle = torch.zeros(space.shape or (), dtype=torch.int64 if whole else torch.float32)
        frames, history = self._sight.recall(rows, idle)
        start = _rows_of(self._start, rows)
        with torch.no_grad():
            return self.world.reset(frames, start, self._seed[rows], {self.signal: history})

    def _seeds(self, seed: int | Sequence[int] | None) -> Tensor | None:
        if seed is None:
            return None
        if isinstance(seed, int):
            return torch.arange(self._rows) + seed
        numbers = torch.as_tensor(list(seed), dtype=torch.int64)
        if numbers.shape != (self._rows,):
            raise ShapeError("seed", tuple(numbers.shape), f"a number, or {self._rows} of them")
        return numbers


def _rows_of(signals: Signals, rows: Tensor) -> dict[str, Tensor | Masked]:
    """The signals of some slots; those given once are everybody's."""
    chosen: dict[str, Tensor | Masked] = {}
    for name, signal in signals.items():
        if isinstance(signal, Masked):
            chosen[name] = Masked(_pick(signal.values, rows), _pick(signal.mask, rows))
        else:
            chosen[name] = _pick(signal, rows)
    return chosen


def _pick(tensor: Tensor, rows: Tensor) -> Tensor:
    if tensor.shape[0] == 1:
        return tensor.expand(len(rows), *tensor.shape[1:])
    return tensor[rows]
