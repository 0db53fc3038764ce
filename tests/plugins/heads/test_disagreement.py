"""Doubt: what ensembles and drawn futures disagree on."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from cosmos_sdk.errors import ConfigError
from cosmos_sdk.protocols import Parts, Spec
from cosmos_sdk.testing import check_head
from cosmos_sdk.world import WorldModel
from cosmos_sdk_heads.disagreement import (
    Disagreement,
    DisagreementConfig,
    SampleDisagreement,
    SampleDisagreementConfig,
)
from toys.line import anywhere, line_world
from toys.worlds import make

TARGET = spaces.Box(-2.0, 2.0, (2,), np.float32)


def with_head(world: WorldModel, build: Any, config: Any) -> WorldModel:
    """A toy world whose only head is `uncertainty`."""
    conditioners = dict(world.conditioners.items())
    taken = {name: c.space for name, c in conditioners.items() if c.space is not None}
    frames = world.spec.frames if world.spec else (1, 8, 8)
    spec = Spec(frames, 10.0, taken, {"state": TARGET})
    parts = Parts(spec, "uncertainty", world.tokenizer, conditioners, world.backend)
    head = build(config, parts)
    return WorldModel(world.tokenizer, world.backend, conditioners, {"uncertainty": head}, {}, spec)


@pytest.mark.parametrize("name", ["diffusion", "statespace"])
def test_an_ensemble_is_a_head_of_backends_with_features(name: str):
    world = with_head(make(name), Disagreement, DisagreementConfig("state", hidden=8))
    check_head(world, "uncertainty")


def test_the_random_parts_of_members_never_learn():
    world = with_head(make("diffusion"), Disagreement, DisagreementConfig("state"))
    names = {name for name, p in world.heads.named_parameters() if not p.requires_grad}
    assert {name.split(".")[1] for name in names} == {"priors"}


def test_futures_that_differ_by_noise_disagree_by_as_much():
    world = line_world({})
    world.backend.stochastic = True  # pyright: ignore[reportAttributeAccessIssue]
    noisy = world.using(noise=0.1)
    config = SampleDisagreementConfig(num_samples=32)
    noisy = with_head(noisy, SampleDisagreement, config)
    state = noisy.start(torch.zeros(16, 1, 1), {}, torch.arange(16))
    futures = noisy.rollout(state, {"action": torch.zeros(16, 3, 1)})
    assert futures.values["uncertainty"].shape == (16, 3)
    assert futures.values["uncertainty"].mean().item() == pytest.approx(0.1, rel=0.1)
    assert not torch.equal(*futures.values["uncertainty"].T[:2])  # other draws in other steps


def test_doubt_draws_nothing_that_the_world_draws():
    world = line_world({}).using(noise=0.1)
    world.backend.stochastic = True  # pyright: ignore[reportAttributeAccessIssue]
    doubting = with_head(world, SampleDisagreement, SampleDisagreementConfig())
    state, signal = anywhere(world, torch.arange(3)), {"action": torch.zeros(3, 1, 1)}
    after = doubting.step(anywhere(doubting, torch.arange(3)), signal)[0]
    assert torch.equal(after.latents, world.step(state, signal)[0].latents)


def test_what_cannot_disagree_is_refused():
    with pytest.raises(ConfigError, match=r"do not differ by seed.*'disagreement', an ensemble"):
        with_head(line_world({}), SampleDisagreement, SampleDisagreementConfig())
    with pytest.raises(ConfigError, match="no features to predict from"):
        with_head(make("pendulum"), Disagreement, DisagreementConfig("state"))
    parts = SimpleNamespace(
        name="uncertainty",
        backend=line_world({}).backend,
        conditioners={},
        spec=Spec((1, 8, 8), 10.0, {}, {}),
    )
    with pytest.raises(ConfigError, match="bounded Box; it is None"):
        Disagreement(DisagreementConfig(), parts)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="2 or more"):
        DisagreementConfig(num_members=1)
