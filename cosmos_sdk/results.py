"""What a metric or a task returns: figures with their n, interval and seed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """One measured figure."""

    name: str
    value: float
    unit: str = ""
    n: int = 1  # independent trials behind it
    ci95: tuple[float, float] | None = None  # 95 % interval
    seed: int | None = None
