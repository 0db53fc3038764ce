"""Model-predictive control: plan in the imagined world, act in the real one, look, plan again."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
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
from cosmos_sdk_policies.search import NOTHING


def shifted(plan: PlanResult, num_frames: int) -> PlanResult | None:
    """What is left of a plan after `num_frames` of it were executed: the warm start of the next one."""
    rest = plan.actions[:, num_frames:]
    return replace(plan, actions=rest) if rest.shape[1] else None


def views_of(observation: Any) -> NDArray[np.uint8]:
    """Frames (V, h, w, 3) of an observation: an image (h, w, 3), images (V, h, w, 3), or a mapping that holds images.

    Of a mapping, its entries of three axes and type uint8 are the views, in their order.
    """
    if isinstance(observation, Mapping):
        entries = [np.asarray(value) for value in observation.values()]
        observation = [entry for entry in entries if entry.dtype == np.uint8 and entry.ndim == 3]
    frames = np.asarray(observation)
    frames = frames[None] if frames.ndim == 3 else frames
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
        raise ShapeError(
            "observation", f"{frames.shape} {frames.dtype}", "(h, w, 3) or (V, h, w, 3) uint8, RGB"
        )
    return frames


@final
class MPCPolicy:
    """Policy of one real environment: executes `replan_every` actions of a plan, then plans again.

    It keeps the last `context` frames and the actions between them. Each time it plans, it enters the world with them
    by `world.reset`: imagination starts from what was really seen, and the search from the rest of the last plan.
    Actions are those that the world takes; converting them for an environment that takes others is the caller's.
    """

    def __init__(
        self,
        planner: Planner,
        world: WorldModel,
        objective: Objective,
        replan_every: int = 5,
        *,
        signal: str = "action",
        start: Signals = NOTHING,
        given: Signals = NOTHING,
        deadline: float | None = None,
        views: Callable[[Any], NDArray[np.uint8]] = views_of,
        enter: Callable[[], WorldState] | None = None,
        seed: int = 0,
    ) -> None:
        """See the class.

        Args:
            planner: plans `signal`; a plan must have at least `replan_every` frames.
            world: the world to plan in.
            objective: what to minimise.
            replan_every: frames between two plans.
            signal: the name of the action among the world's signals.
            start: once-per-episode signals, (1, ...).
            given: signals fixed during every plan, (1, K, ...).
            deadline: seconds for one plan.
            views: takes the frames (V, h, w, 3) out of an observation.
            enter: gives the world's state now, one row, where it comes from elsewhere than from frames: a true
                simulator as the world is entered by its own state. Observations are then not looked at.
            seed: of the planning noise; see `reset`.
        """
        if replan_every < 1:
            raise ConfigError([f"MPCPolicy: replan_every is {replan_every}; expected at least 1"])
        self.planner, self.world, self.objective = planner, world, objective
        self.replan_every, self.signal, self.deadline = replan_every, signal, deadline
        self._start, self._given, self._views = start, given, views
        self._enter = self._see if enter is None else enter
        self._sees = enter is None
        self.reset(seed)

    def reset(self, seed: int | None = None) -> None:
        """A new episode: forgets frames, actions and the plan. Without a seed the last one is used again."""
        self._seed = self._seed if seed is None else seed
        context = self.world.backend.context
        self._frames: deque[NDArray[np.uint8]] = deque(maxlen=context)
        self._actions: deque[Tensor | None] = deque(maxlen=context)  # entry k led to frame k
        self._taken: Tensor | None = None  # the action that leads to the next observation
        self._step = 0  # since the episode began
        self.plan: PlanResult | None = None  # the newest
        self.seconds: list[float] = []  # per decision, entering the world included

    def act(self, observation: Any) -> NDArray[Any]:
        """The action (*space.shape) for the newest observation. Call it once per frame of the environment."""
        if self._sees:
            self._frames.append(self._views(observation))
            self._actions.append(self._taken)
        place = self._step % self.replan_every
        if place == 0:
            self.plan = self._plan()
        assert self.plan is not None
        self._taken = self.plan.actions[0, place]
        self._step += 1
        return self._taken.cpu().numpy()

    def _plan(self) -> PlanResult:
        begin = perf_counter()
        previous = None if self.plan is None else shifted(self.plan, self.replan_every)
        rng = Rng(torch.tensor([self._seed]), torch.tensor([self._step]), PLANNER)
        state = self._enter()
        plan = self.planner.plan(
            self.world, state, self.objective, rng, self._given, previous, self.deadline
        )
        self.seconds.append(perf_counter() - begin)
        if plan.actions.shape[1] < self.replan_every:
            frames = plan.actions.shape[1]
            raise ConfigError(
                [f"MPCPolicy: replan_every is {self.replan_every}, and plans have {frames} frames"]
            )
        return plan

    def _see(self) -> WorldState:
        """The world's state (one row) now, from the frames and actions of the real environment."""
        frames = torch.from_numpy(np.stack(self._frames)).movedim(-1, -3)[
            None
        ]  # (1, F, V, 3, h, w)
        blank = torch.zeros(self.world.conditioners[self.signal].space.shape)  # pyright: ignore
        actions = [blank if action is None else action.to(blank) for action in self._actions]
        known = [action is not None for action in self._actions]
        history = {self.signal: Masked(torch.stack(actions)[None], torch.tensor([known]))}
        with torch.no_grad():
            return self.world.reset(frames, self._start, torch.tensor([self._seed]), history)
