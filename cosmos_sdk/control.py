"""From what a caller gives to what components take: every signal present, of one shape, masked where absent."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# The bounds of Gymnasium's spaces do not declare what they hold.
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import torch
import torch.nn.functional as F
from gymnasium import spaces
from torch import Tensor

from cosmos_sdk.errors import PluginError, ShapeError, SignalError, did_you_mean
from cosmos_sdk.protocols import Conditioner
from cosmos_sdk.state import Masked, Signals

Conditioners = Sequence[tuple[str, Conditioner]]


@final
class Filled(dict[str, Masked]):
    """The signals of every conditioner as `fill` gives them. Who makes one vouches for it; nobody checks it again."""


def fill(conditioners: Conditioners, signals: Signals, time: Tensor, dtype: torch.dtype) -> Filled:
    """The per-frame signals of every conditioner, (B, K, *space.shape) and (B, K), zeros where masked.

    Raises:
        SignalError: an unknown name, or a value that is not finite.
        ShapeError: a signal of another shape.
    """
    _check_names(conditioners, signals, "signal")
    lead = tuple(time.shape)
    return Filled(
        (n, _present(n, signals.get(n), c.space, lead, time.device, dtype)) for n, c in conditioners
    )


def fill_start(
    conditioners: Conditioners, start: Signals, rows: int, device: torch.device, dtype: torch.dtype
) -> dict[str, Masked]:
    """The once-per-episode signals of every conditioner, (B, *start_space.shape) and (B,)."""
    _check_names(conditioners, start, "start signal")
    return {
        n: _present(n, start.get(n), c.start_space, (rows,), device, dtype) for n, c in conditioners
    }


def _check_names(conditioners: Conditioners, signals: Signals, kind: str) -> None:
    known = [name for name, _ in conditioners]
    for name in signals:
        if name not in known:
            choices = ", ".join(known) or "none"
            raise SignalError(
                f"Unknown {kind} {name!r}.{did_you_mean(name, known)} This world takes: {choices}."
            )


def _present(
    name: str,
    given: Tensor | Masked | None,
    space: spaces.Space[Any] | None,
    lead: tuple[int, ...],
    device: torch.device,
    dtype: torch.dtype,
) -> Masked:
    """One signal as Masked; a missing one is masked zeros of the right shape."""
    shape = (space.shape or ()) if space else (0,)
    discrete = space is not None and space.dtype is not None and space.dtype.kind in "iub"
    kind = torch.int64 if discrete else dtype
    if given is None or (space is None and not _numel(given)):
        return Masked(
            torch.zeros(*lead, *shape, dtype=kind, device=device),
            torch.zeros(lead, dtype=torch.bool, device=device),
        )
    if space is None:
        raise SignalError(
            f"The signal {name!r} is not taken here: its conditioner declares no space for it."
        )
    values, mask = (given.values, given.mask) if isinstance(given, Masked) else (given, None)
    expected = (*lead, *shape)
    if tuple(values.shape) != expected:
        raise ShapeError(
            f"signal {name!r}", tuple(values.shape), f"{expected}, rows and frames first"
        )
    if discrete and values.is_floating_point():
        raise ShapeError(f"signal {name!r}", values.dtype, f"whole numbers for {space}")
    if mask is not None and tuple(mask.shape) != lead:
        raise ShapeError(f"the mask of signal {name!r}", tuple(mask.shape), lead)
    values = values.to(device, kind)
    if mask is None:  # present everywhere: nothing to zero
        masked = Masked(values, torch.ones(lead, dtype=torch.bool, device=device))
    else:
        masked = Masked(values, mask.to(device)).zeroed()
    _check_values(name, masked.values, space)
    return masked


def _check_values(name: str, values: Tensor, space: spaces.Space[Any]) -> None:
    if values.device.type == "meta":
        return
    if values.is_floating_point() and not _is_finite(values):
        raise SignalError(
            f"The signal {name!r} holds NaN or infinity. To leave a signal out, mask it: Masked(values, mask)."
        )
    bounds = whole_bounds(space)
    if bounds is None:
        return
    low, high = (bound.to(values.device) for bound in bounds)
    # masked entries were zeroed, and 0 stands for absence there
    if bool(((values != 0) & ((values < low) | (values > high))).any()):
        got: list[int] = sorted(set(values.flatten().tolist()))
        raise SignalError(f"The signal {name!r} must lie in {space}; got {got}.")


def _is_finite(values: Tensor) -> bool:
    """A sum is finite where all its terms are, unless it overflows: one pass, where asking each takes several."""
    return bool(values.sum().isfinite()) or bool(torch.isfinite(values).all())


def whole_bounds(space: spaces.Space[Any]) -> tuple[Tensor, Tensor] | None:
    """The least and the greatest entries of a space of whole numbers; None for others."""
    low: Any
    high: Any
    if isinstance(space, spaces.Discrete):
        low, high = space.start, space.start + space.n - 1
    elif isinstance(space, spaces.MultiDiscrete):
        low, high = space.start, space.start + space.nvec - 1
    elif isinstance(space, spaces.Box) and space.dtype.kind in "iu":
        low, high = space.low, space.high
    else:
        return None
    return torch.as_tensor(low, dtype=torch.int64), torch.as_tensor(high, dtype=torch.int64)


def _numel(given: Tensor | Masked) -> int:
    return (given.values if isinstance(given, Masked) else given).numel()


def check_tokens(name: str, conditioner: Conditioner, tokens: Masked, time: Tensor) -> Masked:
    """Holds a conditioner to (B, K|1, V|1, N, D) and its mask to (B, K|1, V|1, N)."""
    rows, num_frames = time.shape
    shape, expected = (
        tuple(tokens.values.shape),
        (rows, f"{num_frames}|1", "V|1", conditioner.num_tokens, conditioner.width),
    )
    fits = len(shape) == 5 and shape[0] == rows and shape[1] in (1, num_frames)
    if not fits or shape[3:] != expected[3:] or tuple(tokens.mask.shape) != shape[:4]:
        got = f"values {shape}, mask {tuple(tokens.mask.shape)}"
        remedy = "Run cosmos_sdk.testing.check_conditioner on it."
        raise PluginError(
            name, f"embed returned {got}; expected values {expected} and a mask without D.", remedy
        )
    return tokens


def check_frames(frames: Tensor, expected: tuple[int, int, int] | None) -> None:
    """Holds frames to (B, F, V, 3, h, w) uint8, of the spec's (V, h, w) where it is known."""
    want = ("B", "F", expected[0], 3, *expected[1:]) if expected else ("B", "F", "V", 3, "h", "w")
    shape = tuple(frames.shape)
    fits = (
        len(shape) == 6
        and shape[1] > 0
        and shape[3] == 3
        and (not expected or shape[2:] == want[2:])
    )
    if not fits or frames.dtype != torch.uint8:
        raise ShapeError("frames", f"{shape} {frames.dtype}", f"{want} torch.uint8, RGB")


def repeat_first(sequence: Tensor, length: int) -> Tensor:
    """Left-pads (B, n, ...) to at least `length` by repeating its first entry: a short history stood still."""
    missing = length - sequence.shape[1]
    if missing <= 0:
        return sequence
    return torch.cat((sequence[:, :1].expand(-1, missing, *sequence.shape[2:]), sequence), 1)


def left_pad(signals: Signals, length: int) -> dict[str, Masked]:
    """The last `length` signals; what lies before the given ones is masked."""
    return {name: _left_pad(_as_masked(signal), length) for name, signal in signals.items()}


def _left_pad(signal: Masked, length: int) -> Masked:
    values, mask = signal.values[:, -length:], signal.mask[:, -length:]
    missing = length - values.shape[1]
    before = values.new_zeros(values.shape[0], missing, *values.shape[2:])
    return Masked(torch.cat((before, values), 1), F.pad(mask, (missing, 0)))


def restrict(signals: Signals, valid: Tensor) -> dict[str, Masked]:
    """Signals (B, F, ...) that exist only where frames do, `valid` (B, F)."""
    masked = {name: _as_masked(signal) for name, signal in signals.items()}
    return {name: Masked(signal.values, signal.mask & valid) for name, signal in masked.items()}


def _as_masked(signal: Tensor | Masked) -> Masked:
    if isinstance(signal, Masked):
        return signal
    return Masked(signal, torch.ones(signal.shape[:2], dtype=torch.bool, device=signal.device))


def num_frames(signals: Signals) -> int:
    """K, the number of frames that the signals cover.

    Raises:
        ShapeError: no signal was given, or two cover different numbers of frames.
    """
    counts = {
        name: (signal.mask if isinstance(signal, Masked) else signal).shape[1]
        for name, signal in signals.items()
    }
    if len(set(counts.values())) != 1:
        raise ShapeError(
            "the number of frames of the signals",
            counts or "unknown: none was given",
            "one number for all",
        )
    return next(iter(counts.values()))


def frames_of(signals: Signals, index: slice) -> Signals:
    """The signals of some frames."""
    if isinstance(signals, Filled):
        return Filled((name, _part(signal, index)) for name, signal in signals.items())
    return {
        name: _part(signal, index) if isinstance(signal, Masked) else signal[:, index]
        for name, signal in signals.items()
    }


def _part(signal: Masked, index: slice) -> Masked:
    return Masked(signal.values[:, index], signal.mask[:, index])
