"""The facts that `pyproject.toml` repeats, and what an install has to look like."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

from cosmos_sdk.plugins import DEFAULT_PLUGINS

ROOT = Path(__file__).parents[2]
ROOTS = ("plugins", "envs", "policies")


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def packages() -> list[Path]:
    return sorted(
        path.parent for root in ROOTS for path in ROOT.glob(f"{root}/cosmos_sdk_*/__init__.py")
    )


def test_every_package_is_in_the_wheel(project: dict[str, Any]) -> None:
    listed = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]

    assert sorted(listed) == sorted(
        ["cosmos_sdk", *(str(path.relative_to(ROOT)) for path in packages())]
    )


def test_every_package_is_a_plugin_under_one_name(project: dict[str, Any]) -> None:
    assert project["project"]["entry-points"]["cosmos_sdk"] == DEFAULT_PLUGINS
    assert sorted(DEFAULT_PLUGINS.values()) == sorted(path.name for path in packages())


def test_every_package_is_under_the_import_rules(project: dict[str, Any]) -> None:
    listed = project["tool"]["importlinter"]["root_packages"]

    assert sorted(listed) == sorted(["cosmos_sdk", *(path.name for path in packages())])


def test_pytest_and_the_editable_install_see_the_same_roots(project: dict[str, Any]) -> None:
    editable = project["tool"]["hatch"]["build"]["dev-mode-dirs"]

    assert editable == [".", *ROOTS]
    assert project["tool"]["pytest"]["ini_options"]["pythonpath"] == [*editable, "tests"]


def test_exactly_one_distribution_owns_cv2() -> None:
    assert packages_distributions()["cv2"] == ["opencv-python-headless"]


def imported_by(statement: str) -> set[str]:
    program = f"import sys; {statement}; print('\\n'.join(sys.modules), file=sys.stderr)"
    paths = [str(ROOT), *(str(ROOT / root) for root in ROOTS)]
    program = f"import sys; sys.path[:0] = {paths!r}; {program}"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(done.stderr.split())


@pytest.mark.parametrize(
    "statement",
    [
        "import cosmos_sdk",
        "from cosmos_sdk.registry import registry; registry().entries()",
        "from cosmos_sdk.cli.main import main; main(['--help'])",
        "from cosmos_sdk.cli.main import main; main(['plugins'])",
    ],
)
def test_what_comes_before_the_work_does_not_import_torch(statement: str) -> None:
    heavy = {"torch", "scipy", "cv2", "av", "pyarrow", "matplotlib", "stable_baselines3"}

    assert not heavy & imported_by(statement)
