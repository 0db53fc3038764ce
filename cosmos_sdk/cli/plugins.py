"""`cosmos-sdk plugins`: every component, its plugin and version, and what it is."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from cosmos_sdk.cli.overrides import parse
from cosmos_sdk.errors import UnknownNameError
from cosmos_sdk.hookspecs import HOOKS
from cosmos_sdk.registry import registry
from cosmos_sdk.summaries import summary

HEADINGS = ("kind", "name", "plugin", "version")


@dataclass(frozen=True)
class Arguments:
    """What the command takes."""

    kind: str | None = None  # one kind of component; all when absent
    targets: bool = False  # show "module:attribute" in the place of what it is


def run(arguments: list[str]) -> int:
    """Lists every component, its plugin and version, and what it is: `cosmos-sdk plugins [kind=backend]`.

    `targets=true` shows where it is, module:attribute, in the place of what it is.
    """
    given = parse(Arguments, arguments)
    if given.kind not in (None, *HOOKS):
        raise UnknownNameError("kind", str(given.kind), HOOKS)
    entries = [entry for entry in registry().entries() if given.kind in (None, entry.kind)]
    rows = [
        (
            entry.kind,
            entry.name,
            entry.plugin,
            entry.version,
            entry.target if given.targets else summary(entry),
        )
        for entry in entries
    ]
    sys.stdout.write(table([(*HEADINGS, "target" if given.targets else "description"), *rows]))
    return 0


def table(rows: Sequence[Sequence[str]]) -> str:
    """Lines of left-aligned columns; the first row is the heading."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "".join(f"{line.rstrip()}\n" for line in lines)
