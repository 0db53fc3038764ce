"""Configuration is data: YAML names what plugins registered, dataclasses give types, one report lists every problem."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import (
    MISSING,
    Field,
    asdict,
    dataclass,
    field,
    fields,
    is_dataclass,
    make_dataclass,
)
from pathlib import Path
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from cosmos_sdk.errors import ConfigError, CosmosError, did_you_mean
from cosmos_sdk.expected import is_list, mismatch

T = TypeVar("T")
Section = dict[str, Any]  # {name: a registered name, ...fields of the component's config dataclass}


@dataclass(frozen=True)
class BoxConfig:
    """Bounds of a vector: a signal that is no action, or a target of heads and readouts. One entry a dimension."""

    low: list[float]
    high: list[float]
    names: list[str] = field(default_factory=list[str])
    units: list[str] = field(default_factory=list[str])  # such as "px" or "rad"

    def __post_init__(self) -> None:
        counts = {item.name: len(getattr(self, item.name)) for item in fields(self)}
        size = counts["low"]
        if counts["high"] != size or not {counts["names"], counts["units"]} <= {0, size}:
            lengths = ", ".join(f"{name} {count}" for name, count in counts.items())
            expected = "one low and high a dimension, and as many names and units, or none"
            raise ValueError(f"a box needs {expected}; there are: {lengths}")


@dataclass(frozen=True)
class SpecConfig:
    """The data form of a `Spec`: what is known before anything is built."""

    frames: tuple[int, int, int]  # V, h, w
    rate: float  # frames per second
    actions: dict[str, dict[str, Any]] = field(
        default_factory=dict[str, dict[str, Any]]
    )  # ActionSpec.to_dict()
    signals: dict[str, BoxConfig] = field(default_factory=dict[str, BoxConfig])  # camera pose, path
    targets: dict[str, BoxConfig] = field(
        default_factory=dict[str, BoxConfig]
    )  # state, reward, terminated
    cameras: list[str] = field(default_factory=list[str])  # one name per view


@dataclass(frozen=True)
class WorldConfig:
    """A world as data. A component is a `Section`; conditioners, heads and readouts are named by their purpose."""

    spec: SpecConfig
    tokenizer: dict[str, Any]
    backend: dict[str, Any]
    conditioners: dict[str, dict[str, Any]] = field(default_factory=dict[str, Section])
    heads: dict[str, dict[str, Any]] = field(default_factory=dict[str, Section])
    readouts: dict[str, dict[str, Any]] = field(default_factory=dict[str, Section])

    @staticmethod
    def from_mapping(values: Mapping[str, Any]) -> WorldConfig:
        """Reads plain data; `ConfigError` lists every problem of the structure (components are checked by `build`)."""
        return typed(WorldConfig, values)

    @staticmethod
    def load(path: Path, overrides: Sequence[str] = ()) -> WorldConfig:
        """Reads a YAML file, then applies overrides such as `backend.width=128`."""
        return WorldConfig.from_mapping(override(read_yaml(path), overrides))

    def to_mapping(self) -> dict[str, Any]:
        """Plain data, the inverse of `from_mapping`."""
        return {**asdict(self), "spec": {**asdict(self.spec), "frames": list(self.spec.frames)}}

    def sections(self) -> Iterator[tuple[str, str, Section]]:
        """Every component as (path in the configuration, kind in the registry, section), in the order of building."""
        yield "tokenizer", "tokenizer", self.tokenizer
        yield from (
            (f"conditioners.{key}", "conditioner", section)
            for key, section in self.conditioners.items()
        )
        yield "backend", "backend", self.backend
        yield from ((f"heads.{key}", "head", section) for key, section in self.heads.items())
        yield from (
            (f"readouts.{key}", "readout", section) for key, section in self.readouts.items()
        )


def typed(cls: type[T], values: Mapping[str, Any]) -> T:
    """Fills a dataclass from plain data.

    Raises:
        ConfigError: with every unknown key (and the nearest), wrong type, missing value and failed `__post_init__`.
    """
    problems: list[str] = []
    result = merge(cls, values, "", problems)
    if problems or result is None:
        raise ConfigError(problems)
    return result


def merge(cls: type[T], values: Mapping[str, Any], where: str, problems: list[str]) -> T | None:
    """`typed`, for one part of a larger configuration: appends to `problems`, and then returns None.

    Args:
        cls: a dataclass whose fields OmegaConf can hold; nested dataclasses are followed. It may have `aliases`, other
            names that its constructor takes, each to the field that it means.
        values: plain data.
        where: the path of this part, such as "backend".
        problems: receives one line a problem.
    """
    known = {item.name: item for item in fields(cast("Any", cls)) if item.init}
    hints = get_type_hints(cls)
    aliases: Mapping[str, str] = getattr(cls, "aliases", {})
    count = len(problems)
    merged: dict[str, Any] = {}
    for key, value in values.items():
        path = _path(where, key)
        name = aliases.get(key, key)
        if name not in known:
            problems.append(
                f"{path}: unknown key.{did_you_mean(str(key), known)} Known keys: {', '.join(known)}."
            )
        else:
            merged[key] = _value(cls, name, hints[name], value, path, problems)
    given = {aliases.get(key, key) for key in values}
    absent = [name for name, item in known.items() if name not in given and _is_required(item)]
    problems.extend(f"{_path(where, name)}: a value is required." for name in absent)
    if len(problems) > count:
        return None
    try:
        return cls(**merged)
    except ConfigError as error:
        problems.extend(f"{where}: {problem}" if where else problem for problem in error.problems)
        return None
    except (ValueError, TypeError, CosmosError) as error:
        problems.append(f"{where}: {error}" if where else str(error))
        return None


def read_yaml(path: Path) -> dict[str, Any]:
    """Reads a mapping as plain data: no interpolation, no tags, no imports."""
    try:
        text = path.read_text(encoding="utf-8")
        values = OmegaConf.to_container(OmegaConf.create(text), resolve=False)
    except FileNotFoundError as error:
        raise ConfigError([f"{path}: no such file."]) from error
    except (OmegaConfBaseException, YAMLError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: not valid YAML: {error}"]) from error
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in cast("Any", values)):
        raise ConfigError([f"{path}: expected a mapping of names."])
    return cast("dict[str, Any]", values)


def write_yaml(values: Mapping[str, Any]) -> str:
    """The text of plain data, in the order given."""
    return OmegaConf.to_yaml(OmegaConf.create(dict(values)))


def override(values: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Copies plain data with `a.b=c` applied; values are read as YAML, so that `[1, 2]`, `1e-3` and `null` work."""
    merged: Any = OmegaConf.create(dict(values))
    problems: list[str] = []
    for text in overrides:
        key, equals, _ = text.partition("=")
        if not key.strip() or not equals:
            problems.append(f"{text!r}: expected key=value, such as backend.width=128.")
            continue
        try:
            merged = OmegaConf.merge(merged, OmegaConf.from_dotlist([text]))
        except (OmegaConfBaseException, YAMLError) as error:
            problems.append(f"{text!r}: the value cannot be read: {_first_line(error)}")
    if problems:
        raise ConfigError(problems)
    return cast("dict[str, Any]", OmegaConf.to_container(merged, resolve=False))


def flat(values: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    """Nested mappings as one, by dotted keys: `{"a": {"b": 1}}` is `{"a.b": 1}`; of an empty one nothing is left.

    Tuples become lists, as a file gives them back.
    """
    leaves: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            leaves |= flat(cast("Mapping[str, Any]", value), f"{where}{key}.")
        else:
            leaves[f"{where}{key}"] = _listed(value)
    return leaves


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, str]:
    """What changed from one plain mapping to another, in words by dotted key: "width was 1 and is 2"."""
    old, new = flat(before), flat(now)
    return {
        key: f"{key} was {old.get(key)!r} and is {new.get(key)!r}"
        for key in {**old, **new}
        if old.get(key) != new.get(key)
    }


def _listed(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_listed(one) for one in cast("list[Any]", value)]
    return value


def _value(cls: type, name: str, hint: Any, value: Any, path: str, problems: list[str]) -> Any:
    """One value of the type that its field declares; dataclasses are followed, the rest is OmegaConf's business.

    A single value where a list is wanted is a list of it.
    """
    if is_dataclass(hint) and isinstance(value, Mapping):
        return merge(cast("type[Any]", hint), cast("Mapping[str, Any]", value), path, problems)
    if get_origin(hint) is dict and is_dataclass(get_args(hint)[1]) and isinstance(value, Mapping):
        children = cast("Mapping[str, Any]", value)
        return {
            key: _value(cls, name, get_args(hint)[1], child, f"{path}.{key}", problems)
            for key, child in children.items()
        }
    if "${" in str(value):
        problems.append(f"{path}: {value!r} holds an interpolation; write the value itself.")
        return None
    alone = make_dataclass(cls.__name__, [(name, hint)])  # other fields may hold what no file can
    single = is_list(hint) and isinstance(value, str | int | float)
    given = [value] if single else value
    try:
        merged = cast("Any", OmegaConf.merge(OmegaConf.structured(alone), {name: given}))[name]
    except (OmegaConfBaseException, TypeError):  # the latter for a mapping in place of a tuple
        problems.append(mismatch(path, value, hint))
        return None
    return OmegaConf.to_object(merged) if OmegaConf.is_config(merged) else merged


def _is_required(item: Field[Any]) -> bool:
    return item.default is MISSING and item.default_factory is MISSING


def _path(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
