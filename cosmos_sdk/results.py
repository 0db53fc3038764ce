"""What a metric or a task returns: figures with their n, interval and seed, and pictures to look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Result:
    """One measured figure."""

    name: str
    value: float
    unit: str = ""
    n: int = 1  # independent trials behind it
    ci95: tuple[float, float] | None = None  # 95 % interval
    seed: int | None = None


@dataclass(frozen=True, eq=False)
class Measurement:
    """Figures, and pictures (h, w, 3) uint8 RGB by what they show."""

    results: list[Result]
    pictures: Mapping[str, NDArray[np.uint8]] = field(
        default_factory=dict[str, "NDArray[np.uint8]"]
    )
