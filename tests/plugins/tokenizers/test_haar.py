"""The wavelet comes back exactly, keeps energy, and does not look ahead."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from cosmos_sdk.errors import ShapeError
from cosmos_sdk_tokenizers.haar import analyse, synthesise


def video(num_frames: int = 9, height: int = 8, width: int = 16) -> torch.Tensor:
    return torch.randn(2, 3, num_frames, height, width, dtype=torch.float64)


@pytest.mark.parametrize(("levels", "num_frames"), [(1, 1), (1, 7), (2, 1), (2, 9), (3, 17)])
def test_the_video_comes_back_from_its_bands(levels, num_frames):
    x, stride = video(num_frames), 2**levels
    bands = analyse(x, levels)
    expected = (2, 3 * 8**levels, 1 + (num_frames - 1) // stride, 8 // stride, 16 // stride)
    assert bands.shape == expected
    assert torch.allclose(synthesise(bands, levels), x, rtol=0, atol=1e-13)


def test_bytes_come_back_to_the_bit_in_single_precision():
    pixels = torch.randint(0, 256, (1, 3, 9, 8, 8), dtype=torch.uint8)
    back = synthesise(analyse(pixels.float()))
    assert torch.equal(back.round().to(torch.uint8), pixels)


def test_the_transform_is_an_orthogonal_matrix():
    # beyond the first group, where the first frame stands for four
    basis = torch.eye(4 * 4 * 4, dtype=torch.float64).view(64, 1, 4, 4, 4)
    clips = torch.cat((torch.zeros_like(basis[:, :, :1]), basis), 2)
    matrix = analyse(clips)[:, :, 1].flatten(1)
    assert torch.allclose(matrix @ matrix.T, torch.eye(64, dtype=torch.float64), atol=1e-13)


def test_energy_is_kept_with_the_first_frame_counted_four_times():
    x = video()
    energy = x.square().sum() + 3 * x[:, :, 0].square().sum()
    assert analyse(x).square().sum() == pytest.approx(float(energy), rel=1e-12)


def test_a_grey_video_has_only_the_lowest_band():
    bands = analyse(torch.full((1, 1, 5, 4, 4), 0.5, dtype=torch.float64))
    assert torch.allclose(bands[:, 0], torch.full_like(bands[:, 0], 0.5 * 8))
    assert bands[:, 1:].abs().max() < 1e-13


def beginnings_agree(transform: Callable[[torch.Tensor, int], torch.Tensor], levels: int) -> bool:
    """Whether the bands of each beginning of a video are the beginning of its bands."""
    x = video(9)
    whole = transform(x, levels)
    parts = [transform(x[:, :, :kept], levels) for kept in range(1, 9, 2**levels)]
    return all(torch.equal(part, whole[:, :, : part.shape[2]]) for part in parts)


def grouped_from_the_start(x: torch.Tensor, levels: int) -> torch.Tensor:
    """The planted defect: the last frame fills its group up, and the first shares one with those after it."""
    filled = torch.cat((x[:, :, :1], x, x[:, :, -1:].expand(-1, -1, 2**levels - 1, -1, -1)), 2)
    return analyse(filled, levels)[:, :, 1:]


@pytest.mark.parametrize("levels", [1, 2])
def test_bands_depend_on_no_later_group(levels):
    assert beginnings_agree(analyse, levels)
    assert not beginnings_agree(grouped_from_the_start, levels)


def test_a_frame_of_the_next_group_matters_only_there():
    x = video(9)
    other = x.clone()
    other[:, :, 5] += 1
    moved = (analyse(other) - analyse(x)).abs().amax((0, 1, 3, 4)) > 0
    assert moved.tolist() == [False, False, True]


@pytest.mark.parametrize("shape", [(4, 8, 8), (5, 6, 8), (5, 8, 10)])
def test_sizes_that_the_stride_does_not_divide_are_refused_with_the_stride(shape):
    with pytest.raises(ShapeError, match=r"1 \+ a multiple of 4 frames"):
        analyse(video(*shape))
