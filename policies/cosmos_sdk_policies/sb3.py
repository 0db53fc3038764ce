"""Any Gymnasium VectorEnv, a learned world's for one, as what stable-baselines3 learns in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray

from cosmos_sdk.errors import ConfigError, MissingPackageError

try:
    from stable_baselines3.common.vec_env import VecEnv
except ImportError as error:
    command = "pip install 'cosmos-world-sdk[sb3]'"
    raise MissingPackageError("stable-baselines3", "the module sb3", command) from error

Info = dict[str, Any]
FINAL = ("final_obs", "final_info")  # Gymnasium's names for what ended in a step that reset too


@final
class SB3VecEnv(VecEnv):
    """`PPO("MlpPolicy", SB3VecEnv(gymnasium.make_vec(..., vectorization_mode="vector_entry_point")))`.

    In stable-baselines3 a slot that ends begins its next episode in the same step: `dones` are terminated or truncated,
    the observation is that of the new episode, the last of the old one stands in `infos[i]["terminal_observation"]`,
    and `infos[i]["TimeLimit.truncated"]` says whether its value still counts. So the env has to reset in the same step
    (AutoresetMode.SAME_STEP), or leave it to this adapter (DISABLED, with the option `reset_mask`).
    """

    def __init__(self, envs: VectorEnv[Any, Any, Any]) -> None:
        """Wraps an env.

        Raises:
            ConfigError: it resets slots one step later, which would be a transition that never was.
        """
        self.envs = envs
        self._mode = AutoresetMode(envs.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP))
        if self._mode is AutoresetMode.NEXT_STEP:
            remedy = "Make it with autoreset_mode=AutoresetMode.SAME_STEP, or DISABLED."
            raise ConfigError(
                [
                    f"SB3VecEnv: this env resets slots in the next step, which stable-baselines3 cannot. {remedy}"
                ]
            )
        self._actions: Any = None
        super().__init__(envs.num_envs, envs.single_observation_space, envs.single_action_space)
        self.metadata = dict(envs.metadata)

    def reset(self) -> Any:
        """First observations of all slots, by the seeds of `seed` and the options of `set_options`, used once."""
        options = self._shared_options()
        seed: Any = None if set(self._seeds) == {None} else list(self._seeds)
        observations, infos = self.envs.reset(seed=seed, options=options)
        self.reset_infos = self._told(infos)
        self._reset_seeds()
        self._reset_options()
        return observations

    def step_async(self, actions: NDArray[Any]) -> None:
        """Keeps the actions (B, *) for `step_wait`."""
        self._actions = actions

    def step_wait(self) -> tuple[Any, NDArray[np.float32], NDArray[np.bool_], list[Info]]:
        """Steps all slots."""
        space: Any = self.action_space
        actions = np.asarray(self._actions).astype(space.dtype)
        observations, rewards, terminated, truncated, told = self.envs.step(actions)
        dones = np.asarray(terminated | truncated)
        infos = self._told(told)
        for slot in np.flatnonzero(dones).tolist():
            if "final_info" in told:  # what else is told of this slot is of its next episode
                infos[slot] = _of_slot(told["final_info"], slot)
            infos[slot]["terminal_observation"] = self._last(observations, told, slot)
        for slot, info in enumerate(infos):
            info["TimeLimit.truncated"] = bool(truncated[slot] and not terminated[slot])
        if dones.any():
            observations = self._begun(observations, told, dones)
        return observations, np.asarray(rewards, np.float32), dones, infos

    def close(self) -> None:
        """Closes the env."""
        self.envs.close()

    def get_images(self) -> Sequence[NDArray[np.uint8] | None]:
        """One picture a slot, in mode "rgb_array"."""
        pictures: Any = self.envs.render()
        return [None] * self.num_envs if pictures is None else list(pictures)

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """The vector env's attribute, once for each slot: its slots are no objects of their own."""
        value = getattr(self.envs, attr_name, None)
        if value is None and not hasattr(self.envs, attr_name):
            value = getattr(self.envs.unwrapped, attr_name)
        return [value for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Sets the vector env's attribute, for all slots.

        Raises:
            ConfigError: for some of them only.
        """
        self._all(indices, f"set_attr({attr_name!r})")
        setattr(self.envs, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any
    ) -> list[Any]:
        """Calls the vector env's method once; its result stands for each slot."""
        self._all(indices, f"env_method({method_name!r})")
        result = getattr(self.envs, method_name)(*method_args, **method_kwargs)
        return [result for _ in range(self.num_envs)]

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """Whether such a wrapper stands around the vector env."""
        env: Any = self.envs
        while not (found := isinstance(env, wrapper_class)) and hasattr(env, "env"):
            env = env.env
        return [found for _ in self._get_indices(indices)]

    def _begun(self, observations: Any, told: Info, dones: NDArray[np.bool_]) -> Any:
        """The observations after the slots that are over have begun anew."""
        begun = told
        if self._mode is AutoresetMode.DISABLED:
            observations, begun = self.envs.reset(options={"reset_mask": dones})
        for slot, info in enumerate(self._told(begun)):
            if dones[slot]:
                self.reset_infos[slot] = info
        return observations

    def _last(self, observations: Any, told: Info, slot: int) -> Any:
        """The last observation of an episode, in memory of its own."""
        if self._mode is AutoresetMode.SAME_STEP:
            return told["final_obs"][slot]
        if isinstance(observations, dict):
            return {name: np.array(values[slot]) for name, values in observations.items()}
        return np.array(observations[slot])

    def _told(self, infos: Info) -> list[Info]:
        """One mapping a slot of Gymnasium's mapping of arrays; a slot has what was told of it."""
        beside = {n: v for n, v in infos.items() if n.removeprefix("_") not in FINAL}
        return [_of_slot(beside, slot) for slot in range(self.num_envs)]

    def _shared_options(self) -> Info | None:
        first = self._options[0]
        if any(options.keys() != first.keys() for options in self._options):
            raise ConfigError(
                ["SB3VecEnv: options differ between slots; a vector env takes one mapping."]
            )
        return first or None

    def _all(self, indices: Any, what: str) -> None:
        if len(list(self._get_indices(indices))) != self.num_envs:
            raise ConfigError([f"SB3VecEnv: {what} is for all slots at once; leave indices away."])


def _of_slot(infos: Info, slot: int) -> Info:
    """What Gymnasium's mapping of arrays tells of one slot: `_name` says of whom `name` is told."""
    values: Info = {}
    for name, value in infos.items():
        flag = infos.get(f"_{name}")
        if (name.startswith("_") and name[1:] in infos) or (flag is not None and not flag[slot]):
            continue
        values[name] = _of_slot(value, slot) if isinstance(value, dict) else value[slot]
    return values
