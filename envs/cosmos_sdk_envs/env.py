"""A learned world as a single env: the vector env of one slot, without its slot axis."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, final

import gymnasium
import numpy as np
import torch
from gymnasium.vector import AutoresetMode

from cosmos_sdk.state import WorldState
from cosmos_sdk.world import WorldModel
from cosmos_sdk_envs.observations import Observation
from cosmos_sdk_envs.rendering import Image
from cosmos_sdk_envs.vector_env import Info, WorldVectorEnv


@final
class WorldEnv(gymnasium.Env[Any, Any]):
    """One episode at a time in a learned world.

    Slot 0 of a vector env and this env, given one seed and the same actions, see the same.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["human", "rgb_array"], "render_fps": 10}

    def __init__(
        self,
        world: WorldModel | str | Path,
        *,
        render_mode: Literal["human", "rgb_array"] | None = None,
        **options: Any,
    ) -> None:
        """Takes the arguments of `WorldVectorEnv` but `num_envs` and `autoreset_mode`."""
        self._envs = WorldVectorEnv(
            world, 1, autoreset_mode=AutoresetMode.DISABLED, render_mode=render_mode, **options
        )
        self.render_mode = render_mode
        self.metadata = {**self.metadata, "render_fps": self._envs.metadata["render_fps"]}  # pyright: ignore
        self.observation_space = self._envs.single_observation_space
        self.action_space = self._envs.single_action_space

    @property
    def world(self) -> WorldModel:
        """The world that this env steps."""
        return self._envs.world

    @property
    def state(self) -> WorldState:
        """The state of the world, one row, for a planner to branch (it has to reseed it first)."""
        return self._envs.state

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Observation, Info]:
        """Begins a new episode; `options` as in `WorldVectorEnv.reset`, without the slot axis."""
        super().reset(seed=seed)
        return self._single(*self._envs.reset(seed=seed, options=options))

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, Info]:
        """Steps once; `action` as in `action_space`.

        Raises:
            ActionError: a wrong shape or dtype, NaN, or out of bounds where the action spec refuses that. Nothing has
                changed then.
            ResetNeeded: before the first reset, or after the end of the episode.
        """
        values = action if isinstance(action, torch.Tensor) else np.asarray(action)
        seen, reward, terminated, truncated, infos = self._envs.step(values[None])
        observation, info = self._single(seen, infos)
        return observation, float(reward[0]), bool(terminated[0]), bool(truncated[0]), info

    def snapshot(self) -> WorldState:
        """The episode at this moment as one value, which `WorldState.save` writes to a file."""
        return self._envs.snapshot()

    def restore(self, state: WorldState) -> tuple[Observation, Info]:
        """Goes back to a snapshot, or to any state of this world of one row.

        The step limit follows from the state. `gymnasium.make` counts steps outside, in its TimeLimit wrapper: to go
        back across a limit, give `max_episode_steps` to this class, and -1 to `make`.
        """
        return self._single(*self._envs.restore(state))

    def render(self) -> Image | None:
        """The frame (h, V * w, 3), cameras side by side; nothing in mode "human", which shows it."""
        pictures = self._envs.render()
        return None if pictures is None else pictures[0]

    def close(self) -> None:
        """Closes the window."""
        self._envs.close()

    def _single(self, observations: Observation, infos: Info) -> tuple[Observation, Info]:
        told = {name: value for name, value in infos.items() if not name.startswith("_")}
        info = {n: v[0].item() if v.ndim == 1 else v[0].copy() for n, v in told.items()}
        if isinstance(observations, dict):
            return {name: values[0] for name, values in observations.items()}, info
        return observations[0], info
