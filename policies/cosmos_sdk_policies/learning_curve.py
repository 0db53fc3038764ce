"""The figures of a run over its steps, as one picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosmos_sdk.training.contact_sheet import save_png
from cosmos_sdk.training.log import read

WIDTH, HEIGHT, COLUMNS = 320, 160, 3  # px of a panel; panels a row
LEFT, TOP, RIGHT, BOTTOM = 58, 22, 10, 24  # px around its curve
INK, FAINT, CURVE = (28, 36, 48), (222, 226, 232), (31, 111, 235)
Series = tuple[NDArray[Any], NDArray[Any]]


def learning_curve(log: Path, picture: Path) -> None:
    """Draws every figure of a `log.csv` that was written at two steps or more; nothing where there is none."""
    series: dict[str, tuple[list[float], list[float]]] = {}
    for row in read(log):
        steps, values = series.setdefault(row["name"], ([], []))
        steps.append(float(row["step"]))
        values.append(float(row["value"]))
    drawn = {
        name: (np.asarray(steps), np.asarray(values))
        for name, (steps, values) in series.items()
        if len(steps) > 1
    }
    if drawn:
        picture.parent.mkdir(parents=True, exist_ok=True)
        save_png(panels(drawn), picture)


def panels(series: Mapping[str, Series]) -> NDArray[np.uint8]:
    """Curves side by side, each with a scale of its own, as a picture (h, w, 3) RGB."""
    blank = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    drawn = [panel(name, *values) for name, values in series.items()]
    drawn += [blank] * (-len(drawn) % COLUMNS)
    rows = [np.concatenate(drawn[k : k + COLUMNS], 1) for k in range(0, len(drawn), COLUMNS)]
    return np.concatenate(rows)


def panel(name: str, steps: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """One curve with its name, and the values that its axes span."""
    import cv2

    picture = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    (low, high), (first, last) = _span(values), _span(steps)
    across, up = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def write(text: str, x: int, y: int) -> None:
        font = cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(picture, text, (x, y), font, 0.36, INK, 1, cv2.LINE_AA)

    cv2.rectangle(picture, (LEFT, TOP), (LEFT + across, TOP + up), FAINT)
    x = LEFT + across * (steps - first) / (last - first)
    y = TOP + up * (high - values) / (high - low)
    points = np.stack((x, y), -1).round().astype(np.int32)
    cv2.polylines(picture, [points], False, CURVE, 1, cv2.LINE_AA)
    write(name, LEFT, TOP - 7)
    write(f"{high:.3g}", 4, TOP + 8)
    write(f"{low:.3g}", 4, TOP + up)
    write(f"{last:.0f} steps", LEFT + across - 70, HEIGHT - 8)
    return picture


def _span(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)
