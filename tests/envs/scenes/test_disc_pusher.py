from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given
from hypothesis import strategies as st

from cosmos_sdk_scenes.disc_pusher import (
    AGENT_RADIUS,
    BLOCK_RADIUS,
    BLUE,
    GOAL,
    TOUCH,
    DiscPusher,
)
from cosmos_sdk_scenes.disc_scripted import DiscScripted

ACTIONS = st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=1, max_size=15)


def test_gymnasium_accepts_the_environment() -> None:
    env = gymnasium.make(
        "CosmosSDK/DiscPusher-v0", render_mode="rgb_array", disable_env_checker=True
    )
    check_env(env.unwrapped)
    env.close()


def test_the_environment_plays_as_the_simulator_does() -> None:
    env = gymnasium.make("CosmosSDK/DiscPusher-v0", render_mode="rgb_array")
    env.reset(seed=4)
    simulator = DiscPusher()
    simulator.set_state(env.unwrapped.simulator.get_state())  # type: ignore[attr-defined]
    rng = np.random.default_rng(0)
    for _ in range(20):
        reward, terminated, info = simulator.step(rng.uniform(-1, 1, 2))
        observation, *rest = env.step(info["action"])
        np.testing.assert_array_equal(observation, simulator.observe())
        assert rest[:2] == [reward, terminated]
    assert np.array_equal(env.render(), simulator.render_clean(96, 96))  # type: ignore[arg-type]


@given(st.integers(0, 10**6), ACTIONS)
def test_discs_stay_apart_and_inside(seed: int, actions: list[tuple[float, float]]) -> None:
    simulator = DiscPusher()
    simulator.reset(seed)
    for action in actions:
        simulator.step(np.array(action))
        state = simulator.get_state()
        agent, block = state[:2], state[4:]
        assert np.linalg.norm(agent - block) > TOUCH - 1e-6
        assert (agent >= AGENT_RADIUS).all()
        assert (agent <= 1 - AGENT_RADIUS).all()
        assert (block >= BLOCK_RADIUS - 1e-9).all()
        assert (block <= 1 - BLOCK_RADIUS + 1e-9).all()


@given(st.integers(0, 10**6), ACTIONS)
def test_any_moment_is_restored_bit_for_bit(seed: int, actions: list[tuple[float, float]]) -> None:
    simulator = DiscPusher()
    simulator.reset(seed)
    half = len(actions) // 2
    for action in actions[:half]:
        simulator.step(np.array(action))
    moment = simulator.get_state()
    for action in actions[half:]:
        simulator.step(np.array(action))
    end = simulator.get_state()
    simulator.set_state(moment)
    for action in actions[half:]:
        simulator.step(np.array(action))
    np.testing.assert_array_equal(simulator.get_state(), end)


def test_edges_are_antialiased_and_the_agent_lies_where_it_is() -> None:
    simulator = DiscPusher()
    simulator.set_state(np.array([0.25, 0.75, 0, 0, 0.8, 0.2]))
    picture = simulator.render_clean(64, 64).astype(float)
    cover = (255 - picture[..., 0]) / (255 - BLUE[0])
    cover = cover * (np.hypot(*(np.mgrid[:64, :64] - [[[48]], [[16]]] + 0.5)) < 6)
    y, x = np.mgrid[:64, :64] + 0.5
    centre = [(cover * x).sum() / cover.sum() / 64, (cover * y).sum() / cover.sum() / 64]
    np.testing.assert_allclose(centre, [0.25, 0.75], atol=2e-3)
    assert cover.sum() == pytest.approx(np.pi * (AGENT_RADIUS * 64) ** 2, rel=0.03)


def test_every_observation_has_a_unit() -> None:
    assert DiscPusher.observation_units == ("m",) * len(DiscPusher.observation_names)


def test_a_block_at_its_goal_ends_the_episode() -> None:
    simulator = DiscPusher()
    simulator.set_state(np.array([0.2, 0.2, 0, 0, *GOAL]))
    reward, terminated, info = simulator.step(np.zeros(2))
    assert (reward, terminated, info["is_success"]) == (1.0, True, True)


def test_the_scripted_policy_pushes_and_finishes() -> None:
    simulator, policy = DiscPusher(), DiscScripted()
    moved, finished = [], 0
    for seed in range(30):
        simulator.reset(seed)
        policy.reset(np.random.default_rng(seed), simulator)
        for _ in range(50):
            before = simulator.get_state()[4:]
            _, terminated, _ = simulator.step(policy.act(simulator))
            moved.append(np.abs(simulator.get_state()[4:] - before).max() > 1e-3)
            if terminated:
                finished += 1
                break
    assert np.mean(moved) > 0.3
    assert finished >= 5
