"""How well a world judges policies: agreement of their scores there and in reality, with intervals over starts.

Names and formulas of SIMPLER (Li et al. 2024, arXiv:2405.05941). P policies, N starts.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cosmos_sdk.errors import ShapeError
from cosmos_sdk.statistics import Interval, bootstrap_jointly, ranks

Statistic = Callable[[ArrayLike, ArrayLike], float]
NAN = float("nan")


def pearson_correlation(sim: ArrayLike, real: ArrayLike) -> float:
    """Linear correlation of scores (P,), in [-1, 1]; NaN for fewer than two policies, or where one side is constant."""
    a, b = _scores(sim, real)
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return NAN
    a, b = a - a.mean(), b - b.mean()
    return float(np.clip((a @ b) / np.sqrt((a @ a) * (b @ b)), -1, 1))


def spearman_correlation(sim: ArrayLike, real: ArrayLike) -> float:
    """Pearson correlation of the ranks of scores (P,); equal scores share their mean rank."""
    a, b = _scores(sim, real)
    return pearson_correlation(ranks(a), ranks(b))


def mean_maximum_rank_violation(sim: ArrayLike, real: ArrayLike) -> float:
    """MMRV of scores (P,), 0 at best, in the unit of `real`: what a wrong order costs a policy at worst, on average.

    A pair (i, j) is violated when `sim` says that i is better and `real` does not, or the other way round; it costs
    |real_i - real_j|. A policy's violation is its dearest pair. A tie is no "better": where one side is tied and the
    other is not, the violation falls on the policy that the other side holds to be better. NaN for fewer than two
    policies.
    """
    a, b = _scores(sim, real)
    if len(a) < 2:
        return NAN
    violated = (a[:, None] > a) != (b[:, None] > b)
    return float((np.abs(b[:, None] - b) * violated).max(1).mean())


STATISTICS: dict[str, Statistic] = {
    "pearson_correlation": pearson_correlation,
    "spearman_correlation": spearman_correlation,
    "mean_maximum_rank_violation": mean_maximum_rank_violation,
}


def interval(
    statistic: Statistic, sim: ArrayLike, real: ArrayLike, seed: int = 0, resamples: int = 1000
) -> Interval:
    """The 95 % bootstrap interval of a statistic of the policies' means, from outcomes (P, N).

    What is drawn again are the starts, the same ones for every policy and for both sides, since they share them. The
    policies stay: the interval says what other starts would have shown of these policies, nothing of other policies.
    """
    a, b = np.asarray(sim, np.float64), np.asarray(real, np.float64)
    if a.shape != b.shape or a.ndim != 2:
        raise ShapeError("outcomes", f"{a.shape} and {b.shape}", "(P, N) twice")

    def of_means(drawn: NDArray[np.float64], beside: NDArray[np.float64]) -> float:
        return statistic(drawn.mean(0), beside.mean(0))

    return bootstrap_jointly(of_means, a.T, b.T, seed=seed, resamples=resamples)


def _scores(sim: ArrayLike, real: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    a, b = np.asarray(sim, np.float64), np.asarray(real, np.float64)
    if a.shape != b.shape or a.ndim != 1 or not len(a):
        raise ShapeError("scores", f"{a.shape} and {b.shape}", "one per policy, (P,) twice")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ShapeError("scores", "NaN or infinity among them", "one finite number per policy")
    return a, b
