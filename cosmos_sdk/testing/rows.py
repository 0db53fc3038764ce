"""Checks 4 to 8: a row is a function of itself, whatever batch, branch, slot or file it is in."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from torch import Tensor

from cosmos_sdk.state import WorldState
from cosmos_sdk.testing.conformance import check, close, demand, identical
from cosmos_sdk.testing.trial import Trial


def select(tensors: dict[str, Tensor], index: Tensor | slice) -> dict[str, Tensor]:
    """Rows of everything under flat names."""
    return {name: tensor[index] for name, tensor in tensors.items()}


@check(
    4,
    "Usual cause: a row's number enters the computation (an index over the batch, one position for all rows, noise "
    "drawn by torch.randn), or an axis is reshaped across rows. Everything is batch-first, and noise comes from rng.",
)
def rows_may_be_permuted(trial: Trial) -> None:
    """4: stepping permuted rows gives the permuted step."""
    for label, state in trial.states.items():
        signals = trial.signals(len(state))
        index = torch.arange(len(state)).roll(1)
        permuted = trial.step(state.rows(index), select(signals, index))[1]
        close(
            permuted,
            select(trial.step(state, signals)[1], index),
            f"after a permutation of the {label} state",
        )


@check(
    5,
    "Usual cause: a statistic over the batch (batch norm, a mean or maximum over rows, one padded length for all) or "
    "a shape that depends on B. Reduce over every axis but the first.",
)
def a_row_alone_is_the_row_in_the_batch(trial: Trial) -> None:
    """5: a row steps and starts alone as it does among others."""
    for label, state in trial.states.items():
        signals = trial.signals(len(state))
        together = trial.step(state, signals)[1]
        for i in (0, len(state) - 1):
            row = slice(i, i + 1)
            alone = trial.step(state.rows(row), select(signals, row))[1]
            close(alone, select(together, row), f"of row {i} of the {label} state, stepped alone")
    seeds = trial.seeds(8)
    together = trial.starts(trial.world, seeds).tensors()
    for i in (0, 7):
        alone = trial.starts(trial.world, seeds[i : i + 1]).tensors()
        close(alone, select(together, slice(i, i + 1)), f"of row {i}, reset alone")


@check(
    6,
    "Usual cause: noise that is no function of seed and time (a counter in self, a constant generator), or a wrong "
    "`stochastic` of the backend. Draw from the rng that predict is given.",
)
def a_branch_replays(trial: Trial) -> None:
    """6: branches share their noise, a start replays, and `reseed` gives other futures where the world is random.

    A backend may declare `stochastic`: True demands that reseeding matters, False that it does not.
    """
    world = trial.world
    for label, state in trial.states.items():
        branched, replayed = state.branch(3), state
        for _ in range(2):
            signals = trial.signals(len(state))
            repeated = {name: value.repeat_interleave(3, 0) for name, value in signals.items()}
            branched, got = trial.step(branched, repeated)
            replayed, expected = trial.step(replayed, signals)
            expected = {name: tensor.repeat_interleave(3, 0) for name, tensor in expected.items()}
            close(got, expected, f"of three branches of the {label} state")
    state, signals = trial.states["running"], trial.signals(len(trial.states["running"]))
    declared: bool | None = getattr(world.backend, "stochastic", None)
    other = world.step(state.reseed(trial.seeds(len(state))), signals)[0]
    same = bool(torch.equal(other.latents, world.step(state, signals)[0].latents))
    if declared is not None:
        demand(
            same != declared,
            f"latents are the {'same' if same else 'other'} after reseed; stochastic is {declared}.",
        )
    seeds = trial.seeds(len(state))
    replays = [trial.step(trial.starts(world, seeds), signals)[1] for _ in range(2)]
    identical(
        replays[1], replays[0], "differs when an episode is started again with the same seeds"
    )


@check(
    7,
    "Usual cause: something of the episode is kept in self by `start`, or is shared by the rows of a memory tensor. "
    "Put it into the memory that `start` returns, one entry per row.",
)
def a_slot_is_replaced_alone(trial: Trial) -> None:
    """7: `put` of own rows changes nothing; a fresh state in one slot leaves the futures of the others."""
    for label, state in trial.states.items():
        signals = trial.signals(len(state))
        index = torch.tensor([len(state) - 1, 0])
        identical(
            state.put(index, state.rows(index)).tensors(),
            state.tensors(),
            f"after put of the {label} state",
        )
        before = trial.step(state, signals)[1]
        slot = trial.fresh(1)
        replaced = state.put(torch.tensor([1]), slot)
        others = torch.tensor([0, *range(2, len(state))])
        identical(
            replaced.rows(others).tensors(),
            state.rows(others).tensors(),
            "of the other rows after put",
        )
        after = trial.step(replaced, signals)[1]
        where = f"of the other rows, one step after slot 1 of the {label} state was reset"
        close(select(after, others), select(before, others), where)
        alone = trial.step(slot, select(signals, slice(1, 2)))[1]
        close(
            select(after, slice(1, 2)),
            alone,
            f"of slot 1, one step after its reset in the {label} state",
        )


@check(
    8,
    "Usual cause: memory that is no plain tensor of a type that safetensors stores (no complex128, no objects), or a "
    "cache in self keyed by a tensor's identity. Keep tensors only; complex ones as torch.view_as_real.",
)
def a_saved_state_goes_on(trial: Trial) -> None:
    """8: a state that was saved and loaded has the same bits, and so has its next step."""
    with tempfile.TemporaryDirectory() as folder:
        for label, state in trial.states.items():
            path = Path(folder) / "state.safetensors"
            state.save(path)
            loaded = WorldState.load(path)
            identical(
                loaded.tensors(), state.tensors(), f"of the {label} state after save and load"
            )
            signals = trial.signals(len(state))
            # strides choose kernels, and files have none: the bits are those of a contiguous state
            compact = state.map(lambda tensor: tensor.clone(memory_format=torch.contiguous_format))
            step = trial.step(loaded, signals)[1]
            identical(
                step,
                trial.step(compact, signals)[1],
                f"one step after the {label} state was loaded",
            )
            close(
                step, trial.step(state, signals)[1], f"one step after the {label} state was loaded"
            )
