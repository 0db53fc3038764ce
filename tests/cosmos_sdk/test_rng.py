"""Philox against its published vectors, and the independence that the whole contract rests on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from cosmos_sdk.errors import ShapeError
from cosmos_sdk.rng import START, STEP, Rng, philox4x32, philox4x32_numpy

# Random123, kat_vectors, "philox4x32 10": counter, key, answer
KNOWN_ANSWERS = [
    ([0, 0, 0, 0], [0, 0], [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]


def rng(seeds: list[int], times: list[int], stream: int = STEP) -> Rng:
    return Rng(torch.tensor(seeds), torch.tensor(times), stream)


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN_ANSWERS)
def test_philox_gives_the_published_answers(
    counter: list[int], key: list[int], answer: list[int]
) -> None:
    assert philox4x32(torch.tensor(counter), torch.tensor(key)).tolist() == answer
    assert (
        philox4x32_numpy(np.array(counter, np.uint64), np.array(key, np.uint64)).tolist() == answer
    )


def test_the_numpy_path_gives_the_bits_of_the_torch_path() -> None:
    counter, key = torch.randint(0, 2**32, (500, 4)), torch.randint(0, 2**32, (500, 2))
    fast = philox4x32_numpy(counter.numpy().astype(np.uint64), key.numpy().astype(np.uint64))
    assert torch.equal(philox4x32(counter, key), torch.from_numpy(fast.astype(np.int64)))


def test_a_row_draws_the_same_alone_and_in_any_batch() -> None:
    together = rng([5, 6, 7], [1, 2, 3]).normal(4, 3)
    for row, (seed, time) in enumerate([(5, 1), (6, 2), (7, 3)]):
        assert torch.equal(rng([seed], [time]).normal(4, 3)[0], together[row])


def test_seed_time_stream_and_draw_each_change_the_noise() -> None:
    one = rng([5], [1])
    first, second = one.normal(64), one.normal(64)
    others = [
        second,
        rng([6], [1]).normal(64),
        rng([5], [2]).normal(64),
        rng([5], [1], START).normal(64),
    ]
    assert all(not torch.equal(first, other) for other in others)


def test_seeds_keep_more_than_their_low_32_bits() -> None:
    # a CPU generator would give the same stream for both
    assert not torch.equal(rng([3], [0]).normal(16), rng([3 + 2**32], [0]).normal(16))


def test_normal_and_uniform_have_their_distributions() -> None:
    noise = rng([11], [0])
    assert stats.kstest(noise.normal(100_000)[0].numpy(), "norm").pvalue > 0.01
    uniform = noise.uniform(100_000)[0]
    assert stats.kstest(uniform.numpy(), "uniform").pvalue > 0.01
    assert uniform.min() > 0
    assert uniform.max() < 1


@pytest.mark.parametrize("word", [0, 0xFF, 2**31, 0xFFFFFFFF])
def test_uniform_values_lie_inside_the_open_interval(
    word: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Rng, "_words", lambda self, count: torch.full((1, count), word))
    value = Rng(torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.int64)).uniform(1)
    assert 0 < value.item() < 1


def test_integers_are_seeds_that_do_not_repeat() -> None:
    seeds = Rng(torch.arange(10_000), torch.zeros(10_000, dtype=torch.int64)).integers()
    assert seeds.unique().numel() == 10_000
    assert int(seeds.min()) >= 0


def test_seed_and_time_of_different_shapes_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"\(B,\)"):
        Rng(torch.zeros(2, dtype=torch.int64), torch.zeros(3, dtype=torch.int64))


def test_new_seeds_of_few_rows_are_those_of_many() -> None:
    seed = torch.tensor([0, 5, -3, 2**62 - 1, 2**40] * 3)
    time = torch.arange(15) * 2**31 - 7
    many, few = Rng(seed, time, 2), Rng(seed[:5], time[:5], 2)
    for _ in range(2):  # the second draw differs from the first
        assert torch.equal(many.integers()[:5], few.integers())
