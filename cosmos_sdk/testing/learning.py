"""Check 13: losses are per row, blind to padding, and reach every parameter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from cosmos_sdk import control
from cosmos_sdk.protocols import Batch, TrainableBackend, TrainableHead
from cosmos_sdk.rng import TRAINING, Rng
from cosmos_sdk.state import Masked, Signals, Tensors
from cosmos_sdk.testing.cache import embed_all
from cosmos_sdk.testing.conformance import check, close, demand, identical
from cosmos_sdk.testing.trial import ROWS, Trial, make_opening, masked_at_random, sample_all


def is_trainable(trial: Trial) -> bool:
    """True for a backend with a loss, in a world that starts from frames."""
    return trial.frames and callable(getattr(trial.world.backend, "loss", None))


def make_batch(trial: Trial, rows: int, padding: int = 0, masks: bool = False) -> Batch:
    """Sequences (rows, context + 2 chunk) of noise; `padding` frames at the end of row 1 are not valid."""
    world = trial.world
    num_frames = world.backend.context + 2 * world.backend.chunk
    assert world.spec is not None
    frames = trial.random.integers(
        0, 256, (rows, num_frames, world.spec.frames[0], 3, *world.spec.frames[1:]), "uint8"
    )
    valid = torch.ones(rows, num_frames, dtype=torch.bool)
    if padding:
        valid[1, -padding:] = False
    opening = make_opening(world, trial.seeds(rows))
    spaces_of = {name: c.space for name, c in world.conditioners.items()}
    signals = {
        n: present(s, 2) for n, s in sample_all(spaces_of, (rows, num_frames), trial.random).items()
    }
    start: Mapping[str, Masked] = {n: present(s, 1) for n, s in opening.start.items()}
    if masks:
        signals = masked_at_random({n: s.values for n, s in signals.items()}, 2, trial.random)
        start = masked_at_random(opening.start, 1, trial.random)
    drawn = sample_all(world.spec.targets, (rows, num_frames), trial.random)
    targets = {
        n: present(v.to(world.dtype) if v.is_floating_point() else v, 2) for n, v in drawn.items()
    }
    return Batch(torch.as_tensor(frames), valid, start, signals, targets)


def present(values: Tensor, lead: int) -> Masked:
    """Values that exist everywhere."""
    return Masked(values, torch.ones(values.shape[:lead], dtype=torch.bool))


def loss_rng(rows: int) -> Rng:
    """The randomness of a training step, each row with its own seed."""
    seed = torch.arange(rows) + 11
    return Rng(seed, torch.zeros_like(seed), TRAINING)


def backend_loss(trial: Trial, batch: Batch, signals: Signals) -> tuple[Tensors, Tensor]:
    """The terms and the features of the backend's own loss."""
    world = trial.world
    rows, num_frames = batch.valid.shape
    embedded = embed_all(
        trial, batch.start, control.restrict(signals, batch.valid), rows, num_frames
    )
    backend = cast("TrainableBackend", world.backend)
    return backend.loss(world.tokenizer.encode(batch.frames), embedded, batch.valid, loss_rng(rows))


@check(
    13,
    "Usual cause: a mean over the whole batch or over padding (losses are (B,); average over valid frames only), a "
    "random draw whose size depends on B, or a layer that no term uses. Freeze what is not to learn by requires_grad.",
)
def losses_are_per_row(trial: Trial) -> None:
    """13: (B,) terms, blind to padding, the same for a row alone; gradients reach every parameter."""
    if not is_trainable(trial):
        return
    with torch.no_grad():
        _padding_is_ignored(trial)
    _gradients_reach_everything(trial)


def _padding_is_ignored(trial: Trial) -> None:
    batch = make_batch(trial, ROWS, padding=trial.world.backend.chunk)
    losses = trial.world.loss(batch, loss_rng(ROWS))
    demand(bool(losses), "it has no term.")
    for name, term in losses.items():
        demand(
            tuple(term.shape) == (ROWS,),
            f"{name} has shape {tuple(term.shape)}; expected ({ROWS},), one per row.",
        )
    frames = batch.frames.clone()
    frames[~batch.valid] = 255 - frames[~batch.valid]
    signals = {n: _scrambled(s, batch.valid) for n, s in batch.signals.items()}
    targets = {n: _scrambled(t, batch.valid) for n, t in batch.targets.items()}
    junk = Batch(frames, batch.valid, batch.start, signals, targets)
    identical(trial.world.loss(junk, loss_rng(ROWS)), losses, "depends on the content of padding")
    alone = trial.world.loss(_first_row(batch), loss_rng(1))
    close(alone, {name: term[:1] for name, term in losses.items()}, "of row 0, computed alone")


def _scrambled(signal: Tensor | Masked, valid: Tensor) -> Masked:
    assert isinstance(signal, Masked)
    values = signal.values.clone()
    values[~valid] = values.roll(1, 0)[~valid]
    return Masked(values, signal.mask)


def _first_row(batch: Batch) -> Batch:
    def first(part: Mapping[str, Tensor | Masked]) -> dict[str, Masked]:
        return {
            n: Masked(s.values[:1], s.mask[:1]) for n, s in part.items() if isinstance(s, Masked)
        }

    return Batch(
        batch.frames[:1],
        batch.valid[:1],
        first(batch.start),
        first(batch.signals),
        first(batch.targets),
    )


def _gradients_reach_everything(trial: Trial) -> None:
    """Summed over 4 batches with random masks: a null token has no gradient where nothing is missing."""
    learners, tokenizer = _learners(trial), trial.world.tokenizer
    frozen = [id(w) for w in tokenizer.parameters()] if isinstance(tokenizer, nn.Module) else []
    wanted = {
        f"{n}.{p}": w
        for n, part in learners.items()
        for p, w in part.named_parameters()
        if w.requires_grad and id(w) not in frozen
    }
    parameters = list(wanted.values())
    reached = [torch.zeros((), dtype=torch.float64) for _ in parameters]
    for _ in range(4):
        total = _total(trial.world.loss(make_batch(trial, ROWS, 0, True), loss_rng(ROWS)))
        if parameters:
            reached = [r + g for r, g in zip(reached, _sizes(total, parameters), strict=True)]
    missed = [name for name, r in zip(wanted, reached, strict=True) if not float(r) > 0]
    demand(
        not missed,
        f"no gradient reaches {', '.join(missed[:5])} ({len(missed)} of {len(wanted)} parameters).",
    )


def _total(losses: Tensors) -> Tensor:
    return torch.stack([term.sum() for term in losses.values()]).sum()


def _sizes(total: Tensor, parameters: list[nn.Parameter]) -> list[Tensor]:
    if not total.requires_grad:
        return [torch.zeros(()) for _ in parameters]
    grads = torch.autograd.grad(total, parameters, allow_unused=True, materialize_grads=True)
    return [grad.abs().sum() for grad in grads]


def unreached(losses: Tensors, wanted: Mapping[str, nn.Parameter]) -> list[str]:
    """The parameters on which no loss depends."""
    sizes = _sizes(_total(losses), list(wanted.values()))
    return [name for name, size in zip(wanted, sizes, strict=True) if not float(size) > 0]


def _learners(trial: Trial) -> dict[str, nn.Module]:
    """What `WorldModel.loss` trains: not the tokenizer, nor heads without a target in the spec."""
    world = trial.world
    parts: dict[str, object] = {"backend": world.backend, **dict(world.conditioners.items())}
    for name, part in (*world.heads.items(), *world.readouts.items()):
        if (
            isinstance(part, TrainableHead)
            and world.spec is not None
            and name in world.spec.targets
        ):
            parts[name] = part
    return {name: part for name, part in parts.items() if isinstance(part, nn.Module)}
