"""A two-hot code means its value."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from cosmos_sdk.two_hot import cross_entropy, symexp_bins, symmetric_mean, two_hot


@pytest.mark.parametrize("count", [2, 8, 31, 255])
def test_symexp_bins_increase_and_mirror_one_another(count: int):
    bins = symexp_bins(count)
    assert bins.shape == (count,)
    assert (bins.diff() > 0).all()
    assert bins.equal(-bins.flip(0))
    assert bins[-1].item() == pytest.approx(math.expm1(20), rel=1e-5)


def test_a_number_lies_between_two_bins():
    with pytest.raises(ValueError, match="2 or more"):
        symexp_bins(1)


@pytest.mark.parametrize("bins", [torch.linspace(-1, 3, 9), symexp_bins(31)])
def test_the_mean_of_a_two_hot_is_its_value(bins: Tensor):
    values = torch.cat((torch.rand(50) * 4 - 1, bins))
    weights = two_hot(values, bins)
    torch.testing.assert_close(weights @ bins, values, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(weights.sum(-1), torch.ones(len(values)))
    assert (weights > 0).sum(-1).max() <= 2
    assert (weights >= 0).all()


def test_a_value_beyond_the_bins_is_clipped():
    bins = torch.linspace(0, 1, 5)
    clipped = two_hot(torch.tensor([-3.0, 7.0]), bins) @ bins
    torch.testing.assert_close(clipped, torch.tensor([0.0, 1.0]))


@pytest.mark.parametrize("count", [64, 255])
@pytest.mark.parametrize("value", [0.0, -0.3, 250.0, -1e6])
def test_a_mean_over_symmetric_bins_is_exact_for_small_and_large(value: float, count: int):
    bins = symexp_bins(count)
    logits = two_hot(torch.tensor([value]), bins).clamp_min(1e-38).log()
    assert symmetric_mean(logits, bins).item() == pytest.approx(value, rel=1e-3)


@pytest.mark.parametrize("count", [64, 255])
def test_logits_that_know_nothing_say_zero(count: int):
    assert symmetric_mean(torch.zeros(3, count), symexp_bins(count)).tolist() == [0.0, 0.0, 0.0]


def test_cross_entropy_is_least_at_the_code_of_the_value():
    bins, values = torch.linspace(-1, 3, 9), torch.tensor([0.3, 2.0])
    code = two_hot(values, bins)
    least = cross_entropy(code.clamp_min(1e-38).log(), values, bins)
    torch.testing.assert_close(least, torch.special.entr(code).sum(-1))
    assert (cross_entropy(torch.randn(2, 9), values, bins) > least).all()
