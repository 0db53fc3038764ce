"""What an action means: names, bounds, units, frame of reference, rate, normalisation. A robot is one and a dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, cast, final, get_args

import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike, NDArray

from cosmos_sdk.errors import ActionError, did_you_mean

Frame = Literal["world", "base", "gripper", "agent"]
Normalisation = Literal["affine", "quantile"]
OutOfBounds = Literal["clip", "refuse"]


def numbered(name: str, size: int) -> tuple[str, ...]:
    """Names for `size` dimensions of what has one name: `name_0`, `name_1`, ...; a single one is plain `name`."""
    return (name,) if size == 1 else tuple(f"{name}_{i}" for i in range(size))


@dataclass(frozen=True)
class Gripper:
    """Which dimension is the gripper, and whether larger values open it (+1) or close it (-1)."""

    index: int
    sign: Literal[1, -1]


@final
@dataclass(frozen=True)
class ActionSpec:
    """A continuous action of A dimensions, or one of `num_actions` discrete ones.

    Normalised actions are `(action - offset) / scale` in float64. With "affine" the bounds become [-1, 1]; with
    "quantile" the 1st and 99th percentile of a dataset do. Both are filled from the bounds when left empty.
    """

    names: tuple[str, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    units: tuple[str, ...] = ()
    frame: Frame = "world"  # of reference
    relative: bool = False  # to the pose at the moment of acting
    rate: float = 10.0  # Hz
    gripper: Gripper | None = None
    normalisation: Normalisation = "affine"
    offset: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()
    out_of_bounds: OutOfBounds = (
        "clip"  # a discrete action is always refused: the nearest number means nothing
    )
    num_actions: int | None = None

    def __post_init__(self) -> None:
        if problem := self._problem():
            raise ActionError(f"ActionSpec: {problem}")
        if not self.offset and not self.scale:
            offset, scale = _centre(self.low, self.high)
            object.__setattr__(self, "offset", offset)
            object.__setattr__(self, "scale", scale)

    @property
    def size(self) -> int:
        """A, the number of dimensions; 0 when discrete."""
        return len(self.names)

    @property
    def space(self) -> spaces.Box | spaces.Discrete:
        """The Gymnasium space of a raw action."""
        if self.num_actions is not None:
            return spaces.Discrete(self.num_actions)
        return spaces.Box(np.asarray(self.low, np.float32), np.asarray(self.high, np.float32))

    def check(self, action: ArrayLike) -> NDArray[Any]:
        """Returns actions (..., A) as float32 inside the bounds, or numbers (...) as int64.

        Raises:
            ActionError: wrong shape or dtype, NaN or infinity, or out of bounds where `out_of_bounds` is "refuse".
        """
        values = np.asarray(action)
        return (
            self._check_discrete(values)
            if self.num_actions is not None
            else self._check_box(values)
        )

    def normalise(self, action: ArrayLike) -> NDArray[np.float64]:
        """Raw (..., A) to normalised float64; discrete actions stay numbers.

        The way back is exact: a float32 that is 0 or at least 2**-26 of max(|offset|, scale) returns to its own bits.
        """
        if self.num_actions is not None:
            return np.asarray(action, np.float64)
        return (np.asarray(action, np.float64) - np.asarray(self.offset)) / np.asarray(self.scale)

    def denormalise(self, action: ArrayLike) -> NDArray[np.float64]:
        """Normalised (..., A) to raw float64, the inverse of `normalise`."""
        if self.num_actions is not None:
            return np.asarray(action, np.float64)
        offset, scale = np.asarray(self.offset), np.asarray(self.scale)
        raw = np.asarray(action, np.float64) * scale + offset
        rounding = 2.0**-48 * np.maximum(np.abs(offset), scale)
        return np.where(
            np.abs(raw) < rounding, 0.0, raw
        )  # a closed gripper comes back as 0, not as 1e-17

    def with_quantiles(self, q01: Sequence[float], q99: Sequence[float]) -> ActionSpec:
        """The same action, normalised by a dataset's 1st and 99th percentile (A,) each."""
        offset, scale = _centre(q01, q99)
        return replace(self, normalisation="quantile", offset=offset, scale=scale)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON or YAML; `from_dict` gives back an equal spec."""
        return {name: _thawed(value) for name, value in asdict(self).items()}

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> ActionSpec:
        """Reads what `to_dict` wrote.

        Raises:
            ActionError: an unknown key, or values that make no spec.
        """
        known = [field.name for field in fields(ActionSpec)]
        for key in values:
            if key not in known:
                raise ActionError(
                    f"ActionSpec has no {key!r}.{did_you_mean(key, known)} Known keys: {', '.join(known)}."
                )
        plain: dict[str, Any] = {key: _frozen(value) for key, value in values.items()}
        if plain.get("gripper") is not None:
            plain["gripper"] = Gripper(**plain["gripper"])
        return ActionSpec(**plain)

    @staticmethod
    def from_space(space: spaces.Space[Any], rate: float) -> ActionSpec:
        """The spec that a Gymnasium action space implies: absolute, in its own frame and units.

        Raises:
            ActionError: the space is neither a bounded Box of one axis nor a Discrete that starts at 0.
        """
        if isinstance(space, spaces.Discrete) and space.start == 0:
            return ActionSpec(num_actions=int(space.n), rate=rate)
        if isinstance(space, spaces.Box) and len(space.shape) == 1 and space.is_bounded():
            box = cast("spaces.Box[Any]", space)
            names = numbered("action", len(box.low))
            return ActionSpec(names, _floats(box.low), _floats(box.high), rate=rate)
        raise ActionError(
            f"No ActionSpec for {space}: expected a bounded Box of shape (A,), or Discrete(n) from 0."
        )

    def _problem(self) -> str:
        """The first reason why these values make no spec, or an empty string."""
        for name, kind in (
            ("frame", Frame),
            ("normalisation", Normalisation),
            ("out_of_bounds", OutOfBounds),
        ):
            if (given := getattr(self, name)) not in get_args(kind):
                return f"{name} is {given!r}; choose from {', '.join(get_args(kind))}."
        if not (np.isfinite(self.rate) and self.rate > 0):
            return f"rate is {self.rate}; expected a positive number of Hz."
        if self.num_actions is not None:
            fine = self.num_actions > 0 and not self.names
            return "" if fine else "a discrete action has num_actions > 0 and no names or bounds."
        return self._box_problem()

    def _box_problem(self) -> str:
        if not self.names or len(set(self.names)) != len(self.names):
            return f"names are {self.names}; expected one distinct name a dimension."
        if not len(self.names) == len(self.low) == len(self.high):
            return f"{len(self.names)} names need as many bounds; got {len(self.low)} low and {len(self.high)} high."
        for name in ("units", "offset", "scale"):
            if len(getattr(self, name)) not in (0, len(self.names)):
                return f"{name} has {len(getattr(self, name))} entries; expected {len(self.names)} or none."
        if bool(self.offset) != bool(self.scale) or any(value <= 0 for value in self.scale):
            return "offset and scale come together, and every scale is positive."
        numbers = np.asarray([*self.low, *self.high, *self.offset, *self.scale])
        if not np.isfinite(numbers).all() or any(
            a > b for a, b in zip(self.low, self.high, strict=True)
        ):
            return f"low {self.low} and high {self.high} have to be finite, low at most high."
        if self.gripper and not (
            0 <= self.gripper.index < self.size and self.gripper.sign in (1, -1)
        ):
            return f"gripper {self.gripper}: index within {self.size} dimensions and sign 1 or -1."
        return ""

    def _check_box(self, values: NDArray[Any]) -> NDArray[np.float32]:
        if values.dtype.kind != "f":
            raise ActionError(
                f"The action has dtype {values.dtype}; expected float32. Remedy: action.astype('float32')."
            )
        if values.ndim == 0 or values.shape[-1] != self.size:
            raise ActionError(
                f"The action has shape {values.shape}; expected (..., {self.size}): {', '.join(self.names)}."
            )
        if not np.isfinite(values).all():
            raise ActionError(
                f"The action holds NaN or infinity in {self._where(~np.isfinite(values))}."
            )
        low, high = np.asarray(self.low, np.float32), np.asarray(self.high, np.float32)
        narrow = values.astype(np.float32)
        outside = (narrow < low) | (narrow > high)
        if self.out_of_bounds == "refuse" and outside.any():
            worst = f"{self._where(outside)}: got {values[outside].tolist()}"
            raise ActionError(
                f"The action is out of bounds in {worst}; low {self.low}, high {self.high}."
            )
        return np.clip(narrow, low, high)

    def _check_discrete(self, values: NDArray[Any]) -> NDArray[np.int64]:
        if values.dtype.kind not in "iu":
            raise ActionError(
                f"The action has dtype {values.dtype}; expected a whole number of 0..{self._last}."
            )
        if ((values < 0) | (values > self._last)).any():
            raise ActionError(f"The action is {values.tolist()}; expected 0..{self._last}.")
        return values.astype(np.int64)

    @property
    def _last(self) -> int:
        return (self.num_actions or 1) - 1

    def _where(self, wrong: NDArray[np.bool_]) -> str:
        axes: list[bool] = np.any(wrong.reshape(-1, self.size), axis=0).tolist()
        return ", ".join(name for name, bad in zip(self.names, axes, strict=True) if bad)


def _frozen(value: Any) -> Any:
    return tuple(cast("list[Any]", value)) if isinstance(value, list) else value


def _thawed(value: Any) -> Any:
    return list(cast("tuple[Any, ...]", value)) if isinstance(value, tuple) else value


def _floats(values: NDArray[Any]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _centre(
    low: Sequence[float], high: Sequence[float]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Centre and half width of each range; a dimension that never moves gets width 1."""
    lows, highs = np.asarray(low, np.float64), np.asarray(high, np.float64)
    half = (highs - lows) / 2
    return _floats((lows + highs) / 2), _floats(np.where(half > 0, half, 1.0))
