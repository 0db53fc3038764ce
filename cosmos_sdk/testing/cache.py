"""Check 11: what a cache gives equals one pass without it."""

from __future__ import annotations

from typing import Protocol, cast, runtime_checkable

import torch
from torch import Tensor

from cosmos_sdk import control
from cosmos_sdk.state import Control, Signals
from cosmos_sdk.testing.conformance import check, close
from cosmos_sdk.testing.trial import ROWS, Opening, Trial, make_opening


@runtime_checkable
class FullPass(Protocol):
    """A backend with a cache, that can also do without.

    `full` gets all since reset, context first: latents (B, n, *latent), of which a predict makes one, the control of
    their frames, seed (B,). It returns (B, n, *latent): what each latent is predicted to be given the true ones before
    it, under the noise that `predict` drew for it, Rng(seed, time of the frame before). Context is not compared. Where
    the window slides, the pass is banded as the cache is: a cached key has seen latents that have left since.
    """

    def full(self, latents: Tensor, control: Control, seed: Tensor) -> Tensor: ...


@check(
    11,
    "Usual cause: the position of a ring slot, a mask that shows an unfilled or overwritten slot, or the control of a "
    "frame that is committed one step later (keep it in memory). Compare layer by layer, from the first frame on.",
)
def the_cache_equals_one_full_pass(trial: Trial) -> None:
    """11: three windows stepped with the cache equal one pass over all frames, with one slot reset on the way."""
    backend = trial.world.backend
    if not isinstance(backend, FullPass) or not trial.frames:
        return
    num_steps, chunk = 3 * backend.window, backend.chunk
    halfway = num_steps // 2 + 1
    seeds, other = trial.seeds(ROWS), trial.seeds(1)
    opening, late = make_opening(trial.world, seeds), make_opening(trial.world, other)
    state = trial.world.reset(opening.frames, opening.start, seeds, opening.history)
    slot = trial.world.reset(late.frames, late.start, other, late.history)
    made: list[Tensor] = []
    signals = trial.signals(ROWS, num_steps)
    for k in range(num_steps):
        if k == halfway:
            state = state.put(torch.tensor([1]), slot)
        now = {name: value[:, k * chunk : (k + 1) * chunk] for name, value in signals.items()}
        state = trial.world.step(state, now)[0]
        made.append(state.latents[:, -1])
    future = torch.stack(made, 1)
    rows = torch.tensor([0, 2, 3])
    first = trial.world.tokenizer.encode(opening.frames)[rows]
    given = {name: value[rows] for name, value in signals.items()}
    _compare(
        trial,
        _rows(opening, rows),
        first,
        future[rows],
        given,
        seeds[rows],
        "of the rows that ran through",
    )
    given = {name: value[1:2, halfway * chunk :] for name, value in signals.items()}
    first = trial.world.tokenizer.encode(late.frames)
    _compare(
        trial,
        late,
        first,
        future[1:2, halfway:],
        given,
        other,
        "of the row that was reset on the way",
    )


def _rows(opening: Opening, rows: Tensor) -> Opening:
    start, history = (
        {n: v[rows] for n, v in part.items()} for part in (opening.start, opening.history)
    )
    return Opening(opening.frames[rows], start, history)


def _compare(
    trial: Trial,
    opening: Opening,
    first: Tensor,
    future: Tensor,
    signals: dict[str, Tensor],
    seed: Tensor,
    where: str,
) -> None:
    context = first.shape[1]
    latents = torch.cat((first, future), 1)
    together = {
        name: torch.cat((opening.history[name], value), 1) for name, value in signals.items()
    }
    num_frames = trial.world.backend.context + future.shape[1] * trial.world.backend.chunk
    whole = embed_all(trial, opening.start, together, len(latents), num_frames)
    backend = cast("FullPass", trial.world.backend)
    predicted = backend.full(latents, whole, seed)[:, context:]
    close({"latents": future}, {"latents": predicted}, f"{where}, against the full pass")


def embed_all(
    trial: Trial, start: Signals, signals: Signals, rows: int, num_frames: int
) -> Control:
    """The control of a whole episode (B, context + n), embedded in one call."""
    world = trial.world
    parts = world.conditioners.items()
    given = control.fill_start(parts, start, rows, world.device, world.dtype)
    time = (torch.arange(num_frames) - (world.backend.context - 1)).expand(rows, -1)
    filled = control.fill(parts, signals, time, world.dtype)
    cond = {n: c.embed(filled[n], time, c.start(given[n]))[0].zeroed() for n, c in parts}
    return Control(filled, cond)
