"""Data that covers a scene: smooth random actions, from starts spread over its states."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from cosmos_sdk.errors import ConfigError, did_you_mean
from cosmos_sdk.simulators import Simulator


@dataclass(frozen=True)
class ExploringConfig:
    """Where episodes begin, and how smooth their actions are; times are in steps."""

    # numbers of the simulator's state -> [low, high], drawn evenly; others stay as its reset drew them
    starts: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    memory: tuple[float, float] = (0.3, 30.0)  # over which an episode's actions stay alike
    strength: tuple[float, float] = (0.2, 2.0)  # of an episode's noise, 1 reaching the bounds

    def __post_init__(self) -> None:
        for name in ("memory", "strength"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ValueError(f"{name} is {low, high}; expected 0 < low <= high")
        for name, bounds in self.starts.items():
            if len(bounds) != 2 or not bounds[0] <= bounds[1] or not np.isfinite(bounds).all():
                raise ValueError(f"starts.{name} is {bounds}; expected [low, high]")


@final
class Exploring:
    """Recorder `exploring`: Gaussian noise that forgets at a rate of its own, clipped to the bounds.

    White noise averages out before a mass has moved; noise that lasts moves it, and none of the two is best everywhere
    (Eberhard et al. 2023, pink noise). So each episode draws its own memory and strength, both evenly in their
    logarithm: some swing up, some tremble in place, which is what a policy will do in the end.
    """

    def __init__(self, config: ExploringConfig, env: str) -> None:
        self._config = config

    def reset(self, rng: Generator, scene: Simulator) -> None:
        """Raises ConfigError for a start that is no number of the state, and for actions that are no vector."""
        self._rng, spec = rng, scene.action_spec
        if spec.num_actions is not None:
            raise ConfigError(["policy: 'exploring' moves a vector of actions; try policy=random."])
        _place(scene, self._config.starts, rng)
        self._keep = math.exp(-1 / _between(rng, self._config.memory))
        span = (np.asarray(spec.high, np.float64) - np.asarray(spec.low, np.float64)) / 2
        self._scale = _between(rng, self._config.strength) * span
        self._middle = np.asarray(spec.low, np.float64) + span
        self._noise = rng.normal(size=span.shape)

    def act(self, scene: Simulator) -> NDArray[Any]:
        """The next action (A,)."""
        spec = scene.action_spec
        action = np.clip(self._middle + self._scale * self._noise, spec.low, spec.high)
        fresh = self._rng.normal(size=self._noise.shape)
        self._noise = self._keep * self._noise + math.sqrt(1 - self._keep**2) * fresh
        return action.astype(np.float32)


def _place(scene: Simulator, starts: Mapping[str, Sequence[float]], rng: Generator) -> None:
    names = list(scene.state_names)
    if strange := [name for name in starts if name not in names]:
        known = f"The state of this scene: {', '.join(names)}."
        raise ConfigError(
            [f"starts.{name}: unknown.{did_you_mean(name, names)} {known}" for name in strange]
        )
    if starts:
        state = scene.get_state()
        for name, (low, high) in starts.items():
            state[names.index(name)] = rng.uniform(low, high)
        scene.set_state(state)


def _between(rng: Generator, bounds: tuple[float, float]) -> float:
    """Evenly in its logarithm."""
    low, high = bounds
    return math.exp(rng.uniform(math.log(low), math.log(high)))
