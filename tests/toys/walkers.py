"""A toy vector env: walkers on a line, whose noise is a function of seed and time; a switch plants defects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

Array = NDArray[Any]
LIMIT = 5


@dataclass(frozen=True, eq=False)
class Walk:
    """Where B walkers stand."""

    place: Array  # (B,) float32
    time: Array  # (B,) int64
    seed: Array  # (B,) int64
    done: Array  # (B,) bool

    def put(self, where: Array, other: Walk) -> Walk:
        pairs = ((getattr(self, f), getattr(other, f)) for f in ("place", "time", "seed", "done"))
        return Walk(*(np.where(where, new, old) for old, new in pairs))


def noise(seed: Array, time: Array) -> Array:
    """One number per walker, from its own seed and time."""
    pairs = zip(seed.tolist(), time.tolist(), strict=True)
    return np.array([np.random.default_rng(pair).normal() for pair in pairs], np.float32)


def begin(seed: Array) -> Walk:
    """Walkers at places drawn by their seeds."""
    time = np.zeros_like(seed)
    return Walk(noise(seed, time), time, seed, np.zeros(len(seed), np.bool_))


class Walkers(VectorEnv[Array, Array, Array]):
    """x' = x + a + noise; an episode is truncated after 5 steps, and ends beyond 4."""

    def __init__(
        self,
        num_envs: int = 1,
        autoreset_mode: AutoresetMode = AutoresetMode.NEXT_STEP,
        limit: int = LIMIT,
        defect: str = "",
    ) -> None:
        self.num_envs, self.mode, self.limit, self.defect = num_envs, autoreset_mode, limit, defect
        self.metadata = {"autoreset_mode": autoreset_mode}
        self.single_observation_space = spaces.Box(-np.inf, np.inf, (1,), np.float32)
        self.single_action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.shared = np.random.default_rng(0)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Array, dict[str, Any]]:
        first = 0 if seed is None else seed
        seeds = first + np.arange(self.num_envs) if isinstance(first, int) else np.array(first)
        self.shared = np.random.default_rng(0)
        self.walk = begin(seeds)
        return self._seen(), {}

    def step(self, actions: Array) -> tuple[Array, Array, Array, Array, dict[str, Any]]:
        before = self.walk
        waiting = (
            before.done if self.mode is AutoresetMode.NEXT_STEP else np.zeros_like(before.done)
        )
        time = before.time + 1
        drawn = noise(before.seed, time)
        if self.defect == "one generator":
            drawn = self.shared.normal(size=self.num_envs).astype(np.float32)
        place = before.place + np.asarray(actions)[:, 0] + 0.1 * drawn
        terminated, truncated = np.abs(place) > 4, time >= self.limit
        walk = Walk(place, time, before.seed, terminated | truncated)
        self.walk = walk.put(waiting, begin(before.seed + 1000))
        terminated, truncated = terminated & ~waiting, truncated & ~waiting
        infos: dict[str, Any] = {}
        if self.mode is AutoresetMode.SAME_STEP and walk.done.any():
            final = self._seen()
            self.walk = walk.put(walk.done, begin(walk.seed + 1000))
            if self.defect == "late final_obs":
                final = self._seen()
            infos = {"final_obs": final, "_final_obs": walk.done}
        reward = np.where(waiting, 0.0, -np.abs(place))
        return self._seen(), reward, terminated, truncated, infos

    def snapshot(self) -> Walk:
        return self.walk

    def restore(self, walk: Walk) -> None:
        time = np.zeros_like(walk.time) if self.defect == "forgets the time" else walk.time
        self.walk = replace(walk, time=time)

    def _seen(self) -> Array:
        return self.walk.place[:, None].copy()


class Walker(gymnasium.Env[Array, Array]):
    """The same, one alone."""

    metadata = {"render_modes": []}  # noqa: RUF012 - as Gymnasium declares it

    def __init__(self, limit: int = LIMIT, breaks_the_api: bool = False) -> None:
        self.inner = Walkers(1, AutoresetMode.DISABLED, limit)
        self.breaks_the_api = breaks_the_api
        self.observation_space = self.inner.single_observation_space
        self.action_space = self.inner.single_action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        super().reset(seed=seed)
        drawn = int(self.np_random.integers(2**31))
        return self.inner.reset(seed=drawn)[0][0], {}

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        seen, reward, terminated, truncated, _ = self.inner.step(action[None])
        observation = seen[0].astype(np.float64) if self.breaks_the_api else seen[0]
        return observation, float(reward[0]), bool(terminated[0]), bool(truncated[0]), {}
