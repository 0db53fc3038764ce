"""Starts are functions of the seed: from clips beside the weights, or from a simulator."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from cosmos_sdk.errors import CheckpointError, ShapeError
from cosmos_sdk_envs.env import WorldEnv
from cosmos_sdk_envs.starts import ClipStarts, SimulatorStarts, find_starts
from cosmos_sdk_envs.vector_env import WorldVectorEnv


@pytest.fixture
def clips(dot_world, tmp_path):
    """A file of 16 clips of two frames, each clip with a place of its own."""
    place = torch.linspace(0.1, 0.7, 16)[:, None, None].expand(-1, 2, 2)
    frames = dot_world().tokenizer.decode(place, 2).contiguous()
    mask = torch.tensor([[False, True]]).repeat(16, 1)
    signals = {"signals/action": torch.zeros(16, 2, 2), "masks/action": mask}
    save_file({"frames": frames, **signals}, tmp_path / "starts.safetensors")
    return tmp_path / "starts.safetensors"


def test_clips_are_drawn_by_the_seed_alone(dot_world, clips):
    envs = WorldVectorEnv(dot_world(), 6, starts=clips)
    first = envs.reset(seed=0)[1]["state"]
    turned = envs.reset(seed=[5, 4, 3, 2, 1, 0])[1]["state"]
    assert np.array_equal(first, turned[::-1])
    assert len(np.unique(first[:, 0])) > 2
    assert envs.state.memory["backend"]["led"].tolist() == [1] * 6


def test_every_clip_is_a_start(dot_world, clips):
    places = ClipStarts.load(clips)(dot_world(), torch.arange(300)).latents[:, -1, 0]
    assert len(places.unique()) == 16


def test_the_clips_beside_the_weights_are_the_default(clips):
    beside = find_starts(None, clips.parent)
    assert isinstance(beside, ClipStarts)
    assert len(beside) == 16
    assert find_starts(None, object()) is None


def test_a_file_that_holds_no_clips_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="cannot be read"):
        ClipStarts.load(tmp_path / "missing.safetensors")
    save_file({"latents": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="expected 'frames'"):
        ClipStarts.load(tmp_path / "other.safetensors")
    with pytest.raises(ShapeError, match="starting clips"):
        ClipStarts(torch.zeros(4, 2, 3, 8, 8, dtype=torch.uint8))


class Lamp:
    """A simulator whose whole state is the place of a light."""

    def reset(self, seed: int) -> None:
        self.place = np.random.default_rng(seed).uniform(0.2, 0.8, 2)

    def get_state(self) -> np.ndarray:
        return self.place

    def render_clean(self, height: int, width: int) -> np.ndarray:
        image = np.zeros((height, width, 3), np.uint8)
        column, row = (self.place * (width, height)).astype(int)
        image[row, column] = 255
        return image


def test_a_simulator_lends_its_first_moment(dot_world):
    seen, told = (
        WorldEnv(dot_world(), starts=SimulatorStarts(Lamp(), entry)).reset(seed=3)[1]["state"]
        for entry in ("frames", "state")
    )
    lamp = Lamp()
    lamp.reset(3)
    assert seen == pytest.approx(lamp.place, abs=0.02)
    assert told == pytest.approx(lamp.place, abs=1e-6)
    blind = dot_world()
    blind.spec = None
    with pytest.raises(ShapeError, match="size of its frames"):
        SimulatorStarts(Lamp())(blind, torch.zeros(1, dtype=torch.int64))
