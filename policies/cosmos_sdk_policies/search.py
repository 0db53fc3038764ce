"""What every planner shares: candidates are imagined and priced, the best is kept, time is watched.

A planner searches in unit coordinates: plans (B, N, H, D) of H blocks with D = prod(space.shape), each in [-1, 1].
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from time import perf_counter
from typing import Protocol, final, runtime_checkable

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from cosmos_sdk import control
from cosmos_sdk.errors import ConfigError, ShapeError, SignalError, UnknownNameError
from cosmos_sdk.protocols import Objective, PlanResult
from cosmos_sdk.rng import PLANNER, Rng
from cosmos_sdk.state import Control, Masked, Signals, WorldState
from cosmos_sdk.world import WorldModel

WORST = 1e30  # what a candidate costs whose cost is not finite; infinity itself would turn weighted means into NaN
NOTHING: Signals = {}


class Settings(Protocol):
    """The fields that every planner has."""

    @property
    def horizon(self) -> int: ...  # H, blocks
    @property
    def action_block(self) -> int: ...  # frames for which one action is held
    @property
    def num_samples(self) -> int: ...  # N
    @property
    def num_iterations(self) -> int: ...
    @property
    def signal(self) -> str: ...  # the signal that is planned
    @property
    def batch_size(self) -> int: ...  # candidates that are imagined at once: bounds the memory


@runtime_checkable
class PerRow(Protocol):
    """An objective that differs between worlds, such as one goal each: `rows` selects, as in WorldState."""

    def rows(self, index: slice) -> Objective: ...


def check_settings(planner: Settings, **counts: int) -> None:
    """Holds the counts of a planner to at least 1, and its elites to at most its samples; one error for all."""
    names = ("horizon", "action_block", "num_samples", "num_iterations", "batch_size")
    counts = {name: getattr(planner, name) for name in names} | counts
    problems = [
        f"{name} is {count}; expected at least 1" for name, count in counts.items() if count < 1
    ]
    if (elites := counts.get("num_elites", 1)) > planner.num_samples:
        problems.append(
            f"num_elites is {elites}; expected at most num_samples = {planner.num_samples}"
        )
    if problems:
        raise ConfigError([f"{type(planner).__name__}: {problem}" for problem in problems])


@final
class Search:
    """One planning problem, and the best plan found so far.

    Candidates of one world share their noise (common random numbers, so that they differ by their actions alone), and
    that noise is not the environment's: the state is reseeded first. Worlds are imagined one after the other, as views
    of one state, so a row's plan does not depend on the batch that it is in.
    """

    def __init__(
        self,
        settings: Settings,
        world: WorldModel,
        state: WorldState,
        objective: Objective,
        rng: Rng,
        given: Signals = NOTHING,
        previous: PlanResult | None = None,
    ) -> None:
        """Starts the clock and reseeds the state.

        Raises:
            UnknownNameError: the world takes no signal of the planned name.
            SignalError: that signal has no finite bounds, or is given as well.
            ShapeError: `rng`, `given` or `previous` do not fit the state.
        """
        self._begin = perf_counter()
        if len(rng) != len(state):
            raise ShapeError("rng", f"{len(rng)} rows", f"{len(state)}, one per world")
        self.settings, self.world = settings, world
        self.low, self.high, self._shape = _bounds(world, settings.signal, state)
        blocks = settings.horizon * settings.action_block
        self.num_frames = math.ceil(blocks / world.backend.chunk) * world.backend.chunk  # K
        self.size = (settings.horizon, math.prod(self._shape))  # (H, D)
        state = state.map(torch.detach).reseed(rng.integers())
        self.rng = Rng(rng.integers(), torch.zeros_like(rng.time), PLANNER)
        slots = [slice(row, row + 1) for row in range(len(state))]
        self._states = [state.rows(slot) for slot in slots]
        self._given = [self._take(given, slot) for slot in slots]
        self._objectives = [
            objective.rows(s) if isinstance(objective, PerRow) else objective for s in slots
        ]
        self._previous = previous
        self._plan: Tensor | None = None  # (B, H, D)
        self._trace: list[Tensor] = []  # best costs so far, each (B,)

    def first_guess(self) -> Tensor:
        """The caller's last plan from now on, its last action held; without one the middle of the box. (B, H, D).

        A row of NaN in `previous.actions` has no last plan: its episode has just begun.
        """
        guess = self.low.new_zeros(len(self._states), *self.size)
        if self._previous is None or not self._previous.actions.shape[1]:
            return guess
        actions = self._previous.actions.to(guess).flatten(2)  # (B, K', D)
        if actions.shape[::2] != guess.shape[::2]:
            got = tuple(self._previous.actions.shape)
            raise ShapeError("previous.actions", got, f"({len(guess)}, frames, {self._shape})")
        num_blocks, block = self.settings.horizon, self.settings.action_block
        frames = torch.arange(num_blocks * block, device=guess.device).clamp_max(
            actions.shape[1] - 1
        )
        held = actions[:, frames].view(len(guess), num_blocks, block, -1).mean(2)  # (B, H, D)
        reach = (self.high - self.low).clamp_min(torch.finfo(guess.dtype).tiny)
        unit = 2 * (held - self.low) / reach - 1
        cold = unit.isnan().flatten(1).any(1)
        return torch.where(cold[:, None, None], guess, unit.clamp(-1, 1))

    def normal(self, num_samples: int) -> Tensor:
        """Standard normal values (B, num_samples, H, D), each row its own."""
        return self.rng.normal(num_samples, *self.size).to(self.low)

    def uniform(self, num_samples: int) -> Tensor:
        """Uniform values (B, num_samples, H, D) in (-1, 1), each row its own."""
        return 2 * self.rng.uniform(num_samples, *self.size).to(self.low) - 1

    def iterations(self, deadline: float | None) -> Iterator[int]:
        """Counts iterations; ends early where another one, as long as the longest, would pass the deadline (seconds).

        The first one always runs, so there is a plan.
        """
        longest = 0.0
        for iteration in range(self.settings.num_iterations):
            now = perf_counter()
            if iteration and deadline is not None and now - self._begin + longest > deadline:
                return
            yield iteration
            longest = max(longest, perf_counter() - now)

    def evaluate(self, plans: Tensor) -> Tensor:
        """Costs (B, N) of plans (B, N, H, D). What is not finite costs WORST; the best plan so far is kept."""
        costs = torch.stack([self._price(row, plan) for row, plan in enumerate(plans)])  # (B, N)
        costs = torch.where(costs.isfinite(), costs, torch.full_like(costs, WORST))
        self._keep(plans.detach(), costs.detach())
        return costs

    def actions(self, plans: Tensor) -> Tensor:
        """The actions (n, K, *space.shape) of plans (n, H, D): blocks held, inside the bounds.

        Where the backend's chunk does not divide H blocks, the last block is held until it does.
        """
        actions = self.low + (self.high - self.low) * (plans + 1) / 2
        # the affine map may pass a bound by a rounding error; cutting that off must not stop gradients
        actions = actions + (actions.clamp(self.low, self.high) - actions).detach()
        frames = torch.arange(self.num_frames, device=plans.device) // self.settings.action_block
        held = actions[:, frames.clamp_max(self.settings.horizon - 1)]  # (n, K, D)
        return held.reshape(*held.shape[:2], *self._shape)

    def result(self) -> PlanResult:
        """The best plan of each world so far."""
        assert self._plan is not None, "result() stands after evaluate()"
        trace = torch.stack(self._trace, 1)  # (B, iterations)
        actions = self.actions(self._plan).clamp(
            self.low.view(self._shape), self.high.view(self._shape)
        )
        return PlanResult(actions, trace[:, -1], trace, perf_counter() - self._begin)

    def _price(self, row: int, plans: Tensor) -> Tensor:
        """Costs (N,) of the plans (N, H, D) of one world, imagined `batch_size` at a time."""
        objective = self._objectives[row]
        keep_latents = bool(getattr(objective, "needs_latents", False))
        costs: list[Tensor] = []
        for actions in self.actions(plans).split(self.settings.batch_size):
            n = len(actions)
            signals = {name: _expand(signal, n) for name, signal in self._given[row].items()}
            signals[self.settings.signal] = actions
            state = self._states[row].branch(n)
            rollout = self.world.rollout(state, signals, keep_latents)
            cost = objective.cost(rollout, self._control(state, signals))
            if cost.shape != (n,):
                raise ShapeError(
                    f"the cost of {type(objective).__name__}", tuple(cost.shape), f"({n},)"
                )
            costs.append(cost)
        return torch.cat(costs)

    def _control(self, state: WorldState, signals: Mapping[str, Tensor | Masked]) -> Control:
        """The raw signals as objectives read them; nothing is embedded a second time."""
        time = state.time[:, None] + torch.arange(1, self.num_frames + 1, device=state.time.device)
        filled = control.fill(self.world.conditioners.items(), signals, time, self.world.dtype)
        return Control(filled, {})

    def _keep(self, plans: Tensor, costs: Tensor) -> None:
        cost, index = costs.min(1)  # (B,)
        best = plans[torch.arange(len(plans), device=plans.device), index]  # (B, H, D)
        if self._plan is not None:
            better = cost < self._trace[-1]
            best = torch.where(better[:, None, None], best, self._plan)
            cost = torch.where(better, cost, self._trace[-1])
        self._plan = best
        self._trace.append(cost)

    def _take(self, given: Signals, slot: slice) -> dict[str, Tensor | Masked]:
        """The given signals of one world, (1, K, ...)."""
        if self.settings.signal in given:
            name = self.settings.signal
            raise SignalError(
                f"The signal {name!r} is given, and it is the one to plan. Leave it out of `given`."
            )
        taken: dict[str, Tensor | Masked] = {}
        for name, signal in given.items():
            length = (signal.mask if isinstance(signal, Masked) else signal).shape[1]
            if length < self.num_frames:
                raise ShapeError(
                    f"the given signal {name!r}", f"{length} frames", f"at least {self.num_frames}"
                )
            frames = slice(self.num_frames)
            if isinstance(signal, Masked):
                taken[name] = Masked(signal.values[slot, frames], signal.mask[slot, frames])
            else:
                taken[name] = signal[slot, frames]
        return taken


def elites_of(plans: Tensor, costs: Tensor, num_elites: int) -> tuple[Tensor, Tensor]:
    """The cheapest plans (B, E, H, D) of (B, N, H, D) and their costs (B, E), cheapest first."""
    costs, index = costs.topk(min(num_elites, costs.shape[1]), dim=1, largest=False)
    return plans.gather(1, index[:, :, None, None].expand(-1, -1, *plans.shape[2:])), costs


def _bounds(
    world: WorldModel, signal: str, state: WorldState
) -> tuple[Tensor, Tensor, tuple[int, ...]]:
    """The bounds (D,) and the shape of the planned signal."""
    if signal not in world.conditioners:
        raise UnknownNameError(
            "signal", signal, world.conditioners, "Set the planner's field `signal`."
        )
    space = world.conditioners[signal].space
    if not isinstance(space, spaces.Box) or not np.issubdtype(space.dtype, np.floating):
        raise SignalError(
            f"The signal {signal!r} is {space}; planners search a Box of real numbers."
        )
    if not space.is_bounded():
        raise SignalError(
            f"The signal {signal!r} is {space}; give its ActionSpec finite bounds to plan within."
        )
    dtype = torch.float64 if world.dtype == torch.float64 else torch.float32
    low, high = (
        torch.as_tensor(bound, dtype=dtype, device=state.seed.device).flatten()
        for bound in (space.low, space.high)
    )
    return low, high, space.shape


def _expand(signal: Tensor | Masked, n: int) -> Tensor | Masked:
    """The signal of one world for its n candidates, as a view."""
    if isinstance(signal, Masked):
        mask = signal.mask.expand(n, *signal.mask.shape[1:])
        return Masked(signal.values.expand(n, *signal.values.shape[1:]), mask)
    return signal.expand(n, *signal.shape[1:])
