"""The graded policies of Push-T, and their tasks. The whole evaluation is slow; its parts are not."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
import torch

from cosmos_sdk.errors import ConfigError
from cosmos_sdk.registry import registry
from cosmos_sdk_policies import pusht_tasks
from cosmos_sdk_policies.cloning import CloningConfig
from cosmos_sdk_policies.policy import identity
from cosmos_sdk_policies.pusht_ranking import (
    BLOCK,
    POLICIES,
    Noisy,
    PoseMPC,
    RankingConfig,
    Still,
    Walk,
    graded_policy,
    pusht_ranking,
)

pytest.importorskip("gym_pusht", reason="Push-T is an optional package: make pusht")
QUICK = CloningConfig(width=16, depth=1, steps=5, batch_size=16)


@pytest.fixture
def scene():
    return registry().load("simulator", pusht_tasks.ENV)()


def seen(scene):
    return {"state": scene.observe()}


def held(scene, policy):
    """A block of frames: an action is held, a chunk is played."""
    answer = np.asarray(policy.act(seen(scene)))
    for action in np.broadcast_to(answer, (BLOCK, 2)):
        scene.advance(action)


def test_starts_are_at_rest_and_their_goals_are_elsewhere_on_the_track(scene):
    starts = pusht_tasks.draw_starts(3, "moved")
    assert len(starts) == 3
    for start in starts:
        scene.set_state(start.options["state"])
        assert scene.reaching.moves(scene.observe(), start.goal)
        assert not pusht_tasks.reached(seen(scene), start)
        assert (start.options["state"][[2, 3, 7, 8, 9]] == 0).all()
    again = pusht_tasks.draw_starts(3, "moved")
    assert all((a.goal == b.goal).all() for a, b in zip(starts, again, strict=True))
    assert (pusht_tasks.draw_starts(1, "field", seed=1)[0].goal != starts[0].goal).any()


def test_recordings_teach_the_way_to_what_they_reached():
    track = next(pusht_tasks.tracks(pusht_tasks.CLONED, 30))
    given, actions = pusht_tasks.pairs([track], BLOCK, per_step=2)
    assert given.shape == (52, 16)
    assert actions.shape == (52, 10)
    np.testing.assert_array_equal(actions[-1].reshape(5, 2), track.actions[-5:])
    assert torch.isfinite(given).all()
    assert actions.abs().max() <= 1
    direct = pusht_tasks.features({"state": track.observations[0]}, track.observations[9])
    np.testing.assert_array_equal(
        direct, pusht_tasks.pair_features(track.observations[:1], track.observations[9:10])[0]
    )
    first, second = islice(pusht_tasks.tracks(3, 2), 2)
    assert (first.states[0] != second.states[0]).any()


def test_walking_takes_the_agent_to_its_goal(scene):
    scene.reset(1)
    goal = scene.observe()
    goal[:2] = np.clip(goal[:2] + 30, 40, 470)
    policy = Walk()
    policy.aim(goal)
    for _ in range(4):
        held(scene, policy)
    assert np.linalg.norm(scene.observe()[:2] - goal[:2]) < 12


def test_noise_takes_its_share_of_blocks_and_repeats_with_the_seed():
    policy = Noisy(Still(), 0.4)

    def run(seed):
        policy.reset(seed)
        return np.array([policy.act(None) for _ in range(500)])

    actions = run(1)
    np.testing.assert_array_equal(actions, run(1))
    assert (actions != run(2)).any()
    assert 0.3 < (actions != 0).any(1).mean() < 0.5


def test_a_search_in_the_true_simulator_takes_the_agent_where_it_should_be(scene):
    state = scene.get_state()
    state[:2], state[4:7] = (120, 120), (350, 350, 0.5)
    scene.set_state(state)
    goal = scene.observe() + np.array([90, 0, 0, 0, 0], np.float32)
    policy = PoseMPC(32, 3)
    policy.reset(0)
    policy.aim(goal)
    least = np.inf
    for _ in range(3):
        held(scene, policy)
        least = min(least, np.linalg.norm(scene.observe()[:4] - goal[:4]))
    assert least < 45


def test_every_policy_of_the_list_exists_and_acts_in_bounds(tmp_path, scene):
    config = RankingConfig(
        policies=("random", "still", "walk", "walk-noisy", "mpc-tiny", "clone-20"),
        cloning=QUICK,
        folder=str(tmp_path),
    )
    policies = {name: graded_policy(name, config) for name in config.policies}
    assert set(config.policies) < set(POLICIES)
    assert len({identity(policy) for policy in policies.values()}) == 5  # still and walk have none
    scene.reset(0)
    for policy in policies.values():
        if hasattr(policy, "reset"):
            policy.reset(0)
        if hasattr(policy, "aim"):
            policy.aim(scene.observe())
        answer = np.atleast_2d(policy.act(seen(scene)))
        assert len(answer) in (1, BLOCK)
        assert all(scene.action_spec.space.contains(action) for action in answer)
    assert (tmp_path / "clone-20.safetensors").is_file()
    again = graded_policy("clone-20", config)
    again.aim(scene.observe())
    np.testing.assert_array_equal(again.act(seen(scene)), policies["clone-20"].act(seen(scene)))


def test_names_that_are_none_are_refused():
    with pytest.raises(ConfigError) as caught:
        RankingConfig(n=0, tasks=("near",), policies=("walker",))
    for part in ("policies: 'walker' is none of random", "tasks: 'near'", "n is 0"):
        assert part in str(caught.value)


@pytest.mark.slow
def test_a_bundled_world_judges_simple_policies():
    from cosmos_sdk.world import WorldModel

    config = RankingConfig(n=4, policies=("random", "still", "walk"), processes=2)
    measured = pusht_ranking(WorldModel.from_pretrained("pusht-diffusion"), config)
    names = [result.name for result in measured.results]
    assert "all tasks, walk: world success" in names
    assert len(measured.pictures) == 1
