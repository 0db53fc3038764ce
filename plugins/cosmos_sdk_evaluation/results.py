"""Figures as a table and a file, beside the machine and the code that they were made on."""

from __future__ import annotations

import json
import math
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from cosmos_sdk.files import replacing
from cosmos_sdk.results import Result

PACKAGES = ("cosmos-world-sdk", "torch", "numpy", "gymnasium", "gym-pusht", "pymunk")


def table(results: Sequence[Result]) -> str:
    """The figures as aligned text."""
    rows = [("figure", "value", "95 % interval", "n")]
    for r in results:
        interval = f"[{_digits(r.ci95[0])}, {_digits(r.ci95[1])}]" if r.ci95 else ""
        rows.append((r.name, f"{_digits(r.value)} {r.unit}".strip(), interval, str(r.n)))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def _digits(value: float) -> str:
    if not math.isfinite(value):
        return str(value)
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def hardware() -> dict[str, Any]:
    """Processor, cores, threads, load, and the GEMM peak of this moment in GFLOP/s."""
    import torch

    load = os.getloadavg() if hasattr(os, "getloadavg") else (math.nan,) * 3
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load_average": round(load[0], 2),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "gemm_peak_gflops": {
            str(t).removeprefix("torch."): gemm_peak(t) for t in (torch.float32, torch.bfloat16)
        },
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(
            line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
        )
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def gemm_peak(dtype: Any, size: int = 1024, repeats: int = 8) -> float:
    """The best of some square matrix products, in GFLOP/s: what the machine can do, measured in the same run."""
    from time import perf_counter

    import torch

    a, b = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
    best = math.inf
    for _ in range(repeats):
        start = perf_counter()
        torch.mm(a, b)
        best = min(best, perf_counter() - start)
    return round(2 * size**3 / best / 1e9, 1)


def versions() -> dict[str, str]:
    """Versions of what the figures depend on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def write_results(path: Path, results: Sequence[Result], config: Mapping[str, Any]) -> None:
    """Writes `results.json` whole or not at all: figures, configuration, command, versions and hardware."""
    content = {
        "results": [asdict(result) for result in results],
        "config": dict(config),
        "command": " ".join(["cosmos-sdk", *sys.argv[1:]]),
        "versions": versions(),
        "hardware": hardware(),
    }
    write_text(path, json.dumps(content, indent=2, default=str) + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes a text file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8")
