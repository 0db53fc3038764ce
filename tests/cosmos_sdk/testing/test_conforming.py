"""All seven kinds of world pass every check that applies to them; so do the toy parts."""

from __future__ import annotations

from typing import Any

import gymnasium
import pytest
import torch
from gymnasium import spaces

from cosmos_sdk.errors import CosmosError, UnknownNameError
from cosmos_sdk.rng import PLANNER, Rng
from cosmos_sdk.testing import (
    check_backend,
    check_conditioner,
    check_env,
    check_head,
    check_planner,
    check_tokenizer,
    point_starts,
    point_world,
)
from cosmos_sdk.testing.planner import MaximumReward
from cosmos_sdk.testing.trial import random_starts
from toys.conditioners import Action, Camera, Text
from toys.planner import Shooting
from toys.tokenizers import Ids, Patches, TimePatches, Vector
from toys.walkers import Walkers
from toys.worlds import BOX, STARTS, WORLDS, make


@pytest.mark.parametrize("name", WORLDS)
def test_a_toy_world_of_every_kind_conforms(name: str) -> None:
    check_backend(make(name), starts=STARTS.get(name))


def test_the_built_in_world_of_points_conforms() -> None:
    check_backend(point_world(), starts=point_starts)


@pytest.mark.parametrize(
    ("conditioner", "chunk"),
    [
        (Action(BOX), 1),
        (Action(BOX), 3),
        (Action(spaces.Discrete(4)), 1),
        (Camera(), 2),
        (Text(2), 1),
    ],
)
def test_toy_conditioners_conform(conditioner: Any, chunk: int) -> None:
    check_conditioner(conditioner, chunk=chunk)


@pytest.mark.parametrize(
    ("tokenizer", "views", "context"),
    [
        (Patches(), 1, 5),
        (Patches(3), 3, 4),
        (TimePatches(), 1, 13),
        (Ids(), 1, 3),
        (Vector(2), 2, 3),
    ],
)
def test_toy_tokenizers_conform(tokenizer: Any, views: int, context: int) -> None:
    check_tokenizer(tokenizer, (views, 8, 8), context=context)


@pytest.mark.parametrize(
    ("world", "name"), [("statespace", "reward"), ("chunk", "terminated"), ("multiview", "state")]
)
def test_toy_heads_conform(world: str, name: str) -> None:
    check_head(make(world), name)


def test_a_toy_planner_conforms_in_the_built_in_worlds_and_in_a_given_one() -> None:
    check_planner(Shooting())
    check_planner(Shooting(num_samples=3), make("statespace"))


def test_a_toy_env_conforms_as_a_function_and_by_its_id() -> None:
    check_env(Walkers, num_steps=16)
    gymnasium.register(
        "Toy/Walker-v0", "toys.walkers:Walker", vector_entry_point="toys.walkers:Walkers"
    )
    try:
        check_env("Toy/Walker-v0", num_steps=16, limit=4)
    finally:
        del gymnasium.registry["Toy/Walker-v0"]


@pytest.mark.parametrize("name", WORLDS)
def test_one_planner_runs_in_every_world_and_plans_a_batch_as_its_rows(name: str) -> None:
    world = make(name).double()
    with torch.no_grad():
        state = STARTS.get(name, random_starts)(world, torch.arange(3))
    seed = torch.arange(3)
    planner, objective = Shooting(num_samples=4), MaximumReward()
    together = planner.plan(world, state, objective, Rng(seed, seed, PLANNER))
    space = world.conditioners["action"].space
    assert space is not None
    assert space.contains(together.actions[0, 0].numpy().astype(space.dtype))
    assert together.actions.shape[1] == 2 * world.backend.chunk
    for i in range(3):
        row = slice(i, i + 1)
        alone = planner.plan(world, state.rows(row), objective, Rng(seed[row], seed[row], PLANNER))
        assert torch.equal(alone.actions, together.actions[row])


def test_a_world_that_has_nothing_to_start_from_says_what_to_pass() -> None:
    with pytest.raises(CosmosError, match=r"starts="):
        check_backend(make("pendulum"))


def test_a_head_that_the_world_lacks_is_named() -> None:
    with pytest.raises(UnknownNameError, match=r"Did you mean 'reward'"):
        check_head(make("statespace"), "rewards")


def test_checks_leave_the_world_as_it_was() -> None:
    world = make("statespace")
    before = {name: tensor.clone() for name, tensor in world.state_dict().items()}
    check_conditioner(world.conditioners["action"])
    check_head(world, "reward")
    for name, tensor in world.state_dict().items():
        assert tensor.dtype == before[name].dtype
        assert torch.equal(tensor, before[name])
