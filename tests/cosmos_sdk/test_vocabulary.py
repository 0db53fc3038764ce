"""How much of a vocabulary some tokens use."""

from __future__ import annotations

import math

import pytest
import torch

from cosmos_sdk.vocabulary import Vocabulary, code_usage
from toys.tokenizers import Ids
from toys.tokens import Shades


def test_usage_of_even_and_of_uneven_histograms():
    even = code_usage(torch.arange(40).repeat(3).view(3, 40), 40)
    assert even.share == 1
    assert even.perplexity == pytest.approx(40)
    one = code_usage(torch.full((2, 5), 7), 40)
    assert (one.share, one.perplexity) == (1 / 40, pytest.approx(1))
    known = code_usage(torch.tensor([0, 0, 0, 1]), 4)
    assert known.share == 0.5
    assert known.perplexity == pytest.approx(
        math.exp(-0.75 * math.log(0.75) - 0.25 * math.log(0.25))
    )


def test_a_tokenizer_without_codes_has_no_vocabulary_to_speak_of():
    assert isinstance(Shades(), Vocabulary)
    assert not isinstance(Ids(), Vocabulary)
