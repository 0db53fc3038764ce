"""Other libraries' names of our fields."""

# pyright: reportCallIssue=false
# Aliases are known when a program runs, not to a type checker.

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from cosmos_sdk.config import typed
from cosmos_sdk.errors import ConfigError
from cosmos_sdk.registry import registry
from cosmos_sdk_policies.aliases import ALIASES
from cosmos_sdk_policies.cem import CEM
from cosmos_sdk_policies.icem import ICEM
from cosmos_sdk_policies.mppi import MPPI


def test_every_planner_starts_from_the_values_of_the_field():
    values = {"horizon": 5, "action_block": 5, "num_samples": 300, "num_elites": 30}
    for name in ("cem", "icem", "mppi", "categorical-cem"):
        planner = registry().load("planner", name)()
        assert {key: getattr(planner, key) for key in values} == values


def test_an_alias_is_the_field():
    assert CEM(n_steps=7, topk=3, var_scale=0.5) == CEM(num_iterations=7, num_elites=3, sigma=0.5)
    torchrl = CEM(planning_horizon=4, optim_steps=2, num_candidates=50, top_k=5)
    assert torchrl == CEM(horizon=4, num_iterations=2, num_samples=50, num_elites=5)
    assert MPPI(lambda_=0.1, max_std=2.0, min_std=0.1) == MPPI(
        temperature=0.1, sigma=2.0, min_sigma=0.1
    )
    assert ICEM(colored_noise_exponent=1.0, n_elite_keep=2, population_decay_factor=1.3) == ICEM(
        noise_beta=1.0, num_kept_elites=2, population_decay=1.3
    )
    assert replace(CEM(topk=3), num_iterations=4) == CEM(num_elites=3, num_iterations=4)


def test_an_alias_beside_its_field_is_refused():
    with pytest.raises(ConfigError, match=r"CEM: 'topk' and 'num_elites' are names of the same"):
        CEM(topk=3, num_elites=3)
    with pytest.raises(ConfigError, match="'top_k'"):
        CEM(topk=3, top_k=3)
    with pytest.raises(ConfigError, match="'planning_horizon'"):
        CEM(5, planning_horizon=5)


def test_only_names_of_own_fields_are_taken():
    with pytest.raises(TypeError, match="lambda_"):
        CEM(lambda_=0.5)
    every = [registry().load("planner", name) for name in registry().names("planner")]
    known = {item.name for planner in every for item in fields(planner)}
    assert {name for name, _ in ALIASES.values()} <= known
    assert not known & set(ALIASES)


def test_configurations_read_aliases_too():
    assert typed(CEM, {"topk": 12, "n_steps": 3}) == CEM(num_elites=12, num_iterations=3)
    with pytest.raises(ConfigError, match="names of the same field"):
        typed(CEM, {"topk": 12, "num_elites": 12})
    with pytest.raises(ConfigError, match="is 'many'; expected a whole number"):
        typed(CEM, {"topk": "many"})
