"""What every planner shares: candidates are imagined and priced, the best is kept, time is watched.

A planner searches in unit coordinates (`coordinates`): plans (B, N, H, D) of H blocks with D = prod(space.shape).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import wraps
from time import perf_counter
from typing import ParamSpec, Protocol, final

import torch
from torch import Tensor

from cosmos_sdk import control
from cosmos_sdk.errors import (
    ConfigError,
    CosmosError,
    ShapeError,
    SignalError,
    UnknownNameError,
)
from cosmos_sdk.protocols import Objective, PlanResult
from cosmos_sdk.rng import Rng
from cosmos_sdk.state import Control, Masked, Signals, WorldState
from cosmos_sdk.unrolling import ahead
from cosmos_sdk.world import WorldModel
from cosmos_sdk_policies.coordinates import Box, Choices, Same, of_space

WORST = 1e30  # what a candidate costs whose cost is not finite; infinity itself would turn weighted means into NaN
NOTHING: Signals = {}
P = ParamSpec("P")


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


def in_inference_mode(plan: Callable[P, PlanResult]) -> Callable[P, PlanResult]:
    """For planners that only sample: no operation is prepared for gradients; the plan itself is ordinary tensors."""

    @wraps(plan)
    def planned(*args: P.args, **kwargs: P.kwargs) -> PlanResult:
        with torch.inference_mode():
            found = plan(*args, **kwargs)
        actions, cost, trace = found.actions.clone(), found.cost.clone(), found.trace.clone()
        return replace(found, actions=actions, cost=cost, trace=trace)

    return planned


def rows_of(objective: Objective, index: slice | Tensor) -> Objective:
    """The objective of some worlds, as `WorldState.rows` selects them; one without `rows` is the same for all."""
    select = getattr(objective, "rows", None)
    return objective if select is None else select(index)


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
        over: type[Box] | type[Choices] | None = Box,
    ) -> None:
        """Starts the clock and reseeds the state; `over` says what the planner searches, None for whatever there is.

        Raises:
            UnknownNameError: the world takes no signal of the planned name.
            SignalError: that signal is of a kind that the planner does not search, or is given as well.
            ShapeError: `rng`, `given` or `previous` do not fit the state.
        """
        self._begin = perf_counter()
        if len(rng) != len(state):
            raise ShapeError("rng", f"{len(rng)} rows", f"{len(state)}, one per world")
        self.settings, self.world = settings, world
        dtype = world.dtype
        self.coordinates = _coordinates(world, settings.signal, state, dtype, over)
        frames = settings.horizon * settings.action_block
        self.num_frames = math.ceil(frames / world.backend.chunk) * world.backend.chunk  # K
        self.size = (settings.horizon, math.prod(self.coordinates.shape))  # (H, D)
        self._dtype = dtype if isinstance(self.coordinates, Box) else torch.int64
        seeds = rng.integers()  # torch's generator and Philox have nothing in common but the number
        state = state.reseed(seeds)
        self._noise = [torch.Generator().manual_seed(seed) for seed in seeds.tolist()]
        slots = [slice(row, row + 1) for row in range(len(state))]
        self.states = [state.rows(slot) for slot in slots] if len(slots) > 1 else [state]
        others = [self._take(given, slot, dtype) for slot in slots]
        objectives = [rows_of(objective, slot) for slot in slots]
        parts = zip(self.states, others, objectives, strict=True)
        self._presents = [Present(*part) for part in parts]
        # what the search begins with, (B, H, D), and in which rows it is a last plan, (B,) bool
        self.guess, self.warm = self._begin_with(previous)
        # the best of each iteration: cost (B,) and plan (B, H, D)
        self._found: list[tuple[Tensor, Tensor]] = []

    @property
    def choices(self) -> Choices:
        """The coordinates of a planner that searches choices."""
        assert isinstance(self.coordinates, Choices)
        return self.coordinates

    def normal(self, num_samples: int) -> Tensor:
        """Standard normal values (B, num_samples, H, D), each row its own."""
        return self._draw(torch.randn, num_samples).to(self.guess)

    def uniform(self, num_samples: int) -> Tensor:
        """Uniform values (B, num_samples, H, D) in [0, 1), each row its own."""
        return self._draw(torch.rand, num_samples).to(self.guess.device)

    def around(self, centre: Tensor, spread: Tensor, noise: Tensor) -> Tensor:
        """Plans (B, N, H, D) in the box: centre (B, H, D) plus spread times noise; the first is the centre."""
        noise[:, 0] = 0
        return torch.addcmul(centre[:, None], spread[:, None], noise).clamp_(-1, 1)

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

    def costs(self, plans: Tensor) -> Tensor:
        """Costs (B, N) of plans (B, N, H, D); what is not finite costs WORST."""
        rows = [self._price(row, plans[row]) for row in range(len(self.states))]
        costs = rows[0][None] if len(rows) == 1 else torch.stack(rows)
        return costs.nan_to_num(WORST, WORST, WORST)

    def keep(self, plans: Tensor, costs: Tensor, num_elites: int = 1) -> tuple[Tensor, Tensor]:
        """The cheapest plans (B, E, H, D) of an iteration and their costs (B, E), cheapest first; the best is kept."""
        costs, index = costs.topk(min(num_elites, costs.shape[1]), dim=1, largest=False)
        elites = plans.gather(1, index[:, :, None, None].expand(-1, -1, *plans.shape[2:]))
        self._found.append((costs[:, 0], elites[:, 0]))
        return elites, costs

    def cheapest(self, plans: Tensor, num_elites: int = 1) -> tuple[Tensor, Tensor]:
        """Prices plans (B, N, H, D) and keeps; see `keep`."""
        return self.keep(plans, self.costs(plans), num_elites)

    def actions(self, plans: Tensor) -> Tensor:
        """The actions (n, K, *space.shape) of plans (n, H, D): blocks held, inside the bounds.

        Where the backend's chunk does not divide H blocks, the last block is held until it does.
        """
        actions = self.coordinates.action(plans)
        if self.num_frames > self.settings.horizon:
            frames = torch.arange(self.num_frames, device=plans.device)
            block = (frames // self.settings.action_block).clamp_max(self.settings.horizon - 1)
            actions = actions.index_select(1, block)  # (n, K, D)
        return actions.view(-1, self.num_frames, *self.coordinates.shape).to(self._dtype)

    def result(self) -> PlanResult:
        """The best plan of each world so far.

        Raises:
            CosmosError: a world in which no candidate had a finite cost.
        """
        costs = torch.stack([cost for cost, _ in self._found], 1)  # (B, iterations)
        trace = costs.cummin(1).values
        last = trace[:, -1]
        if lost := [row for row, is_lost in enumerate((last >= WORST).tolist()) if is_lost]:
            raise CosmosError(
                f"No candidate has a finite cost in row {lost} of {len(last)}: the world, one of its heads or the "
                "objective gives NaN or infinity there. Look at world.rollout(state, signals).values."
            )
        winners = enumerate(costs.argmin(1).tolist())
        plans = torch.stack([self._found[iteration][1][row] for row, iteration in winners])
        return PlanResult(self.actions(plans), last, trace, perf_counter() - self._begin)

    def _draw(self, draw: Callable[..., Tensor], num_samples: int) -> Tensor:
        size = (1, num_samples, *self.size)
        rows = [draw(size, generator=noise) for noise in self._noise]
        return rows[0] if len(rows) == 1 else torch.cat(rows)

    def _begin_with(self, previous: PlanResult | None) -> tuple[Tensor, Tensor]:
        """The caller's last plan from now on, its last action held; without one the middle of the space.

        A row of NaN in `previous.actions` has no last plan: its episode has just begun.
        """
        rows, shape = len(self.states), self.coordinates.shape
        guess = self.coordinates.middle(rows, self.size)
        if previous is None or not previous.actions.shape[1]:
            return guess, torch.zeros(rows, dtype=torch.bool, device=guess.device)
        got, last = tuple(previous.actions.shape), previous.actions.shape[1] - 1
        if got[0] != rows or got[2:] != shape:
            raise ShapeError("previous.actions", got, f"({rows}, frames, {shape})")
        num_blocks, block = self.settings.horizon, self.settings.action_block
        frames = torch.arange(num_blocks * block).clamp_max(last)
        actions = previous.actions[:, frames].to(guess.device)
        blocks = actions.view(rows, num_blocks, block, -1)
        warm = ~blocks.isnan().flatten(1).any(1)
        unit = self.coordinates.unit(self.coordinates.held(blocks))  # (B, H, D)
        return torch.where(warm[:, None, None], unit, guess), warm

    def _price(self, row: int, plans: Tensor) -> Tensor:
        """Costs (N,) of the plans (N, H, D) of one world, imagined `batch_size` at a time."""
        actions, most = self.actions(plans), self.settings.batch_size
        if len(actions) <= most:
            return self._presents[row].price(self.world, self.settings.signal, actions)
        parts = actions.split(most)
        return torch.cat(
            [self._presents[row].price(self.world, self.settings.signal, p) for p in parts]
        )

    def _take(self, given: Signals, slot: slice, dtype: torch.dtype) -> dict[str, Masked]:
        """All signals of one world but the planned one, (1, K, ...), masked where they are not given."""
        name, frames = self.settings.signal, self.num_frames
        if name in given:
            raise SignalError(
                f"The signal {name!r} is given, and it is the one to plan. Leave it out of `given`."
            )
        conditioners = [pair for pair in self.world.conditioners.items() if pair[0] != name]
        if not conditioners and not given:
            return {}
        taken: dict[str, Tensor | Masked] = {}
        for other, signal in given.items():
            length = (signal.mask if isinstance(signal, Masked) else signal).shape[1]
            if length < frames:
                got = f"{length} frames"
                raise ShapeError(f"the given signal {other!r}", got, f"at least {frames}")
            if isinstance(signal, Masked):
                taken[other] = Masked(signal.values[slot, :frames], signal.mask[slot, :frames])
            else:
                taken[other] = signal[slot, :frames]
        time = ahead(self.states[slot.start], frames)  # (1, K)
        return control.fill(conditioners, taken, time, dtype)


@final
class Present:
    """Where the plans of one world begin, what they want, and which signals are not theirs to choose."""

    def __init__(
        self, state: WorldState, others: Mapping[str, Masked], objective: Objective
    ) -> None:
        self._state, self._others, self._objective = state, others, objective
        self._needs_latents = bool(getattr(objective, "needs_latents", False))
        self._branches: dict[int, tuple[WorldState, dict[str, Masked], Tensor]] = {}

    def price(self, world: WorldModel, signal: str, actions: Tensor) -> Tensor:
        """Costs (n,) of actions (n, K, *space.shape).

        Raises:
            ShapeError: the objective gives something else than a number for each.
        """
        state, others, mask = self._branched(actions)
        signals = control.Filled({**others, signal: Masked(actions, mask)})
        rollout = world.rollout(state, signals, self._needs_latents)
        cost = self._objective.cost(rollout, Control(signals, {}))
        if cost.shape != mask.shape[:1]:
            got, name = tuple(cost.shape), type(self._objective).__name__
            raise ShapeError(f"the cost of {name}", got, f"({len(actions)},)")
        return cost

    def _branched(self, actions: Tensor) -> tuple[WorldState, dict[str, Masked], Tensor]:
        """The state and the other signals of as many candidates, as views, and a mask of what is there."""
        n = len(actions)
        if n not in self._branches:
            others = {name: _expand(signal, n) for name, signal in self._others.items()}
            mask = torch.ones(actions.shape[:2], dtype=torch.bool, device=actions.device)
            self._branches[n] = self._state.branch(n), others, mask
        return self._branches[n]


def refit(elites: Tensor, mean: Tensor, std: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (B, H, D) of elites (B, E, H, D), moved towards them from the old ones.

    The population's deviation: the sample's would divide by zero with one elite.
    """
    new_std, new_mean = torch.std_mean(elites, 1, correction=0)
    if not alpha:
        return new_mean, new_std
    return torch.lerp(new_mean, mean, alpha), torch.lerp(new_std, std, alpha)


def _coordinates(
    world: WorldModel,
    signal: str,
    state: WorldState,
    dtype: torch.dtype,
    over: type[Box] | type[Choices] | None,
) -> Box | Choices:
    """The coordinates of the planned signal, at least of single precision."""
    if signal not in world.conditioners:
        raise UnknownNameError(
            "signal", signal, world.conditioners, "Set the planner's field `signal`."
        )
    fine = torch.float64 if dtype == torch.float64 else torch.float32
    return of_space(Same(world.conditioners[signal].space), signal, state.seed.device, fine, over)


def _expand(signal: Masked, n: int) -> Masked:
    """The signal of one world for its n candidates, as a view."""
    mask = signal.mask.expand(n, *signal.mask.shape[1:])
    return Masked(signal.values.expand(n, *signal.values.shape[1:]), mask)
