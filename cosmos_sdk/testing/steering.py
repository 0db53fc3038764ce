"""Checks 9, 10 and 12: signals matter, only from their own time on, and only where they exist."""

from __future__ import annotations

from typing import Any, cast

import torch
from gymnasium import spaces
from torch import Tensor

from cosmos_sdk.state import Masked, WorldState
from cosmos_sdk.testing.conformance import check, close, demand, finite, identical, rms
from cosmos_sdk.testing.learning import backend_loss, is_trainable, make_batch
from cosmos_sdk.testing.rows import select
from cosmos_sdk.testing.trial import ROWS, Trial, make_opening, masked_at_random


@check(
    9,
    "Usual cause: the conditioner's tokens are not used in predict, or its space has bounds far wider than what the "
    "data holds. Add the embedding of every name in control.cond to what the frame is made from.",
)
def signals_change_the_step(trial: Trial) -> None:
    """9: a tenth of the range of a per-frame signal moves latents (of whole-numbered latents: features)."""
    state = trial.states["running"]
    signals = trial.signals(len(state))
    base = trial.world.step(state, signals)[0]
    for name, conditioner in trial.world.conditioners.items():
        if conditioner.space is None:
            continue
        moved = perturb(signals[name], conditioner.space)
        other = trial.world.step(state, {**signals, name: moved})[0]
        change = max(_change(other.latents, base.latents), _change(other.features, base.features))
        demand(
            change > 1e-6,
            f"latents move by {change:.1e} of their rms under a tenth of the range of {name!r}.",
        )


def _change(got: Tensor, base: Tensor) -> float:
    return rms((got - base).double()) / max(rms(base), 1e-12)


def perturb(signal: Tensor, space: spaces.Space[Any]) -> Tensor:
    """The signal moved by a tenth of its range, towards the middle; another choice where it is discrete."""
    if isinstance(space, spaces.Discrete):
        return space.start + (signal - space.start + 1) % int(space.n)
    if isinstance(space, spaces.MultiDiscrete):
        return (signal + 1) % torch.as_tensor(cast("Any", space).nvec)
    if isinstance(space, spaces.MultiBinary):
        return 1 - signal
    box = cast("Any", space)  # numpy leaves the type of its bounds open
    low, high = torch.as_tensor(box.low), torch.as_tensor(box.high)
    if not signal.is_floating_point():
        return torch.where(signal < high, signal + 1, low.to(signal))
    bounded = low.isfinite() & high.isfinite()
    low, high = (
        torch.where(bounded, low, -1.0).to(signal),
        torch.where(bounded, high, 1.0).to(signal),
    )
    away = torch.where(signal > (low + high) / 2, -0.1, 0.1).to(signal)
    return signal + away * (high - low)


@check(
    10,
    "Usual cause: attention or a convolution over time without its causal mask, in predict or in loss. Frame f may see "
    "frames up to f; only the frames of one chunk are made together.",
)
def the_future_does_not_reach_back(trial: Trial) -> None:
    """10: signals of predict j change no predict before it, nor, in training, features of frames before its chunk."""
    state, chunk = trial.states["running"], trial.world.backend.chunk
    signals = trial.signals(len(state), predicts=3)
    if not signals:
        return
    changed = {n: _last_frame(s, trial.world.conditioners[n].space) for n, s in signals.items()}
    base, other = (trial.world.rollout(state, s, keep_latents=True) for s in (signals, changed))
    heads = {f"values/{n}": v for n, v in base.values.items() if n in trial.world.heads}
    told = {name: v[:, : 2 * chunk] for name, v in heads.items()}
    same = {name: other.values[name.removeprefix("values/")][:, : 2 * chunk] for name in told}
    assert base.latents is not None
    assert other.latents is not None
    past = {"latents": base.latents[:, :2], **told}
    identical(
        {"latents": other.latents[:, :2], **same},
        past,
        "of predicts 1 and 2, after a change of predict 3's signals",
    )
    features_are_causal(trial)


def _last_frame(signal: Tensor, space: spaces.Space[Any] | None) -> Tensor:
    assert space is not None
    return torch.cat((signal[:, :-1], perturb(signal[:, -1:], space)), 1)


def features_are_causal(trial: Trial) -> None:
    """In the loss too: a backend that trains on what it will not see when it predicts has learned to cheat."""
    if not is_trainable(trial):
        return
    batch = make_batch(trial, ROWS)
    changed: dict[str, Masked] = {}
    for name, signal in batch.signals.items():
        assert isinstance(signal, Masked)
        values = _last_frame(signal.values, trial.world.conditioners[name].space)
        changed[name] = Masked(values, signal.mask)
    chunk = trial.world.backend.chunk
    base, other = (backend_loss(trial, batch, signals)[1] for signals in (batch.signals, changed))
    where = (
        "of frames before the last chunk in the loss, after a change of the last frame's signals"
    )
    close({"features": other[:, :-chunk]}, {"features": base[:, :-chunk]}, where)


@check(
    12,
    "Usual cause: a softmax over tokens that are all masked (NaN: add a learned null token that is always there), or a "
    "decision taken for the whole batch. Absence is a mask per row and frame, never a value.",
)
def absence_is_a_mask(trial: Trial) -> None:
    """12: what is masked never matters, a world without any signal is finite, and rows lack signals one by one."""
    for label, state in trial.states.items():
        signals = trial.signals(len(state))
        _masked_content_is_ignored(trial, label, state, signals)
        alone = trial.step(state, {})[1]
        finite(alone, f"one step after the {label} state, without any signal")
        present = torch.arange(len(state)) % 2 == 0
        mixed = {n: Masked(v, present[:, None].expand(v.shape[:2])) for n, v in signals.items()}
        got = select(trial.step(state, mixed)[1], ~present)
        close(
            got,
            select(alone, ~present),
            f"of the rows without signals, among rows with them ({label} state)",
        )
    if trial.frames:
        _resets_without_signals(trial)


def _masked_content_is_ignored(
    trial: Trial, label: str, state: WorldState, signals: dict[str, Tensor]
) -> None:
    masked = masked_at_random(signals, 2, trial.random)
    expected = trial.step(state, masked)[1]
    for content in (1e3, float("nan")):
        junk = {name: _with_content(signal, content) for name, signal in masked.items()}
        identical(
            trial.step(state, junk)[1],
            expected,
            f"depends on masked values ({content:g}, {label} state)",
        )


def _with_content(signal: Masked, content: float) -> Masked:
    """Junk where nothing exists; whole numbers have no NaN."""
    hidden = ~signal.mask.view(*signal.mask.shape, *[1] * (signal.values.ndim - signal.mask.ndim))
    junk = content if signal.values.is_floating_point() or content == content else -(2**31)
    return Masked(signal.values.masked_fill(hidden, junk), signal.mask)


def _resets_without_signals(trial: Trial) -> None:
    seeds = trial.seeds(ROWS)
    opening = make_opening(trial.world, seeds)
    bare = trial.world.reset(opening.frames, {}, seeds)
    finite(bare.tensors(), "after a reset without signals")
    finite(trial.step(bare, trial.signals(ROWS))[1], "one step after a reset without signals")
    present = torch.arange(ROWS) % 2 == 0
    start = {n: Masked(v, present) for n, v in opening.start.items()}
    history = {
        n: Masked(v, present[:, None].expand(v.shape[:2])) for n, v in opening.history.items()
    }
    mixed = trial.world.reset(opening.frames, start, seeds, history)
    rows = select(mixed.tensors(), ~present)
    close(
        rows,
        select(bare.tensors(), ~present),
        "of the rows reset without signals, among rows with them",
    )
