"""Held-out episodes: made afresh from seeds that no training recipe uses, so nothing has to be shipped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cosmos_sdk.data.scenes import Recorder, open_recorder
from cosmos_sdk.registry import registry
from cosmos_sdk.simulators import Simulator

HELD_OUT_SEED = 1_000_000_007  # recipes number their episodes from 0
PLAIN: Mapping[str, Any] = {}  # options of a recorder: its own


def check_counts(config: object, *names: str) -> None:
    """Raises ValueError for counts of a configuration, or entries of one that is a list, below 1."""
    for name in names:
        value = getattr(config, name)
        numbers = value if isinstance(value, tuple) else (value,)
        if not numbers or min(numbers) < 1:
            raise ValueError(f"{name} is {value}; expected 1 or more")


@dataclass(frozen=True, eq=False)
class Episode:
    """One recording of L steps. Entry k of `actions` was taken at frame k and led to frame k + 1."""

    frames: Tensor  # (L + 1, 1, 3, h, w) uint8
    observations: Tensor  # (L + 1, P) float32
    states: NDArray[np.float64]  # (L + 1, S), exact
    actions: Tensor  # (L, A) float32
    rewards: Tensor  # (L,)
    terminated: Tensor  # (L,) bool

    def __len__(self) -> int:
        return self.actions.shape[0]


def held_out(
    env_id: str,
    policy: str,
    count: int,
    num_steps: int,
    size: tuple[int, int],
    seed: int = 0,
    options: Mapping[str, Any] = PLAIN,
) -> Iterator[Episode]:
    """Records `count` episodes of at most `num_steps` steps; an episode ends where the simulator terminates it.

    `policy` is a recorder, and `options` are its own. Pictures of no size, (0, 0), are not drawn.
    """
    simulator: Simulator = registry().load("simulator", env_id)()
    behaviour = open_recorder(policy, options, env_id)
    for number in range(count):
        yield record(simulator, behaviour, num_steps, size, [HELD_OUT_SEED, seed, number])


def record(
    simulator: Simulator,
    behaviour: Recorder,
    num_steps: int,
    size: tuple[int, int],
    seed: list[int],
) -> Episode:
    """One episode from the seed sequence `seed`."""
    rng = np.random.default_rng(seed)
    simulator.reset(int(rng.integers(2**31)))
    behaviour.reset(rng, simulator)
    frames, observations, states = (
        [_picture(simulator, size)],
        [simulator.observe()],
        [simulator.get_state()],
    )
    actions: list[NDArray[np.float32]] = []
    rewards: list[float] = []
    ends: list[bool] = []
    for _ in range(num_steps):
        action = behaviour.act(simulator)
        reward, terminated, _ = simulator.step(action)
        frames.append(_picture(simulator, size))
        observations.append(simulator.observe())
        states.append(simulator.get_state())
        actions.append(np.asarray(action, np.float32))
        rewards.append(reward)
        ends.append(terminated)
        if terminated:
            break
    pictures = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)[:, None]
    return Episode(
        pictures.contiguous(),
        torch.from_numpy(np.stack(observations)),
        np.stack(states),
        torch.from_numpy(np.stack(actions)),
        torch.tensor(rewards),
        torch.tensor(ends),
    )


def _picture(simulator: Simulator, size: tuple[int, int]) -> NDArray[np.uint8]:
    return simulator.render_clean(*size) if all(size) else np.zeros((*size, 3), np.uint8)
