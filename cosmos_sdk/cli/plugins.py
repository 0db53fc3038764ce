"""`cosmos-sdk plugins`: every component, its plugin and version."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from cosmos_sdk.cli.overrides import parse
from cosmos_sdk.errors import UnknownNameError
from cosmos_sdk.hookspecs import HOOKS
from cosmos_sdk.registry import registry

HEADINGS = ("kind", "name", "plugin", "version", "target")


@dataclass(frozen=True)
class Arguments:
    """What the command takes."""

    kind: str | None = None  # one kind of component; all when absent


def run(arguments: list[str]) -> int:
    """Lists every component, its plugin and version: `cosmos-sdk plugins [kind=backend]`."""
    kind = parse(Arguments, arguments).kind
    if kind not in (None, *HOOKS):
        raise UnknownNameError("kind", str(kind), HOOKS)
    entries = [entry for entry in registry().entries() if kind in (None, entry.kind)]
    rows = [
        (entry.kind, entry.name, entry.plugin, entry.version, entry.target) for entry in entries
    ]
    sys.stdout.write(table([HEADINGS, *rows]))
    return 0


def table(rows: Sequence[Sequence[str]]) -> str:
    """Lines of left-aligned columns; the first row is the heading."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "".join(f"{line.rstrip()}\n" for line in lines)
