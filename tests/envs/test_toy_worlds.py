"""Every kind of world is an env, without a line about its backend."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from cosmos_sdk.rng import Rng
from cosmos_sdk.state import WorldState
from cosmos_sdk.testing import check_env
from cosmos_sdk.world import WorldModel
from cosmos_sdk_envs.vector_env import WorldVectorEnv
from toys.worlds import STARTS, make

SHAPE = (3, 8, 8, 3)  # V, h, w and colours of the toy with several views
KINDS = ("diffusion", "multiview", "autoregressive", "chunk", "single_action", "statespace")


def random_frames(world: WorldModel, seed: Tensor) -> WorldState:
    """One frame of noise, a function of the seed."""
    assert world.spec is not None
    views, height, width = world.spec.frames
    noise = Rng(seed, torch.zeros_like(seed), 9).uniform(1, views, 3, height, width)
    return world.reset((255 * noise).to(torch.uint8), {}, seed)


@pytest.mark.parametrize("kind", [*KINDS, "pendulum"])
def test_every_kind_of_world_passes_the_check_of_envs(kind):
    starts = STARTS.get(kind, random_frames)
    options = {"world": make(kind), "starts": starts, "max_episode_steps": 4}
    check_env("cosmos_sdk_envs:CosmosSDK/World-v0", num_steps=10, **options)


def test_once_per_episode_signals_are_given_at_reset_for_all_slots_or_each():
    world = make("multiview")
    space = world.conditioners["text"].start_space
    assert space is not None
    space.seed(0)
    text = space.sample()
    frames = np.full((3, *SHAPE), 128, np.uint8)
    envs = WorldVectorEnv(world, 2)
    seen = []
    for told in ({}, {"text": text}, {"text": np.stack((text, text))}):
        envs.reset(seed=0, options={"frames": frames, "start": told})
        envs.step(np.zeros((2, 2), np.float32))
        seen.append(envs.state.latents)
    without, shared, each = seen
    assert torch.equal(shared, each)
    assert not torch.equal(without, shared)
