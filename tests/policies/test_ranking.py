"""Statistics of ranking, at scores whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cosmos_sdk.errors import ShapeError
from cosmos_sdk_policies import ranking
from cosmos_sdk_policies.ranking import (
    STATISTICS,
    interval,
    mean_maximum_rank_violation,
    pearson_correlation,
    spearman_correlation,
)

REAL = np.array([0.0, 0.25, 0.5, 1.0])
SCORES = st.lists(st.integers(0, 12), min_size=2, max_size=9)


def test_a_perfect_judge():
    assert pearson_correlation(REAL, REAL) == pytest.approx(1)
    assert spearman_correlation(REAL**3, REAL) == pytest.approx(1)
    assert mean_maximum_rank_violation(0.1 * REAL + 0.7, REAL) == 0


def test_a_judge_that_turns_everything_round():
    assert pearson_correlation(-REAL, REAL) == pytest.approx(-1)
    assert spearman_correlation(-REAL, REAL) == pytest.approx(-1)
    # each policy is in the wrong order with the one farthest from it: 1, 0.75, 0.5, 1
    assert mean_maximum_rank_violation(-REAL, REAL) == pytest.approx(3.25 / 4)


def test_two_neighbours_in_the_wrong_order_cost_their_real_difference_each():
    assert mean_maximum_rank_violation([0, 0.5, 0.4, 1], REAL) == pytest.approx(2 * 0.25 / 4)


def test_the_size_of_a_violation_is_what_it_costs_in_reality_not_in_the_world():
    assert mean_maximum_rank_violation([0, 0.9, 0.1], [0, 0.5, 0.51]) == pytest.approx(0.02 / 3)


def test_a_judge_that_says_the_same_of_all_is_charged_to_those_that_are_better():
    # better than somebody: the second by 0.25, the third by 0.5, the fourth by 1
    assert mean_maximum_rank_violation([0.3] * 4, REAL) == pytest.approx(1.75 / 4)
    assert np.isnan(pearson_correlation([0.1] * 4, REAL))
    assert np.isnan(spearman_correlation(REAL, [0.1] * 4))


def test_one_policy_has_no_rank():
    for statistic in STATISTICS.values():
        assert np.isnan(statistic([0.5], [0.5]))


# Six policies, real success and success in the simulator, and what Fig. 6 prints of them: SIMPLER (Li et al. 2024,
# arXiv:2405.05941), whose authors publish these numbers at github.com/simpler-env/SimplerEnv, simpler_env/utils.
# RT-2-X, RT-1 (converged), RT-1 (15 %), RT-1-X, RT-1 (begin), Octo-Base.
SIMPLER = {
    "pick coke can": (
        [0.907, 0.853, 0.920, 0.760, 0.133, 0.293],
        [0.787, 0.857, 0.710, 0.567, 0.027, 0.170],
        (0.976, 0.031),
    ),
    "move near": (
        [0.733, 0.633, 0.583, 0.450, 0.017, 0.350],
        [0.779, 0.442, 0.354, 0.317, 0.050, 0.042],
        (0.855, 0.111),
    ),
    "open or close drawer": (  # the mean of the two
        [0.4815, 0.8705, 0.7965, 0.6300, 0.0000, 0.3335],
        [0.2500, 0.7310, 0.5650, 0.5935, 0.1390, 0.2265],
        (0.915, 0.055),
    ),
    "place apple in drawer": (
        [0.074, 0.185, 0.185, 0.407, 0.000, 0.000],
        [0.037, 0.065, 0.130, 0.213, 0.000, 0.000],
        (0.969, 0.000),
    ),
}


@pytest.mark.parametrize("task", SIMPLER)
def test_the_published_statistics_follow_from_the_published_rates(task):
    real, sim, (pearson, violation) = SIMPLER[task]
    assert pearson_correlation(sim, real) == pytest.approx(pearson, abs=1.2e-3)
    assert mean_maximum_rank_violation(sim, real) == pytest.approx(violation, abs=6e-4)


def slow_violation(sim, real):
    """The definition, word for word."""
    worst = []
    for i in range(len(sim)):
        pairs = [
            abs(real[i] - real[j])
            for j in range(len(sim))
            if (sim[i] > sim[j]) != (real[i] > real[j])
        ]
        worst.append(max(pairs, default=0.0))
    return sum(worst) / len(worst)


@given(st.data())
def test_all_three_agree_with_their_definitions_and_with_scipy(data):
    real = data.draw(SCORES)
    sim = data.draw(st.lists(st.integers(0, 12), min_size=len(real), max_size=len(real)))
    violation = mean_maximum_rank_violation(sim, real)
    assert violation == pytest.approx(slow_violation(sim, real))
    assert 0 <= violation <= max(real) - min(real)
    if len(set(real)) > 1 and len(set(sim)) > 1:
        assert pearson_correlation(sim, real) == pytest.approx(stats.pearsonr(sim, real)[0])
        assert spearman_correlation(sim, real) == pytest.approx(stats.spearmanr(sim, real)[0])


@pytest.mark.parametrize(
    "wrong", [([1, 2], [1, 2, 3]), ([], []), ([[1]], [[1]]), ([1, np.nan], [1, 2])]
)
def test_scores_that_do_not_belong_together_are_refused(wrong):
    for statistic in STATISTICS.values():
        with pytest.raises(ShapeError, match="scores"):
            statistic(*wrong)


def test_the_interval_of_a_perfect_judge_is_a_point_and_of_a_noisy_one_is_not():
    rng = np.random.default_rng(0)
    chances = np.linspace(0.1, 0.9, 6)[:, None]
    real = rng.random((6, 60)) < chances
    assert interval(pearson_correlation, real, real) == (pytest.approx(1), pytest.approx(1))
    noisy = rng.random((6, 60)) < chances
    low, high = interval(pearson_correlation, noisy, real)
    assert -1 < low < pearson_correlation(noisy.mean(1), real.mean(1)) < high <= 1
    assert interval(pearson_correlation, noisy, real) == (low, high)


def test_more_starts_make_a_narrower_interval():
    rng = np.random.default_rng(2)
    chances = np.linspace(0.1, 0.9, 6)[:, None]
    widths = []
    for n in (20, 320):
        sim, real = (rng.random((6, n)) < chances for _ in range(2))
        low, high = interval(mean_maximum_rank_violation, sim, real, resamples=300)
        widths.append(high - low)
    assert widths[1] < widths[0]


def test_outcomes_of_other_shapes_are_refused():
    with pytest.raises(ShapeError, match=r"\(P, N\) twice"):
        ranking.interval(pearson_correlation, [[1, 2]], [[1, 2, 3]])
    assert np.isnan(ranking.interval(pearson_correlation, [[1], [2]], [[1], [2]])).all()
