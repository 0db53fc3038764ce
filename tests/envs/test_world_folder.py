"""A checkpoint folder with its starting clips is all that an env needs."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from cosmos_sdk.build import build
from cosmos_sdk.config import BoxConfig, SpecConfig, WorldConfig
from cosmos_sdk.errors import ActionError
from cosmos_sdk_envs.env import WorldEnv

ACTION = {"names": ["x", "y"], "low": [-1.0, -1.0], "high": [1.0, 1.0], "out_of_bounds": "refuse"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An untrained diffusion world of 32x32 pixels, and four clips of noise."""
    unit = BoxConfig([0.0], [1.0])
    state = BoxConfig([0.0, 0.0], [512.0, 512.0], ["x", "y"])
    targets = {"reward": unit, "terminated": unit, "state": state}
    spec = SpecConfig((1, 32, 32), 10.0, {"action": ACTION}, {}, targets)
    config = WorldConfig(
        spec,
        tokenizer={"name": "conv"},
        conditioners={"action": {"name": "action"}},
        backend={"name": "diffusion", "width": 32, "num_layers": 2, "num_heads": 2},
        heads={"reward": {"name": "reward"}, "terminated": {"name": "termination"}},
        readouts={"state": {"name": "state"}},
    )
    path = tmp_path_factory.mktemp("world")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        build(config).save_pretrained(path)
    frames = np.random.default_rng(0).integers(0, 256, (4, 3, 1, 3, 32, 32), np.uint8)
    signals = {"signals/action": torch.zeros(4, 3, 2)}
    save_file({"frames": torch.from_numpy(frames), **signals}, path / "starts.safetensors")
    return path


def test_a_folder_makes_an_env_with_starts_sampler_and_action_spec_of_its_own(folder):
    options = {"world": str(folder), "num_steps": 2, "device": "auto", "observation": "dict"}
    envs = gymnasium.make_vec("cosmos_sdk_envs:CosmosSDK/World-v0", num_envs=3, **options)
    observation, infos = envs.reset(seed=0)
    assert observation in envs.observation_space
    assert infos["state"].shape == (3, 2)
    observation, *_ = envs.step(np.zeros((3, 2), np.float32))
    assert observation in envs.observation_space
    with pytest.raises(ActionError, match="out of bounds"):
        envs.step(np.full((3, 2), 2.0, np.float32))


def test_the_sampler_is_told_how_many_steps_and_how_precise(folder):
    env = WorldEnv(folder, num_steps=4, precision="bfloat16")
    sampling = env.world.backend.sampling
    assert (sampling.num_steps, sampling.precision) == (4, "bfloat16")
    env.reset(seed=0)
    observation, reward, *_ = env.step(np.ones(2, np.float32))
    assert observation in env.observation_space
    assert np.isfinite(reward)
