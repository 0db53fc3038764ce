"""Recipes: short forms, round trips, and every problem in one report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cosmos_sdk.config import write_yaml
from cosmos_sdk.errors import ConfigError
from cosmos_sdk.training.recipe import Recipe, load, same_computation
from toys.trainable import dot_recipe


def plain(**more: Any) -> dict[str, Any]:
    return {**dot_recipe().to_mapping(), **more}


def written(values: dict[str, Any], folder: Path) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(write_yaml(values))
    return path


def test_a_recipe_survives_yaml(tmp_path: Path) -> None:
    recipe = dot_recipe()
    assert load(written(recipe.to_mapping(), tmp_path)) == recipe
    assert load(tmp_path) == recipe  # the folder that holds it


def test_a_list_of_stages_is_named_by_what_it_trains() -> None:
    assert list(dot_recipe().stages) == ["tokenizer", "world", "world-2"]
    named = dot_recipe(stages=[{"name": "dream", "train": "world", "steps": 1}])
    assert list(named.stages) == ["dream"]


def test_overrides_reach_stages_world_and_data(tmp_path: Path) -> None:
    path = written(plain(stages=[{"train": "world", "steps": 3}]), tmp_path)
    recipe = load(
        path, ["stages.world.steps=7", "seed=4", "data.dots=elsewhere", "world.backend.name=other"]
    )
    assert recipe.stages["world"].steps == 7
    assert recipe.seed == 4
    assert recipe.data["dots"].folder == "elsewhere"
    assert recipe.world.backend == {"name": "other"}


def test_one_folder_stands_for_all_datasets(tmp_path: Path) -> None:
    recipe = load(written(plain(), tmp_path), ["data=somewhere"])
    assert {name: data.folder for name, data in recipe.data.items()} == {"data": "somewhere"}


def test_all_problems_are_reported_at_once() -> None:
    stages = {
        "a": {"train": "wrld", "steps": 1},
        "b": {"train": "world", "stps": 5},
        "c": {"train": "world", "steps": -1},
    }
    with pytest.raises(ConfigError) as caught:
        Recipe.from_mapping(plain(stages=stages, sed=1))
    text = str(caught.value)
    for words in (
        "stages.a.train",
        "Did you mean 'steps'",
        "stages.b.steps: a value",
        "steps=-1",
        "Did you mean 'seed'",
    ):
        assert words in text


def test_names_of_datasets_are_checked() -> None:
    stages = [{"train": "world", "steps": 1, "mix": {"dosts": 1.0}}]
    with pytest.raises(ConfigError, match=r"Did you mean 'dots'.*data.dosts="):
        Recipe.from_mapping(plain(stages=stages))


def test_a_tokenizer_cannot_follow_the_world_it_codes_for() -> None:
    stages = [{"train": "world", "steps": 1}, {"train": "tokenizer", "steps": 1}]
    with pytest.raises(ConfigError, match="before the world"):
        Recipe.from_mapping(plain(stages=stages))


def test_only_what_changes_the_weights_makes_another_computation() -> None:
    a = dot_recipe()
    b = Recipe.from_mapping(plain(checkpoint_every=3, num_threads=2, validation={"every": 5}))
    assert same_computation(a, b) == []
    stages = {
        **a.to_mapping()["stages"],
        "world": {**a.to_mapping()["stages"]["world"], "steps": 9},
    }
    assert same_computation(a, Recipe.from_mapping(plain(stages=stages, seed=1))) == [
        "seed",
        "stages.world.steps",
    ]


def test_an_unknown_recipe_names_what_is_bundled() -> None:
    with pytest.raises(ConfigError, match="no file, no folder and no bundled world"):
        load("pusht-difusion")
