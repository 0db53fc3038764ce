from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cosmos_sdk.data.video import join_videos, read_video, resize_area, write_video
from cosmos_sdk.errors import DatasetError


def film(count: int, size: int = 64, seed: int = 0) -> np.ndarray:
    """Coloured squares that move over a gradient: edges and hues as a renderer makes them."""
    rng = np.random.default_rng(seed)
    frames = np.empty((count, size, size, 3), np.uint8)
    frames[:] = np.linspace(40, 250, size, dtype=np.uint8)[:, None, None]
    colours = rng.integers(0, 256, (4, 3))
    places = rng.integers(0, size - 16, (4, 2))
    for k in range(count):
        for colour, (y, x) in zip(colours, (places + k) % (size - 12), strict=True):
            frames[k, y : y + 12, x : x + 12] = colour
    return frames


def test_the_codec_loses_nothing(tmp_path: Path) -> None:
    frames = film(40)
    write_video(tmp_path / "a.mp4", frames, 10.0)
    numbers, decoded = zip(*read_video(tmp_path / "a.mp4", 10.0), strict=True)
    assert numbers == tuple(range(40))
    error = np.mean((np.stack(decoded).astype(float) - frames) ** 2)
    assert 10 * np.log10(255**2 / max(error, 1e-9)) > 45  # lossless: the error is 0
    np.testing.assert_array_equal(np.stack(decoded), frames)
    assert (tmp_path / "a.mp4").stat().st_size < frames.nbytes / 10


@pytest.mark.parametrize("rate", [10.0, 12.5, 29.97, 60.0])
def test_joined_videos_hold_every_frame_in_order(tmp_path: Path, rate: float) -> None:
    parts = [film(7, seed=1), film(1, seed=2), film(12, seed=3)]
    paths = [tmp_path / f"{k}.mp4" for k in range(3)]
    for path, frames in zip(paths, parts, strict=True):
        write_video(path, frames, rate)
    join_videos(tmp_path / "all.mp4", paths, rate)
    numbers, decoded = zip(*read_video(tmp_path / "all.mp4", rate), strict=True)
    assert numbers == tuple(range(20))
    np.testing.assert_array_equal(np.stack(decoded), np.concatenate(parts))


def test_reading_may_begin_anywhere(tmp_path: Path) -> None:
    frames = film(70)
    write_video(tmp_path / "a.mp4", frames, 10.0)
    number, frame = next(read_video(tmp_path / "a.mp4", 10.0, start=6.3))
    assert number == 63
    np.testing.assert_array_equal(frame, frames[63])


def test_half_a_file_is_called_truncated(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", film(40), 10.0)
    data = (tmp_path / "a.mp4").read_bytes()
    (tmp_path / "a.mp4").write_bytes(data[: len(data) // 2])
    with pytest.raises(DatasetError, match=r"a\.mp4.*truncated"):
        list(read_video(tmp_path / "a.mp4", 10.0))


def test_area_averages_keep_the_mean() -> None:
    frame = film(1, 96)[0]
    small = resize_area(frame, 32, 32)
    blocks = frame.reshape(32, 3, 32, 3, 3).mean((1, 3))
    np.testing.assert_allclose(small, blocks, atol=0.51)
    assert resize_area(frame, 96, 96) is frame
