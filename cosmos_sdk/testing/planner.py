"""`check_planner`: check 18, in a small built-in world or in one that is given."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import torch
from gymnasium import spaces
from torch import Tensor, nn

from cosmos_sdk import control
from cosmos_sdk.errors import CosmosError, SignalError
from cosmos_sdk.protocols import Backend, Objective, Planner, PlanResult, Prediction, Rollout
from cosmos_sdk.rng import PLANNER, Rng
from cosmos_sdk.state import Control, Tensors, WorldState
from cosmos_sdk.testing.conformance import check, demand, finite, identical
from cosmos_sdk.testing.small_worlds import point_starts, point_world
from cosmos_sdk.testing.trial import Starts, random_starts
from cosmos_sdk.world import WorldModel

_ROWS, _TOLERANCE = 3, 1e-6


@dataclass(frozen=True)
class MaximumReward:
    """Cost (B,): minus the sum of the rewards."""

    reward: str = "reward"

    def cost(self, rollout: Rollout, control: Control) -> Tensor:
        return -rollout.values[self.reward].flatten(1).sum(1)


class Recorder(nn.Module):
    """A backend that remembers which seeds it was asked to draw from."""

    def __init__(self, inner: Backend) -> None:
        super().__init__()
        self.inner = inner
        self.context, self.window, self.chunk = inner.context, inner.window, inner.chunk
        self.feature_width, self.differentiable = inner.feature_width, inner.differentiable
        self.sampling: Any = inner.sampling
        self.seeds: set[int] = set()

    def start(self, latents: Tensor, control: Control, rng: Rng) -> tuple[Tensor, Tensors]:
        return self.inner.start(latents, control, rng)

    def predict(self, state: WorldState, control: Control, rng: Rng) -> Prediction:
        self.seeds |= {int(seed) for seed in rng.seed}
        return self.inner.predict(state, control, rng)


@dataclass(frozen=True, eq=False)
class Case:
    """A planner, and what it is to plan."""

    planner: Planner
    world: WorldModel
    objective: Objective
    state: WorldState
    recorder: Recorder
    space: spaces.Space[Any]
    rng_seed: Tensor = field(default_factory=lambda: torch.arange(_ROWS) + 1000)

    def plan(self, rows: slice = slice(None), **options: Any) -> PlanResult:
        """Plans for some rows, each with the randomness that is its own."""
        seed = self.rng_seed[rows]
        rng = Rng(seed, torch.zeros_like(seed), PLANNER)
        return self.planner.plan(self.world, self.state.rows(rows), self.objective, rng, **options)


def check_planner(
    planner: Planner,
    world: WorldModel | None = None,
    objective: Objective | None = None,
    *,
    starts: Starts | None = None,
    seed: int = 0,
) -> None:
    """Checks a planner (18): in a world of points to bring to the origin, unless another world is given.

    Points are pushed by two real numbers. A planner that refuses those by a SignalError is checked where the push is
    one of five keys.

    Args:
        planner: with a small number of samples; it plans about ten times. Its field `signal`, "action" where it has
            none, names the signal that it plans.
        world: where to plan.
        objective: what to minimise; by default minus the sum of the head `reward`.
        starts: (world, seed (B,)) -> first states; by default from random frames.
        seed: of the first states.

    Raises:
        ConformanceError: a property does not hold.
    """
    starts = (point_starts if world is None else random_starts) if starts is None else starts
    objective = MaximumReward() if objective is None else objective
    keys = world is None and _refuses(_make_case(planner, point_world(), objective, starts, seed))
    worlds = [point_world(keys=keys), point_world(2, keys=keys)] if world is None else [world]
    for one in worlds:
        case = _make_case(planner, one, objective, starts, seed)
        plans_fit_the_world(case)
        planning_has_its_own_noise(case)
        a_batch_is_planned_row_by_row(case)
    if world is None:
        stopped = point_world(differentiable=False, keys=keys)
        without_gradients(_make_case(planner, stopped, objective, starts, seed))


def _make_case(
    planner: Planner, world: WorldModel, objective: Objective, starts: Starts, seed: int
) -> Case:
    recorder = Recorder(world.backend)
    conditioners, heads = dict(world.conditioners.items()), dict(world.heads.items())
    readouts = dict(world.readouts.items())
    watched = WorldModel(world.tokenizer, recorder, conditioners, heads, readouts, world.spec)
    with torch.no_grad():
        state = starts(watched, torch.arange(_ROWS) + seed)
    space = world.conditioners[getattr(planner, "signal", "action")].space
    if not isinstance(space, spaces.Box | spaces.Discrete | spaces.MultiDiscrete):
        kinds = "a Box, a Discrete or a MultiDiscrete"
        raise CosmosError(f"check_planner needs a signal to plan that is {kinds}; got {space!r}.")
    return Case(planner, watched, objective, state, recorder, cast("spaces.Space[Any]", space))


def _refuses(case: Case) -> bool:
    """Whether the planner does not search a box of real numbers."""
    try:
        case.plan()
    except SignalError:
        return True
    return False


@check(
    18,
    "Usual cause: samples that are not clipped to the space, a plan cut to a length that the chunk does not divide, or "
    "statistics of no elite (NaN). Clip what is sampled and what is returned; plan in blocks of the chunk.",
)
def plans_fit_the_world(case: Case) -> None:
    """18: actions (B, K, *) inside the bounds, K a multiple of the chunk, all finite; warm start and deadline work."""
    before = {name: tensor.clone() for name, tensor in case.state.tensors().items()}
    result = case.plan()
    for label, plan in {
        "a plan": result,
        "a plan from a previous one": case.plan(previous=result),
        "a plan under a deadline of 1 ms": case.plan(deadline=1e-3),
    }.items():
        _fits(case, plan, label)
    identical(case.state.tensors(), before, "was changed by planning")


def _fits(case: Case, plan: PlanResult, label: str) -> None:
    shape, chunk = tuple(plan.actions.shape), case.world.backend.chunk
    expected = (_ROWS, f"K, a multiple of {chunk}", *(case.space.shape or ()))
    fits = (
        len(shape) == len(expected)
        and shape[0] == _ROWS
        and shape[2:] == expected[2:]
        and shape[1] > 0
    )
    demand(fits and shape[1] % chunk == 0, f"{label} has actions {shape}; expected {expected}.")
    demand(
        tuple(plan.cost.shape) == (_ROWS,),
        f"{label} has costs {tuple(plan.cost.shape)}; expected ({_ROWS},).",
    )
    finite({"actions": plan.actions, "cost": plan.cost, "trace": plan.trace}, f"in {label}")
    whole, box = control.whole_bounds(case.space), cast("Any", case.space)
    if whole is not None and plan.actions.is_floating_point():
        demand(False, f"{label} has {plan.actions.dtype} actions; expected whole numbers.")
    low, high = whole or (torch.as_tensor(box.low), torch.as_tensor(box.high))
    inside = bool(((plan.actions >= low) & (plan.actions <= high)).all())
    span = f"{float(plan.actions.min()):.4g}..{float(plan.actions.max()):.4g}"
    demand(inside, f"{label} has actions in {span}, outside of {case.space}.")
    rises = plan.trace.diff(dim=1) if plan.trace.ndim == 2 else torch.ones(1)
    demand(
        bool((rises <= 1e-9).all()),
        f"the trace of {label} is not the best cost so far, (B, iterations).",
    )


@check(
    18,
    "Usual cause: candidates are branches of the state as it came, so that they foresee the noise of the environment "
    "and every predicted return is too good. Plan in state.reseed(rng.integers()).",
)
def planning_has_its_own_noise(case: Case) -> None:
    """18: no imagined step draws from the seed of the state that was given."""
    case.recorder.seeds.clear()
    case.plan()
    own = {int(seed) for seed in case.state.seed}
    demand(bool(case.recorder.seeds), "the planner took no step in the world.")
    shared = sorted(own & case.recorder.seeds)
    demand(
        not shared,
        f"seed: imagined steps draw from {shared}, the seeds of the state that was given.",
    )


@check(
    18,
    "Usual cause: elites, scales or temperatures taken over the whole batch, or torch.randn instead of the rng that is "
    "given. Keep the batch axis in every statistic, and draw candidates by rng.",
)
def a_batch_is_planned_row_by_row(case: Case) -> None:
    """18: the plan of a batch is the plan of each row, and planning again gives the same."""
    together, again = case.plan(), case.plan()
    identical(
        {"actions": again.actions}, {"actions": together.actions}, "of the same plan, made again"
    )
    for i in range(_ROWS):
        alone = case.plan(slice(i, i + 1))
        for name in ("actions", "cost"):
            difference = getattr(alone, name)[0] - getattr(together, name)[i]
            worst = float(difference.detach().abs().max())
            demand(
                worst <= _TOLERANCE,
                f"{name} of row {i} planned alone differ by {worst:.3g} from the batch.",
            )


@check(
    18,
    "Usual cause: a gradient planner that does not ask. Raise a CosmosError where backend.differentiable is False: "
    "gradients that pass a quantised latent look healthy and are wrong.",
)
def without_gradients(case: Case) -> None:
    """18: where the backend declares no gradients a planner refuses with a teaching error, or needs none."""
    try:
        _fits(case, case.plan(), "a plan without gradients")
    except CosmosError:
        return
