from __future__ import annotations

import re
from pathlib import Path

import pytest

from cosmos_sdk.errors import MissingPackageError, PluginError, UnknownNameError
from cosmos_sdk.hookspecs import HOOKS
from cosmos_sdk.plugins import Source
from cosmos_sdk.registry import Entry, Registry, registry

OURS = Source("ours", "package_of_ours", "1.0")
THEIRS = Source("theirs", "package_of_theirs", "2.0")


def entry(
    name: str, target: str = "math:sqrt", source: Source = OURS, kind: str = "backend"
) -> Entry:
    return Entry(kind, name, target, source)


def test_a_target_is_imported_when_it_is_loaded_and_not_before() -> None:
    table = Registry([entry("works"), entry("broken", "no_such_module:Thing")])

    assert table.load("backend", "works") is __import__("math").sqrt
    with pytest.raises(PluginError, match=r"'ours'.*no_such_module.*COSMOS_SDK_PLUGINS"):
        table.load("backend", "broken")


def test_a_target_without_its_attribute_names_the_plugin() -> None:
    table = Registry([entry("broken", "math:squareroot")])

    with pytest.raises(PluginError, match=r"'ours'.*squareroot"):
        table.load("backend", "broken")


def test_a_component_that_needs_a_package_says_so_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = "from cosmos_sdk.errors import MissingPackageError\n"
    source += "raise MissingPackageError('pymunk', 'Push-T', 'make pusht')\n"
    (tmp_path / "needs_pymunk.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(MissingPackageError, match="Run: make pusht"):
        Registry([entry("needy", "needs_pymunk:Thing")]).load("backend", "needy")


def test_an_unknown_name_lists_the_choices_and_the_nearest() -> None:
    table = Registry([entry("diffusion"), entry("simulator")])

    with pytest.raises(UnknownNameError) as caught:
        table.load("backend", "difusion")

    assert "Did you mean 'diffusion'?" in str(caught.value)
    assert "diffusion, simulator" in str(caught.value)
    assert "Plugins loaded: ours" in str(caught.value)


def test_an_unknown_kind_lists_the_kinds() -> None:
    with pytest.raises(UnknownNameError, match=r"Did you mean 'backend'\?"):
        registry().names("backends")


def test_a_taken_name_is_an_error_that_names_both_plugins() -> None:
    with pytest.raises(
        PluginError, match=r"'theirs'.*'diffusion' is already registered by plugin 'ours'"
    ):
        Registry([entry("diffusion"), entry("diffusion", source=THEIRS)])


def test_one_name_may_stand_in_two_kinds() -> None:
    table = Registry(
        [entry("reward", kind="head"), entry("reward", kind="objective", source=THEIRS)]
    )

    assert table.entry("head", "reward").plugin == "ours"
    assert table.entry("objective", "reward").version == "2.0"


def test_the_folder_of_a_world_is_found_inside_its_package() -> None:
    table = Registry([entry("here", "json:.", kind="world")])

    assert (table.world_path("here") / "decoder.py").is_file()


def test_a_world_without_its_folder_names_the_plugin() -> None:
    table = Registry([entry("gone", "json:worlds/gone", kind="world")])

    with pytest.raises(PluginError, match=r"'ours'.*worlds.gone"):
        table.world_path("gone")


@pytest.mark.parametrize("kind", [kind for kind in HOOKS if kind != "world"])
def test_every_first_party_target_can_be_imported(kind: str) -> None:
    for name in registry().names(kind):
        assert callable(registry().load(kind, name)), name


def test_every_bundled_world_has_its_recipe() -> None:
    for name in registry().names("world"):
        assert (registry().world_path(name) / "recipe.yaml").is_file(), name


def test_names_are_short_words_and_targets_are_lazy_strings() -> None:
    for found in registry().entries():
        assert re.fullmatch(r"[\w./:*-]+", found.name), found
        assert re.fullmatch(r"[\w.]+:[\w./-]+", found.target), found


def test_a_script_adds_a_component_of_its_own() -> None:
    class Mine:
        pass

    table = Registry([])
    table.add("backend", "mine", Mine)
    assert table.load("backend", "mine") is Mine
    assert table.entry("backend", "mine").plugin == "this process"
    with pytest.raises(PluginError, match="already registered by plugin 'this process'"):
        table.add("backend", "mine", Mine)
