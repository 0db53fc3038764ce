"""Uncertainty has known values where the head knows the error, knows nothing, or only counts steps."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from cosmos_sdk.errors import ConfigError
from cosmos_sdk.results import Result
from cosmos_sdk.statistics import bootstrap_jointly
from cosmos_sdk_evaluation import uncertainty as module
from cosmos_sdk_evaluation.uncertainty import (
    Errors,
    UncertaintyConfig,
    compare,
    imagine,
    uncertainty,
)
from toys.dial import dial_world, dials
from toys.tokens import small_world
from toys.worlds import make

Array = NDArray[np.float64]
CONFIG = UncertaintyConfig(windows=20, horizons=(1, 8))
HALF = "block error above the median (50 % of steps), AUROC by"
SPEARMAN = "block error and uncertainty, Spearman"


@pytest.fixture(autouse=True)
def _few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intervals are tested elsewhere."""
    monkeypatch.setattr(module, "bootstrap_jointly", partial(bootstrap_jointly, resamples=20))


def growing(rows: int = 20, steps: int = 8) -> Array:
    """Errors (rows, steps) that add up from step to step, faster in some windows."""
    return np.random.default_rng(0).uniform(0, 1, (rows, steps)).cumsum(1)


def told(said: Array, error: Array, limit: float | None = None) -> dict[str, Result]:
    return {r.name: r for r in compare(said, Errors("block", error, "px", limit), CONFIG)}


@pytest.mark.parametrize(("sign", "auroc", "rank"), [(1, 1.0, 1.0), (-1, 0.0, -1.0)])
def test_a_head_that_knows_the_error_is_told_from_one_with_its_sign_wrong(
    sign: int, auroc: float, rank: float
) -> None:
    error = growing()
    found = told(sign * error, error)
    assert found[f"{HALF} uncertainty"].value == auroc
    assert found[f"{HALF} uncertainty"].n == 20
    assert found[SPEARMAN].value == pytest.approx(rank)
    assert found[f"{SPEARMAN} at the same horizon"].value == pytest.approx(rank)


def test_a_head_that_says_nothing_is_worth_a_coin() -> None:
    found = told(np.ones((20, 8)), growing())
    assert found[f"{HALF} uncertainty"].value == 0.5
    assert math.isnan(found[SPEARMAN].value)
    assert math.isnan(found[f"{SPEARMAN} at the same horizon"].value)


def test_a_head_that_only_counts_steps_is_no_better_than_the_count() -> None:
    error = growing()
    noise = np.random.default_rng(1).uniform(0, 0.1, error.shape)
    found = told(np.arange(8.0) + noise, error)
    alone = found[f"{HALF} steps ahead alone"].value
    assert alone > 0.8
    assert found[f"{HALF} uncertainty"].value == pytest.approx(alone, abs=0.02)
    assert found[SPEARMAN].value > 0.6
    assert abs(found[f"{SPEARMAN} at the same horizon"].value) < 0.2


def test_uncertainty_adds_up_as_drift_does() -> None:
    """Errors are sums: what the world said of one step tells less of them than what it has said so far."""
    error = growing()
    said = np.diff(error, axis=1, prepend=0)
    found = told(said, error)
    mean = found["block error and its mean so far, Spearman at the same horizon"]
    assert mean.value == pytest.approx(1)
    assert found[f"{SPEARMAN} at the same horizon"].value < 0.8


def test_drift_is_also_counted_above_a_limit_in_units() -> None:
    error = growing()
    share = round(100 * float((error > 3).mean()))
    found = told(error, error, limit=3.0)
    assert found[f"block error above 3 px ({share} % of steps), AUROC by uncertainty"].value == 1
    none = told(error, error, limit=99.0)
    assert math.isnan(none["block error above 99 px (0 % of steps), AUROC by uncertainty"].value)


@pytest.mark.parametrize("chunk", [1, 2])
def test_a_world_that_is_right_imagines_the_truth_frame_by_frame(chunk: int) -> None:
    data = dials(5, 2, 6)
    dream = imagine(dial_world(chunk=chunk), data, UncertaintyConfig(batch_size=2))
    newest = slice(2 + chunk - 1, None, chunk)
    assert torch.equal(dream.frames, data.frames[:, newest])
    assert dream.read is not None
    assert torch.equal(dream.read, data.observations[:, newest])
    assert not dream.said.any()


def test_a_world_that_slips_and_says_so_is_found_to_know_its_drift() -> None:
    data = dials(20, 2, 8)
    dream = imagine(dial_world(slip=0.2), data, CONFIG)
    assert dream.read is not None
    error = (dream.read - data.observations[:, 2:])[..., 0].abs().double().numpy()
    assert 0.2 < (error > 0).mean() < 0.8
    found = told(dream.said, error)
    name = next(n for n in found if n.endswith("AUROC by uncertainty"))
    assert found[name].value == 1
    assert found[f"{SPEARMAN} at the same horizon"].value == pytest.approx(1)


def test_a_world_without_such_a_head_is_told_what_it_has() -> None:
    with pytest.raises(ConfigError, match=r"no head 'uncertainty'.*reward, terminated.*entropy"):
        uncertainty(make("diffusion"), UncertaintyConfig())


def test_an_untrained_autoregressive_world_is_measured_whole() -> None:
    config = UncertaintyConfig(
        "CosmosSDK/DiscPusher-v0", "disc-scripted", windows=3, horizons=(1, 4), batch_size=2
    )
    measurement = uncertainty(small_world(vocabulary=8), config)
    found = {r.name: r for r in measurement.results}
    assert 0 < found["mean uncertainty @4"].value < math.log(8)
    assert found["pixel error @4"].unit == "of 255"
    assert len(measurement.pictures) == 2
