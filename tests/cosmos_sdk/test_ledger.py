"""A ledger loses no finished row, and never mixes two measurements."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cosmos_sdk.errors import ConfigError
from cosmos_sdk.ledger import ROWS, Ledger, provenance
from toys.worlds import make

PLAN = {"seed": 0, "planner": {"name": "cem", "sigma": 0.4}}
KEY = ("policy", "start")


def test_rows_outlive_the_process_that_added_them(tmp_path: Path) -> None:
    first = Ledger(tmp_path / "new", PLAN, KEY)
    first.add(("still", 3), {"success": False, "seconds": (0.1, 0.2)})
    again = Ledger(tmp_path / "new", PLAN, KEY)
    assert ("still", 3) in again
    assert again["still", 3] == first["still", 3] == {"success": False, "seconds": [0.1, 0.2]}
    assert ("still", 4) not in again


def test_a_torn_last_line_is_cut_off_and_nothing_else(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, PLAN, KEY)
    ledger.add(("a", 0), {"success": True})
    with (tmp_path / ROWS).open("a") as file:
        file.write('{"policy": "a", "sta')
    again = Ledger(tmp_path, PLAN, KEY)
    assert list(again.rows) == [("a", 0)]
    again.add(("a", 1), {"success": False})
    assert list(Ledger(tmp_path, PLAN, KEY).rows) == [("a", 0), ("a", 1)]


@pytest.mark.parametrize("other", [{**PLAN, "seed": 1}, {"seed": 0}, {**PLAN, "world": "x"}])
def test_a_folder_holds_one_plan(tmp_path: Path, other: dict[str, object]) -> None:
    Ledger(tmp_path, PLAN, KEY)
    with pytest.raises(ConfigError, match=r"another evaluation.*Choose another folder"):
        Ledger(tmp_path, other, KEY)


def test_a_folder_tells_another_precision_from_other_weights(tmp_path: Path) -> None:
    world = make("diffusion")
    exact = provenance(world)
    Ledger(tmp_path, {**PLAN, **exact}, KEY)
    Ledger(tmp_path, {**PLAN, **provenance(make("diffusion"))}, KEY)
    faster = provenance(world.using(num_steps=7))
    assert faster["world"] != exact["world"]
    told = r"holds another evaluation: world\.using\.num_steps was \d+ and is 7; all else agrees"
    with pytest.raises(ConfigError, match=told):
        Ledger(tmp_path, {**PLAN, **faster}, KEY)
    with torch.no_grad():
        next(world.parameters()).add_(1)
    with pytest.raises(ConfigError, match=r"evaluation: world\.model was"):
        Ledger(tmp_path, {**PLAN, **provenance(world)}, KEY)


def test_a_folder_from_before_worlds_were_told_in_parts_is_still_known(tmp_path: Path) -> None:
    new = provenance(make("diffusion"))
    Ledger(tmp_path, {**PLAN, "world": new["world"]}, KEY)
    Ledger(tmp_path, {**PLAN, **new}, KEY)
    with pytest.raises(ConfigError, match="world was"):
        Ledger(tmp_path, {**PLAN, **new, "world": "another"}, KEY)


def test_a_line_that_is_no_row_is_named(tmp_path: Path) -> None:
    Ledger(tmp_path, PLAN, KEY)
    (tmp_path / ROWS).write_text("[]\n")
    with pytest.raises(ConfigError, match="line 1"):
        Ledger(tmp_path, PLAN, KEY)


def test_without_a_folder_rows_stay_in_memory() -> None:
    ledger = Ledger(None, PLAN, KEY)
    ledger.add(("a", 0), {"success": True})
    assert ledger["a", 0]["success"]
