"""Push-T by the field's protocol, for judging policies: starts, goals, and what policies are cloned from.

See `cosmos_sdk.reaching` for the protocol, and `PushTSimulator.reaching` for its numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cosmos_sdk.data.scenes import open_recorder
from cosmos_sdk.registry import registry
from cosmos_sdk_policies.trial import Start

ENV = "gym_pusht/PushT-v0"
HELD_OUT, CLONED = 1_000_000_009, 1_000_000_021  # seeds that no training recipe uses


@cache
def scene() -> Any:
    """The simulator of this process, which has `reaching` and `advance`; whoever uses it sets its state first."""
    return registry().load("simulator", ENV)()


@dataclass(frozen=True, eq=False)
class Track:
    """One recording of L steps."""

    states: NDArray[np.float64]  # (L + 1, S)
    observations: NDArray[np.float32]  # (L + 1, 5)
    actions: NDArray[np.float32]  # (L, 2), relative


def tracks(seed: int, num_steps: int = 50) -> Iterator[Track]:
    """Recordings of `pusht-scripted`, without end; the k-th depends on seed and k only."""
    behaviour = open_recorder("pusht-scripted", {}, ENV)
    number = 0
    while True:
        rng = np.random.default_rng([seed, number])
        scene().reset(int(rng.integers(2**31)))
        behaviour.reset(rng, scene())
        states, seen, done = [scene().get_state()], [scene().observe()], []
        for _ in range(num_steps):
            done.append(np.asarray(behaviour.act(scene()), np.float32))
            scene().advance(done[-1])
            states.append(scene().get_state())
            seen.append(scene().observe())
        yield Track(np.stack(states), np.stack(seen), np.stack(done))
        number += 1


def draw_starts(num_starts: int, task: str, seed: int = 0) -> list[Start]:
    """The first starts of a task, at most one from each trajectory; they begin at rest.

    Args:
        num_starts: how many.
        task: "field": as they come, about half do not move the block; "moved": the block moves.
        seed: of the trajectories.
    """
    starts: list[Start] = []
    reaching = scene().reaching
    rng = np.random.default_rng([seed, reaching.distance])
    for number, track in enumerate(tracks(HELD_OUT + seed)):
        first = int(rng.integers(len(track.actions) - reaching.distance + 1))
        ends = track.observations[[first, first + reaching.distance]]
        if reaching.inside(ends) and (task == "field" or reaching.moves(*ends)):
            state = reaching.at_rest(track.states[first])
            starts.append(Start(number, task, {"state": state}, goal=ends[1]))
        if len(starts) == num_starts:
            break
    return starts


def reached(observation: Any, start: Start) -> bool:
    """Whether an observation with `state` (5,) is at the goal of a start."""
    return scene().reaching.reached(observation["state"], start.goal)[0]


def features(observation: Any, goal: NDArray[Any]) -> NDArray[np.float32]:
    """What a cloned policy sees (16,): the state, the goal, and the way from one to the other, about 1 in size."""
    return pair_features(np.asarray(observation["state"])[None], np.asarray(goal)[None])[0]


def pair_features(state: NDArray[Any], goal: NDArray[Any]) -> NDArray[np.float32]:
    """The same for n states and goals (n, 5)."""
    angle, wish = state[:, 4], goal[:, 4]
    parts = [
        state[:, :4] / 256 - 1,
        np.stack([np.cos(angle), np.sin(angle)], 1),
        (goal[:, :4] - state[:, :4]) / 100,
        np.stack([np.cos(wish - angle), np.sin(wish - angle)], 1),
        (state[:, 2:4] - state[:, :2]) / 100,
        (goal[:, 2:4] - goal[:, :2]) / 100,
    ]
    return np.concatenate(parts, 1).astype(np.float32)


def pairs(
    recorded: list[Track], block: int = 1, seed: int = 0, per_step: int = 4
) -> tuple[Tensor, Tensor]:
    """Features (n, 16) and blocks of actions (n, block * 2): each step is a step towards what its track reached later.

    Hindsight goals, 1 to 25 steps ahead (Ghosh et al. 2019, arXiv:1912.06088): recordings without a goal teach goals.
    """
    rng, ahead = np.random.default_rng(seed), scene().reaching.distance
    found: list[NDArray[np.float32]] = []
    actions: list[NDArray[np.float32]] = []
    for track in recorded:
        length = len(track.actions)
        now = np.arange(length - block + 1).repeat(per_step)
        later = np.minimum(now + rng.integers(1, ahead + 1, len(now)), length)
        found.append(pair_features(track.observations[now], track.observations[later]))
        taken = track.actions[now[:, None] + np.arange(block)]  # (n, block, 2)
        actions.append(taken.reshape(len(now), -1))
    return torch.from_numpy(np.concatenate(found)), torch.from_numpy(np.concatenate(actions))
