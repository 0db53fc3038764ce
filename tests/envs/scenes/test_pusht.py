from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from cosmos_sdk.errors import ConfigError, MissingPackageError, ShapeError
from cosmos_sdk.registry import registry

pytest.importorskip("gym_pusht", reason="needs gym-pusht: make pusht")

from cosmos_sdk_scenes.pusht import GOAL_POSE, PushTSimulator, block_centre, raw_action
from cosmos_sdk_scenes.pusht_look import RADII, SCALES, STANDARD, Look, draw_look
from cosmos_sdk_scenes.pusht_scripted import (
    VARIED,
    LookConfig,
    PushTScatter,
    PushTScripted,
    ScriptedConfig,
)
from cosmos_sdk_scenes.pusht_varied import VariedPushT

ENV = "gym_pusht/PushT-v0"


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
    fresh._build()
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
    policy = PushTScripted(ScriptedConfig(), ENV)

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
    policy = PushTScripted(ScriptedConfig(aimless=0, finishing=1), ENV)
    successes = 0
    for seed in range(5):
        simulator.reset(seed)
        policy.reset(np.random.default_rng(seed), simulator)
        successes += any(simulator.step(policy.act(simulator))[1] for _ in range(50))
    assert successes >= 1  # 19 of 40 over more seeds


def test_scattered_placements_lie_inside_and_apart(simulator: PushTSimulator) -> None:
    policy = PushTScatter(LookConfig(), ENV)
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


def test_the_picture_is_the_one_that_gym_pusht_draws(simulator: PushTSimulator) -> None:
    import pygame

    simulator.reset(3)
    theirs = pygame.surfarray.array3d(simulator._env._draw()).transpose(1, 0, 2)
    np.testing.assert_array_equal(simulator.render_clean(512, 512), theirs)


@pytest.fixture(scope="module")
def varied() -> VariedPushT:
    return registry().load("simulator", VARIED)()


@pytest.mark.parametrize("seed", range(3))
def test_a_varied_moment_is_restored_in_its_own_look(varied: VariedPushT, seed: int) -> None:
    policy = PushTScripted(ScriptedConfig(starts="anywhere", aimless=0), VARIED)
    varied.reset(seed)
    policy.reset(np.random.default_rng(seed), varied)
    states, actions, pictures = [varied.get_state()], [], [varied.render_clean(64, 64)]
    for _ in range(15):
        actions.append(varied.action_spec.check(policy.act(varied)))
        varied.step(actions[-1])
        states.append(varied.get_state())
        pictures.append(varied.render_clean(64, 64))
    other = VariedPushT()
    for start in (0, 7):
        other.set_state(states[start])
        for k in range(start, 15):
            np.testing.assert_array_equal(other.render_clean(64, 64), pictures[k])
            other.advance(actions[k])
            np.testing.assert_array_equal(other.get_state(), states[k + 1])
    assert len(varied.state_names) == len(states[0])


def test_a_look_follows_from_the_seed_of_its_episode_alone(varied: VariedPushT) -> None:
    varied.reset(5)
    first = varied.get_state()
    varied.reset(6)
    assert not np.array_equal(varied.get_state()[10:], first[10:])
    varied.reset(5)
    np.testing.assert_array_equal(varied.get_state(), first)


def test_in_the_standard_look_it_is_push_t(simulator: PushTSimulator, varied: VariedPushT) -> None:
    simulator.reset(1)
    varied.set_state(np.concatenate([simulator.get_state(), STANDARD.vector()]))
    np.testing.assert_array_equal(varied.render_clean(64, 64), simulator.render_clean(64, 64))
    for _ in range(10):
        action = chase(simulator, np.random.default_rng(0))
        assert varied.step(action)[:2] == simulator.step(action)[:2]
        np.testing.assert_array_equal(varied.get_state()[:10], simulator.get_state())


@pytest.mark.parametrize(("radius", "scale"), [(8.0, 20.0), (15.0, 30.0), (24.0, 40.0)])
def test_bodies_touch_where_their_sizes_say(
    varied: VariedPushT, radius: float, scale: float
) -> None:
    """An agent that comes from above stops the gap between its edge and the bar's, and moves the block from there."""
    bodies = np.array([256, 60, 0, 0, 256, 200, 0, 0, 0, 0], np.float64)
    varied.set_state(np.concatenate([bodies, Look(radius, scale).vector()]))
    touched = 200 - radius  # px: the bar's upper edge lies at the block's origin
    before = 0.0
    while varied.observe()[3] == 200:
        before = varied.observe()[1]
        varied.advance(np.array([0, 0.1], np.float32))
    assert before <= touched + 0.5
    assert varied.observe()[1] > touched - 0.5
    state = varied.get_state()
    turned = np.concatenate([[256, 60, 0, 0, 256, 200, np.pi, 0, 0, 0], state[10:]])
    varied.set_state(turned)  # upside down: the stem's end is 4 scales above the origin
    varied.advance(np.zeros(2, np.float32))
    varied.set_state(np.concatenate([[256, 200 - 4 * scale - radius + 4, 0, 0], turned[4:]]))
    varied.advance(np.zeros(2, np.float32))
    assert varied.observe()[3] != 200, "the discs overlap, so the block gives way"


def test_training_never_shows_what_is_shifted() -> None:
    rng = np.random.default_rng(0)
    for draw in ("training", "shifted"):
        for _ in range(50):
            look = draw_look(rng, draw, draw)
            assert any(low <= look.agent_radius <= high for low, high in RADII[draw])
            assert any(low <= look.block_scale <= high for low, high in SCALES[draw])
            assert Look.of(look.vector()) == look
            for colour in (look.agent, look.background):
                assert sixth(colour) % 2 == (draw == "training")
    assert sixth(STANDARD.agent) % 2 == sixth(STANDARD.block) % 2 == 1
    for held in (RADII, SCALES):
        (low, high), ((_, below), (above, _)) = held["training"][0], held["shifted"]
        assert below < low
        assert high < above


def sixth(colour: tuple[int, int, int]) -> int:
    """Where its hue lies on the circle, of six."""
    import colorsys

    return int(6 * colorsys.rgb_to_hsv(*colour)[0] + 1e-9)


def test_a_recording_dresses_the_scene_as_it_is_told(varied: VariedPushT) -> None:
    varied.reset(0)
    drawn = varied.look
    PushTScatter(LookConfig(sizes="standard"), VARIED).reset(np.random.default_rng(0), varied)
    assert varied.look == Look(15.0, 30.0, drawn.agent, drawn.block, drawn.background)


def test_a_look_is_refused_where_the_scene_has_one_only() -> None:
    with pytest.raises(ConfigError, match=f"colours of policy=pusht-scatter.*env={VARIED}"):
        PushTScatter(LookConfig(colours="training"), ENV)
    with pytest.raises(ConfigError, match="colours and sizes"):
        PushTScripted(ScriptedConfig(colours="shifted", sizes="shifted"), ENV)
    with pytest.raises(ValueError, match="shares"):
        ScriptedConfig(aimless=0.7, finishing=0.7)


def test_a_state_without_a_look_is_refused(varied: VariedPushT) -> None:
    with pytest.raises(ShapeError, match="look included"):
        varied.set_state(np.zeros(10))


def test_without_gym_pusht_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gym_pusht.envs.pusht", None)
    with pytest.raises(MissingPackageError, match="make pusht"):
        PushTSimulator()
