"""Recordings of held actions, most of them aimed at the block."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import pytest

from cosmos_sdk.data.scenes import open_recorder
from cosmos_sdk.errors import ConfigError
from cosmos_sdk.simulators import open_simulator

pytest.importorskip("gym_pusht")
ENV = "gym_pusht/PushT-v0"


def episode(seed: int, steps: int = 30, **options: float) -> tuple[np.ndarray, np.ndarray]:
    """Actions (steps, 2) and observations (steps + 1, 5)."""
    scene, recorder = open_simulator(ENV), open_recorder("pusht-held", options, ENV)
    scene.reset(seed=seed)
    recorder.reset(np.random.default_rng(seed), scene)
    actions, seen = [], [scene.observe()]
    for _ in range(steps):
        actions.append(recorder.act(scene))
        scene.step(actions[-1])
        seen.append(scene.observe())
    return np.stack(actions), np.stack(seen)


def test_an_action_is_held_for_as_long_as_asked():
    actions, _ = episode(0, shortest=3, longest=4)
    runs = [len(list(run)) for _, run in groupby(actions.tolist())]
    assert set(runs[:-1]) <= {3, 4}
    assert np.abs(actions).max() <= 1


def test_an_episode_is_a_function_of_its_seed():
    first, again, other = episode(1), episode(1), episode(2)
    np.testing.assert_array_equal(first[1], again[1])
    assert not np.array_equal(first[1], other[1])


def test_aimed_actions_move_the_block_more_often_than_uniform_ones():
    def moved(aimed: float) -> float:
        seen = [episode(seed, aimed=aimed)[1] for seed in range(12)]
        return float(np.mean([np.abs(np.diff(s[:, 2:4], axis=0)).max(1) > 0.5 for s in seen]))

    assert moved(1.0) > 0.3 > moved(0.0)


def test_what_cannot_be_held_is_refused():
    with pytest.raises((ValueError, ConfigError), match="shortest <= longest"):
        open_recorder("pusht-held", {"shortest": 5, "longest": 2}, ENV)
