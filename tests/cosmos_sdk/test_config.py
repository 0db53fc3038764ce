from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from cosmos_sdk.config import WorldConfig, differences, override, read_yaml, typed, write_yaml
from cosmos_sdk.errors import ConfigError
from toys.factories import toy_data


@dataclass(frozen=True)
class Inner:
    depth: int = 1


@dataclass(frozen=True)
class Example:
    width: int
    rate: float = 0.1
    sizes: tuple[int, ...] = (1, 2)
    mode: Literal["fast", "slow"] = "fast"
    limit: float | None = None
    inner: Inner = field(default_factory=Inner)
    named: dict[str, Inner] = field(default_factory=dict[str, Inner])
    free: dict[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        if self.width < 0:
            raise ValueError("width has to be positive")


def test_values_are_converted_to_the_types_of_the_fields() -> None:
    values = {
        "width": "4",
        "rate": "1e-3",
        "sizes": [3, 4, 5],
        "named": {"a": {"depth": 2}},
        "free": {"x": {"y": 1}},
    }

    assert typed(Example, values) == Example(
        4, 1e-3, (3, 4, 5), named={"a": Inner(2)}, free={"x": {"y": 1}}
    )


def test_one_report_lists_every_problem() -> None:
    values = {
        "witdh": 3,
        "rate": "quick",
        "mode": "slwo",
        "sizes": [1, "b"],
        "inner": {"dept": 1},
        "named": {"a": {"depth": "x"}},
    }

    with pytest.raises(ConfigError) as caught:
        typed(Example, values)

    problems = "\n".join(caught.value.problems)
    assert len(caught.value.problems) == 7
    assert "witdh: unknown key. Did you mean 'width'?" in problems
    assert "width: a value is required" in problems
    assert "rate is 'quick'; expected a number." in problems
    assert "mode is 'slwo'; expected one of fast, slow. Did you mean 'slow'?" in problems
    assert "sizes is [1, 'b']; expected a list of whole numbers, such as [1, 2]." in problems
    assert "inner.dept: unknown key. Did you mean 'depth'?" in problems
    assert "named.a.depth is 'x'; expected a whole number." in problems


def test_a_single_value_in_the_place_of_a_list_is_a_list_of_it() -> None:
    @dataclass
    class Lists:
        many: tuple[str, ...] = ()
        absent: list[int] | None = None
        pair: tuple[int, int] = (1, 2)

    assert typed(Lists, {"many": "world", "absent": 3}) == Lists(("world",), [3])
    with pytest.raises(ConfigError, match="pair is 3; expected a list of whole numbers of length"):
        typed(Lists, {"pair": 3})
    with pytest.raises(ConfigError, match="; expected a list of words"):
        typed(Lists, {"many": {"a": 1}})


def test_differences_are_told_by_dotted_keys() -> None:
    before = {"steps": 3, "agent": {"horizon": 15, "width": 4}}
    now = {"steps": 3, "agent": {"horizon": 16, "width": 4}, "seed": 1}
    assert differences({**before, "sizes": (1, (2,))}, {**before, "sizes": [1, [2]]}) == {}
    assert differences(before, now) == {
        "agent.horizon": "agent.horizon was 15 and is 16",
        "seed": "seed was None and is 1",
    }


def test_a_dataclass_that_refuses_its_values_is_a_problem_too() -> None:
    with pytest.raises(ConfigError, match="width has to be positive"):
        typed(Example, {"width": -1})


def test_interpolations_are_data_that_fits_nowhere() -> None:
    with pytest.raises(ConfigError, match=r"limit: .*interpolation"):
        typed(Example, {"width": 1, "limit": "${oc.env:HOME}"})


def test_overrides_reach_into_sections_and_read_yaml_values() -> None:
    values = override({"a": {"b": 1, "c": 2}}, ["a.b=[1, 2]", "a.d=1e-3", "e=null", "f=x=y"])

    assert values == {"a": {"b": [1, 2], "c": 2, "d": 1e-3}, "e": None, "f": "x=y"}


def test_every_override_that_cannot_be_read_is_reported() -> None:
    with pytest.raises(ConfigError) as caught:
        override({}, ["width", "=3", "a=1", "b=[1,", "c=${"])

    assert len(caught.value.problems) == 4
    assert "'width': expected key=value" in caught.value.problems[0]
    assert "'b=[1,': the value cannot be read" in caught.value.problems[2]


def test_a_world_survives_yaml(tmp_path: Path) -> None:
    config = WorldConfig.from_mapping(toy_data())
    path = tmp_path / "world.yaml"
    path.write_text(write_yaml(config.to_mapping()))

    assert WorldConfig.load(path) == config
    assert WorldConfig.load(path, ["backend.window=5"]).backend["window"] == 5


def test_tags_and_broken_yaml_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "world.yaml"
    for text in (
        "a: !!python/object/apply:os.system ['true']",
        "a: [1, 2",
        "a: 1\na: 2",
        "- 1\n- 2",
    ):
        path.write_text(text)
        with pytest.raises(ConfigError, match=r"world\.yaml"):
            read_yaml(path)


def test_a_missing_file_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        read_yaml(tmp_path / "absent.yaml")


@pytest.mark.parametrize(
    ("wrong", "lengths"),
    [
        ({"high": [1.0]}, "low 2, high 1, names 0, units 2"),
        ({"names": ["x"]}, "low 2, high 2, names 1, units 2"),
        ({"units": ["px"]}, "low 2, high 2, names 0, units 1"),
    ],
)
def test_a_box_has_as_many_bounds_names_and_units_as_dimensions(
    wrong: dict[str, Any], lengths: str
) -> None:
    data = toy_data()
    box = {"low": [0.0, 0.0], "high": [1.0, 1.0], "units": ["px", "rad"]}
    data["spec"]["targets"]["reward"] = box
    WorldConfig.from_mapping(data)
    data["spec"]["targets"]["reward"] = {**box, **wrong}
    with pytest.raises(ConfigError, match=rf"spec\.targets\.reward: .*{lengths}"):
        WorldConfig.from_mapping(data)


def test_a_field_that_no_file_can_hold_leaves_the_others_alone() -> None:
    @dataclass
    class Settings:
        act: Callable[[int], int]
        width: int = 3

    with pytest.raises(ConfigError) as error:
        typed(Settings, {"width": "wide"})
    problems = error.value.problems
    assert problems[0] == "width is 'wide'; expected a whole number."
    assert problems[1:] == ["act: a value is required."]
