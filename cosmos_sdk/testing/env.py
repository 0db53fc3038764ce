"""`check_env`: check 17, for a registered id or for a function that makes a vector env."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env as check_gymnasium_env
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray

from cosmos_sdk.testing.conformance import check, demand

Array = NDArray[Any]
VectorMaker = Callable[..., VectorEnv[Any, Any, Any]]
_NUM_ENVS, _ATOL = 3, 1e-4


@dataclass(frozen=True)
class Arena:
    """An env under test, and the actions that every copy of it takes."""

    make: VectorMaker
    num_steps: int
    seed: int

    def open(self, num_envs: int, mode: AutoresetMode) -> VectorEnv[Any, Any, Any]:
        """A new vector env."""
        return self.make(num_envs=num_envs, autoreset_mode=mode)

    def run(self, num_envs: int, mode: AutoresetMode) -> list[dict[str, Array]]:
        """What each step of an episode after another says, first the reset; slot i has seed + i."""
        env = self.open(num_envs, mode)
        told = [flatten(env.reset(seed=self.seed)[0])]
        for actions in self.actions(env):
            told.append(_step(env, actions[:num_envs]))
        env.close()
        return told

    def actions(self, env: VectorEnv[Any, Any, Any]) -> Array:
        """(num_steps, 3, *action) samples, the same for every env of one action space."""
        space = cast("spaces.Space[Any]", env.single_action_space)  # pyright: ignore[reportUnknownMemberType]
        space.seed(self.seed)
        return np.stack([[space.sample() for _ in range(_NUM_ENVS)] for _ in range(self.num_steps)])


def check_env(
    env: str | VectorMaker, *, num_steps: int = 40, seed: int = 0, **options: Any
) -> None:
    """Checks an env (17): Gymnasium's own checker, slots, both autoreset modes, final observations, snapshots.

    Args:
        env: a registered id, whose `entry_point` and `vector_entry_point` are both checked, or a function with the
            arguments `num_envs` and `autoreset_mode` that makes a vector env.
        num_steps: some episodes must end within so many steps; pass a short `max_episode_steps`.
        seed: of slot 0.
        options: for the env, such as `world=` and `max_episode_steps=`.

    Raises:
        ConformanceError: a property does not hold.
    """
    if isinstance(env, str):
        gymnasium_accepts_the_env(env, options)
    arena = Arena(_maker(env, options), num_steps, seed)
    episodes_end(arena)
    slots_are_independent(arena)
    final_observations_are_terminal(arena)
    snapshots_replay(arena)


def _maker(env: str | VectorMaker, options: Mapping[str, Any]) -> VectorMaker:
    if not isinstance(env, str):
        return partial(env, **options)
    return partial(gymnasium.make_vec, env, vectorization_mode="vector_entry_point", **options)


@check(17, "Gymnasium's own checker says so; it names the method at fault.")
def gymnasium_accepts_the_env(env_id: str, options: Mapping[str, Any]) -> None:
    """17: the single env passes `gymnasium.utils.env_checker.check_env`."""
    env = gymnasium.make(env_id, disable_env_checker=True, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its advice about bounds is none of ours
        check_gymnasium_env(env.unwrapped, skip_render_check=True)


@check(
    17,
    "Usual cause: no step limit, and a world that never ends. Pass a limit below num_steps, such as "
    "max_episode_steps=8.",
)
def episodes_end(arena: Arena) -> None:
    """17: the run contains ends, or nothing below is about autoreset."""
    ends = sum(int(_done(step).sum()) for step in arena.run(_NUM_ENVS, AutoresetMode.NEXT_STEP)[1:])
    demand(ends > 0, f"no episode ended within {arena.num_steps} steps.")


@check(
    17,
    "Usual cause: one generator for all slots, an autoreset that resets all of them, or a next seed that depends on "
    "the batch. A slot's future is a function of its own seed and actions.",
)
def slots_are_independent(arena: Arena) -> None:
    """17: slot 0 of three envs is one env alone, in both autoreset modes, across resets."""
    for mode in (AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP):
        together, alone = arena.run(_NUM_ENVS, mode), arena.run(1, mode)
        for k, (many, one) in enumerate(zip(together, alone, strict=True)):
            for name, value in one.items():
                _same(
                    many[name][:1],
                    value,
                    f"{name} of slot 0 among {_NUM_ENVS} at step {k} ({mode.name})",
                )


@check(
    17,
    "Usual cause: final_obs holds the observation after the reset, or one frame early. In SAME_STEP it is what "
    "NEXT_STEP returns as the observation of the step that ends the episode.",
)
def final_observations_are_terminal(arena: Arena) -> None:
    """17: `final_obs` under SAME_STEP is what NEXT_STEP returns at the end, seen until each slot's first end."""
    expected = arena.run(_NUM_ENVS, AutoresetMode.NEXT_STEP)
    env = arena.open(_NUM_ENVS, AutoresetMode.SAME_STEP)
    env.reset(seed=arena.seed)
    over = np.zeros(_NUM_ENVS, np.bool_)
    for k, actions in enumerate(arena.actions(env), 1):
        observation, _, terminated, truncated, infos = env.step(actions)
        for i in np.flatnonzero((np.asarray(terminated) | np.asarray(truncated)) & ~over).tolist():
            where = f"slot {i} at step {k}"
            demand("final_obs" in infos, f"infos lack final_obs where {where} ended.")
            for name, value in flatten(_slot(infos["final_obs"], i)).items():
                _same(value, expected[k][name][i], f"final_obs of {where}, {name}")
            demand(
                _changed(flatten(observation), expected[k], i),
                f"the observation of {where} is the terminal one.",
            )
            over[i] = True
    env.close()


def _changed(now: Mapping[str, Array], terminal: Mapping[str, Array], i: int) -> bool:
    return any(not np.array_equal(value[i], terminal[name][i]) for name, value in now.items())


@check(
    17,
    "Usual cause: something outside the WorldState decides the future: a step count, a generator, the flag that an "
    "episode is over. Keep it in the snapshot, or make it a function of state.time and state.seed.",
)
def snapshots_replay(arena: Arena) -> None:
    """17: after `restore(snapshot())` the same actions bring the same steps; envs without snapshots are passed over."""
    for mode in (AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP):
        env = arena.open(_NUM_ENVS, mode)
        inner: Any = env.unwrapped
        if not (hasattr(inner, "snapshot") and hasattr(inner, "restore")):
            return
        env.reset(seed=arena.seed)
        actions = arena.actions(env)
        for action in actions[:3]:
            env.step(action)
        snapshot = inner.snapshot()
        first = [_step(env, action) for action in actions[3:]]
        inner.restore(snapshot)
        for k, action in enumerate(actions[3:]):
            for name, value in _step(env, action).items():
                _same(value, first[k][name], f"{name}, {k + 1} steps after restore ({mode.name})")
        env.close()


def _step(env: VectorEnv[Any, Any, Any], actions: Array) -> dict[str, Array]:
    observation, reward, terminated, truncated, _ = env.step(actions)
    said = {"reward": reward, "terminated": terminated, "truncated": truncated}
    return {**flatten(observation), **{name: np.asarray(value) for name, value in said.items()}}


def _done(step: Mapping[str, Array]) -> Array:
    return step["terminated"] | step["truncated"]


def flatten(observation: Any, name: str = "observation") -> dict[str, Array]:
    """An observation as arrays under flat names."""
    if not isinstance(observation, Mapping):
        return {name: np.array(observation)}
    parts: dict[str, Array] = {}
    for key in observation:  # pyright: ignore[reportUnknownVariableType]
        parts |= flatten(observation[key], f"{name}/{key}")
    return parts


def _slot(observations: Any, i: int) -> Any:
    """One slot of a batch of observations: an array of them, or one mapping of arrays."""
    if isinstance(observations, Mapping):
        return {key: _slot(observations[key], i) for key in observations}  # pyright: ignore[reportUnknownVariableType]
    return observations[i]


def _same(got: Array, expected: Array, what: str) -> None:
    """Pixels within one grey level, floats within 1e-4, anything else exactly."""
    demand(got.shape == expected.shape, f"{what} has shape {got.shape}; expected {expected.shape}.")
    atol = 1.0 if got.dtype == np.uint8 else _ATOL if np.issubdtype(got.dtype, np.floating) else 0.0
    worst = float(np.abs(got.astype(np.float64) - expected.astype(np.float64)).max(initial=0.0))
    demand(worst <= atol, f"{what} differs by {worst:.6g}; at most {atol:g} is allowed.")
