"""Policies that learned in a world, as files and as recorders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from cosmos_sdk.cli.main import main
from cosmos_sdk.errors import CheckpointError, ConfigError
from cosmos_sdk.registry import registry
from cosmos_sdk.world import WorldModel
from cosmos_sdk_policies.actor_critic import ActorCritic, ActorCriticConfig
from cosmos_sdk_policies.dream_policy import DreamPolicy, load_policy, save_policy
from cosmos_sdk_policies.policy import FunctionPolicy
from cosmos_sdk_policies.world_sight import FeaturePolicy, WorldSight
from toys.line import line_world
from toys.worlds import make


def rightness(before: Tensor, after: Tensor) -> Tensor:
    return after


def untrained(world: WorldModel) -> ActorCritic:
    agent = ActorCritic(world, ActorCriticConfig(width=8, depth=1))
    for parameter in agent.actor.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return agent


def picture(brightness: int) -> np.ndarray:
    return np.full((8, 8, 3), brightness, np.uint8)


def test_a_saved_policy_acts_as_before(tmp_path: Path):
    world = line_world({"reward": rightness})
    before = DreamPolicy(untrained(world), world)
    save_policy(before.agent, "line", tmp_path)
    after = registry().load("policy", "dream")(tmp_path, world)
    for brightness in (0, 90, 255):
        assert before.act(picture(brightness)).tolist() == after.act(picture(brightness)).tolist()


def test_drawn_actions_repeat_with_the_seed_and_differ_from_it():
    world = line_world({"reward": rightness})
    policy = DreamPolicy(untrained(world), world, deterministic=False)

    def drawn(seed: int) -> list[float]:
        policy.reset(seed)
        return [float(policy.act(picture(128))[0]) for _ in range(3)]

    assert drawn(1) == drawn(1) != drawn(2)
    assert len(set(drawn(1))) == 3


def test_what_was_done_is_told_to_a_world_that_asks():
    """The toy of diffusion embeds the actions between its context frames."""
    world = make("diffusion")
    seen = [WorldSight(world), WorldSight(world), WorldSight(world)]
    for sight, action in zip(seen, (0.0, 0.0, 1.0), strict=True):
        sight.see(picture(10))
        sight.took([action, action])
        sight.see(picture(20))
    first, same, other = (sight.enter().features for sight in seen)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_a_chunk_is_given_at_once_or_one_by_one_while_everything_is_seen():
    world = make("chunk")
    agent = untrained(world)
    whole = DreamPolicy(agent, world, deterministic=False, chunks=True).act(picture(10))
    assert whole.shape == (12, 2)
    policy = DreamPolicy(agent, world, deterministic=False)
    one_by_one = [policy.act(picture(10 + k)) for k in range(13)]
    assert np.array_equal(np.stack(one_by_one[:12]), whole)
    assert not np.array_equal(one_by_one[12], whole[0])


def test_a_policy_of_features_acts_on_pictures():
    world = line_world({"reward": rightness})
    policy = FeaturePolicy(FunctionPolicy(lambda place: -place), world)
    policy.reset(0)
    assert policy.act(picture(255)).tolist() == [-1.0]
    with pytest.raises(ConfigError, match="the world takes action"):
        FeaturePolicy(policy, world, "steering")


def test_a_folder_of_another_kind_or_world_is_refused(tmp_path: Path):
    with pytest.raises(CheckpointError, match=r"no policy: it has no config\.yaml"):
        load_policy(tmp_path)
    world = line_world({"reward": rightness})
    save_policy(untrained(world), "line", tmp_path)
    with pytest.raises(CheckpointError, match="does not fit the world"):
        load_policy(tmp_path, line_world({"reward": rightness}, discrete=True))
    (tmp_path / "config.yaml").write_text("format: something-else\n")
    with pytest.raises(CheckpointError, match="format 'something-else'"):
        load_policy(tmp_path, world)


def test_the_command_names_what_is_wrong_before_it_loads_a_world(
    capsys: pytest.CaptureFixture[str],
):
    assert main(["dream", "steps=0", "learning_rate=0"]) == 2
    said = capsys.readouterr().err
    assert "- steps is 0; expected at least 1." in said
    assert "- learning_rate is 0.0; expected more than 0." in said
    assert main(["dream", "device=abacus", "world=nowhere"]) == 2
    assert "device: 'abacus' cannot be used here" in capsys.readouterr().err
