"""Scripted recording of the disc pusher: go behind the block, push it to a random place, sometimes to the goal."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from cosmos_sdk_scenes.disc_pusher import GOAL, REACH, TOUCH, DiscPusher


class DiscScripted:
    """Policy `disc-scripted`. A share of episodes is `aimless`, another pushes to the goal (`finishing`)."""

    def __init__(self, aimless: float = 0.15, finishing: float = 0.25) -> None:
        self.aimless = aimless
        self.finishing = finishing

    def reset(self, rng: Generator, simulator: DiscPusher) -> None:
        self._rng = rng
        self._kind = rng.choice(
            3, p=[self.aimless, self.finishing, 1 - self.aimless - self.finishing]
        )
        self._noise = np.zeros(2)
        self._choose_place()

    def act(self, simulator: DiscPusher) -> NDArray[np.float32]:
        """The next relative action (2,) in [-1, 1]."""
        self._noise = 0.8 * self._noise + 0.06 * self._rng.normal(size=2)
        if self._kind != 1 and self._rng.random() < 0.05:
            self._choose_place()
        observation = simulator.observe().astype(np.float64)
        agent, block = observation[:2], observation[2:]
        aim = self._place if self._kind == 0 else _behind_and_through(agent, block, self._place)
        return np.clip(self._speed * _within_reach(aim - agent) + self._noise, -1, 1).astype(
            np.float32
        )

    def _choose_place(self) -> None:
        self._place = GOAL if self._kind == 1 else self._rng.uniform(0.15, 0.85, 2)
        self._speed = self._rng.uniform(0.4, 1.0)


def _behind_and_through(
    agent: NDArray[Any], block: NDArray[Any], place: NDArray[Any]
) -> NDArray[np.float64]:
    """Where to go so that the block comes to `place`: round it until behind it, then through it."""
    way = place - block
    direction = way / (np.linalg.norm(way) + 1e-9)
    side = agent - block
    here, behind = np.arctan2(side[1], side[0]), np.arctan2(-direction[1], -direction[0])
    turn = (behind - here + np.pi) % (2 * np.pi) - np.pi
    if abs(turn) < 0.35:
        return block - direction * TOUCH + min(float(np.linalg.norm(way)), 0.1) * direction
    ahead = here + np.clip(turn, -0.7, 0.7)
    return block + 1.4 * TOUCH * np.array([np.cos(ahead), np.sin(ahead)])


def _within_reach(delta: NDArray[np.float64]) -> NDArray[np.float64]:
    """A relative action towards a point `delta` m away; steady speed is half a reach a step."""
    action = 2 * delta / REACH
    return action / max(1.0, float(np.linalg.norm(action)))
