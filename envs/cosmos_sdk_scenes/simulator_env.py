"""A true simulator as a Gymnasium environment with the interface of a learned world's: what a policy is judged in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, final

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from cosmos_sdk.errors import ConfigError, did_you_mean
from cosmos_sdk.simulators import Simulator, open_simulator

Observation = Any
OPTIONS = ("state",)


@final
class SimulatorEnv(gymnasium.Env[Any, Any]):
    """`CosmosSDK/Simulator-v0`: actions as worlds take them, observations as `CosmosSDK/World-v0` gives them.

    So a policy moves from one to the other unchanged. `reset(options={"state": (S,)})` begins at an exact state of the
    simulator; `info["simulator_state"]` tells the state of now.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 10}

    def __init__(
        self,
        simulator: Simulator | str,
        *,
        observation: Literal["pixels", "dict", "state"] = "pixels",
        size: int | tuple[int, int] = 64,
        camera: str = "camera_0",
        max_episode_steps: int | None = None,
        render_mode: Literal["rgb_array"] | None = None,
    ) -> None:
        """Builds the spaces.

        Args:
            simulator: one, or an id that `cosmos_sdk.simulators.open_simulator` takes.
            observation: "pixels": Box (h, w, 3) uint8; "dict": the picture under `camera`, and `state`; "state": the
                simulator's observation (P,), for which nothing is drawn.
            size: (h, w) of the picture, or the side of a square.
            camera: its name in a "dict".
            max_episode_steps: after so many steps an episode is truncated.
            render_mode: None or "rgb_array".

        Raises:
            UnknownNameError: nobody knows the simulator.
            ConfigError: an unknown kind of observation, or a simulator whose state cannot be read.
        """
        self.simulator: Simulator = (
            open_simulator(simulator) if isinstance(simulator, str) else simulator
        )
        self.kind, self.camera = observation, camera
        self.size = (size, size) if isinstance(size, int) else size
        self.max_episode_steps, self.render_mode = max_episode_steps, render_mode
        self.metadata = {**self.metadata, "render_fps": self.simulator.rate}  # pyright: ignore
        self.action_space = self.simulator.action_spec.space
        image = spaces.Box(0, 255, (*self.size, 3), np.uint8)
        state = spaces.Box(self.simulator.observation_low, self.simulator.observation_high)
        kinds: dict[str, spaces.Space[Any]] = {
            "pixels": image,
            "dict": spaces.Dict({camera: image, "state": state}),
            "state": state,
        }
        if observation not in kinds:
            hint = did_you_mean(observation, kinds)
            raise ConfigError(
                [f"observation={observation!r}: choose from {', '.join(kinds)}.{hint}"]
            )
        self.observation_space = kinds[observation]

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begins an episode where the simulator's own reset or `options["state"]` puts it."""
        super().reset(seed=seed)
        for name in options or {}:
            if name not in OPTIONS:
                known = f"{did_you_mean(name, OPTIONS)} Options: {', '.join(OPTIONS)}."
                raise ConfigError([f"options[{name!r}]: unknown option.{known}"])
        self.simulator.reset(int(self.np_random.integers(2**31)))
        if options and "state" in options:
            self.simulator.set_state(np.asarray(options["state"], np.float64))
        self._steps = 0
        return self._observation(), self._info({})

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Steps once.

        Raises:
            ActionError: a wrong shape or dtype, or NaN. Nothing has changed then.
        """
        checked = self.simulator.action_spec.check(action)
        reward, terminated, info = self.simulator.step(checked)
        self._steps += 1
        late = self.max_episode_steps is not None and self._steps >= self.max_episode_steps
        truncated = late or bool(info.get("truncated", False))
        return self._observation(), reward, terminated, truncated, self._info(info)

    def render(self) -> NDArray[np.uint8] | None:
        """The picture (h, w, 3)."""
        return self.simulator.render_clean(*self.size) if self.render_mode else None

    def _info(self, info: Mapping[str, Any]) -> dict[str, Any]:
        return {"is_success": False, **info, "simulator_state": self.simulator.get_state()}

    def _observation(self) -> Observation:
        if self.kind == "state":
            return self._bounded()
        image = self.simulator.render_clean(*self.size)
        return image if self.kind == "pixels" else {self.camera: image, "state": self._bounded()}

    def _bounded(self) -> NDArray[np.float32]:
        scene = self.simulator
        return np.clip(scene.observe(), scene.observation_low, scene.observation_high)
