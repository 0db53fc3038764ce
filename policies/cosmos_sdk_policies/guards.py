"""Guards against a policy that learns where its world is wrong, instead of what pays.

A policy is optimised against the world's errors as much as against its dynamics: where the world promises too much, it
goes. Three things help: dreams that are short and begin at real frames (`horizon`), a reward that is less where the
world does not know (`penalty`), and dreams that end there (`limit`). What the world does not know is what a head says,
such as `disagreement`, an ensemble, or `sample-disagreement`; both are in the `info` of environments too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper
from numpy.typing import NDArray
from torch import Tensor

from cosmos_sdk.errors import ConfigError, did_you_mean
from cosmos_sdk.world import WorldModel

PROMISED = "unpenalised_reward"


@dataclass(frozen=True)
class Guard:
    """What a policy that learns in a world has to pay for doubt."""

    head: str = "uncertainty"  # that says how unsure the world was of a step
    penalty: float = 0.0  # w of r - w u (MOPO, Yu et al. 2020, arXiv:2005.13239)
    limit: float | None = None  # u beyond which nothing is believed (as MOReL, arXiv:2005.05951)

    def __post_init__(self) -> None:
        """Refuses what would reward doubt."""
        if not self.penalty >= 0 or (self.limit is not None and not self.limit >= 0):
            raise ValueError(f"penalty {self.penalty} and limit {self.limit}: expected 0 or more")

    @property
    def used(self) -> bool:
        """Whether doubt changes anything."""
        return self.penalty > 0 or self.limit is not None

    def check(self, world: WorldModel) -> None:
        """Raises ConfigError where the world has no head that says what the guard needs."""
        if self.used and self.head not in world.heads:
            known = ", ".join(world.heads) or "none"
            remedy = (
                "Add one to the recipe: heads.uncertainty={name: disagreement}, "
                "targets.uncertainty=<a column to predict>."
            )
            hint = did_you_mean(self.head, world.heads)
            raise ConfigError(
                [f"guard.head: the world has no head {self.head!r}.{hint} Heads: {known}. {remedy}"]
            )

    def doubt(self, values: Mapping[str, Tensor], like: Tensor) -> Tensor:
        """U (B,), the largest of a step's frames; zeros (B,) as in `like` where nobody says."""
        if self.head not in values:
            return torch.zeros_like(like)
        return values[self.head].reshape(len(like), -1).amax(1).to(like)


class GuardedVectorEnv(VectorWrapper):
    """A learned world's vector env whose rewards are r - w u, and whose episodes end where u passes the limit.

    `info["uncertainty"]` (under the name of the head) says u, and `info["unpenalised_reward"]` what the world promised.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any], guard: Guard) -> None:
        """Wraps an env of `CosmosSDK/World-v0`, made by `gymnasium.make_vec`.

        Raises:
            ConfigError: the env's world has no such head; or a limit, and an env that resets slots by itself.
        """
        super().__init__(env)
        self.guard = guard
        inner: Any = env.unwrapped
        guard.check(inner.world)
        self._mode = AutoresetMode(env.metadata.get("autoreset_mode", AutoresetMode.DISABLED))
        if guard.limit is not None and self._mode is not AutoresetMode.DISABLED:
            remedy = "Make it with autoreset_mode='Disabled'; the adapter for stable-baselines3 resets its slots."
            raise ConfigError(
                [
                    f"guard.limit: this env ({self._mode.value}) resets slots before they are cut. {remedy}"
                ]
            )

    def step(
        self, actions: Any
    ) -> tuple[Any, NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """Steps, and makes doubt cost."""
        seen, reward, terminated, truncated, infos = self.env.step(actions)
        doubt = self._doubt(infos)
        infos = _with_promised(infos, np.asarray(reward, np.float64), terminated | truncated)
        reward = reward - self.guard.penalty * doubt
        if self.guard.limit is not None:
            truncated = truncated | ((doubt > self.guard.limit) & ~terminated)
        return seen, reward, terminated, truncated, infos

    def _doubt(self, infos: Mapping[str, Any]) -> NDArray[np.float64]:
        """U (B,); that of an episode which ended in this very step stands with its last info."""
        head, doubt = self.guard.head, np.zeros(self.num_envs)
        for told in (infos, infos.get("final_info", {})):
            if head in told:
                values = np.asarray(told[head], np.float64).reshape(self.num_envs, -1).max(1)
                doubt = np.where(told.get(f"_{head}", True), values, doubt)
        return doubt


def _with_promised(
    infos: Mapping[str, Any], reward: NDArray[np.float64], done: NDArray[np.bool_]
) -> dict[str, Any]:
    """Infos that tell the unpenalised reward; of an episode that ended as its slot was reset, in its last info."""

    def told(of: NDArray[np.bool_]) -> dict[str, Any]:
        return {PROMISED: np.where(of, reward, 0.0), f"_{PROMISED}": of.copy()}

    if "final_info" not in infos:
        return {**infos, **told(np.ones_like(done))}
    return {**infos, **told(~done), "final_info": {**infos["final_info"], **told(done)}}
