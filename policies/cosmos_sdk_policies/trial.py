"""One policy, one start, one environment: how an episode goes, and the same in reality and in a world."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Protocol, final

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray

from cosmos_sdk.errors import ConfigError, ShapeError
from cosmos_sdk_policies.chunks import ActionChunks, frames_per_step
from cosmos_sdk_policies.policy import begin
from cosmos_sdk_policies.sight import views_of

Env = gymnasium.Env[Any, Any]
Makes = Env | Callable[[], Env]  # an environment, or what makes one
Score = Literal["success", "return"]
Begun = tuple[Any, dict[str, Any]]  # observation and info of a reset


@dataclass(frozen=True, eq=False)
class Start:
    """Where an episode begins, in reality and, by its pictures, in the world."""

    seed: int  # of the real reset, of the world's noise and of the policy
    task: str = ""  # starts of one name are ranked by themselves too
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])  # of the real env's reset
    actions: NDArray[Any] | None = None  # (n, *shape), played in reality before the policy begins
    goal: Any = None  # told to policies that have `aim(goal)`


@dataclass(frozen=True)
class Trial:
    """What an episode was worth."""

    success: bool
    total: float  # undiscounted return
    num_frames: int

    def worth(self, score: Score) -> float:
        """What ranks policies: "success", 0 or 1, or "return"."""
        return float(self.success) if score == "success" else self.total


class Reached(Protocol):
    """Whether an observation fulfils the task of a start: asked of the first one, and after every block."""

    def __call__(self, observation: Any, start: Start) -> bool: ...


@dataclass(frozen=True, eq=False)
class Beginning:
    """What was seen and done in reality before the policy acts: F pictures, and the F - 1 actions between them."""

    observation: Any  # the newest
    info: dict[str, Any]
    pictures: NDArray[np.uint8]  # (F, V, h, w, 3); F = 0 where nothing was seen
    actions: NDArray[Any]  # (F - 1, *shape)


Enter = Callable[[Env, Start, Beginning], Begun]


def begin_in_reality(env: Env, start: Start) -> Beginning:
    """Resets the real environment and plays the start's own actions."""
    observation, info = env.reset(seed=start.seed, options=dict(start.options))
    seen = [_picture(env, observation)]
    played = (
        np.zeros((0, *(env.action_space.shape or ()))) if start.actions is None else start.actions
    )
    for action in played:
        observation, _, _, _, info = env.step(action)
        seen.append(_picture(env, observation))
    there = [picture for picture in seen if picture is not None]
    pictures = np.stack(there) if there else np.zeros((0, 1, 1, 1, 3), np.uint8)
    return Beginning(observation, info, pictures, np.asarray(played))


def enter_by_pictures(env: Env, start: Start, beginning: Beginning) -> Begun:
    """Resets a learned world's environment with what reality showed: no state of the simulator reaches it.

    Raises:
        ShapeError: reality showed no picture.
    """
    if not len(beginning.pictures):
        remedy = 'Make the real env with observation="dict", or with render_mode="rgb_array".'
        raise ShapeError("the pictures of a start", "none", f"uint8 images. {remedy}")
    frames = beginning.pictures
    options: dict[str, Any] = {"frames": frames[:, 0] if frames.shape[1] == 1 else frames}
    if len(beginning.actions):
        options["actions"] = beginning.actions
    return env.reset(seed=start.seed, options=options)


def enter_by_state(env: Env, start: Start, beginning: Beginning) -> Begun:
    """Puts a true simulator's world where reality is: the judge that is never wrong, to test the others against."""
    world = env.unwrapped.world  # pyright: ignore[reportAttributeAccessIssue]
    state = torch.from_numpy(np.asarray(beginning.info["simulator_state"]))[None, None]
    env.reset(seed=start.seed)
    begun = world.start(state, {}, torch.tensor([start.seed]))
    return env.unwrapped.restore(begun)  # pyright: ignore[reportAttributeAccessIssue]


def play(
    env: Env,
    policy: Any,
    start: Start,
    begun: Begun,
    *,
    max_frames: int,
    frames_per_step: int = 1,
    reached: Reached | None = None,
    look_every: int = 1,
    must_tell: bool = True,
) -> Trial:
    """Lets a policy act until it succeeds, the episode ends, or the frames are spent.

    With `reached`, success is looked for every `look_every` frames: a world that steps several shows no others, and
    both sides have to be looked at alike. Without it, success is what the environment says in `info["is_success"]`, at
    any step; where it says nothing, this fails if it `must_tell`, and counts as no success if not.

    Raises:
        ConfigError: the environment must tell, and does not.
    """
    observation, _ = begun
    begin(policy, start.seed)
    if start.goal is not None and hasattr(policy, "aim"):
        policy.aim(start.goal)
    total, num_frames, over = 0.0, 0, False
    success = reached is not None and bool(reached(observation, start))
    while not (success or over) and num_frames < max_frames:
        observation, reward, terminated, truncated, info = env.step(policy.act(observation))
        total, num_frames = total + float(reward), num_frames + frames_per_step
        over = bool(terminated or truncated)
        if reached is None:
            success = _told(info, must_tell)
        elif num_frames % look_every == 0:
            success = bool(reached(observation, start))
    return Trial(success, total, num_frames)


@final
@dataclass(frozen=True, eq=False)
class Trials:
    """Policies and starts, and both environments or what makes them."""

    policies: Mapping[str, Any]
    real_env: Makes
    world_env: Makes
    starts: Sequence[Start]
    score: Score
    max_frames: int
    reached: Reached | None = None
    enter: Enter = enter_by_pictures
    block: int | None = None

    @cached_property
    def envs(self) -> tuple[Env, Env]:
        """Reality and the world, made if need be."""
        real, world = self.real_env, self.world_env
        return (
            real if isinstance(real, gymnasium.Env) else real(),
            world if isinstance(world, gymnasium.Env) else world(),
        )

    @property
    def takes(self) -> int | None:
        """The frames that a step of the world takes."""
        real, world = self.envs
        return frames_per_step(world.action_space, real.action_space)

    @property
    def frames(self) -> int:
        """The frames that a policy decides at once."""
        return self.block or self.takes or 1

    @torch.no_grad()
    def play(self, piece: tuple[str, int, str]) -> Trial:
        """Plays an episode, told by a policy's name, the number of a start, and "real" or "world"."""
        name, number, side = piece
        (real, world), start = self.envs, self.starts[number]
        beginning = begin_in_reality(real, start)
        shape = tuple(real.action_space.shape or ())
        if side == "real":
            env, begun, portion = real, (beginning.observation, beginning.info), None
        else:
            env, begun, portion = world, self.enter(world, start, beginning), self.takes
        return play(
            env,
            ActionChunks(self.policies[name], shape, portion, block=self.frames),
            start,
            begun,
            max_frames=self.max_frames,
            frames_per_step=portion or 1,
            reached=self.reached,
            look_every=self.frames,
            must_tell=self.score == "success",
        )

    def __getstate__(self) -> dict[str, Any]:
        """For another process, which makes environments of its own."""
        return {name: value for name, value in self.__dict__.items() if name != "envs"}


def _told(info: Mapping[str, Any], must_tell: bool) -> bool:
    if must_tell and "is_success" not in info:
        problem = "success: the environment says no info['is_success']."
        raise ConfigError([f'{problem} Give reached=..., or score="return"'])
    return bool(info.get("is_success", False))


def _picture(env: Env, observation: Any) -> NDArray[np.uint8] | None:
    """Views (V, h, w, 3) of an observation, else of `render`."""
    try:
        return views_of(observation)
    except ShapeError:
        rendered = env.render() if env.render_mode == "rgb_array" else None
        return None if rendered is None else views_of(rendered)
