"""From logits to tokens: what is kept, what is drawn, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from cosmos_sdk.errors import SamplingError
from cosmos_sdk_autoregressive.sampling import (
    AutoregressiveSampling,
    check_finite,
    distribution,
    draw,
    entropy,
)

LOGITS = torch.log(torch.tensor([0.1, 0.4, 0.2, 0.3]))


def kept(**options: Any) -> list[float]:
    return distribution(LOGITS, AutoregressiveSampling(**options)).tolist()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0.1, 0.4, 0.2, 0.3]),
        ({"top_k": 2}, [0, 4 / 7, 0, 3 / 7]),
        ({"top_k": 9}, [0.1, 0.4, 0.2, 0.3]),
        ({"top_p": 0.39}, [0, 1, 0, 0]),
        ({"top_p": 0.41}, [0, 4 / 7, 0, 3 / 7]),
        ({"top_p": 1e-6}, [0, 1, 0, 0]),
        ({"top_k": 3, "top_p": 0.5}, [0, 4 / 7, 0, 3 / 7]),
        ({"temperature": 0.0}, [0, 1, 0, 0]),
        ({"temperature": 0.5}, [1 / 30, 16 / 30, 4 / 30, 9 / 30]),
    ],
    ids=str,
)
def test_options_leave_these_probabilities(options, expected):
    assert kept(**options) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top_p": 0.0}, "top_p is 0.0; expected more than 0, at most 1"),
        ({"top_p": 2.0}, "top_p is 2.0; expected more than 0, at most 1"),
        ({"top_p": float("nan")}, "top_p is nan"),
        ({"temperature": -1.0}, "temperature is -1.0"),
        ({"top_k": -1}, "top_k is -1"),
        ({"num_steps": 9}, r"num_steps is 9; expected 0 \(strict\) to 8"),
        ({"precision": "float16"}, "'float32' or 'bfloat16'"),
        ({"num_steps": 2, "medusa": 3}, "nothing to draft"),
    ],
    ids=str,
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(SamplingError, match=message):
        AutoregressiveSampling(**options)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_logits_that_are_not_finite_are_refused(bad):
    with pytest.raises(SamplingError, match="NaN or infinity"):
        check_finite(torch.tensor([0.0, bad]))


def test_equally_spaced_noise_draws_tokens_in_their_proportions():
    uniform = (torch.arange(1000) + 0.5) / 1000
    tokens = draw(distribution(LOGITS, AutoregressiveSampling()).expand(1000, 4), uniform)
    shares = torch.bincount(tokens, minlength=4) / 1000
    torch.testing.assert_close(shares, LOGITS.exp(), atol=2e-3, rtol=0)


@pytest.mark.parametrize("uniform", [0.0, 1e-8, 0.5, 1 - 2**-24, 1.0])
def test_a_token_without_mass_is_never_drawn(uniform):
    probabilities = torch.tensor([0.0, 0.7, 0.0, 0.3, 0.0])
    assert int(draw(probabilities, torch.tensor(uniform))) in (1, 3)


def test_entropy_is_that_of_the_whole_distribution_in_nats():
    assert float(entropy(torch.zeros(8))) == pytest.approx(math.log(8))
    assert float(entropy(torch.tensor([100.0, 0.0]))) == pytest.approx(0, abs=1e-6)
