"""Checks 1 to 3: a step changes no shape, changes no input, and knows no global randomness."""

from __future__ import annotations

import random

import numpy as np
import torch
from torch import Tensor

from cosmos_sdk.state import WorldState
from cosmos_sdk.testing.conformance import check, demand, identical, same_layout
from cosmos_sdk.testing.trial import ROWS, Trial, under_global_seed


@check(
    1,
    "Usual cause: a cache that grows, or that `start` leaves smaller than `predict` does. Let `start` allocate the "
    "final shapes (a ring of `window` slots) and mask what is not filled yet by a position per row.",
)
def a_step_changes_no_shape(trial: Trial) -> None:
    """1: the state after reset, after one step and after 3 W steps holds the same shapes, dtypes and bytes."""
    window = trial.world.backend.window
    state = first = trial.fresh()
    _state_fits_the_contract(trial, state)
    early = 0
    for k in range(1, 3 * window + 1):
        state = trial.advance(state, 1)
        same_layout(
            state.tensors(), first.tensors(), f"after step {k}, against the state after reset"
        )
        if k == window:
            early = _bytes(state)
    late = _bytes(state)
    demand(
        late <= early,
        f"the state holds {late} bytes of storage after {3 * window} steps, {early} after {window}.",
    )


def _state_fits_the_contract(trial: Trial, state: WorldState) -> None:
    backend = trial.world.backend
    for name, tensor in state.tensors().items():
        lead = tuple(tensor.shape[:1])
        demand(
            lead == (ROWS,), f"{name} has shape {tuple(tensor.shape)}; expected {ROWS} rows first."
        )
    kept, features = state.latents.shape[1], tuple(state.features.shape)
    demand(
        kept == backend.window,
        f"latents hold {kept} entries after reset; expected window = {backend.window}.",
    )
    expected = (ROWS, backend.chunk, backend.feature_width)
    demand(features == expected, f"features are {features} after reset; expected {expected}.")


def _bytes(state: WorldState) -> int:
    storages = [tensor.untyped_storage() for tensor in state.tensors().values()]
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


@check(
    2,
    "Usual cause: an in-place write (`cache[:, k] = ...`, `add_`, `index_put_`), or episode state kept in self. "
    "States may be views of one another: clone before you write, and return what the next step needs as memory.",
)
def a_step_is_pure(trial: Trial) -> None:
    """2: inputs keep their bits, and the same inputs give the same bits, whatever was stepped between."""
    for label, state in trial.states.items():
        signals = trial.signals(len(state))
        inputs = {
            **state.tensors(),
            **{f"signals/{name}": value for name, value in signals.items()},
        }
        before = {name: tensor.clone() for name, tensor in inputs.items()}
        first = _step_under_one_seed(trial, state, signals)
        identical(inputs, before, f"was changed by a step of the {label} state")
        for name, tensor in first.items():
            demand(
                not tensor.is_inference(),
                f"{name} is an inference tensor: plan by torch.no_grad instead.",
            )
        again = _step_under_one_seed(trial, state, signals)
        identical(again, first, f"differs when the {label} state is stepped twice")
        trial.step(state.reseed(state.seed + 1), trial.signals(len(state)))
        later = _step_under_one_seed(trial, state, signals)
        identical(
            later, first, f"differs when the {label} state is stepped again after another one"
        )


def _step_under_one_seed(
    trial: Trial, state: WorldState, signals: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Global randomness is the business of check 3."""
    with under_global_seed(0):
        return trial.step(state, signals)[1]


@check(
    3,
    "Usual cause: torch.randn, a random module or a re-seeding inside a component. Draw from the `rng` that is given; "
    "a component that needs more noise makes its own Rng(state.seed, state.time, a stream from FIRST_PRIVATE_STREAM).",
)
def global_randomness_is_left_alone(trial: Trial) -> None:
    """3: the global generators neither matter nor move."""
    state = trial.states["running"]
    signals = trial.signals(len(state))
    steps: list[dict[str, Tensor]] = []
    for seed in (1, 2):
        with under_global_seed(seed):
            before = _global_state()
            steps.append(trial.step(state, signals)[1])
            for name, moved in _global_state().items():
                demand(
                    moved == before[name], f"the global generator of {name} was moved by a step."
                )
    identical(steps[1], steps[0], "depends on torch.manual_seed")


def _global_state() -> dict[str, bytes]:
    return {
        "torch": torch.get_rng_state().numpy().tobytes(),
        "numpy": repr(np.random.get_state()).encode(),  # noqa: NPY002 - the global one is meant
        "random": repr(random.getstate()).encode(),
    }
