"""True simulators behind the interface of a learned world's environment."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from cosmos_sdk.errors import ActionError, ConfigError
from cosmos_sdk.registry import registry

DISC = "CosmosSDK/DiscPusher-v0"


def make(**options):
    registry()  # plugins register their environments
    return gymnasium.make("CosmosSDK/Simulator-v0", disable_env_checker=True, **options)


@pytest.mark.filterwarnings("ignore:.*symmetric and normalized")  # torques are in N m
@pytest.mark.parametrize("observation", ["pixels", "dict", "state"])
@pytest.mark.parametrize("simulator", [DISC, "Pendulum-v1"])
def test_gymnasiums_checker_is_content(observation, simulator):
    env = make(simulator=simulator, observation=observation, size=40, max_episode_steps=5)
    check_env(env.unwrapped, skip_render_check=True)


def test_it_begins_where_the_state_says_and_does_what_the_simulator_does():
    env = make(simulator=DISC, observation="dict", size=32)
    _, info = env.reset(seed=1)
    for _ in range(3):
        *_, info = env.step(np.array([0.5, -1], np.float32))
    state = info["simulator_state"]
    later = [env.step(np.array([1, 0.3], np.float32))[0] for _ in range(3)]
    first, _ = env.reset(seed=9, options={"state": state})
    scene = registry().load("simulator", DISC)()
    scene.set_state(state)
    np.testing.assert_array_equal(first["camera_0"], scene.render_clean(32, 32))
    for seen in later:
        again = env.step(np.array([1, 0.3], np.float32))[0]
        np.testing.assert_array_equal(again["camera_0"], seen["camera_0"])
        np.testing.assert_array_equal(again["state"], seen["state"])


def test_the_limit_of_steps_truncates():
    env = make(simulator="Pendulum-v1", observation="state", max_episode_steps=2)
    env.reset(seed=0)
    assert [env.step(np.zeros(1, np.float32))[3] for _ in range(2)] == [False, True]


def test_the_limit_of_the_environment_itself_truncates_too():
    env = make(simulator="Pendulum-v1", observation="state")
    env.reset(seed=0, options={"state": [199, 0.1, 0.0]})
    assert env.step(np.zeros(1, np.float32))[3]


def test_what_it_does_not_know_is_refused():
    with pytest.raises(ConfigError, match="Did you mean 'pixels'"):
        make(simulator=DISC, observation="pixel")
    env = make(simulator=DISC, observation="state")
    with pytest.raises(ConfigError, match="Did you mean 'state'"):
        env.reset(options={"sttae": 0})
    env.reset(seed=0)
    with pytest.raises(ActionError, match="shape"):
        env.step(np.zeros(3, np.float32))
