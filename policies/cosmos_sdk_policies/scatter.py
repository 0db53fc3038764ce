"""A scatter plot with intervals and names, as a picture (h, w, 3): what a ranking looks like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Pair = tuple[float, float]
SIDE, LEFT, TOP, LEGEND = 420, 70, 40, 250  # px
INK, FAINT = (28, 36, 48), (222, 226, 232)
COLOURS = (
    (31, 111, 235),
    (209, 36, 47),
    (26, 127, 55),
    (154, 103, 0),
    (130, 80, 223),
    (12, 148, 155),
)


@dataclass(frozen=True)
class Point:
    """A name, a place (x, y), and the intervals of x and of y."""

    name: str
    place: Pair
    intervals: tuple[Pair, Pair]


def scatter(
    points: Sequence[Point], x_label: str, y_label: str, limits: Pair | None = None
) -> NDArray[np.uint8]:
    """Both axes have the same limits, by default those of the points, so that the diagonal means agreement."""
    import cv2

    low, high = limits or _limits(points)
    picture = np.full((TOP + SIDE + 60, LEFT + SIDE + LEGEND, 3), 255, np.uint8)

    def at(x: float, y: float) -> tuple[int, int]:
        across, up = ((min(max(v, low), high) - low) / (high - low) for v in (x, y))
        return LEFT + round(SIDE * across), TOP + SIDE - round(SIDE * up)

    def write(text: str, place: tuple[int, int], colour: tuple[int, int, int] = INK) -> None:
        font = cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(picture, text, place, font, 0.42, colour, 1, cv2.LINE_AA)

    for tick in np.linspace(low, high, 5).tolist():
        cv2.line(picture, at(tick, low), at(tick, high), FAINT)
        cv2.line(picture, at(low, tick), at(high, tick), FAINT)
        x, y = at(tick, low)
        write(f"{tick:.3g}", (x - 12, y + 18))
        write(f"{tick:.3g}", (LEFT - 48, at(low, tick)[1] + 4))
    cv2.line(picture, at(low, low), at(high, high), (150, 158, 170), 1, cv2.LINE_AA)
    for number, point in enumerate(points):
        colour = COLOURS[number % len(COLOURS)]
        (x0, x1), (y0, y1) = point.intervals
        x, y = point.place
        if np.isfinite([x0, x1, y0, y1]).all():
            cv2.line(picture, at(x0, y), at(x1, y), colour, 1, cv2.LINE_AA)
            cv2.line(picture, at(x, y0), at(x, y1), colour, 1, cv2.LINE_AA)
        cv2.circle(picture, at(x, y), 5, colour, -1, cv2.LINE_AA)
        write(str(number + 1), (at(x, y)[0] + 7, at(x, y)[1] - 6), colour)
        write(f"{number + 1}  {point.name}", (LEFT + SIDE + 20, TOP + 16 + 20 * number), colour)
    write(x_label, (LEFT + SIDE // 2 - 40, TOP + SIDE + 45))
    write(y_label, (8, TOP - 22))
    return picture


def _limits(points: Sequence[Point]) -> Pair:
    values = np.array([[*p.place, *p.intervals[0], *p.intervals[1]] for p in points])
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    margin = 0.05 * (high - low) or 1.0
    return low - margin, high + margin
