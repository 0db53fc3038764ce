"""Whether policies, reality and a world fit together: looked for before an episode is played."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
from gymnasium import spaces

from cosmos_sdk.errors import ConfigError, CosmosError
from cosmos_sdk_policies.chunks import frames_per_step
from cosmos_sdk_policies.policy import as_policy
from cosmos_sdk_policies.trial import Env, Score, Trials


def check(trials: Trials) -> None:
    """Raises ConfigError with all that is wrong."""
    problems: list[str] = []
    if not trials.policies:
        problems.append("policies: there are none; give at least one by name, two to rank them")
    if not trials.starts:
        problems.append("starts: there are none; give at least one")
    if trials.max_frames < 1:
        problems.append(f"max_frames is {trials.max_frames}; expected at least 1")
    if trials.score not in get_args(Score):
        problems.append(f"score is {trials.score!r}; choose from {', '.join(get_args(Score))}")
    real, world = trials.envs
    problems += _unseen(real, world) + _unplayable(real, world, trials.block)
    problems += _unrewarded(world) if trials.score == "return" else []
    for name, policy in trials.policies.items():
        problems += _unfit(name, policy, real.action_space)
    if problems:
        raise ConfigError(problems)


def _unseen(real: Env, world: Env) -> list[str]:
    """Why a policy that sees reality cannot see the world: another kind of observation, or names that lack."""
    a, b = real.observation_space, world.observation_space
    if isinstance(a, spaces.Dict) and isinstance(b, spaces.Dict):
        lacks = sorted(set(a) - set(b))
        told = f"world_env shows {sorted(b)}; it lacks {lacks}, which real_env shows"
        return [told] if lacks else []
    if type(a) is not type(b) or a.shape != b.shape:
        return [f"real_env shows {a} and world_env {b}; they have to be the same"]
    return []


def _unplayable(real: Env, world: Env, block: int | None) -> list[str]:
    """Why the actions of one are none of the other."""
    try:
        takes = frames_per_step(world.action_space, real.action_space)
    except ConfigError as error:
        return [f"world_env: {problem}" for problem in error.problems]
    if block is not None and (block < 1 or block % (takes or 1)):
        return [f"block is {block}; expected a multiple of {takes or 1}, which the world steps"]
    if same_actions(_single(world.action_space, takes), real.action_space):
        return []
    both = f"{world.action_space}; real_env takes {real.action_space}"
    return [f"world_env takes {both}: the bounds have to be the same"]


def _unrewarded(world: Env) -> list[str]:
    """Why a learned world cannot score by return: its environment would read zeros."""
    heads = getattr(getattr(world.unwrapped, "world", None), "heads", None)
    if heads is None or "reward" in heads:
        return []
    has = ", ".join(name for name, _ in heads.items()) or "none"
    remedy = 'Train one (heads: {reward: {name: reward}}), or use score="success" with reached=...'
    return [f"score is 'return', and the world has no head 'reward'; its heads: {has}. {remedy}"]


def _unfit(name: str, thing: Any, space: spaces.Space[Any]) -> list[str]:
    """Why a policy cannot act here: it is none, or it tells another action space."""
    try:
        as_policy(thing)
    except CosmosError as error:
        return [f"policies[{name!r}]: {error}"]
    own = getattr(
        getattr(thing, "model", thing), "action_space", None
    )  # of an adapter, its model's
    if not isinstance(own, spaces.Space) or same_actions(own, space):
        return []
    return [f"policies[{name!r}] acts in {own}; the environment takes {space}"]


def _single(space: spaces.Space[Any], takes: int | None) -> spaces.Space[Any]:
    """The space of one action of a chunk."""
    if takes is None:
        return space
    if isinstance(space, spaces.Box):
        return spaces.Box(space.low[0], space.high[0], dtype=space.dtype.type)  # pyright: ignore
    if isinstance(space, spaces.MultiDiscrete):
        return spaces.Discrete(int(space.nvec[0]))
    return space


def same_actions(one: spaces.Space[Any], other: spaces.Space[Any]) -> bool:
    """Whether actions of one space mean the same in the other: a relative action is no absolute one."""
    if isinstance(one, spaces.Box) and isinstance(other, spaces.Box):
        if one.shape != other.shape:
            return False
        return np.allclose(one.low, other.low) and np.allclose(one.high, other.high)
    return one == other
