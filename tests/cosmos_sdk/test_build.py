from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from cosmos_sdk import build as building
from cosmos_sdk.build import build, check, config_class
from cosmos_sdk.config import WorldConfig
from cosmos_sdk.errors import ConfigError, PluginError
from cosmos_sdk.world import WorldModel
from toys.factories import DriftConfig, Noise, careless, incomplete, toy_data, toy_registry

Change = Callable[[dict[str, Any]], Any]


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "registry", toy_registry)


def built(change: Change = lambda data: None) -> WorldModel:
    data = toy_data()
    change(data)
    return build(WorldConfig.from_mapping(data))


def test_a_world_is_built_from_plain_data_and_steps() -> None:
    world = built()
    seed = torch.arange(3)
    state = world.reset(torch.zeros(3, 1, 1, 3, 8, 8, dtype=torch.uint8), {}, seed)

    after, values = world.step(state, {"action": torch.ones(3, 1, 2)})

    assert world.decode(after).shape == (3, 1, 1, 3, 8, 8)
    assert values["reward"].shape == (3, 1, 1)
    assert world.observe(after)["mean"].shape == (3, 1)
    assert not world.training


def test_the_config_of_a_world_holds_every_default() -> None:
    config = built().config

    assert config is not None
    assert config.backend == {"name": "toy", "window": 2, "noise": {"scale": 0.5}}
    assert build(config).config == config


def test_every_component_is_told_its_name() -> None:
    def rename(data: dict[str, Any]) -> None:
        data["readouts"] = {"average": {"name": "toy"}}
        data["spec"]["actions"]["arm"] = data["spec"]["actions"].pop("action")
        data["conditioners"]["arm"] = data["conditioners"].pop("action")

    world = built(rename)

    assert getattr(world.readouts["average"], "name", None) == "average"
    assert world.conditioners["arm"].space is not None


def test_a_build_on_meta_allocates_nothing() -> None:
    with torch.device("meta"):
        world = built()

    assert {tensor.device.type for tensor in world.state_dict().values()} == {"meta"}


def test_one_report_lists_the_problems_of_every_component() -> None:
    def spoil(data: dict[str, Any]) -> None:
        data["spec"]["rate"] = 0.0
        data["spec"]["actions"]["action"]["frame"] = "moon"
        data["tokenizer"] = {}
        data["backend"] = {"name": "tuy"}
        data["conditioners"]["action"] = {"name": "toy", "width": 0}
        data["heads"]["reward"]["widht"] = 3
        data["readouts"]["reward"] = {"name": "toy"}

    with pytest.raises(ConfigError) as caught:
        built(spoil)

    problems = "\n".join(caught.value.problems)
    assert len(caught.value.problems) == 7
    assert "rate 0.0" in problems
    assert "spec.actions.action: not an ActionSpec" in problems
    assert "tokenizer.name: a value is required. Registered names: toy." in problems
    assert "backend.name: Unknown backend 'tuy'. Did you mean 'toy'?" in problems
    assert "conditioners.action: width 0 has to be positive" in problems
    assert "heads.reward.widht: unknown key" in problems
    assert "readouts.reward: the name is taken by heads.reward" in problems


def test_a_factory_without_a_config_class_names_its_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "registry", lambda: toy_registry(backend="careless"))

    with pytest.raises(PluginError, match=r"'toys'.*careless.*Annotate its first parameter"):
        built(lambda data: data.update(backend={"name": "extra"}))


def test_a_factory_that_makes_something_else_names_its_plugin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(building, "registry", lambda: toy_registry(backend="incomplete"))

    with pytest.raises(PluginError, match=r"'toys'.*made a object without .*predict.*sampling"):
        built(lambda data: data.update(backend={"name": "extra"}))


def test_the_config_class_is_the_annotation_of_the_first_parameter() -> None:
    assert config_class(toy_registry().load("backend", "toy")) is DriftConfig
    assert config_class(careless) is None
    assert config_class(incomplete) is not None
    assert DriftConfig().noise == Noise(0.0)


def test_checking_builds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "registry", lambda: toy_registry(tokenizer="incomplete"))
    data = toy_data() | {"tokenizer": {"name": "extra"}}

    spec, components = check(WorldConfig.from_mapping(data))

    assert spec.frames == (1, 8, 8)
    assert list(components) == [
        "tokenizer",
        "conditioners.action",
        "backend",
        "heads.reward",
        "readouts.mean",
    ]
