"""Intervals and scores against values worked out elsewhere."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cosmos_sdk.statistics import (
    auroc,
    bootstrap,
    bootstrap_jointly,
    bootstrap_ratio,
    calibration_error,
    ranks,
    wilson,
)


def test_wilson_gives_the_textbook_interval() -> None:
    # 29 of 30: (0.8333, 0.9941), Wilson score without continuity correction
    low, high = wilson(29, 30)
    assert low == pytest.approx(0.8333, abs=1e-3)
    assert high == pytest.approx(0.9941, abs=1e-3)
    assert wilson(0, 0) == (0.0, 1.0)
    for n in (7, 40, 50, 200):
        assert wilson(0, n)[0] == 0.0
        assert wilson(n, n)[1] == 1.0
    for successes, n in ((0, 50), (50, 50), (31, 50), (1, 3)):
        expected = stats.binomtest(successes, n).proportion_ci(0.9, method="wilson")
        assert wilson(successes, n, 0.9) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_the_interval_of_a_median_is_not_that_of_the_mean() -> None:
    values = [1.0, 1.1, 0.9, 1.0, 1.05, 0.95, 40.0]  # one timing was disturbed
    low, high = bootstrap(values, statistic=np.median)
    assert 0.9 <= low <= 1.0 <= high <= 1.1
    assert bootstrap(values)[1] > 10


def test_the_bootstrap_interval_covers_the_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    inside = 0
    for trial in range(200):
        low, high = bootstrap(rng.normal(3, 1, 60), seed=trial, resamples=400)
        inside += low < 3 < high
    assert 180 <= inside <= 199


def test_a_single_value_has_no_interval() -> None:
    assert all(math.isnan(end) for end in bootstrap([1.0]))


def test_the_interval_of_a_ratio_holds_a_ratio_that_is_exact() -> None:
    values = np.random.default_rng(1).uniform(1, 2, 50)
    assert bootstrap_ratio(3 * values, values) == pytest.approx((3.0, 3.0))


def test_rows_that_are_drawn_together_stay_together() -> None:
    values = np.random.default_rng(1).uniform(1, 2, (50, 4))
    low, high = bootstrap_jointly(lambda a, b: float((a - b).max()), values, values)
    assert (low, high) == (0.0, 0.0)
    low, high = bootstrap_jointly(lambda a: float(a.mean()), values)
    assert low < values.mean() < high


def test_the_interval_is_that_of_rows_and_not_of_what_they_hold() -> None:
    rows = np.random.default_rng(2).normal(size=60)
    alone = np.diff(bootstrap(rows))[0]
    often = np.diff(bootstrap_jointly(np.mean, np.repeat(rows[:, None], 30, 1)))[0]
    assert often == pytest.approx(alone, rel=0.2)


def test_draws_without_a_value_are_left_out_of_an_interval() -> None:
    assert bootstrap_jointly(auroc, [1, 2, 3, 4], [0, 0, 1, 1]) == (1.0, 1.0)
    assert all(math.isnan(end) for end in bootstrap_jointly(auroc, [1, 2], [1, 1]))
    assert all(math.isnan(end) for end in bootstrap_jointly(auroc, [1], [1]))


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12))
def test_equal_values_share_their_mean_rank(values: list[int]) -> None:
    np.testing.assert_allclose(ranks(values), stats.rankdata(values))


def test_auroc_counts_ordered_pairs_and_half_of_ties() -> None:
    assert auroc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]) == 0.75
    assert auroc([1, 1], [0, 1]) == 0.5
    assert math.isnan(auroc([1, 2], [1, 1]))


def test_calibration_error_is_zero_for_honest_and_large_for_boastful_chances() -> None:
    rng = np.random.default_rng(2)
    chance = rng.uniform(size=50_000)
    assert calibration_error(chance, rng.uniform(size=50_000) < chance) < 0.02
    assert calibration_error(np.full(100, 0.95), np.zeros(100)) == pytest.approx(0.95)
