"""The coordinates in which plans are searched: [-1, 1] for a box of real numbers, numbers from 0 for choices.

A plan is (H, D): H blocks, D = prod(space.shape) components.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Protocol, final

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from cosmos_sdk.errors import SignalError


class Coordinates(Protocol):
    """How the numbers of a plan and actions (..., D) correspond."""

    @property
    def shape(self) -> tuple[int, ...]: ...  # of the space
    def action(self, unit: Tensor) -> Tensor: ...
    def unit(self, action: Tensor) -> Tensor: ...  # inside the bounds
    def held(self, actions: Tensor) -> Tensor: ...  # (B, H, block, D) as one action a block
    def middle(self, rows: int, size: tuple[int, int]) -> Tensor: ...  # (B, H, D), the cold start
    def spread(self, draws: Tensor) -> Tensor: ...  # uniform plans from draws (..., D) in [0, 1)


@final
class Box:
    """Real numbers within bounds, each component mapped to [-1, 1]."""

    def __init__(
        self, space: spaces.Space[Any] | None, signal: str, device: torch.device, dtype: torch.dtype
    ) -> None:
        """Raises SignalError for a space that is no box of real numbers, or that has no finite bounds."""
        if not isinstance(space, spaces.Box) or space.dtype.kind != "f":
            raise SignalError(
                f"The signal {signal!r} is {space}; this planner searches a Box of real numbers. "
                "Discrete and MultiDiscrete: 'categorical-cem' or 'random-shooting'."
            )
        if not (space.bounded_below.all() and space.bounded_above.all()):
            raise SignalError(
                f"The signal {signal!r} is {space}; give its ActionSpec finite bounds to plan within."
            )
        self.shape = space.shape
        self.low, self.high = (
            torch.as_tensor(bound, dtype=dtype, device=device).flatten()
            for bound in (space.low, space.high)
        )
        self._is_unit = bool((space.low == -1).all() and (space.high == 1).all())
        self._half = (self.high - self.low) * 0.5
        self._centre = self.low + self._half

    def action(self, unit: Tensor) -> Tensor:
        if self._is_unit:
            return unit
        actions = torch.addcmul(self._centre, self._half, unit)
        # the affine map may pass a bound by a rounding error; cutting that off must not stop gradients
        inside = actions.detach().clamp(self.low, self.high)
        return actions + (inside - actions.detach()) if actions.requires_grad else inside

    def unit(self, action: Tensor) -> Tensor:
        reach = (self.high - self.low).clamp_min(torch.finfo(self.low.dtype).tiny)
        return (2 * (action.to(self.low) - self.low) / reach - 1).clamp(-1, 1)

    def held(self, actions: Tensor) -> Tensor:
        return actions.mean(2)

    def middle(self, rows: int, size: tuple[int, int]) -> Tensor:
        return self.low.new_zeros(rows, *size)

    def spread(self, draws: Tensor) -> Tensor:
        return 2 * draws.to(self.low) - 1


@final
class Choices:
    """Numbers 0 .. n - 1 of each component of a Discrete or MultiDiscrete space, n its own: plans are int64."""

    def __init__(
        self, space: spaces.Space[Any] | None, signal: str, device: torch.device, dtype: torch.dtype
    ) -> None:
        """Raises SignalError for a space of another kind."""
        if not isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
            raise SignalError(
                f"The signal {signal!r} is {space}; this planner chooses from a Discrete or MultiDiscrete. "
                "A Box of real numbers: 'cem', 'icem' or 'mppi'."
            )
        self.shape = space.shape or ()
        many = space.n if isinstance(space, spaces.Discrete) else space.nvec
        self.count, self.first = (
            torch.as_tensor(np.full(self.shape, value), device=device).flatten().long()
            for value in (many, space.start)
        )  # (D,)

    @property
    def allowed(self) -> Tensor:
        """Which of the n choices of the largest component each one has, (D, n) bool."""
        return torch.arange(int(self.count.max()), device=self.count.device) < self.count[:, None]

    def action(self, unit: Tensor) -> Tensor:
        return unit + self.first

    def unit(self, action: Tensor) -> Tensor:
        numbers = action.nan_to_num().long() - self.first
        return numbers.clamp_min(0).minimum(self.count - 1)

    def held(self, actions: Tensor) -> Tensor:
        return actions[:, :, 0]

    def middle(self, rows: int, size: tuple[int, int]) -> Tensor:
        return self.count.new_zeros(rows, *size)

    def spread(self, draws: Tensor) -> Tensor:
        return (draws * self.count).long().minimum(self.count - 1)


@final
class Same:
    """A space as a key: itself, where spaces compare their bounds and have no hash."""

    def __init__(self, space: spaces.Space[Any] | None) -> None:
        self.space = space

    def __hash__(self) -> int:
        return id(self.space)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.space is self.space


@lru_cache(maxsize=32)  # one planner asks for the same ones in every decision
def of_space(
    key: Same,
    signal: str,
    device: torch.device,
    dtype: torch.dtype,
    kind: type[Box] | type[Choices] | None,
) -> Box | Choices:
    """The coordinates of a kind, of a space; None stands for the kind that fits it."""
    if kind is None:
        discrete = isinstance(key.space, spaces.Discrete | spaces.MultiDiscrete)
        kind = Choices if discrete else Box
    with torch.inference_mode(False):  # others who get the same may want gradients
        return kind(key.space, signal, device, dtype)
