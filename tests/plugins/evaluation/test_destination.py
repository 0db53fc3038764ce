"""File names tell what was measured, and no measurement overwrites another."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cosmos_sdk_evaluation.destination import destination
from cosmos_sdk_evaluation.evaluate import chosen, split
from cosmos_sdk_evaluation.results import told


def place(out: Path, write: bool = True, /, **given: Any) -> str:
    common, own = split({"task": "pusht-goals", "out": str(out), **given})
    name, _, config = chosen(common, own)
    record = {**asdict(common), name: asdict(config)}
    path = destination(out, [name, Path(common.world).name], common, config, record)
    if write:
        path.write_text(json.dumps({"config": told(record)}))
    return path.name


def test_a_name_tells_what_was_asked_beyond_the_defaults(tmp_path: Path) -> None:
    assert place(tmp_path, False) == "pusht-goals-pusht-diffusion.json"
    given = {"rows": "world", "planner": "mppi", "planner_options": {"num_samples": 64}}
    expected = "pusht-goals-pusht-diffusion-rows=world-planner=mppi-num_samples=64.json"
    assert place(tmp_path, False, **given) == expected
    using = place(tmp_path, False, using={"precision": "bfloat16"}, processes=2, folder="kept")
    assert using == "pusht-goals-pusht-diffusion-precision=bfloat16.json"
    odd = place(tmp_path, False, planner="../../x y" + "z" * 300)
    assert "/" not in odd
    assert len(odd) < 200


def test_another_measurement_of_the_same_name_gets_a_number_and_the_same_one_its_own_file(
    tmp_path: Path,
) -> None:
    assert place(tmp_path, world="a/world") == "pusht-goals-world.json"
    assert place(tmp_path, world="b/world") == "pusht-goals-world-2.json"
    assert place(tmp_path, world="b/world", processes=2) == "pusht-goals-world-2.json"
    (tmp_path / "pusht-goals-world.json").write_text("no JSON")
    assert place(tmp_path, world="a/world") == "pusht-goals-world-3.json"
