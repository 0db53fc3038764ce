"""One line about a component, read from its source: to list what is installed, nothing heavy is imported."""

from __future__ import annotations

import ast
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from cosmos_sdk.registry import Entry

Documented = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def summary(entry: Entry) -> str:
    """What was said when it was registered, else the first line of its docstring, or of its module's; "" for none."""
    if entry.summary or entry.kind == "world":  # whose target is a folder
        return entry.summary
    module, _, attribute = entry.target.partition(":")
    tree = _parsed(module)
    if tree is None:
        return ""
    own = [node for node in tree.body if isinstance(node, Documented) and node.name == attribute]
    found = next((text for node in (*own, tree) if (text := ast.get_docstring(node))), "")
    return found.partition("\n")[0]


@cache
def _parsed(module: str) -> ast.Module | None:
    """The syntax of a module; None where there is no source that can be read."""
    try:
        spec = find_spec(module)
        if spec is None or spec.origin is None:
            return None
        return ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    except (ImportError, ValueError, OSError, SyntaxError):
        return None
