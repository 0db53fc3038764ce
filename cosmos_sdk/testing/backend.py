"""`check_backend`: every property that a backend has in a world."""

from __future__ import annotations

import torch

from cosmos_sdk.testing.cache import the_cache_equals_one_full_pass
from cosmos_sdk.testing.gradients import declared_gradients_are_true
from cosmos_sdk.testing.learning import losses_are_per_row
from cosmos_sdk.testing.module import the_world_is_a_module
from cosmos_sdk.testing.rows import (
    a_branch_replays,
    a_row_alone_is_the_row_in_the_batch,
    a_saved_state_goes_on,
    a_slot_is_replaced_alone,
    rows_may_be_permuted,
)
from cosmos_sdk.testing.steering import (
    absence_is_a_mask,
    signals_change_the_step,
    the_future_does_not_reach_back,
)
from cosmos_sdk.testing.stepping import (
    a_step_changes_no_shape,
    a_step_is_pure,
    global_randomness_is_left_alone,
)
from cosmos_sdk.testing.trial import Starts, make_trial
from cosmos_sdk.testing.unrolling import unrolling_is_stepping
from cosmos_sdk.world import WorldModel

FIRST = (a_step_changes_no_shape, a_step_is_pure, global_randomness_is_left_alone)
ROWS = (
    rows_may_be_permuted,
    a_row_alone_is_the_row_in_the_batch,
    a_branch_replays,
    a_slot_is_replaced_alone,
    a_saved_state_goes_on,
)
SIGNALS = (
    signals_change_the_step,
    the_future_does_not_reach_back,
    the_cache_equals_one_full_pass,
    unrolling_is_stepping,
    absence_is_a_mask,
)


def check_backend(world: WorldModel, *, starts: Starts | None = None, seed: int = 0) -> None:
    """Runs checks 1 to 15 of the contract over a world, that is over its backend, conditioners, heads and readouts.

    A copy of the world is set up in double precision, with a little noise on its weights, and stepped three steps
    beyond its window; the checks run on a fresh state, on that one, on a branch of it and with one slot reset.
    Where a property does not apply it is passed over: 11 without `full` or `unroll`, 13 without `loss`, 14 where
    `differentiable` is False.

    Args:
        world: in the order of a few steps a second or faster; a small configuration of a backend says the same.
        starts: (world, seed (B,)) -> first states, for a world that cannot start from random frames. Each row must be
            a function of its own seed.
        seed: of weights' noise, frames and signals.

    Raises:
        ConformanceError: the first property that does not hold.
    """
    trial = make_trial(world, starts, seed)
    for check in (*FIRST, *ROWS, *SIGNALS):
        with torch.no_grad():
            check(trial)
    losses_are_per_row(trial)
    declared_gradients_are_true(trial)
    with torch.no_grad():
        the_world_is_a_module(trial)
