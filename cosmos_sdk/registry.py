"""One table of every component: names to lazy targets, filled by the hooks of the plugins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any, final

import pluggy

from cosmos_sdk.errors import PluginError, UnknownNameError
from cosmos_sdk.hookspecs import HOOKS
from cosmos_sdk.plugins import Source, blaming, plugin_manager


@dataclass(frozen=True)
class Entry:
    """One registered component: `target` is `"module:attribute"`, for a world `"package:folder"`."""

    kind: str
    name: str
    target: str
    source: Source
    summary: str = ""

    @property
    def plugin(self) -> str:
        """The name of the plugin that registered it."""
        return self.source.name

    @property
    def version(self) -> str:
        """The version of the distribution that the plugin comes from."""
        return self.source.version


@final
class Registry:
    """Names of every kind. Two plugins that take the same name are an error that names both."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._table: dict[str, dict[str, Entry]] = {kind: {} for kind in HOOKS}
        self._objects: dict[tuple[str, str], Any] = {}
        for entry in entries:
            other = self._table[entry.kind].setdefault(entry.name, entry)
            if other is not entry:
                reason = f"the {entry.kind} {entry.name!r} is already registered by plugin {other.plugin!r}."
                raise PluginError(
                    entry.plugin,
                    reason,
                    f"Rename one of them, or uninstall {entry.source.module!r}.",
                )

    def names(self, kind: str) -> list[str]:
        """The names of one kind, sorted."""
        if kind not in self._table:
            raise UnknownNameError("kind", kind, self._table)
        return sorted(self._table[kind])

    def entries(self) -> list[Entry]:
        """Everything, by kind and name."""
        return [self._table[kind][name] for kind in self._table for name in self.names(kind)]

    def entry(self, kind: str, name: str) -> Entry:
        """Looks a name up.

        Raises:
            UnknownNameError: with the names that exist, and the nearest.
        """
        if name not in self.names(kind):
            plugins = sorted({entry.plugin for entry in self.entries()})
            raise UnknownNameError(
                kind, name, self.names(kind), f"Plugins loaded: {', '.join(plugins)}."
            )
        return self._table[kind][name]

    def add(self, kind: str, name: str, component: Any) -> None:
        """Registers a class or function of this process: a script's own, which needs no distribution.

        Raises:
            PluginError: the name is taken.
        """
        if name in self.names(kind):
            owner = self._table[kind][name].plugin
            reason = f"the {kind} {name!r} is already registered by plugin {owner!r}."
            raise PluginError("this process", reason, "Take another name.")
        target = f"{component.__module__}:{component.__qualname__}"
        source = Source("this process", component.__module__, "")
        self._table[kind][name] = Entry(kind, name, target, source)
        self._objects[kind, name] = component

    def load(self, kind: str, name: str) -> Any:
        """Imports the target of a name: a class or a function.

        Raises:
            UnknownNameError: nobody registered the name.
            PluginError: the module fails on import, or has no such attribute.
            MissingPackageError: from the component itself, with the command that installs what it needs.
        """
        entry = self.entry(kind, name)
        if (kind, name) in self._objects:
            return self._objects[kind, name]
        module, _, attribute = entry.target.partition(":")
        with blaming(entry.source):
            return getattr(import_module(module), attribute)

    def world_path(self, name: str) -> Path:
        """The folder of a world that ships inside a package."""
        entry = self.entry("world", name)
        package, _, folder = entry.target.partition(":")
        with blaming(entry.source):
            path = Path(str(files(package).joinpath(folder)))
        if not path.is_dir():
            raise PluginError(
                entry.plugin,
                f"the world {name!r} has no folder {path}.",
                "Install the plugin again.",
            )
        return path


def collect(manager: pluggy.PluginManager, sources: Mapping[str, Source]) -> Registry:
    """Calls every hook of every plugin, one plugin at a time, so that each entry knows who registered it."""
    entries: list[Entry] = []
    for name, plugin in manager.list_name_plugin():
        others = [other for other in manager.get_plugins() if other is not plugin]
        for kind, hook in HOOKS.items():
            own = manager.subset_hook_caller(hook, remove_plugins=others)
            with blaming(sources[name]):
                own(register=_recorder(entries, kind, sources[name]))
    return Registry(entries)


@cache
def registry() -> Registry:
    """The registry of this process, filled at first use; `registry.cache_clear()` makes it look for plugins again."""
    return collect(*plugin_manager())


def _recorder(entries: list[Entry], kind: str, source: Source) -> Any:
    def register(name: str, target: str, summary: str = "") -> None:
        module, _, attribute = target.partition(":")
        if not (module and attribute):
            reason = f"the {kind} {name!r} has the target {target!r}; expected 'module:attribute'."
            raise PluginError(source.name, reason, "Correct the call of `register`.")
        entries.append(Entry(kind, name, target, source, summary))

    return register
