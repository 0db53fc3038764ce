"""`check_head`: a head or readout of a world."""

from __future__ import annotations

import torch
from torch import Tensor

from cosmos_sdk.errors import UnknownNameError
from cosmos_sdk.protocols import TrainableHead
from cosmos_sdk.state import Masked
from cosmos_sdk.testing.backend import FIRST, ROWS
from cosmos_sdk.testing.conformance import check, demand, finite
from cosmos_sdk.testing.learning import is_trainable, loss_rng, losses_are_per_row, make_batch
from cosmos_sdk.testing.steering import absence_is_a_mask
from cosmos_sdk.testing.trial import ROWS as NUM_ROWS
from cosmos_sdk.testing.trial import Starts, Trial, make_trial
from cosmos_sdk.world import WorldModel


def check_head(
    world: WorldModel, name: str, *, starts: Starts | None = None, seed: int = 0
) -> None:
    """Checks one head or readout in a world: 1 to 8, 12 and 13.

    Args:
        world: a world that `check_backend` passes; its other heads are left out.
        name: of the head or readout.
        starts: as for `check_backend`.
        seed: of weights' noise, frames and signals.

    Raises:
        ConformanceError: the first property that does not hold.
        UnknownNameError: the world has no such head.
    """
    if name not in world.heads and name not in world.readouts:
        raise UnknownNameError("head or readout", name, [*world.heads, *world.readouts])
    heads = {n: h for n, h in world.heads.items() if n == name}
    readouts = {n: r for n, r in world.readouts.items() if n == name}
    conditioners = dict(world.conditioners.items())
    alone = WorldModel(world.tokenizer, world.backend, conditioners, heads, readouts, world.spec)
    trial = make_trial(alone, starts, seed)
    with torch.no_grad():
        values_have_a_frame_axis(trial, name)
        for checked in (*FIRST, *ROWS, absence_is_a_mask):
            checked(trial)
    losses_are_per_row(trial)
    absent_targets_add_nothing(trial, name)


@check(
    1,
    "Usual cause: one value for a whole chunk (read all frames of state.features), or a trailing axis of one that the "
    "target does not have. Heads return (B, chunk, *), readouts (B, *).",
)
def values_have_a_frame_axis(trial: Trial, name: str) -> None:
    """1: a head says (B, chunk, *) and a readout (B, *), finite, of the target's shape where the spec knows it."""
    lead = (NUM_ROWS, trial.world.backend.chunk) if name in trial.world.heads else (NUM_ROWS,)
    told = trial.step(trial.states["running"], trial.signals(NUM_ROWS))[1]
    value = told[f"values/{name}" if name in trial.world.heads else f"readouts/{name}"]
    demand(
        tuple(value.shape[: len(lead)]) == lead,
        f"{name} is {tuple(value.shape)}; expected {lead} first.",
    )
    finite({name: value}, "after a step")
    target = trial.world.spec.targets.get(name) if trial.world.spec else None
    if target is not None and target.shape not in (None, (), (1,)):
        demand(
            tuple(value.shape) == (*lead, *target.shape),
            f"{name} is {tuple(value.shape)}; the target is {target}.",
        )


@check(
    12,
    "Usual cause: a mean that divides by the number of frames instead of that of present targets, or a target's zeros "
    "taken for values. Sum where target.mask, divide by its count (at least 1).",
)
def absent_targets_add_nothing(trial: Trial, name: str) -> None:
    """12: the loss of a row without targets is zero."""
    part = trial.world.heads[name] if name in trial.world.heads else trial.world.readouts[name]
    spec = trial.world.spec
    if (
        not is_trainable(trial)
        or not isinstance(part, TrainableHead)
        or spec is None
        or name not in spec.targets
    ):
        return
    batch = make_batch(trial, NUM_ROWS)
    target = batch.targets[name]
    mask = target.mask.clone()
    mask[1] = False
    for values in (target.values, target.values + 1):
        lacking = {name: Masked(torch.where(_like(mask, values), target.values, values), mask)}
        changed = type(batch)(batch.frames, batch.valid, batch.start, batch.signals, lacking)
        losses = trial.world.loss(changed, loss_rng(NUM_ROWS))
        own = {n: term for n, term in losses.items() if n.startswith(f"{name}/")}
        demand(bool(own), f"{name} has a target, but no term in the loss.")
        for term, value in own.items():
            added = float(value[1].detach())
            demand(added == 0.0, f"{term} of a row without targets is {added:.6g}; expected 0.")


def _like(mask: Tensor, values: Tensor) -> Tensor:
    return mask.view(*mask.shape, *[1] * (values.ndim - mask.ndim))
