"""Builds a world from its configuration: Spec -> tokenizer -> conditioners -> backend -> heads and readouts."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import asdict, is_dataclass, replace
from types import SimpleNamespace
from typing import Any, NamedTuple, get_type_hints

import numpy as np
from gymnasium import spaces

from cosmos_sdk.actions import ActionSpec
from cosmos_sdk.config import BoxConfig, Section, SpecConfig, WorldConfig, merge
from cosmos_sdk.errors import ConfigError, CosmosError, PluginError, UnknownNameError
from cosmos_sdk.protocols import (
    Backend,
    Conditioner,
    Factory,
    Head,
    Parts,
    Readout,
    Spec,
    Tokenizer,
)
from cosmos_sdk.registry import Entry, registry
from cosmos_sdk.world import WorldModel

ROLES = {
    "tokenizer": Tokenizer,
    "conditioner": Conditioner,
    "backend": Backend,
    "head": Head,
    "readout": Readout,
}


class Component(NamedTuple):
    """A checked section: who makes the component, and its complete config."""

    entry: Entry
    factory: Factory
    config: Any

    def section(self) -> Section:
        """The section with every default filled in."""
        return {"name": self.entry.name, **asdict(self.config)}


def build(config: WorldConfig) -> WorldModel:
    """Builds a world in eval mode; under `torch.device("meta")` it checks the shapes and allocates nothing.

    Returns:
        A world whose `config` is the given one with every default filled in.

    Raises:
        ConfigError: lists every problem of the whole configuration, before anything is built.
        PluginError: a factory breaks the contract.
    """
    spec, components = check(config)
    parts = Parts(spec)
    parts = replace(parts, tokenizer=_make(components["tokenizer"], parts))
    parts = replace(parts, conditioners=_make_each(components, "conditioners", parts))
    parts = replace(parts, backend=_make(components["backend"], parts))
    assert parts.tokenizer is not None
    assert parts.backend is not None
    return WorldModel(
        parts.tokenizer,
        parts.backend,
        parts.conditioners,
        _make_each(components, "heads", parts),
        _make_each(components, "readouts", parts),
        spec,
        resolved(config, components),
    )


def check(config: WorldConfig) -> tuple[Spec, dict[str, Component]]:
    """Validates everything and builds nothing.

    Returns:
        The spec, and the checked components by their path in the configuration, such as "heads.reward".

    Raises:
        ConfigError: lists every problem: unknown names, keys and types, missing values, bad action specs.
        PluginError: a component cannot be imported, or its factory declares no config.
    """
    problems: list[str] = []
    spec = _spec(config.spec, problems)
    components: dict[str, Component] = {}
    taken: dict[str, str] = {}
    for path, kind, section in config.sections():
        if (first := taken.setdefault(path.rpartition(".")[2], path)) != path:
            problems.append(f"{path}: the name is taken by {first}; each component needs its own.")
        component = _component(path, kind, section, problems)
        if component is not None:
            components[path] = component
    if problems or spec is None:
        raise ConfigError(problems)
    return spec, components


def resolved(config: WorldConfig, components: Mapping[str, Component]) -> WorldConfig:
    """The configuration that is saved with the weights: defaults of today stay what they are."""
    groups = {
        group: {key: components[f"{group}.{key}"].section() for key in getattr(config, group)}
        for group in ("conditioners", "heads", "readouts")
    }
    tokenizer, backend = components["tokenizer"].section(), components["backend"].section()
    return replace(config, tokenizer=tokenizer, backend=backend, **groups)


def config_class(factory: Callable[..., Any]) -> type[Any] | None:
    """The annotation of a factory's first parameter, when that is called `config` and annotated with a dataclass."""
    function = factory.__init__ if inspect.isclass(factory) else factory
    annotation = getattr(function, "__annotations__", {}).get("config")
    # Only this one annotation is resolved: others may name types that are imported for type checkers alone.
    holder = SimpleNamespace(__annotations__={} if annotation is None else {"config": annotation})
    found = get_type_hints(holder, getattr(function, "__globals__", {})).get("config")
    return found if isinstance(found, type) and is_dataclass(found) else None


def _component(path: str, kind: str, section: Section, problems: list[str]) -> Component | None:
    name = section.get("name")
    if not isinstance(name, str):
        problems.append(
            f"{path}.name: a value is required. Registered names: {', '.join(registry().names(kind))}."
        )
        return None
    try:
        entry, factory = registry().entry(kind, name), registry().load(kind, name)
    except UnknownNameError as error:
        problems.append(f"{path}.name: {error}")
        return None
    cls = config_class(factory)
    if cls is None:
        reason = f"{entry.target} does not say what its config is."
        raise PluginError(
            entry.plugin, reason, "Annotate its first parameter: `config: MyConfig`, a dataclass."
        )
    values = {key: value for key, value in section.items() if key != "name"}
    config = merge(cls, values, path, problems)
    return None if config is None else Component(entry, factory, config)


def _make(component: Component, parts: Parts) -> Any:
    made = component.factory(component.config, parts)
    role = ROLES[component.entry.kind]
    members = {name for name in (*vars(role), *role.__annotations__) if not name.startswith("_")}
    if absent := sorted(name for name in members if not hasattr(made, name)):
        reason = (
            f"{component.entry.target} made a {type(made).__name__} without {', '.join(absent)}."
        )
        raise PluginError(
            component.entry.plugin,
            reason,
            f"A {component.entry.kind} needs all of {role.__name__}.",
        )
    return made


def _make_each(components: Mapping[str, Component], group: str, parts: Parts) -> dict[str, Any]:
    """The components of one group; each is told under which name it will stand."""
    keys = {
        path.partition(".")[2]: component
        for path, component in components.items()
        if path.startswith(f"{group}.")
    }
    return {key: _make(component, replace(parts, name=key)) for key, component in keys.items()}


def _spec(config: SpecConfig, problems: list[str]) -> Spec | None:
    """The spec that the data describes."""
    count = len(problems)
    if min(config.frames) < 1 or not config.rate > 0:
        problems.append(
            f"spec: frames {list(config.frames)} and rate {config.rate} have to be positive."
        )
    signals: dict[str, spaces.Space[Any]] = {
        name: _box(box) for name, box in config.signals.items()
    }
    for name, values in config.actions.items():
        try:
            signals[name] = ActionSpec.from_dict(values).space
        except (CosmosError, KeyError, TypeError, ValueError) as error:
            problems.append(
                f"spec.actions.{name}: not an ActionSpec: {type(error).__name__}: {error}"
            )
    targets = {name: _box(box) for name, box in config.targets.items()}
    if config.cameras and len(config.cameras) != config.frames[0]:
        views, names = config.frames[0], config.cameras
        problems.append(f"spec: cameras {names} do not name the {views} views of `frames`.")
    if len(problems) > count:
        return None
    return Spec(config.frames, config.rate, signals, targets, tuple(config.cameras))


def _box(config: BoxConfig) -> spaces.Box:
    return spaces.Box(np.asarray(config.low, np.float32), np.asarray(config.high, np.float32))
