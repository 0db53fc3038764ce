"""Gymnasium's own environments as simulators: exact restores, and the same futures as Gymnasium itself."""

from __future__ import annotations

from dataclasses import fields
from importlib.util import find_spec

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.envs.classic_control import PendulumEnv

from cosmos_sdk.errors import (
    ConfigError,
    CosmosError,
    MissingPackageError,
    ShapeError,
    UnknownNameError,
)
from cosmos_sdk.registry import registry
from cosmos_sdk.rng import PLANNER, Rng
from cosmos_sdk.simulators import open_simulator
from cosmos_sdk.testing import check_backend
from cosmos_sdk_simulator.gymnasium_scene import open_env
from cosmos_sdk_simulator.instance import simulator
from cosmos_sdk_simulator.mujoco_warnings import warnings_logged
from cosmos_sdk_simulator.world import simulator_world, starts

FLOAT64 = ["Pendulum-v1", "CartPole-v1"]
FLOAT32 = ["Acrobot-v1", "MountainCar-v0", "MountainCarContinuous-v0"]  # what the others keep
MUJOCO = [
    "Ant-v5",
    "HalfCheetah-v5",
    "Hopper-v5",
    "Humanoid-v5",
    "HumanoidStandup-v5",
    "InvertedDoublePendulum-v5",
    "InvertedPendulum-v5",
    "Pusher-v5",
    "Reacher-v5",
    "Swimmer-v5",
    "Walker2d-v5",
]
needs_mujoco = pytest.mark.skipif(
    find_spec("mujoco") is None, reason="optional: pip install 'cosmos-world-sdk[mujoco]'"
)
MUJOCO_IDS = [pytest.param(name, marks=needs_mujoco) for name in MUJOCO]


def plan(env_id: str, length: int) -> list:
    space = simulator(env_id).action_spec.space
    space.seed(1)
    return [space.sample() for _ in range(length)]


def seen(scene, actions):
    return [
        (*scene.step(a)[:2], scene.observe().tolist(), scene.get_state().tolist()) for a in actions
    ]


@pytest.mark.parametrize("env_id", [*FLOAT64, *FLOAT32, *MUJOCO_IDS])
def test_what_follows_a_state_is_a_function_of_it_and_the_actions(env_id):
    scene, actions = simulator(env_id), plan(env_id, 12)
    scene.reset(3)
    seen(scene, actions[:6])
    state = scene.get_state()
    future = seen(scene, actions[6:])
    for elsewhere in (scene, open_simulator(env_id)):
        elsewhere.reset(8)
        seen(elsewhere, actions)
        elsewhere.set_state(state)
        np.testing.assert_array_equal(elsewhere.get_state(), state)
        assert seen(elsewhere, actions[6:]) == future


@pytest.mark.parametrize("env_id", [*FLOAT64, *MUJOCO_IDS])
def test_it_is_bit_equal_to_gymnasiums_own_environment(env_id):
    scene = simulator(env_id)
    env = gymnasium.make(env_id).unwrapped
    observation, _ = env.reset(seed=5)
    scene.reset(5)
    np.testing.assert_array_equal(scene.observe(), observation.astype(np.float32))
    for action in plan(env_id, 40):
        observation, reward, terminated, _, _ = env.step(action)
        assert scene.step(action)[:2] == (float(reward), terminated)
        np.testing.assert_array_equal(scene.observe(), observation.astype(np.float32))
        if terminated and env_id in FLOAT64:
            break  # classic control warns of steps beyond the end
    env.close()


@pytest.mark.parametrize("env_id", FLOAT32)
def test_the_others_are_equal_within_single_precision(env_id):
    scene = simulator(env_id)
    env = gymnasium.make(env_id)
    env.reset(seed=5)
    scene.reset(5)
    for action in plan(env_id, 8):
        observation, reward, *_ = env.step(action)
        assert scene.step(action)[0] == pytest.approx(float(reward), abs=1e-5)
        np.testing.assert_allclose(scene.observe(), observation, atol=1e-5)
    env.close()


def picture(scene):
    try:
        return scene.render_clean(64, 64)
    except CosmosError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize(
    "env_id", ["CartPole-v1", "Acrobot-v1", pytest.param("Reacher-v5", marks=needs_mujoco)]
)
def test_a_picture_shows_the_state_and_changes_nothing(env_id):
    scene, actions = simulator(env_id), plan(env_id, 8)
    scene.reset(3)
    seen(scene, actions)
    state, shown = scene.get_state(), picture(scene)
    assert shown.shape == (64, 64, 3)
    assert shown.std() > 1
    np.testing.assert_array_equal(scene.get_state(), state)
    future = seen(scene, actions)
    assert (picture(scene) != shown).any()
    scene.set_state(state)
    assert seen(scene, actions) == future
    scene.set_state(state)
    np.testing.assert_array_equal(picture(scene), shown)


@needs_mujoco
def test_a_machine_that_cannot_draw_is_told_what_it_lacks(monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "egl")
    scene = open_simulator("Reacher-v5")

    def fail():
        raise ImportError("Cannot initialize a EGL device display")

    monkeypatch.setattr(scene.env, "render", fail)  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(CosmosError, match=r"Reacher-v5 cannot be drawn: .*MUJOCO_GL=osmesa"):
        scene.render_clean(8, 8)
    assert scene.step(np.zeros(2, np.float32))[0] < 0  # physics needs no pictures


@needs_mujoco
@pytest.mark.parametrize(
    "planner", ["random-shooting", "cem", "icem", "mppi", "predictive-sampling"]
)
def test_every_planner_reaches_further_than_random_actions(planner):
    world = simulator_world("Reacher-v5", 8, 8)
    kind = registry().load("planner", planner)
    known = {item.name for item in fields(kind)}
    budget = {"horizon": 3, "action_block": 5, "num_samples": 16, "num_elites": 4}
    make = kind(**{k: v for k, v in {**budget, "num_iterations": 2}.items() if k in known})
    state = starts(world, torch.tensor([3]))
    objective = registry().load("objective", "reward")()
    planned = make.plan(world, state, objective, Rng(state.seed, state.time, PLANNER)).actions
    chance = torch.rand(12, 15, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1

    def total(actions):
        state = starts(world, torch.full((len(actions),), 3))
        return world.rollout(state, {"action": actions}).values["reward"].sum(1)

    assert total(planned) > total(chance).mean() + total(chance).std()


@needs_mujoco
def test_a_planner_balances_a_pole_that_random_actions_let_fall():
    world = simulator_world("InvertedPendulum-v5", 8, 8)
    cem = registry().load("planner", "cem")(
        horizon=4, action_block=5, num_samples=24, num_elites=4, num_iterations=2
    )
    objective = registry().load("objective", "reward")()
    begin, actions = starts(world, torch.tensor([2])), plan("InvertedPendulum-v5", 40)
    chance = world.rollout(begin, {"action": torch.as_tensor(np.stack(actions))[None]})
    assert chance.values["terminated"].any()
    state = begin
    for _ in range(8):
        rng = Rng(state.seed, state.time, PLANNER)
        planned = cem.plan(world, state, objective, rng)
        future = world.rollout(state, {"action": planned.actions[:, :5]})
        assert not future.values["terminated"].any()
        state = future.state


@pytest.mark.parametrize("env_id", ["Pendulum-v1", "CartPole-v1"])
def test_its_world_meets_the_contract(env_id):
    check_backend(simulator_world(env_id, 32, 32), starts=starts)


@needs_mujoco
def test_a_mujoco_world_meets_the_contract():
    picture(simulator("Hopper-v5"))
    check_backend(simulator_world("Hopper-v5", 32, 32), starts=starts)


def test_the_world_of_the_pendulum_foresees_the_pendulum():
    world, scene = simulator_world("Pendulum-v1"), simulator("Pendulum-v1")
    actions = torch.linspace(-2, 2, 5)[None, :, None]
    future = world.rollout(starts(world, torch.tensor([4])), {"action": actions})
    scene.reset(4)
    rewards = [scene.step(action)[0] for action in actions[0].numpy()]
    np.testing.assert_array_equal(future.values["reward"][0], np.array(rewards, np.float32))
    assert world.decode(future.state).shape == (1, 1, 1, 3, 64, 64)
    assert world.spec is not None
    assert world.spec.rate == pytest.approx(20)


def test_the_steps_are_state_and_tell_when_the_limit_is_reached():
    scene = simulator("Pendulum-v1")
    scene.reset(0)
    state = scene.get_state()
    state[0] = 198
    scene.set_state(state)
    late = [scene.step(np.zeros(1, np.float32))[2]["truncated"] for _ in range(2)]
    assert late == [False, True]
    assert scene.get_state()[0] == 200
    assert scene.state_names == ("steps", "angle", "velocity")


def test_a_picture_does_not_show_the_torque():
    scene = simulator("Pendulum-v1")
    scene.reset(1)
    still = scene.get_state()
    scene.env.last_u = 2.0  # pyright: ignore[reportAttributeAccessIssue]
    marked = scene.render_clean(64, 64)
    scene.set_state(still)
    assert (marked != scene.render_clean(64, 64)).any()
    scene.step(np.array([2.0], np.float32))
    after, shown = scene.get_state(), scene.render_clean(64, 64)
    scene.reset(9)
    scene.set_state(after)
    np.testing.assert_array_equal(shown, scene.render_clean(64, 64))


def test_an_id_that_somebody_else_registers_with_gymnasium_works_too():
    name = "MyPendulum-v0"
    if name not in gymnasium.registry:
        entry = "gymnasium.envs.classic_control.pendulum:PendulumEnv"
        gymnasium.register(name, entry, max_episode_steps=7)
    scene = simulator(name)
    scene.reset(0)
    assert not scene.step(np.zeros(1, np.float32))[2]["truncated"]


class Forgetful(PendulumEnv):
    """Pulls by a wind that `reset` draws, and that no state shows."""

    def reset(self, *, seed=None, options=None):
        observation, info = super().reset(seed=seed, options=options)
        self.g = 10 + self.np_random.uniform()
        return observation, info


def test_an_environment_that_remembers_more_than_its_state_is_refused():
    if "Forgetful-v0" not in gymnasium.registry:
        gymnasium.register("Forgetful-v0", lambda **options: Forgetful(**options))
    with pytest.raises(ConfigError, match="remembers more than steps, angle"):
        open_simulator("Forgetful-v0")


def test_what_is_no_simulator_is_refused():
    for name, meant in {
        "Pendulm-v1": "Pendulum-v1",
        "gym_pusht/PushT": "gym_pusht/PushT-v0",
    }.items():
        with pytest.raises(UnknownNameError, match=f"Did you mean '{meant}'"):
            simulator(name)
    with pytest.raises(ConfigError, match="neither MuJoCo nor classic control"):
        simulator("Blackjack-v1")
    with pytest.raises(ShapeError, match="state of Pendulum-v1"):
        simulator("Pendulum-v1").set_state(np.zeros(2))


@pytest.mark.parametrize(("package", "extra"), [("mujoco", "mujoco"), ("pygame", "classic")])
def test_a_package_that_lacks_is_named_with_our_extra(monkeypatch, package, extra):
    def fail(*_, **__):
        raise gymnasium.error.DependencyNotInstalled(f"{package.title()} is not installed")

    scene = open_simulator("Pendulum-v1")
    command = rf"pip install 'cosmos-world-sdk\[{extra}\]'"
    monkeypatch.setattr(scene.env, "render", fail)  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(MissingPackageError, match=command):
        scene.render_clean(8, 8)
    monkeypatch.setattr(gymnasium, "make", fail)
    with pytest.raises(MissingPackageError, match=command):
        open_simulator("Ant-v5")


def test_what_mujoco_warns_of_is_logged_and_written_into_no_folder(tmp_path, monkeypatch, caplog):
    """Gymnasium's half-cheetah has an attribute that MuJoCo deprecates from 3.3 on."""
    mujoco = pytest.importorskip("mujoco")
    monkeypatch.chdir(tmp_path)
    open_env("HalfCheetah-v5")
    assert not list(tmp_path.iterdir())
    assert mujoco.get_mju_user_warning() is None
    with warnings_logged():
        mujoco.get_mju_user_warning()("deprecated")
    assert "deprecated" in caplog.text
