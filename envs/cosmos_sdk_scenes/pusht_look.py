"""How a Push-T scene looks and how large its bodies are: what recordings randomise, and harder tests shift.

Training draws and shifted draws have no value in common, and the standard bodies are among the former: hues lie in
every other sixth of the circle, sizes inside an interval or beyond its ends.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Colour = tuple[int, int, int]  # RGB, each 0 to 255
Draw = Literal["standard", "training", "shifted"]

AGENT_RADIUS, BLOCK_SCALE = 15.0, 30.0  # px, of gym-pusht
RADII = {"training": ((11.0, 20.0),), "shifted": ((8.0, 10.0), (21.0, 24.0))}  # px
SCALES = {"training": ((24.0, 36.0),), "shifted": ((20.0, 23.0), (37.0, 40.0))}  # px
FIRST_SIXTH = {"training": 1, "shifted": 0}  # of the circle of hues; and every other one from there
CONTRAST = 100.0  # distance in RGB, of 442, from what a body is seen on
GOAL_COLOUR = (144, 238, 144)
COLOURED = ("agent", "block", "background")


@dataclass(frozen=True)
class Look:
    """Sizes and colours; the default is gym-pusht's."""

    agent_radius: float = AGENT_RADIUS  # px
    block_scale: float = BLOCK_SCALE  # px, thickness of the T: it is four times as wide and as high
    agent: Colour = (65, 105, 225)
    block: Colour = (119, 136, 153)
    background: Colour = (255, 255, 255)

    @property
    def size(self) -> float:
        """Lengths of the block, of gym-pusht's."""
        return self.block_scale / BLOCK_SCALE

    def vector(self) -> NDArray[np.float64]:
        """All of it in numbers (11,), in the order of `NAMES`."""
        return np.array(
            [self.agent_radius, self.block_scale, *self.agent, *self.block, *self.background],
            np.float64,
        )

    @classmethod
    def of(cls, vector: NDArray[Any]) -> Look:
        """What `vector` (11,) says; colours are rounded."""
        radius, scale, *rest = np.asarray(vector, np.float64).tolist()
        agent, block, background = (
            (round(rest[k]), round(rest[k + 1]), round(rest[k + 2])) for k in (0, 3, 6)
        )
        return cls(radius, scale, agent, block, background)


NAMES = (
    "agent_radius",
    "block_scale",
    *(f"{what}_{channel}" for what in COLOURED for channel in ("red", "green", "blue")),
)
STANDARD = Look()


def draw_look(rng: Generator, colours: Draw = "standard", sizes: Draw = "standard") -> Look:
    """A look whose colours and sizes are drawn, or left as they are."""
    look = STANDARD
    if colours != "standard":
        agent, block, background = draw_colours(rng, colours)
        look = Look(look.agent_radius, look.block_scale, agent, block, background)
    if sizes != "standard":
        radius, scale = _within(rng, RADII[sizes]), _within(rng, SCALES[sizes])
        look = Look(radius, scale, look.agent, look.block, look.background)
    return look


def draw_colours(rng: Generator, draw: Draw) -> tuple[Colour, Colour, Colour]:
    """Colours of agent, block and background; both bodies stand out against background and goal."""
    first = FIRST_SIXTH[draw]
    while True:
        background = _colour(rng, first, (0.1, 0.4), (0.6, 1.0))
        agent = _colour(rng, first, (0.5, 1.0), (0.5, 1.0))
        block = _colour(rng, first, (0.15, 1.0), (0.3, 0.9))
        if all(_apart(b, c) for b in (agent, block) for c in (background, GOAL_COLOUR)):
            return agent, block, background


def _colour(
    rng: Generator, first: int, saturation: tuple[float, float], value: tuple[float, float]
) -> Colour:
    within = rng.uniform(0.1, 0.9)  # whole numbers round pale hues
    hue = (2 * rng.integers(3) + first + within) / 6
    red, green, blue = colorsys.hsv_to_rgb(hue, rng.uniform(*saturation), rng.uniform(*value))
    return round(255 * red), round(255 * green), round(255 * blue)


def _apart(one: Colour, other: Colour) -> bool:
    return float(np.linalg.norm(np.subtract(one, other))) > CONTRAST


def _within(rng: Generator, intervals: tuple[tuple[float, float], ...]) -> float:
    return rng.uniform(*intervals[rng.integers(len(intervals))])
