from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from cosmos_sdk.data.clips import ClipDataset
from cosmos_sdk.data.lerobot import LeRobotDataset
from cosmos_sdk.errors import DatasetError, ShapeError
from cosmos_sdk.protocols import Batch
from cosmos_sdk.state import Masked

CAMERA = "observation.images.top"


def masked(batch: Batch) -> Masked:
    action = batch.signals["action"]
    assert isinstance(action, Masked)
    return action


@pytest.fixture(scope="module")
def clips(recording: Path) -> ClipDataset:
    return ClipDataset(recording, frames=6)


def test_signal_k_belongs_to_the_frame_it_leads_to(clips: ClipDataset) -> None:
    rows = clips.dataset
    start = rows.episodes[2].start + 4
    batch = clips.batch(np.array([start]))
    action = masked(batch)
    expected = rows.column("action.relative")[start - 1 : start + 5]
    np.testing.assert_array_equal(action.values[0], expected)
    np.testing.assert_array_equal(
        batch.targets["reward"].values[0], rows.column("next.reward")[start - 1 : start + 5]
    )
    np.testing.assert_array_equal(
        batch.targets["state"].values[0], rows.column("observation.state")[start : start + 6]
    )
    frames = rows.frames(CAMERA, 2)[4:10].transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(batch.frames[0, :, 0], frames)
    assert action.mask.all()


def test_nothing_led_to_the_first_frame_of_an_episode(clips: ClipDataset) -> None:
    batch = clips.batch(np.array([clips.dataset.episodes[3].start]))
    for name in ("reward", "terminated"):
        np.testing.assert_array_equal(batch.targets[name].mask[0], [False] + [True] * 5)
    assert (masked(batch).values[0, 0] == 0).all()
    assert not masked(batch).mask[0, 0]
    assert batch.targets["state"].mask.all()


def test_short_episodes_are_padded_on_the_right(stranger: Path, tmp_path: Path) -> None:
    clips = ClipDataset(stranger, frames=12, size=(32, 32), cache=tmp_path / "cache")
    short = clips.dataset.episodes[1]
    batch = clips.batch(np.array([short.start]))
    np.testing.assert_array_equal(batch.valid[0], np.arange(12) < 9)
    np.testing.assert_array_equal(masked(batch).mask[0], (np.arange(12) < 9) & (np.arange(12) > 0))
    assert (masked(batch).values[0, 9:] == 0).all()
    assert batch.frames.shape == (1, 12, 2, 3, 32, 32)


def test_clips_never_cross_episodes(clips: ClipDataset) -> None:
    batch = clips.sample(500, np.random.default_rng(0))
    assert batch.valid.all()
    assert len(clips) == sum(max(1, len(episode) - 5) for episode in clips.dataset.episodes)


def test_samples_depend_on_the_generator_alone(clips: ClipDataset) -> None:
    one, other = (clips.sample(8, np.random.default_rng(3)) for _ in range(2))
    assert torch.equal(one.frames, other.frames)


def test_windows_are_whole_different_and_the_same_each_time(clips: ClipDataset) -> None:
    starts = clips.starts(20, seed=1)
    np.testing.assert_array_equal(starts, clips.starts(20, seed=1))
    assert len(set(starts.tolist())) == 20
    assert clips.windows(20, seed=1).valid.all()
    with pytest.raises(DatasetError, match="10000 clips of 6 frames wanted"):
        clips.windows(10_000, seed=1)


def test_the_last_tenth_is_held_out(recording: Path, stranger: Path, tmp_path: Path) -> None:
    train, test = (ClipDataset(recording, 4, episodes=split) for split in ("train", "test"))
    assert (train.episodes, test.episodes) == (list(range(11)), [11])
    foreign = ClipDataset(stranger, 4, episodes="test", size=(16, 16), cache=tmp_path / "cache")
    assert foreign.episodes == [2]
    with pytest.raises(DatasetError, match=r"no episodes \[7\]; it has 0 to 2"):
        ClipDataset(stranger, 4, episodes=[0, 7], size=(16, 16), cache=tmp_path / "cache")


def test_another_length_shares_the_frames(clips: ClipDataset) -> None:
    longer = clips.with_frames(10)
    assert longer.frames is clips.frames
    assert longer.sample(2, np.random.default_rng(0)).frames.shape[1] == 10
    assert clips.num_frames == 6


def test_frames_are_decoded_once(recording: Path, tmp_path: Path) -> None:
    first = ClipDataset(recording, 4, cache=tmp_path)
    (path,) = tmp_path.glob("frames-*.npy")
    made = path.stat().st_mtime_ns
    second = ClipDataset(recording, 4, cache=tmp_path)
    assert path.stat().st_mtime_ns == made
    np.testing.assert_array_equal(first.frames, second.frames)
    np.testing.assert_array_equal(
        first.frames[:, 0].transpose(0, 2, 3, 1)[:5],
        LeRobotDataset(recording).frames(CAMERA, 0)[:5],
    )


def test_a_cache_that_cannot_be_written_says_where_else(stranger: Path) -> None:
    (stranger / ".cache").write_text("in the way")
    with pytest.raises(DatasetError, match=r"cache=\.\.\."):
        ClipDataset(stranger, 4, size=(16, 16))


class Mean:
    """The mean colour of a frame, or of it and the frame before."""

    latent_shape = (3,)

    def __init__(self, joins: bool) -> None:
        self.joins = joins

    def encode(self, frames: torch.Tensor) -> torch.Tensor:
        latents = frames[:, :, 0].float().mean((-1, -2)) / 255
        before = torch.cat([latents[:, :1], latents[:, :-1]], 1)
        return (latents + before) / 2 if self.joins else latents

    def decode(self, latents: torch.Tensor, num_frames: int) -> torch.Tensor:
        raise NotImplementedError("clips are only encoded")


def test_latents_are_those_of_the_frames(clips: ClipDataset) -> None:
    encoded = clips.with_latents(Mean(joins=False), batch_size=64)
    rng = np.random.default_rng
    frames, batch = clips.sample(5, rng(0)).frames, encoded.sample(5, rng(0))
    assert batch.latents is not None
    assert batch.frames.shape == (5, 6, 1, 3, 0, 0)
    torch.testing.assert_close(batch.latents.float(), Mean(False).encode(frames), atol=1e-3, rtol=0)
    assert clips.sample(1, rng(0)).latents is None


class Tokens(Mean):
    """The sum of the pixels, a whole number that no 16-bit float holds."""

    def encode(self, frames: torch.Tensor) -> torch.Tensor:
        return frames[:, :, 0].long().sum((-1, -2))


def test_tokens_stay_whole_numbers(clips: ClipDataset) -> None:
    encoded = clips.with_latents(Tokens(joins=False), batch_size=64)
    rng = np.random.default_rng
    frames, latents = clips.sample(5, rng(0)).frames, encoded.sample(5, rng(0)).latents
    assert latents is not None
    assert torch.equal(latents, Tokens(False).encode(frames))


def test_a_tokenizer_that_joins_frames_has_no_latent_for_each(clips: ClipDataset) -> None:
    with pytest.raises(ShapeError, match="joins frames"):
        clips.with_latents(Mean(joins=True))
