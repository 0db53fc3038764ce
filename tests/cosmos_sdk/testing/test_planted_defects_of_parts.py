"""Defects of conditioners, heads, envs and planners are caught under the number of the property they break."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium
import pytest
import torch

from cosmos_sdk.state import Masked, Tensors
from cosmos_sdk.testing import (
    ConformanceError,
    check_conditioner,
    check_env,
    check_head,
    check_planner,
)
from cosmos_sdk.world import WorldModel
from toys.conditioners import Action
from toys.heads import Reward
from toys.planner import Shooting
from toys.walkers import Walkers
from toys.worlds import BOX, make


def caught(run: Callable[[], None]) -> ConformanceError:
    with pytest.raises(ConformanceError) as error:
        run()
    return error.value


class Odd(torch.nn.Module):
    """The toy action with its tokens changed afterwards."""

    start_space, num_tokens, width, space = None, 1, 6, BOX

    def __init__(self, change: Callable[[Masked], Masked]) -> None:
        super().__init__()
        self.inner, self.change = Action(BOX), change

    def start(self, signal: Masked) -> Tensors:
        return {}

    def embed(self, signal: Masked, time: torch.Tensor, memory: Tensors) -> tuple[Masked, Tensors]:
        tokens, memory = self.inner.embed(signal, time, memory)
        return self.change(tokens), memory


def test_a_conditioner_without_the_view_axis_is_caught_by_1() -> None:
    change = lambda tokens: Masked(tokens.values[:, :, 0], tokens.mask[:, :, 0])  # noqa: E731
    with pytest.raises(Exception, match=r"embed returned values \(1, 2, 1, 6\)"):
        check_conditioner(Odd(change))


def test_a_conditioner_that_looks_ahead_is_caught_by_10() -> None:
    change = lambda tokens: Masked(tokens.values + tokens.values.roll(-1, 1), tokens.mask)  # noqa: E731
    error = caught(lambda: check_conditioner(Odd(change)))
    assert error.number == 10
    assert "tokens/values" in str(error)


def test_a_conditioner_that_claims_what_is_absent_is_caught_by_12() -> None:
    change = lambda tokens: Masked(tokens.values, torch.ones_like(tokens.mask))  # noqa: E731
    assert caught(lambda: check_conditioner(Odd(change))).number == 12


class Shifted(torch.nn.Module):
    """The toy reward, with other values or another loss."""

    def __init__(self, read: Callable[[Any], Any], loss: Callable[[Any, Masked], Any]) -> None:
        super().__init__()
        self.inner, self.change_value, self.change_loss = Reward(8), read, loss

    def start(self, state: Any) -> Tensors:
        return {}

    def read(self, *given: Any) -> Any:
        value, memory = self.inner.read(*given)
        return self.change_value(value), memory

    def loss(self, latents: Any, features: Any, control: Any, target: Masked) -> Any:
        terms = self.inner.loss(latents, features, control, target)
        return {name: self.change_loss(term, target) for name, term in terms.items()}


def with_reward(head: Any) -> WorldModel:
    world = make("statespace")
    conditioners = dict(world.conditioners.items())
    return WorldModel(
        world.tokenizer, world.backend, conditioners, {"reward": head}, {}, world.spec
    )


def test_a_head_with_one_value_for_a_whole_chunk_is_caught_by_1() -> None:
    head = Shifted(lambda value: value[:, 0], lambda term, target: term)
    error = caught(lambda: check_head(with_reward(head), "reward"))
    assert error.number == 1
    assert "reward is (4,); expected (4, 1) first" in str(error)


def test_a_head_that_learns_from_absent_targets_is_caught_by_12() -> None:
    head = Shifted(
        lambda value: value, lambda term, target: term + target.values.square().mean(1) + 1
    )
    error = caught(lambda: check_head(with_reward(head), "reward"))
    assert error.number == 12
    assert "without targets" in str(error)


@pytest.mark.parametrize(
    ("defect", "words"),
    [
        ("one generator", "slot 0 among 3"),
        ("late final_obs", "final_obs of slot"),
        ("forgets the time", "after restore"),
    ],
)
def test_a_defect_of_an_env_is_caught_by_17(defect: str, words: str) -> None:
    error = caught(lambda: check_env(partial(Walkers, defect=defect), num_steps=16))
    assert error.number == 17
    assert words in str(error)


def test_an_env_that_never_ends_is_told_to_be_shortened() -> None:
    error = caught(lambda: check_env(Walkers, num_steps=4, limit=1000))
    assert error.number == 17
    assert "max_episode_steps" in str(error)


def test_an_env_that_gymnasium_refuses_is_caught_by_17() -> None:
    gymnasium.register(
        "Toy/Odd-v0", "toys.walkers:Walker", vector_entry_point="toys.walkers:Walkers"
    )
    try:
        error = caught(lambda: check_env("Toy/Odd-v0", num_steps=16, breaks_the_api=True))
    finally:
        del gymnasium.registry["Toy/Odd-v0"]
    assert error.number == 17


@pytest.mark.parametrize(
    ("defect", "words"),
    [
        ("leaves the bounds", "outside of Box"),
        ("foresees the noise", "the seeds of the state"),
        ("ranks over the batch", "planned alone"),
        ("ignores the chunk", "a multiple of 2"),
    ],
)
def test_a_defect_of_a_planner_is_caught_by_18(defect: str, words: str) -> None:
    error = caught(lambda: check_planner(Shooting(defect=defect)))
    assert error.number == 18
    assert words in str(error)
