"""Where the figures of a measurement go: a file name that tells what was asked, and that no other measurement has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, fields
from itertools import count
from pathlib import Path
from typing import Any, cast

from cosmos_sdk.config import flat
from cosmos_sdk_evaluation.results import told

ELSEWHERE = ("out", "folder", "processes")  # decide nothing about the figures
IN_FRONT = ("metric", "task", "world")
LONGEST = 150  # characters


def destination(
    folder: Path, names: Sequence[str], common: Any, config: Any, record: Mapping[str, Any]
) -> Path:
    """The file for a measurement, in `folder`.

    Args:
        folder: of all results.
        names: what the file name begins with.
        common: dataclass of the command's arguments.
        config: dataclass of the measurement's own.
        record: both, as they are written into the file.

    Returns:
        `NAMES-KEY=VALUE-....json`, with what is not at its default. A file that another measurement wrote stays, and a
        number follows; the file that the same one wrote is given again.
    """
    words = [word for part in (common, config) for word in changes(part)]
    stem = re.sub(r"[^\w.,=+-]+", "_", "-".join([*names, *words]))[:LONGEST]
    for number in count(1):
        path = folder / f"{stem}{f'-{number}' if number > 1 else ''}.json"
        if not path.is_file() or _recorded(path) == _deciding(record):
            return path
    raise AssertionError("unreachable")


def changes(config: Any) -> Iterator[str]:
    """The fields of a dataclass that are not at their defaults, as KEY=VALUE; of a mapping, its entries."""
    for item in fields(config):
        usual = item.default if item.default_factory is MISSING else item.default_factory()
        value = getattr(config, item.name)
        if value == usual or item.name in (*ELSEWHERE, *IN_FRONT):
            continue
        entries = cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else None
        for key, one in flat(entries or {item.name: value}).items():
            several = cast("Sequence[Any]", one) if isinstance(one, list | tuple) else [one]
            yield f"{key}={'+'.join(map(str, several))}"


def _recorded(path: Path) -> Any:
    """What the file at `path` says that it was made from; None where it does not say."""
    try:
        return _deciding(json.loads(path.read_text(encoding="utf-8"))["config"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _deciding(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record without what decides nothing."""
    leaves = flat(told(record))
    return {key: value for key, value in leaves.items() if key.split(".")[-1] not in ELSEWHERE}
