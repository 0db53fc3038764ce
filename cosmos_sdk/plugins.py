"""Finds plugins and loads them: entry points of the group `cosmos_sdk`, and our own packages when they are on the path.

Our packages take the same road as a stranger's. They are also known here by name, so that a source tree that is not
installed works; both roads meet under the entry-point name, so that an install does not load a plugin twice.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec

import pluggy

from cosmos_sdk import __version__, hookspecs
from cosmos_sdk.errors import CosmosError, PluginError, UnknownNameError

RESTRICTION = "COSMOS_SDK_PLUGINS"  # names, separated by commas; what is not named is not loaded
CORE = "core"  # registers the commands of the core; no restriction removes it
DEFAULT_PLUGINS = {
    "action": "cosmos_sdk_action",
    "autoregressive": "cosmos_sdk_autoregressive",
    "diffusion": "cosmos_sdk_diffusion",
    "envs": "cosmos_sdk_envs",
    "evaluation": "cosmos_sdk_evaluation",
    "heads": "cosmos_sdk_heads",
    "policies": "cosmos_sdk_policies",
    "scenes": "cosmos_sdk_scenes",
    "simulator": "cosmos_sdk_simulator",
    "statespace": "cosmos_sdk_statespace",
    "tokenizers": "cosmos_sdk_tokenizers",
}  # entry-point name -> package


@dataclass(frozen=True)
class Source:
    """Where a plugin comes from: its entry-point name, its module and the version of its distribution."""

    name: str
    module: str
    version: str

    @property
    def remedy(self) -> str:
        """What to do when this plugin breaks."""
        wanted = f"set {RESTRICTION} to the plugins that are wanted, separated by commas"
        return f"Repair or uninstall {self.module!r}, or leave {self.name!r} out: {wanted}."


def plugin_manager() -> tuple[pluggy.PluginManager, Mapping[str, Source]]:
    """Loads every plugin that is installed and wanted.

    Returns:
        The manager, whose plugins stand under their entry-point names, and the source of each.

    Raises:
        PluginError: a plugin fails on import, implements a hook that does not exist, or shares its name with another.
        UnknownNameError: `COSMOS_SDK_PLUGINS` names a plugin that is not installed.
    """
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    sources = {source.name: source for source in _wanted(installed())}
    for source in sources.values():
        register(manager, source)
    return manager, sources


def register(manager: pluggy.PluginManager, source: Source) -> None:
    """Imports one plugin and registers it; any failure is a `PluginError` that names it."""
    with blaming(source):
        manager.register(import_module(source.module), name=source.name)
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        hooks = ", ".join(hookspecs.HOOKS.values())
        raise PluginError(source.name, f"{error}.", f"The hooks are {hooks}.") from error


def installed() -> list[Source]:
    """Every plugin of this environment, core and our own first, then strangers in the order of their names."""
    found = {CORE: Source(CORE, "cosmos_sdk.cli", __version__)}
    for name, module in DEFAULT_PLUGINS.items():
        if find_spec(module) is not None:
            found[name] = Source(name, module, __version__)
    for point in sorted(entry_points(group=hookspecs.PROJECT), key=lambda point: point.name):
        source = Source(point.name, point.value, _version(point))
        other = found.setdefault(point.name, source)
        if other.module != source.module:
            reason = f"two packages use this name, {other.module!r} and {source.module!r}."
            raise PluginError(
                point.name, reason, "Uninstall one of them, or rename its entry point."
            )
    return list(found.values())


@contextmanager
def blaming(source: Source) -> Generator[None]:
    """Turns whatever a plugin's own code raises into a `PluginError` with its name and the remedy."""
    try:
        yield
    except CosmosError:
        raise
    except Exception as error:  # the code of a stranger may raise anything; nothing is swallowed
        raise PluginError(
            source.name, f"{type(error).__name__}: {error}.", source.remedy
        ) from error


def _wanted(sources: list[Source]) -> list[Source]:
    restriction = os.environ.get(RESTRICTION)
    if restriction is None:
        return sources
    wanted = {name.strip() for name in restriction.split(",") if name.strip()}
    names = [source.name for source in sources]
    for unknown in sorted(wanted - set(names)):
        raise UnknownNameError(
            "plugin", unknown, names, f"The name stands in {RESTRICTION}={restriction!r}."
        )
    return [source for source in sources if source.name in wanted | {CORE}]


def _version(point: EntryPoint) -> str:
    return point.dist.version if point.dist is not None else "unknown"
