"""How a check speaks: the error, the comparisons, and the decorator that gives a check its number and its remedy."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping
from typing import ParamSpec

import torch
from gymnasium.error import Error as GymnasiumError
from torch import Tensor

from cosmos_sdk.errors import CosmosError

P = ParamSpec("P")

# fp64 tolerates the rounding of other kernels for other batch sizes; narrower floats appear where noise is drawn
_TOLERANCE = {
    torch.float64: 1e-10,
    torch.complex128: 1e-10,
    torch.float32: 1e-5,
    torch.complex64: 1e-5,
}


class ConformanceError(CosmosError):
    """A component breaks the contract: the number of the check, the tensor at fault, and the usual cause."""

    def __init__(self, number: int, title: str, problem: str, remedy: str) -> None:
        super().__init__(f"Check {number} ({title}): {problem} {remedy}")
        self.number, self.title = number, title


class Mismatch(Exception):
    """What a check found; the decorator adds which check it was."""


def check(number: int, remedy: str) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """Makes a function a check: what it finds, raises or warns becomes one `ConformanceError`.

    Args:
        number: of the check in the contract.
        remedy: the usual cause, and what to do.
    """

    def decorate(function: Callable[P, None]) -> Callable[P, None]:
        title = function.__name__.replace("_", " ")

        @functools.wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> None:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("error")
                    function(*args, **kwargs)
            except ConformanceError:
                raise
            except Mismatch as mismatch:
                raise ConformanceError(number, title, str(mismatch), remedy) from None
            except (
                CosmosError,
                ArithmeticError,
                AttributeError,
                LookupError,
                RuntimeError,
            ) as error:
                raise ConformanceError(number, title, _raised(error), remedy) from error
            except (AssertionError, TypeError, ValueError, Warning, GymnasiumError) as error:
                raise ConformanceError(number, title, _raised(error), remedy) from error

        return run

    return decorate


def _raised(error: Exception) -> str:
    return f"it raised {type(error).__name__}: {error}".rstrip(".") + "."


def demand(fact: bool, problem: str) -> None:
    """Raises a `Mismatch` unless the fact holds."""
    if not fact:
        raise Mismatch(problem)


def same_layout(got: Mapping[str, Tensor], expected: Mapping[str, Tensor], where: str) -> None:
    """The same tensors, of the same shapes and dtypes."""
    if odd := sorted(got.keys() ^ expected.keys()):
        side = "new" if odd[0] in got else "gone"
        raise Mismatch(f"{odd[0]} is {side} {where}.")
    for name, tensor in got.items():
        now, before = _layout(tensor), _layout(expected[name])
        demand(now == before, f"{name} is {now} {where}; expected {before}.")


def identical(got: Mapping[str, Tensor], expected: Mapping[str, Tensor], where: str) -> None:
    """The same bits (NaN equals NaN)."""
    same_layout(got, expected, where)
    for name, tensor in got.items():
        _compare(name, tensor, expected[name], 0.0, where)


def close(got: Mapping[str, Tensor], expected: Mapping[str, Tensor], where: str) -> None:
    """The same values up to the rounding of other kernels; whole numbers exactly."""
    same_layout(got, expected, where)
    for name, tensor in got.items():
        scale = max(1.0, rms(expected[name]))
        _compare(name, tensor, expected[name], _TOLERANCE.get(tensor.dtype, 0.0) * scale, where)


def finite(tensors: Mapping[str, Tensor], where: str) -> None:
    """No NaN and no infinity."""
    for name, tensor in tensors.items():
        demand(bool(torch.isfinite(tensor).all()), f"{name} holds NaN or infinity {where}.")


def rms(tensor: Tensor) -> float:
    """Root mean square; 0 of an empty tensor."""
    wide = (tensor.detach() if tensor.is_complex() else tensor.detach().double()).abs()
    return float(wide.square().mean().sqrt()) if tensor.numel() else 0.0


def _layout(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} {tensor.dtype}"


def _compare(name: str, got: Tensor, expected: Tensor, tolerance: float, where: str) -> None:
    wide = torch.complex128 if got.is_complex() else torch.float64
    # a double holds only 53 of the bits of a seed
    wide = wide if got.is_floating_point() or got.is_complex() else torch.int64
    a, b = got.detach().to(wide), expected.detach().to(wide)
    difference = (a - b).abs()
    wrong = (difference > tolerance) | (difference.isnan() & ~(a.isnan() & b.isnan()))
    wrong = wrong | (a.isinf() ^ b.isinf())
    if bool(wrong.any()):
        worst = (
            torch.where(wrong, difference.double().nan_to_num(torch.inf, torch.inf), -1.0)
            .flatten()
            .argmax()
        )
        place = [int(i) for i in torch.unravel_index(worst, wrong.shape)]
        values = (
            f"got {got[tuple(place)].item():.9g}"
            if not got.is_complex()
            else f"got {got[tuple(place)].item()}"
        )
        values += f", expected {expected[tuple(place)].item()}"
        count = f"{int(wrong.sum())} of {wrong.numel()} entries differ"
        raise Mismatch(
            f"{name} {where}: {values} at {place}; {count} by more than {tolerance:.2g}."
        )
