"""The heads in a toy diffusion world meet the contract, and learn there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from cosmos_sdk.protocols import Parts
from cosmos_sdk.state import Control, WorldState
from cosmos_sdk.testing import check_head
from cosmos_sdk.world import WorldModel
from cosmos_sdk_heads.reward import RewardHead, RewardHeadConfig
from cosmos_sdk_heads.state import StateReadout, StateReadoutConfig
from cosmos_sdk_heads.termination import TerminationHead, TerminationHeadConfig
from toys import worlds

STATE = spaces.Box(np.array([0, -3, 0], "f"), np.array([512, 3, 2 * np.pi], "f"))


@pytest.fixture
def world() -> WorldModel:
    torch.manual_seed(0)
    toy = worlds.diffusion()
    assert toy.spec is not None
    spec = replace(toy.spec, targets={**toy.spec.targets, "state": STATE, "felt": STATE})
    parts = Parts(spec, "", toy.tokenizer, dict(toy.conditioners.items()), toy.backend)

    def named(name: str) -> Parts:
        return replace(parts, name=name)

    heads: dict[str, Any] = {
        "reward": RewardHead(RewardHeadConfig(16, 5), named("reward")),
        "terminated": TerminationHead(
            TerminationHeadConfig(16, positive_weight=5.0, latents=True), named("terminated")
        ),
    }
    readouts = {
        "state": StateReadout(StateReadoutConfig(16), named("state")),
        "felt": StateReadout(StateReadoutConfig(16, latents=False, features=True), named("felt")),
    }
    return WorldModel(toy.tokenizer, toy.backend, parts.conditioners, heads, readouts, spec)


@pytest.mark.parametrize("name", ["reward", "terminated", "state", "felt"])
def test_every_head_meets_the_contract(world, name):
    check_head(world, name)


@pytest.mark.parametrize(("name", "looks"), [("reward", False), ("terminated", True)])
def test_a_head_looks_at_latents_only_if_it_reads_them(world, name, looks):
    head, seen = world.heads[name], []

    def make(field):
        seen.append(field)
        latents = torch.zeros(3, 1, *world.tokenizer.latent_shape)
        features = torch.zeros(3, world.backend.chunk, world.backend.feature_width)
        return {"latents": latents, "features": features}[field]

    value, _ = head.read(WorldState.late(make), Control({}, {}), WorldState.late(make), {})
    assert value.shape[:2] == (3, world.backend.chunk)
    assert ("latents" in seen) == looks
