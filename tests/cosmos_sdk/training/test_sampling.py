"""Which clips a step sees."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cosmos_sdk.errors import DatasetError
from cosmos_sdk.state import Masked
from cosmos_sdk.training.footage import Footage
from cosmos_sdk.training.recipe import StageConfig
from cosmos_sdk.training.sampling import Sampler, changes
from toys.trainable import dot_footage, without_held_out


def stage(**more: object) -> StageConfig:
    return StageConfig(**{"train": "world", "steps": 1, "batch_size": 64, "frames": 4, **more})  # pyright: ignore[reportArgumentType]


def numbered(lengths: list[int], held_out: int = 0) -> Footage:
    """Frame k of the whole dataset shows the number k."""
    ends = np.cumsum(lengths)
    episodes = torch.tensor(np.stack((ends - lengths, ends), 1))
    frames = (
        torch.arange(int(ends[-1]), dtype=torch.uint8).view(-1, 1, 1, 1, 1).expand(-1, 1, 3, 2, 2)
    )
    return Footage(frames, episodes, torch.arange(len(lengths)) >= len(lengths) - held_out, {}, {})


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(1, 6))
def test_clips_never_cross_into_another_episode(lengths: list[int], num_frames: int) -> None:
    footage = numbered(lengths)
    batch = footage.clips(footage.starts(num_frames, held_out=False), num_frames)
    number = batch.frames[:, :, 0, 0, 0, 0].long()
    owner = torch.bucketize(number, footage.episodes[:, 1].contiguous(), right=True)
    assert (owner == owner[:, :1])[batch.valid].all()
    steps = number.diff(dim=1)
    assert (steps[batch.valid[:, 1:]] == 1).all()
    assert batch.valid[:, 0].all()
    whole = sum(max(length - num_frames + 1, 1) for length in lengths)
    assert len(number) == whole  # every place once


def test_short_episodes_are_padded_on_the_right_or_left_out() -> None:
    footage = numbered([3, 5])
    batch = footage.clips(footage.starts(4, held_out=False), 4)
    assert batch.valid.tolist() == [[True, True, True, False], [True] * 4, [True] * 4]
    assert footage.starts(4, held_out=False, whole=True).tolist() == [3, 4]


def test_the_batch_of_a_step_depends_on_seed_stage_and_step_alone() -> None:
    footage = {"dots": dot_footage()}
    a, b = Sampler(footage, stage(), (0, 1)), Sampler(footage, stage(), (0, 1))
    for step in (5, 3):
        a.batch(step)
    (mine, noise), (other, same) = a.batch(7), b.batch(7)
    assert torch.equal(mine.frames, other.frames)
    assert torch.equal(noise.normal(3), same.normal(3))
    for different in (
        a.batch(8),
        Sampler(footage, stage(), (1, 1)).batch(7),
        Sampler(footage, stage(), (0, 2)).batch(7),
    ):
        assert not torch.equal(different[0].frames, mine.frames)


def test_held_out_episodes_are_never_drawn() -> None:
    sampler = Sampler({"a": numbered([5, 5, 5], held_out=1)}, stage(), (0, 0))
    assert max(int(sampler.batch(k)[0].frames.max()) for k in range(5)) == 9


def test_a_dataset_without_training_episodes_is_named() -> None:
    with pytest.raises(DatasetError, match="'poses'"):
        Sampler({"poses": numbered([5], held_out=1)}, stage(), (0, 0))


def test_moving_clips_are_drawn_as_often_as_asked() -> None:
    footage = without_held_out(dot_footage(num_episodes=20))  # every second episode moves
    for share, expected in ((0.0, 0.5), (0.5, 0.75), (1.0, 1.0)):
        sampler = Sampler({"dots": footage}, stage(moving=share, batch_size=400), (0, 0))
        batch, _ = sampler.batch(0)
        place = batch.targets["state"].values
        moves = (place - place[:, :1]).abs().amax((1, 2)) > 0
        assert abs(moves.float().mean().item() - expected) < 0.08


def test_an_angle_that_wraps_has_not_moved() -> None:
    angle = torch.tensor([[0.0], [6.28], [0.0], [3.0], [3.0], [1.0]])
    present = torch.ones(6, dtype=torch.bool)
    footage = Footage(
        torch.zeros(6, 1, 3, 2, 2, dtype=torch.uint8),
        torch.tensor([[0, 5], [5, 6]]),
        torch.zeros(2, dtype=torch.bool),
        {},
        {"state": Masked(angle, present)},
    )
    assert changes(footage, "state", [], 0.01).tolist() == [False, False, False, True, False, False]


def test_a_mixture_holds_its_shares_and_masks_what_a_dataset_lacks() -> None:
    full, bare = dot_footage(), dot_footage(seed=1)
    bare = Footage(bare.frames, bare.episodes, bare.held_out, {}, bare.targets)
    sampler = Sampler(
        {"full": full, "bare": bare},
        stage(mix={"full": 0.25, "bare": 0.75}, batch_size=400),
        (0, 0),
    )
    batch, _ = sampler.batch(0)
    action = batch.signals["action"]
    assert isinstance(action, Masked)
    assert abs(action.mask.any(1).float().mean().item() - 0.25) < 0.08
    assert (action.values[~action.mask.any(1)] == 0).all()
    assert batch.targets["state"].mask.all()
