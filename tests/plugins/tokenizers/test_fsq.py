"""Finite scalar quantisation: a grid of codes, an exact bijection, the gradient of the identity."""

from __future__ import annotations

import pytest
import torch

from cosmos_sdk.errors import ConfigError, NotFiniteError, ShapeError, VocabularyError
from cosmos_sdk_tokenizers.fsq import FSQ

COSMOS = (8, 8, 8, 5, 5, 5)


def every_index(fsq: FSQ) -> torch.Tensor:
    return torch.arange(fsq.vocabulary_size)


def test_the_levels_of_cosmos_make_64000_codes_in_its_basis():
    fsq = FSQ(COSMOS)
    assert fsq.vocabulary_size == 64_000
    assert fsq.basis.tolist() == [1, 8, 64, 512, 2560, 12800]


def test_the_first_component_is_the_last_digit_and_codes_begin_at_minus_one():
    fsq = FSQ(COSMOS)
    codes = fsq.codes(torch.tensor([0, 1, 8, 2560, 63_999]))
    lowest = torch.full((6,), -1.0)
    steps = (codes[:4] - lowest) * fsq.widths
    assert steps.tolist() == [[0] * 6, [1, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0], [0, 0, 0, 0, 1, 0]]
    assert codes[4].tolist() == [0.75, 0.75, 0.75, 1, 1, 1]


@pytest.mark.parametrize("levels", [COSMOS, (8, 5, 5, 5), (2,), (3, 2, 4), (1025, 2), (7, 6)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_index_has_its_own_code_and_comes_back(levels, dtype):
    fsq = FSQ(levels)
    codes = fsq.codes(every_index(fsq), dtype)
    assert codes.dtype == dtype
    assert codes.abs().max() <= 1
    assert len(codes.unique(dim=0)) == fsq.vocabulary_size
    assert torch.equal(fsq.indices(codes), every_index(fsq))


@pytest.mark.parametrize("levels", [COSMOS, (2,), (3, 2, 4), (1025, 2)])
def test_every_code_is_reached_and_no_other(levels):
    fsq = FSQ(levels)
    sweep = torch.atanh(torch.linspace(-1 + 1e-9, 1 - 1e-9, 20_001, dtype=torch.float64))
    for n, size in enumerate(levels):
        z = torch.zeros(len(sweep), len(levels), dtype=torch.float64)
        z[:, n] = sweep
        z[:5] = torch.tensor([-1e9, -1e3, 0, 1e3, 1e9], dtype=torch.float64)[:, None]
        codes = fsq(z)
        assert len(codes[:, n].unique()) == size
        assert torch.equal(fsq.codes(fsq.indices(codes), torch.float64), codes)


def test_coding_a_code_again_changes_nothing():
    fsq = FSQ(COSMOS)
    codes = fsq.codes(every_index(fsq), torch.float64)
    # the inverse of the bound leads from a code to a number that has this code
    half, offset = (fsq.sizes - 1) * (1 + 1e-3) / 2, (fsq.sizes % 2 == 0) / 2
    z = torch.atanh((codes * fsq.widths + offset) / half) - torch.atanh(offset / half)
    assert torch.equal(fsq(z), codes)


def test_zero_has_the_code_zero_with_odd_and_with_even_levels():
    fsq = FSQ((4, 5, 2, 8))
    assert torch.equal(fsq(torch.zeros(4)), torch.zeros(4))


def test_an_even_number_of_levels_has_one_more_below_zero():
    codes = FSQ((4,)).codes(torch.arange(4)).flatten()
    assert codes.tolist() == [-1.0, -0.5, 0.0, 0.5]


def without_offset(fsq: FSQ, z: torch.Tensor) -> torch.Tensor:
    """The planted defect: even levels bounded like odd ones."""
    return torch.tanh(z) * (fsq.sizes - 1) / 2


def test_without_the_half_offset_an_even_component_loses_a_level():
    fsq, z = FSQ((8,)), torch.linspace(-30, 30, 20_001, dtype=torch.float64)[:, None]
    assert len(fsq.bound(z).round().unique()) == 8
    assert len(without_offset(fsq, z).round().unique()) != 8


def test_the_gradient_is_that_of_the_bound_as_if_nothing_were_rounded():
    fsq = FSQ((8, 5, 3))
    z = torch.randn(32, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(32, 3, dtype=torch.float64)
    (through,) = torch.autograd.grad((fsq(z) * weight).sum(), z)
    (smooth,) = torch.autograd.grad((fsq.bound(z) / fsq.widths * weight).sum(), z)
    assert torch.equal(through, smooth)
    assert (through.abs() > 0).all()


def test_half_precision_is_coded_in_single():
    fsq = FSQ((7, 6))
    assert fsq(torch.randn(5, 2, dtype=torch.bfloat16)).dtype == torch.float32


def test_indices_of_any_integer_dtype_have_the_same_codes():
    fsq = FSQ((8, 5))
    assert torch.equal(fsq.codes(torch.arange(40, dtype=torch.int32)), fsq.codes(torch.arange(40)))


@pytest.mark.parametrize("token", [-1, 40, 2**40])
def test_a_token_outside_the_vocabulary_is_refused_with_the_range(token):
    with pytest.raises(VocabularyError, match=rf"token {token} .* 0 to 39"):
        FSQ((8, 5)).codes(torch.tensor([3, token, 7]))


@pytest.mark.parametrize("indices", [torch.zeros(3), torch.zeros(3, dtype=torch.bool)])
def test_tokens_that_are_no_whole_numbers_are_refused(indices):
    with pytest.raises(ShapeError, match="whole numbers"):
        FSQ((8, 5)).codes(indices)


def test_a_code_that_is_not_finite_is_refused_where_it_would_become_a_token():
    fsq, z = FSQ((8, 5)), torch.zeros(3, 2)
    z[1, 0] = float("nan")
    with pytest.raises(NotFiniteError, match="codes of the tokenizer hold NaN"):
        fsq.indices(fsq(z))


def test_half_precision_tells_255_levels_apart():
    fsq = FSQ((255,))
    codes = fsq.codes(every_index(fsq), torch.bfloat16)
    assert torch.equal(fsq.indices(codes), every_index(fsq))


@pytest.mark.parametrize("levels", [(), (8, 1), (0,)])
def test_levels_that_make_no_grid_are_refused(levels):
    with pytest.raises(ConfigError, match="at least 2"):
        FSQ(levels)


def test_it_has_no_weights_and_nothing_to_save():
    assert not FSQ(COSMOS).state_dict()
