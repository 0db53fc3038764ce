"""Positions: the split of a head, relative distances, seconds, YaRN, and the absolute option."""

from __future__ import annotations

import math

import pytest
import torch

from cosmos_sdk.errors import ConfigError
from cosmos_sdk_autoregressive import predictor
from cosmos_sdk_autoregressive.absolute import frame_embedding, sinusoid
from cosmos_sdk_autoregressive.rotary import (
    Rotary,
    Rotation,
    Yarn,
    axis_split,
    frame_positions,
    has_doubles,
    rotate,
)

F64, CPU = torch.float64, torch.device("cpu")


def score(rotary: Rotary, query: list[float], key: list[float]) -> float:
    """The product of one pair of vectors, rotated to two positions."""
    torch.manual_seed(0)
    x = torch.randn(2, rotary.head_width, dtype=F64)
    q, k = rotate(x, rotary.table(torch.tensor([query, key], dtype=F64)))
    return float(q @ k)


def frequencies(rotary: Rotary) -> torch.Tensor:
    """Angles (3, d / 2) of one step along each axis."""
    table = rotary.table(torch.eye(3, dtype=F64))
    half = rotary.head_width // 2
    return torch.atan2(-table.sin[:, :half], table.cos[:, :half]).abs()


def test_a_device_without_doubles_gets_the_same_tables(monkeypatch):
    layout = predictor.Layout((2, 2), 2, 3, Rotary(8), 24, absolute=True)
    times, like = torch.tensor([[3, 400], [5, 6]]), torch.zeros(())
    exact = layout.rotation(times, like)
    monkeypatch.setattr(predictor, "has_doubles", lambda device: False)
    for one, other in zip(exact, layout.rotation(times, like), strict=True):
        assert one.dtype == torch.float32
        assert torch.equal(one, other)
    assert not has_doubles(torch.device("mps"))


def test_a_head_of_128_gives_44_channels_to_time_and_42_to_each_side():
    assert axis_split(128) == (44, 42, 42)
    assert axis_split(64) == (24, 20, 20)


@pytest.mark.parametrize("width", [4, 7])
def test_a_width_without_pairs_for_three_axes_is_refused(width):
    with pytest.raises(ConfigError, match="three axes"):
        axis_split(width)


def test_only_the_difference_of_positions_counts():
    rotary = Rotary(16)
    near = score(rotary, [3, 1, 2], [1, 0, 4])
    assert score(rotary, [1003, 11, 2], [1001, 10, 4]) == pytest.approx(near, abs=1e-10)
    assert score(rotary, [4, 1, 2], [1, 0, 4]) != pytest.approx(near, abs=1e-3)


def test_a_rotation_keeps_lengths_and_can_be_turned_back():
    table = Rotary(16).table(frame_positions(torch.arange(3), (2, 2)))
    x = torch.randn(15, 16, dtype=F64)
    turned = rotate(x, table)
    torch.testing.assert_close(turned.norm(dim=1), x.norm(dim=1))
    torch.testing.assert_close(rotate(turned, Rotation(table.cos, -table.sin)), x)


def test_twice_the_frame_rate_is_half_the_step_in_time_and_none_in_space():
    slow, fast = frequencies(Rotary(16, pace=1.0)), frequencies(Rotary(16, pace=0.5))
    torch.testing.assert_close(fast[0], slow[0] / 2)
    assert torch.equal(fast[1:], slow[1:])


def test_yarn_of_scale_one_changes_nothing():
    stretched = Yarn(scale=1.0, axes=("t", "h", "w"))
    assert torch.equal(frequencies(Rotary(128)), frequencies(Rotary(128, yarn=stretched)))
    assert stretched.attention_scale == 1


def test_yarn_stretches_slow_channels_in_full_and_leaves_fast_ones():
    yarn = Yarn(scale=2.0, original=(1000, 40, 64))
    before, after = frequencies(Rotary(128)), frequencies(Rotary(128, yarn=yarn))
    turns = 1000 * before[0] / (2 * math.pi)
    in_time = before[0] > 0
    slow, fast = in_time & (turns < 1), turns > 4
    assert slow.any()
    assert fast.any()
    torch.testing.assert_close(after[0][slow], before[0][slow] / 2)
    assert torch.equal(after[0][fast], before[0][fast])
    between = in_time & ~slow & ~fast
    assert ((after[0] < before[0]) & (after[0] > before[0] / 2))[between].all()


def test_yarn_stretches_only_the_axes_it_is_told():
    plain = frequencies(Rotary(128))
    in_time = frequencies(Rotary(128, yarn=Yarn(scale=2.0)))
    everywhere = frequencies(Rotary(128, yarn=Yarn(scale=2.0, axes=("t", "h", "w"))))
    assert (in_time != plain).any(1).tolist() == [True, False, False]
    assert (everywhere != plain).any(1).tolist() == [True, True, True]


def test_yarn_sharpens_attention_unless_told_not_to():
    assert Yarn(scale=2.0).attention_scale == pytest.approx((0.1 * math.log(2) + 1) ** 2)
    assert Yarn(scale=2.0, tempered=False).attention_scale == 1


def test_an_unknown_axis_and_a_scale_below_one_are_refused_together():
    with pytest.raises(ConfigError, match=r"(?s)'x' is no axis.*0.5; expected at least 1"):
        Yarn(scale=0.5, axes=("x",))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"beta_fast": 1.0, "beta_slow": 1.0}, "expected 0 <= beta_slow < beta_fast"),
        ({"beta_slow": -1.0}, "beta_slow=-1.0"),
        ({"original": (3, 0, 64)}, r"yarn.original: \(3, 0, 64\); expected at least 1"),
    ],
)
def test_a_stretch_that_divides_by_nothing_is_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        Yarn(scale=2.0, **given)


def test_yarn_is_the_interpolation_by_parts_of_its_paper():
    """Channel by channel as in arXiv:2309.00071, equations 17 to 19, with the extent in pixels of the latent."""
    yarn, theta, width, extent = Yarn(scale=2.0, axes=("w",)), 500_000.0, 42, 64
    after = frequencies(Rotary(128, theta, yarn=yarn))[2, 43:]
    for i, found in enumerate(after.tolist()):
        own = theta ** (-2 * i / width)
        turns = extent / (2 * math.pi / own)
        gamma = min(max((turns - 1) / (4 - 1), 0), 1)
        assert found == pytest.approx((1 - gamma) * own / 2 + gamma * own)


def test_a_frame_is_its_slot_and_then_its_tokens_in_raster_order():
    positions = frame_positions(torch.arange(2), (1, 2)).tolist()
    assert positions == [[0, -1, -1], [0, 0, 0], [0, 0, 1], [1, -1, -1], [1, 0, 0], [1, 0, 1]]


def test_absolute_embeddings_differ_everywhere_and_leave_the_slot_alone():
    table = frame_embedding(24, 3, (2, 2), F64, CPU)
    assert table.shape == (3, 5, 24)
    assert not table[:, 0].any()
    tokens = table[:, 1:].flatten(0, 1)
    assert (torch.cdist(tokens, tokens) + torch.eye(12) > 0.1).all()


def test_a_sinusoid_is_that_of_vaswani_along_each_axis():
    row = sinusoid(torch.tensor([[2.0, 0.0, 0.0]], dtype=F64), 12)[0]
    first = torch.tensor([2.0, 2.0 / 100.0], dtype=F64)
    torch.testing.assert_close(row[:4], torch.cat((first.sin(), first.cos())))
