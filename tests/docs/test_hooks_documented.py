from __future__ import annotations

from pathlib import Path

import pytest

from cosmos_sdk import hookspecs
from cosmos_sdk.hookspecs import HOOKS

PAGE = Path(__file__).parents[2] / "docs" / "hooks.md"


def test_every_hook_has_its_kind_and_its_sentence() -> None:
    specified = {name for name in vars(hookspecs) if name.startswith("register_")}

    assert set(HOOKS.values()) == specified
    for hook in specified:
        assert (getattr(hookspecs, hook).__doc__ or "").endswith("."), hook


@pytest.mark.parametrize("hook", HOOKS.values())
def test_every_hook_has_its_heading_and_an_example(hook: str) -> None:
    _, found, section = PAGE.read_text(encoding="utf-8").partition(f"## `{hook}`\n")

    assert found, f"docs/hooks.md has no heading '## `{hook}`'"
    assert f"def {hook}(register" in section.partition("\n## ")[0]
