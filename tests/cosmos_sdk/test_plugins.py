from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from cosmos_sdk import plugins
from cosmos_sdk.errors import PluginError, UnknownNameError
from cosmos_sdk.registry import Registry, collect

HEADER = "from cosmos_sdk.hookspecs import hookimpl\n"
Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs a plugin of one module: `install("mine", source)`; its entry point has the same name."""
    points: list[EntryPoint] = []
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(plugins, "entry_points", lambda group: EntryPoints(points))

    def add(name: str, source: str, module: str | None = None) -> None:
        module = module or f"plugin_called_{name}"
        (tmp_path / f"{module}.py").write_text(HEADER + source)
        points.append(EntryPoint(name, module, "cosmos_sdk"))
        monkeypatch.delitem(sys.modules, module, raising=False)

    return add


def discover() -> Registry:
    return collect(*plugins.plugin_manager())


def hook(name: str, *calls: str) -> str:
    return f"@hookimpl\ndef {name}(register):\n" + "".join(f"    {call}\n" for call in calls)


def test_a_strangers_plugin_registers_like_our_own(install: Install) -> None:
    install("mine", hook("register_backends", "register('mine', 'math:sqrt', 'a root')"))

    found = discover().entry("backend", "mine")

    assert (found.plugin, found.target, found.summary) == ("mine", "math:sqrt", "a root")


def test_two_packages_under_one_plugin_name_are_an_error(install: Install) -> None:
    install("heads", "", module="cosmos_sdk_heads_shadow")

    with pytest.raises(PluginError, match="'cosmos_sdk_heads' and 'cosmos_sdk_heads_shadow'"):
        discover()


def test_the_same_entry_point_as_the_default_is_the_same_plugin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    points = EntryPoints([EntryPoint("heads", "cosmos_sdk_heads", "cosmos_sdk")])
    monkeypatch.setattr(plugins, "entry_points", lambda group: points)

    assert [source.name for source in plugins.installed()].count("heads") == 1


def test_our_plugins_are_found_without_an_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "entry_points", lambda group: EntryPoints([]))

    assert "diffusion" in [source.name for source in plugins.installed()]


def test_a_plugin_that_raises_on_import_is_named_with_the_remedy(install: Install) -> None:
    install("broken", "raise RuntimeError('no licence file')\n")

    with pytest.raises(
        PluginError, match=r"'broken': RuntimeError: no licence file.*COSMOS_SDK_PLUGINS"
    ):
        discover()


def test_a_plugin_that_raises_while_it_registers_is_named(install: Install) -> None:
    install("broken", hook("register_heads", "1 / 0"))

    with pytest.raises(PluginError, match=r"'broken': ZeroDivisionError"):
        discover()


def test_a_hook_that_does_not_exist_is_an_error_that_lists_the_hooks(install: Install) -> None:
    install("broken", hook("register_backend", "register('x', 'math:sqrt')"))

    with pytest.raises(PluginError, match=r"'broken'.*register_backend.*register_backends"):
        discover()


def test_a_target_that_is_no_target_is_an_error(install: Install) -> None:
    install("broken", hook("register_backends", "register('x', 'math.sqrt')"))

    with pytest.raises(PluginError, match=r"'broken'.*'math.sqrt'; expected 'module:attribute'"):
        discover()


def test_a_plugin_that_takes_a_used_name_is_an_error(install: Install) -> None:
    install("first", hook("register_backends", "register('x', 'math:sqrt')"))
    install("second", hook("register_backends", "register('x', 'math:cos')"))

    with pytest.raises(PluginError, match=r"'second'.*'x' is already registered by plugin 'first'"):
        discover()


def test_the_environment_variable_restricts_what_is_loaded(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("wanted", hook("register_backends", "register('wanted', 'math:sqrt')"))
    install("broken", "raise RuntimeError\n")
    monkeypatch.setenv("COSMOS_SDK_PLUGINS", "wanted")

    table = discover()

    assert table.names("backend") == ["wanted"]
    assert "plugins" in table.names("command")  # the core stays


def test_an_empty_restriction_leaves_the_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COSMOS_SDK_PLUGINS", "")

    assert {entry.plugin for entry in discover().entries()} == {"core"}


def test_an_unknown_name_in_the_restriction_says_which_was_meant(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COSMOS_SDK_PLUGINS", "difusion,heads")

    with pytest.raises(
        UnknownNameError, match=r"'difusion'.*Did you mean 'diffusion'.*COSMOS_SDK_PLUGINS"
    ):
        discover()
