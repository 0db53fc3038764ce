"""Behaviour cloning, of behaviours that are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from cosmos_sdk.actions import ActionSpec
from cosmos_sdk.errors import CheckpointError, ConfigError, ShapeError
from cosmos_sdk_policies.cloning import (
    ClonedPolicy,
    CloningConfig,
    clone,
    load_network,
    save_network,
)

SMALL = CloningConfig(width=32, depth=2, steps=300, batch_size=64, learning_rate=3e-3)
SPEC = ActionSpec(("x", "y"), (-2.0, 0.0), (2.0, 1.0))


def behaviour(n, seed=0):
    """A linear servo: the action is the way to the goal."""
    seen = torch.rand(n, 4, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return seen, 0.5 * (seen[:, 2:] - seen[:, :2])


def error(network):
    seen, actions = behaviour(500, seed=9)
    with torch.no_grad():
        return float((network(seen) - actions).square().mean())


def test_a_servo_is_learned_and_better_from_more_data():
    few, many = (clone(*behaviour(n), SMALL) for n in (8, 800))
    assert error(many) < 0.003
    assert error(few) > 5 * error(many)


def test_the_same_seed_gives_the_same_network_and_leaves_the_global_one_alone():
    before = torch.get_rng_state()
    short = replace(SMALL, steps=5)
    one, again = clone(*behaviour(50), short), clone(*behaviour(50), short)
    other = clone(*behaviour(50), replace(short, seed=1))
    seen = behaviour(3)[0]
    assert torch.equal(one(seen), again(seen))
    assert not torch.equal(one(seen), other(seen))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_feature_that_never_changes_does_no_harm():
    seen, actions = behaviour(100)
    seen[:, 0] = 3.0
    assert torch.isfinite(clone(seen, actions, replace(SMALL, steps=20))(seen)).all()


def test_a_cloned_policy_acts_in_the_units_and_bounds_of_its_spec():
    network = clone(*behaviour(400), SMALL)

    def features(observation, goal):
        return np.concatenate([observation, goal])

    policy = ClonedPolicy(network, features, SPEC)
    policy.aim(np.array([0.8, 0.0]))
    action = policy.act(np.array([0.0, 0.0]))
    assert action.dtype == np.float32
    np.testing.assert_allclose(action, [0.8, 0.5], atol=0.15)  # normalised (0.4, 0)
    policy.aim(np.array([90.0, 90.0]))
    assert SPEC.space.contains(policy.act(np.array([-9.0, -9.0])))


def test_a_saved_network_says_the_same(tmp_path):
    network = clone(*behaviour(50), replace(SMALL, steps=5))
    path = tmp_path / "deep" / "clone.safetensors"
    save_network(network, path, replace(SMALL, steps=5))
    seen = behaviour(7)[0]
    assert torch.equal(load_network(path, replace(SMALL, steps=5))(seen), network(seen))
    with pytest.raises(CheckpointError, match="was trained with"):
        load_network(path, SMALL)
    path.write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_network(path, SMALL)


def test_pairs_that_are_none_and_counts_that_are_none_are_refused():
    with pytest.raises(ShapeError, match="n > 0"):
        clone(torch.zeros(0, 4), torch.zeros(0, 2), SMALL)
    with pytest.raises(ShapeError, match=r"\(3, 4\) and \(2, 2\)"):
        clone(torch.zeros(3, 4), torch.zeros(2, 2), SMALL)
    with pytest.raises(ConfigError, match="width is 0"):
        CloningConfig(width=0)
