"""Recorder `exploring`: covers the states and the strengths of action that it is told to."""

from __future__ import annotations

import numpy as np
import pytest

from cosmos_sdk.data.scenes import open_recorder
from cosmos_sdk.errors import ConfigError
from cosmos_sdk.simulators import open_simulator
from cosmos_sdk_simulator.exploring import Exploring, ExploringConfig

pytest.importorskip("pygame", reason="Gymnasium draws the pendulum with pygame")


def episodes(config: ExploringConfig, count: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """The starting states (n, S) and the actions (n, steps) of some episodes."""
    scene, recorder = open_simulator("Pendulum-v1"), Exploring(config, "Pendulum-v1")
    starts, actions = [], []
    for number in range(count):
        scene.reset(number)
        recorder.reset(np.random.default_rng(number), scene)
        starts.append(scene.get_state())
        actions.append([recorder.act(scene)[0] for _ in range(steps)])
    return np.stack(starts), np.array(actions)


def test_episodes_begin_all_over_the_given_states_and_repeat_with_their_seed():
    config = ExploringConfig({"angle": [-3.0, 3.0], "velocity": [-8.0, 8.0]})
    starts, actions = episodes(config, 100, 1)
    assert np.quantile(starts[:, 1], [0.1, 0.9]) == pytest.approx([-2.4, 2.4], abs=0.5)
    assert np.quantile(starts[:, 2], [0.1, 0.9]) == pytest.approx([-6.4, 6.4], abs=1.2)
    assert np.array_equal(episodes(config, 3, 1)[1], actions[:3])


def test_long_memory_keeps_actions_alike_and_they_stay_within_bounds():
    def likeness(memory: float) -> float:
        _, actions = episodes(ExploringConfig(memory=(memory, memory)), 20, 60)
        assert np.abs(actions).max() <= 2
        return float(np.mean([np.corrcoef(a[1:], a[:-1])[0, 1] for a in actions]))

    assert likeness(0.3) < 0.2
    assert likeness(20.0) > 0.75


def test_a_start_that_the_scene_does_not_know_is_refused():
    with pytest.raises(ConfigError, match=r"starts.angel: unknown. Did you mean 'angle'\?"):
        episodes(ExploringConfig({"angel": [0.0, 1.0]}), 1, 1)
    scene, recorder = open_simulator("CartPole-v1"), Exploring(ExploringConfig(), "CartPole-v1")
    with pytest.raises(ConfigError, match="moves a vector"):
        recorder.reset(np.random.default_rng(0), scene)
    with pytest.raises(ConfigError, match=r"expected \[low, high\]"):
        open_recorder("exploring", {"starts": {"angle": [1.0, 0.0]}}, "Pendulum-v1")
