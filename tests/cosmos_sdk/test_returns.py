"""Lambda-returns of steps whose worth is known."""

from __future__ import annotations

import torch

from cosmos_sdk.returns import lambda_returns

REWARDS = torch.tensor([[1.0, 2.0, 3.0]])
VALUES = torch.tensor([[9.0, 5.0, 6.0, 7.0]])


def test_a_return_is_the_rewards_at_one_and_the_next_value_at_zero():
    go_on = torch.ones(1, 3)
    summed = lambda_returns(REWARDS, VALUES, go_on, 0.5, 1.0)
    assert summed.tolist() == [[1 + 1 + 0.75 + 7 / 8, 2 + 1.5 + 7 / 4, 3 + 7 / 2]]
    assert lambda_returns(REWARDS, VALUES, go_on, 0.5, 0.0).tolist() == [[3.5, 5.0, 6.5]]
    assert lambda_returns(REWARDS, VALUES, None, 0.5, 1.0).equal(summed)  # nothing ends


def test_nothing_counts_after_an_end():
    ended = lambda_returns(torch.ones(1, 3), VALUES, torch.tensor([[1.0, 0.0, 1.0]]), 1.0, 1.0)
    assert ended.tolist() == [[2.0, 1.0, 8.0]]


def test_before_an_unknown_step_a_return_is_the_value():
    known = torch.tensor([[True, False, True]])
    cut = lambda_returns(torch.ones(1, 3), VALUES, None, 1.0, 1.0, known)
    assert cut.tolist() == [[6.0, 5.0, 8.0]]


def test_no_steps_have_no_returns():
    assert lambda_returns(torch.ones(2, 0), torch.ones(2, 1), None, 0.5, 0.9).shape == (2, 0)
