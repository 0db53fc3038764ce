from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from cosmos_sdk.errors import MissingPackageError
from cosmos_sdk.registry import registry

pytest.importorskip("gym_pusht", reason="needs gym-pusht: make pusht")

from cosmos_sdk_scenes.pusht import GOAL_POSE, PushTSimulator, block_centre, raw_action
from cosmos_sdk_scenes.pusht_scripted import PushTScatter, PushTScripted


def chase(simulator: PushTSimulator, rng: np.random.Generator) -> np.ndarray:
    """An action into the block, so that contacts happen."""
    observation = simulator.observe().astype(float)
    way = block_centre(observation) - observation[:2]
    return np.clip(0.3 * way / np.linalg.norm(way) + rng.normal(0, 0.1, 2), -1, 1).astype(
        np.float32
    )


@pytest.fixture(scope="module")
def simulator() -> PushTSimulator:
    return registry().load("simulator", "gym_pusht/PushT-v0")()


@pytest.mark.parametrize("seed", range(4))
def test_any_moment_is_restored_bit_for_bit(simulator: PushTSimulator, seed: int) -> None:
    simulator.reset(seed)
    rng = np.random.default_rng(seed)
    states, actions, pictures = [simulator.get_state()], [], [simulator.render_clean(64, 64)]
    for _ in range(25):
        actions.append(chase(simulator, rng))
        simulator.step(actions[-1])
        states.append(simulator.get_state())
        pictures.append(simulator.render_clean(64, 64))
    assert np.abs(states[-1][4:6] - states[0][4:6]).max() > 1, "the block should have moved"
    for start in (0, 11, 20):
        simulator.set_state(states[start])
        for k in range(start, 25):
            np.testing.assert_array_equal(simulator.render_clean(64, 64), pictures[k])
            simulator.step(actions[k])
            np.testing.assert_array_equal(simulator.get_state(), states[k + 1])


def test_a_step_is_the_step_of_gym_pusht(simulator: PushTSimulator) -> None:
    """From the same bodies in a fresh space, the environment's own `step` gives the same bits."""
    rng = np.random.default_rng(0)
    simulator.reset(5)
    for _ in range(30):
        action, state = chase(simulator, rng), simulator.get_state()
        env = environment_in(state)
        _, reward, terminated, _, info = env.step(raw_action(action, state[:2]).astype(float))
        mine = simulator.step(action)
        np.testing.assert_array_equal(
            simulator.get_state()[4:7], [*env.block.position, env.block.angle]
        )
        np.testing.assert_array_equal(
            simulator.get_state()[:4], [*env.agent.position, *env.agent.velocity]
        )
        assert mine[:2] == (float(reward), bool(terminated))
        assert mine[2]["coverage"] == info["coverage"]


def environment_in(state: np.ndarray) -> Any:
    """The environment inside a simulator that was just put into `state`."""
    fresh = PushTSimulator()
    fresh.set_state(state)
    return fresh._env


def test_the_goal_pose_is_full_coverage(simulator: PushTSimulator) -> None:
    simulator.set_state(np.array([50, 50, 0, 0, *GOAL_POSE, 0, 0, 0]))
    reward, terminated, info = simulator.step(np.zeros(2, np.float32))
    assert reward == 1.0
    assert terminated
    assert info["is_success"]
    assert info["coverage"] == pytest.approx(1.0)


def test_the_relative_action_moves_the_target_from_the_agent(simulator: PushTSimulator) -> None:
    simulator.set_state(np.array([200, 100, 0, 0, 256, 400, 0, 0, 0, 0]))
    _, _, info = simulator.step(np.array([0.5, -0.2], np.float32))
    np.testing.assert_allclose(info["action"], [250, 80], rtol=1e-6)
    assert raw_action(np.array([1.0, -1.0]), np.array([450, 60])).tolist() == [497, 15]


def test_pictures_show_the_scene_and_not_the_action(simulator: PushTSimulator) -> None:
    state = np.array([100, 100, 0, 0, 300, 300, 0.7, 0, 0, 0])
    simulator.set_state(state)
    before = simulator.render_clean(96, 96)
    simulator.step(np.ones(2, np.float32))
    simulator.set_state(state)
    np.testing.assert_array_equal(simulator.render_clean(96, 96), before)
    blue = (before[..., 2].astype(int) - before[..., 0]) > 100
    y, x = np.nonzero(blue)
    np.testing.assert_allclose(
        [x.mean() + 0.5, y.mean() + 0.5], np.array([100, 100]) * 96 / 512, atol=0.6
    )
    assert simulator.render_clean(64, 64).shape == (64, 64, 3)


def test_every_observation_has_a_unit(simulator: PushTSimulator) -> None:
    assert simulator.observation_units == ("px", "px", "px", "px", "rad")
    assert len(simulator.observation_units) == len(simulator.observation_names)


def test_observations_lie_within_their_bounds(simulator: PushTSimulator) -> None:
    rng = np.random.default_rng(2)
    for seed in range(3):
        simulator.reset(seed)
        for _ in range(20):
            simulator.step(chase(simulator, rng))
            seen = simulator.observe()
            assert (seen >= simulator.observation_low).all()
            assert (seen <= simulator.observation_high).all()


def test_scripted_episodes_move_the_block_often_and_the_same_each_time(
    simulator: PushTSimulator,
) -> None:
    policy = PushTScripted()

    def play(seed: int) -> np.ndarray:
        simulator.reset(seed)
        policy.reset(np.random.default_rng(seed), simulator)
        states = [simulator.get_state()]
        for _ in range(30):
            simulator.step(simulator.action_spec.check(policy.act(simulator)))
            states.append(simulator.get_state())
        return np.stack(states)

    episodes = [play(seed) for seed in range(10)]
    moved = np.abs(np.diff(np.stack(episodes)[..., 4:6], axis=1)).max(-1) > 0.5
    assert moved.mean() > 0.25  # 0.38 over thousands
    np.testing.assert_array_equal(play(3), episodes[3])


def test_finishing_episodes_succeed_in_numbers(simulator: PushTSimulator) -> None:
    policy = PushTScripted(aimless=0, finishing=1)
    successes = 0
    for seed in range(5):
        simulator.reset(seed)
        policy.reset(np.random.default_rng(seed), simulator)
        successes += any(simulator.step(policy.act(simulator))[1] for _ in range(50))
    assert successes >= 1  # 19 of 40 over more seeds


def test_scattered_placements_lie_inside_and_apart(simulator: PushTSimulator) -> None:
    policy = PushTScatter()
    places = []
    for seed in range(30):
        policy.reset(np.random.default_rng(seed), simulator)
        before = simulator.get_state()
        simulator.step(policy.act(simulator))
        np.testing.assert_allclose(
            simulator.get_state()[4:6], before[4:6], atol=1e-6
        )  # nothing overlaps
        places.append(before)
    assert np.ptp(np.stack(places)[:, 6]) > 4


def test_without_gym_pusht_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gym_pusht.envs.pusht", None)
    with pytest.raises(MissingPackageError, match="make pusht"):
        PushTSimulator()
