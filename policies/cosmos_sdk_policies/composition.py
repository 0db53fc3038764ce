"""Objectives from plain data, as a command line or a file gives them: a name, fields, and sums of such."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, get_type_hints

import torch
from torch import Tensor

from cosmos_sdk.errors import ConfigError, CosmosError, did_you_mean
from cosmos_sdk.protocols import Objective
from cosmos_sdk.registry import registry
from cosmos_sdk_policies.objectives import WeightedSum

SUM = "weighted-sum"


def objective_of(name: str, options: Mapping[str, Any]) -> Objective:
    """The objective of a name with fields from plain data; a list of numbers makes a tensor, such as a goal.

    A sum takes `terms`, each with the `name` of an objective, its `weight` (1) and its fields:
    `{"terms": [{"name": "goal-state", "goal": [0.5, 0.5]}, {"name": "action-penalty", "weight": 0.1}]}`.

    Raises:
        UnknownNameError: nobody registered the name.
        ConfigError: what does not fit, every problem with its path.
    """
    problems: list[str] = []
    objective = _built(name, options, "objective_options", problems)
    if objective is None:
        raise ConfigError(problems)
    return objective


def _built(
    name: str, options: Mapping[str, Any], where: str, problems: list[str]
) -> Objective | None:
    if name == SUM:
        return _sum(options, where, problems)
    make = registry().load("objective", name)
    hints, known = get_type_hints(make), {item.name: item for item in fields(make) if item.init}
    for key in options:
        if key not in known:
            choices = f"Fields of {name!r}: {', '.join(known)}."
            problems.append(f"{where}.{key}: unknown key.{did_you_mean(key, known)} {choices}")
    for key, item in known.items():
        if item.default is MISSING and item.default_factory is MISSING and key not in options:
            problems.append(f"{where}.{key}: a value is required.")
    if problems:
        return None
    try:
        given = {key: _number(value, hints[key]) for key, value in options.items()}
        return make(**given)
    except (TypeError, ValueError, CosmosError) as error:
        problems.append(f"{where}: {error}")
        return None


def _sum(options: Mapping[str, Any], where: str, problems: list[str]) -> Objective | None:
    terms = options.get("terms")
    if set(options) != {"terms"} or not isinstance(terms, list) or not terms:
        wanted = "expected `terms`, a list of mappings with `name`, `weight` and fields"
        problems.append(f"{where}: {wanted}; got {dict(options)!r}.")
        return None
    built: list[tuple[float, Objective]] = []
    for k, term in enumerate(terms):
        path = f"{where}.terms[{k}]"
        if not isinstance(term, Mapping) or "name" not in term:
            problems.append(f"{path}: expected a mapping with the `name` of an objective.")
            continue
        own = {key: value for key, value in term.items() if key not in ("name", "weight")}
        objective = _built(term["name"], own, path, inner := [])
        problems.extend(inner)
        if objective is not None:
            built.append((float(term.get("weight", 1.0)), objective))
    return None if problems else WeightedSum(built)


def _number(value: Any, hint: Any) -> Any:
    """Numbers as the tensor that a field wants; everything else as it is."""
    return torch.as_tensor(value, dtype=torch.float32) if hint is Tensor else value
