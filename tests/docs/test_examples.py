"""Every program of `examples/` runs, in its own process, as a reader would run it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
BUNDLED = ROOT / "plugins/cosmos_sdk_diffusion/worlds/pusht-diffusion"
SOURCES = os.pathsep.join(str(ROOT / folder) for folder in (".", "plugins", "envs", "policies"))


@pytest.mark.parametrize("program", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(program: Path, tmp_path: Path) -> None:
    text = program.read_text(encoding="utf-8")
    if "CosmosSDK/PushT-v0" in text and not (BUNDLED / "config.yaml").is_file():
        pytest.skip(f"the bundled world has no weights yet: {BUNDLED.name}/config.yaml is absent")
    environment = {**os.environ, "PYTHONPATH": SOURCES, "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-W", "error", str(program), "--smoke"]
    done = subprocess.run(
        words,
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize("program", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_one_short_file(program: Path) -> None:
    assert len(program.read_text(encoding="utf-8").splitlines()) < 200
