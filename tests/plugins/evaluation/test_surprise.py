"""Surprise has known values for a world that knows the truth, one that knows nothing, and one with its sign wrong."""

from __future__ import annotations

import math
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
import torch

from cosmos_sdk.errors import PluginError
from cosmos_sdk.results import Result
from cosmos_sdk.statistics import bootstrap_jointly
from cosmos_sdk_evaluation import episodes
from cosmos_sdk_evaluation import surprise as module
from cosmos_sdk_evaluation.surprise import (
    Future,
    SurpriseConfig,
    compare,
    score,
    surprise,
    wrong_futures,
)
from toys.dial import NOTCHES, SURE, dial_world, dials
from toys.tokens import small_world

KINDS = ("shuffled", "reversed", "swapped", "frozen", "teleported", "noisy", "other actions")
CONFIG = SurpriseConfig(windows=24, past=4, horizon=8)
DISCS = SurpriseConfig("CosmosSDK/DiscPusher-v0", "disc-scripted", windows=3, past=3, horizon=3)


@pytest.fixture(autouse=True)
def _few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intervals are tested elsewhere."""
    monkeypatch.setattr(module, "bootstrap_jointly", partial(bootstrap_jointly, resamples=20))


@cache
def measured(scorer: str, **world: Any) -> dict[str, Result]:
    data = dials(CONFIG.windows, CONFIG.past, CONFIG.horizon)
    return {r.name: r for r in compare(dial_world(scorer, **world), data, CONFIG).results}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("scorer", "expected"), [("oracle", 1.0), ("constant", 0.5), ("inverted", 0.0)]
)
def test_the_auroc_is_that_of_what_a_scorer_knows(kind: str, scorer: str, expected: float) -> None:
    found = measured(scorer)
    whole = found[f"true above {kind}, AUROC"]
    assert whole.value == expected
    assert whole.n == CONFIG.windows
    assert whole.ci95 == (expected, expected)
    first = found[f"true above {kind}, AUROC of the first wrong frame"]
    assert first.value == pytest.approx(expected, abs=0.25)  # one frame may be right by chance


def test_likelihoods_and_code_lengths_are_those_of_the_rule() -> None:
    found = measured("oracle")
    assert found["log-likelihood, true futures"].value == pytest.approx(math.log(SURE))
    assert found["code length, true futures"].value == pytest.approx(-math.log2(SURE))
    assert found["code length, guessing"].value == math.log2(NOTCHES)
    wrong = math.log((1 - SURE) / (NOTCHES - 1))
    assert found["log-likelihood, reversed"].value == pytest.approx(wrong)


def test_a_world_that_predicts_chunks_is_scored_alike_per_frame() -> None:
    single, chunk = measured("oracle"), measured("oracle", chunk=2)
    assert single.keys() == chunk.keys()
    for name in ("log-likelihood, true futures", "code length, true futures"):
        assert chunk[name].value == pytest.approx(single[name].value)
    assert all(chunk[f"true above {kind}, AUROC"].value == 1 for kind in KINDS)


def test_what_pixels_alone_tell_stands_beside() -> None:
    found = measured("oracle")
    by_pixels = {
        kind: found[f"true above {kind}, AUROC by pixel change alone"].value for kind in KINDS
    }
    assert by_pixels["other actions"] == 0.5  # the frames are the true ones
    assert by_pixels["frozen"] < 0.1  # nothing changes less than what stands still
    assert by_pixels["noisy"] == 1


def test_wrong_futures_keep_their_past_and_are_wrong_from_where_they_say() -> None:
    data = dials(6, 4, 8)
    for wrong in wrong_futures(data, CONFIG):
        assert wrong.kind in KINDS
        begin = 4 + wrong.first
        changed = (wrong.frames != data.frames).flatten(2).any(2)
        told = (wrong.actions != data.actions).any(2)
        assert not (changed | told)[:, :begin].any()
        assert (changed | told)[:, begin].float().mean() > 0.8
        assert changed.any() != told.any()


def test_the_past_is_observed_before_anything_is_scored() -> None:
    data, world = dials(5, 6, 4), dial_world()
    true = Future("true", data.frames, data.actions)
    assert score(world, true, 6, CONFIG).log_probs.shape == (5, 4)
    in_two = score(world, true, 6, SurpriseConfig(batch_size=2)).log_probs
    assert np.array_equal(in_two, score(world, true, 6, CONFIG).log_probs)


def test_a_backend_without_a_likelihood_is_refused_with_one_that_has() -> None:
    with pytest.raises(PluginError, match=r"Turn.*'autoregressive' can"):
        surprise(dial_world("none"), DISCS)


def test_only_held_out_episodes_are_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[list[int]] = []
    record = episodes.record

    def spying(*arguments: Any) -> episodes.Episode:
        seeds.append(arguments[-1])
        return record(*arguments)

    monkeypatch.setattr(episodes, "record", spying)
    surprise(dial_world(), DISCS)
    assert seeds
    assert all(seed[0] == episodes.HELD_OUT_SEED for seed in seeds)


def test_an_untrained_autoregressive_world_is_scored_whole() -> None:
    torch.manual_seed(0)
    measurement = surprise(small_world(vocabulary=8), DISCS)
    found = {r.name: r.value for r in measurement.results}
    assert all(math.isfinite(value) for value in found.values())
    per_token = -found["log-likelihood, true futures"] / math.log(2) / 4
    assert found["code length, true futures"] == pytest.approx(per_token)
    assert found["code length, guessing"] == 3
    assert len(measurement.pictures) == len(KINDS) - 1
