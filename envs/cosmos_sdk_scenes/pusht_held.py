"""Data as planners act: an action held for a few steps, most of them aimed at the block, at any speed.

A scripted push is straight, square to an edge and seldom fast. A planner tries everything else, and believes what a
world says of it; so a world to plan in has to have seen glancing, hasty and reckless pushes too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from cosmos_sdk_scenes.pusht_scripted import LookConfig, Scene, outline, place, scattered

SPREAD = 25.0  # px around a contact point that is aimed at


@dataclass(frozen=True)
class HeldConfig(LookConfig):
    """For how long an action is held, and how many are aimed."""

    shortest: int = 3  # steps
    longest: int = 7
    aimed: float = 0.7  # share of the actions; the others are uniform

    def __post_init__(self) -> None:
        if not 1 <= self.shortest <= self.longest or not 0 <= self.aimed <= 1:
            got = f"shortest={self.shortest}, longest={self.longest}, aimed={self.aimed}"
            raise ValueError(f"{got}; expected 1 <= shortest <= longest and a share in [0, 1]")


class PushTHeld:
    """Recorder `pusht-held`: from a placement of `pusht-scatter`, actions (2,) that are held."""

    def __init__(self, config: HeldConfig, env: str) -> None:
        """Raises ConfigError for a look that the scene does not have."""
        config.check("pusht-held", env)
        self.config = config

    def reset(self, rng: Generator, simulator: Scene) -> None:
        """Places block and agent anywhere."""
        self._rng, self._left = rng, 0
        self.config.dress(rng, simulator)
        place(simulator, scattered(rng, simulator.look))

    def act(self, simulator: Scene) -> NDArray[np.float32]:
        """The action that is held, or another one."""
        if not self._left:
            self._left = int(self._rng.integers(self.config.shortest, self.config.longest + 1))
            self._action = self._draw(simulator)
        self._left -= 1
        return self._action

    def _draw(self, simulator: Scene) -> NDArray[np.float32]:
        rng = self._rng
        if rng.random() >= self.config.aimed:
            return rng.uniform(-1, 1, 2).astype(np.float32)
        observation = simulator.observe().astype(np.float64)
        points, _ = outline(observation, simulator.look.size)
        way = rng.choice(points) + rng.normal(0, SPREAD, 2) - observation[:2]
        speed = rng.uniform(0.05, 1.0)
        return (speed * way / (np.linalg.norm(way) + 1e-9)).astype(np.float32)
