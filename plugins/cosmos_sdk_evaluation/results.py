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
from typing import Any, cast

from cosmos_sdk.files import replacing
from cosmos_sdk.results import Result

NONE = "-"  # in the place of what is unknown
PACKAGES = ("cosmos-world-sdk", "torch", "numpy", "gymnasium", "gym-pusht", "pymunk")


def table(results: Sequence[Result]) -> str:
    """The figures as aligned text."""
    rows = [("figure", "value", "95 % interval", "n")]
    rows += [(r.name, value_of(r), interval_of(r), str(r.n)) for r in results]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def value_of(result: Result) -> str:
    """A figure with its unit; a dash where it is unknown."""
    return NONE if math.isnan(result.value) else f"{_digits(result.value)} {result.unit}".strip()


def interval_of(result: Result) -> str:
    """Its interval; a dash where it is unknown, as that of a single trial, and nothing where there is none."""
    if result.ci95 is None:
        return ""
    low, high = result.ci95
    return NONE if math.isnan(low + high) else f"[{_digits(low)}, {_digits(high)}]"


def _digits(value: float) -> str:
    if not math.isfinite(value):
        return str(value)
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def plain(result: Result) -> dict[str, Any]:
    """As JSON can hold it: what is unknown or infinite is null."""
    row = asdict(result)
    known = result.ci95 is not None and all(map(math.isfinite, result.ci95))
    value = result.value if math.isfinite(result.value) else None
    return {**row, "value": value, "ci95": result.ci95 if known else None}


def told(value: Any) -> Any:
    """A configuration as JSON can hold it: infinity and what is no plain data are words."""
    if isinstance(value, Mapping):
        return {str(k): told(v) for k, v in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [told(one) for one in cast("Sequence[Any]", value)]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, str | int | float | None) else str(value)


def hardware() -> dict[str, Any]:
    """Processor, cores, threads, load, and the GEMM peak of this moment in GFLOP/s."""
    import torch

    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load_average": None if load is None else round(load, 2),
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
        "results": [plain(result) for result in results],
        "config": told(config),
        "command": " ".join(["cosmos-sdk", *sys.argv[1:]]),
        "versions": versions(),
        "hardware": hardware(),
    }
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes a text file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8")
