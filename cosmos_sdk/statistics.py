"""Intervals and scores that a report needs: Wilson, bootstrap, ranks, AUROC, calibration."""

from __future__ import annotations

from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Interval = tuple[float, float]


def wilson(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """The score interval of a proportion (Wilson, 1927); (0, 1) when nothing was tried."""
    if n == 0:
        return (0.0, 1.0)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, square = successes / n, z * z
    middle = (share + square / (2 * n)) / (1 + square / n)
    half = z * float(np.sqrt(share * (1 - share) / n + square / (4 * n * n))) / (1 + square / n)
    # exact at the ends, where the two terms cancel up to rounding
    low = max(middle - half, 0.0) if successes else 0.0
    return (low, min(middle + half, 1.0) if successes < n else 1.0)


def bootstrap(
    values: ArrayLike,
    seed: int = 0,
    resamples: int = 2000,
    confidence: float = 0.95,
    statistic: Callable[..., Any] = np.mean,
) -> Interval:
    """The percentile interval of the mean of independent values, one per episode or window (Efron, 1979).

    `statistic` is what is reported instead, such as `np.median` of timings.
    """
    sample = np.asarray(values, np.float64)
    if sample.size < 2:
        return (float("nan"), float("nan"))
    index = np.random.default_rng(seed).integers(0, sample.size, (resamples, sample.size))
    tail = 50 * (1 - confidence)
    low, high = np.percentile(statistic(sample[index], axis=1), [tail, 100 - tail])
    return (float(low), float(high))


def bootstrap_ratio(
    top: ArrayLike, bottom: ArrayLike, seed: int = 0, resamples: int = 2000
) -> Interval:
    """The 95 % interval of mean(top) / mean(bottom) over paired values."""
    pairs = np.stack([np.asarray(top, np.float64), np.asarray(bottom, np.float64)])
    index = np.random.default_rng(seed).integers(0, pairs.shape[1], (resamples, pairs.shape[1]))
    means = pairs[:, index].mean(2)
    low, high = np.percentile(means[0] / means[1], [2.5, 97.5])
    return (float(low), float(high))


def bootstrap_jointly(
    statistic: Callable[..., float], *columns: ArrayLike, seed: int = 0, resamples: int = 500
) -> Interval:
    """The 95 % interval of `statistic(*columns)`, the rows of all columns drawn together: one per episode or window.

    Whatever the other axes of a column hold belongs to its row, as steps do to their window, and is not independent.
    Draws for which the statistic is NaN are left out.
    """
    arrays = [np.asarray(column) for column in columns]
    count = len(arrays[0])
    if count < 2:
        return (float("nan"), float("nan"))
    index = np.random.default_rng(seed).integers(0, count, (resamples, count))
    found = np.array([statistic(*(array[rows] for array in arrays)) for rows in index])
    found = found[~np.isnan(found)]
    if not found.size:
        return (float("nan"), float("nan"))
    low, high = np.percentile(found, [2.5, 97.5])
    return (float(low), float(high))


def ranks(values: ArrayLike) -> NDArray[np.float64]:
    """Ranks (n,) from 1 upwards of values (n,); equal values share the mean of theirs."""
    array = np.asarray(values, np.float64)
    _, place, counts = np.unique(array, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)  # rank of the last of each group of equals
    return (last - (counts - 1) / 2)[place]


def auroc(scores: ArrayLike, positive: ArrayLike) -> float:
    """The chance that a positive scores above a negative, ties counted half (Mann and Whitney, 1947).

    NaN where one of the two classes is empty.
    """
    score, label = np.asarray(scores, np.float64), np.asarray(positive, bool)
    num_positive, num_negative = int(label.sum()), int((~label).sum())
    if not num_positive or not num_negative:
        return float("nan")
    above = ranks(score)[label].sum() - num_positive * (num_positive + 1) / 2
    return float(above / (num_positive * num_negative))


def calibration_error(probabilities: ArrayLike, happened: ArrayLike, num_bins: int = 10) -> float:
    """Expected calibration error (Guo et al., 2017, eq. 3): mean |confidence - frequency| over equal-width bins."""
    probability, label = np.asarray(probabilities, np.float64), np.asarray(happened, np.float64)
    bins = np.minimum((probability * num_bins).astype(int), num_bins - 1)
    counts = np.bincount(bins, minlength=num_bins)
    gap = np.bincount(bins, probability - label, num_bins)
    return float(np.abs(gap).sum() / max(counts.sum(), 1))
