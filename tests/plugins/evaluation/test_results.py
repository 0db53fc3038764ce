"""Results are written whole, with what is needed to make them again."""

from __future__ import annotations

import json
import math
from pathlib import Path

from cosmos_sdk.results import Result
from cosmos_sdk_evaluation.results import table, write_results


def test_a_results_file_holds_figures_configuration_versions_and_hardware(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "results.json"
    write_results(path, [Result("success", 62.0, "%", 50, (48.1, 74.2), 0)], {"n": 50})
    content = json.loads(path.read_text())
    assert content["results"][0] == {
        "name": "success", "value": 62.0, "unit": "%", "n": 50, "ci95": [48.1, 74.2], "seed": 0
    }  # fmt: skip
    assert content["config"] == {"n": 50}
    assert content["versions"]["torch"]
    assert content["hardware"]["gemm_peak_gflops"]["float32"] > 0
    assert [file.name for file in path.parent.iterdir()] == ["results.json"]


def test_the_table_shows_value_unit_interval_and_n() -> None:
    text = table([Result("speed", 1234.5, "frames/s", 6, (1200.0, 1260.0)), Result("ratio", 0.984)])
    assert "1234 frames/s  [1200, 1260]   6" in text
    assert "0.984" in text


def test_what_is_unknown_is_null_in_the_file_and_a_dash_in_the_table(tmp_path: Path) -> None:
    """One trial has no interval, and JSON has no NaN."""

    def refuse(name: str) -> None:
        raise AssertionError(name)

    unknown = [Result("one trial", 3.0, "s", 1, (math.nan, math.nan)), Result("none", math.nan)]
    write_results(tmp_path / "results.json", unknown, {"scale": [1.0, math.inf], "p": tmp_path})
    content = json.loads((tmp_path / "results.json").read_text(), parse_constant=refuse)
    assert [row["ci95"] for row in content["results"]] == [None, None]
    assert content["results"][1]["value"] is None
    assert content["config"] == {"scale": [1.0, "inf"], "p": str(tmp_path)}
    lines = table(unknown).splitlines()
    assert lines[2].split() == ["one", "trial", "3", "s", "-", "1"]
    assert lines[3].split() == ["none", "-", "1"]
