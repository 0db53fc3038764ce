"""What `--help` says beside the docstring of a command: fields and components, which depend on what is installed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, TypeVar, cast, get_type_hints

from cosmos_sdk.expected import expected
from cosmos_sdk.registry import registry
from cosmos_sdk.summaries import summary

Run = TypeVar("Run", bound=Callable[[list[str]], int])


def with_details(details: Callable[[list[str]], str]) -> Callable[[Run], Run]:
    """Decorator of a command's function: `--help` prints `details(arguments)` after its docstring."""

    def mark(run: Run) -> Run:
        run.details = details  # pyright: ignore[reportFunctionMemberAccess, reportAttributeAccessIssue]
        return run

    return mark


def fields_of(cls: type) -> str:
    """A line a field of a dataclass: its name, what it expects, and its default; nested ones by dotted names."""
    return _aligned(list(_fields(cls, "")))


def components(kind: str, others: Iterable[tuple[str, str]] = ()) -> str:
    """A line a registered component of a kind, and a line for `others`, which are none."""
    entries = [entry for entry in registry().entries() if entry.kind == kind]
    return _aligned([*others, *((entry.name, summary(entry)) for entry in entries)])


def _fields(cls: type, where: str) -> Iterator[tuple[str, str]]:
    hints = get_type_hints(cls)
    for item in fields(cast("Any", cls)):
        hint = hints[item.name]
        if is_dataclass(hint):
            yield from _fields(cast("type", hint), f"{where}{item.name}.")
        elif item.init:
            yield f"{where}{item.name}", f"{expected(hint)}{_default(item)}"


def _aligned(rows: list[tuple[str, str]]) -> str:
    width = max((len(name) for name, _ in rows), default=0)
    return "".join(f"  {name:{width}}  {text}".rstrip() + "\n" for name, text in rows)


def _default(item: Field[Any]) -> str:
    if item.default_factory is not MISSING:
        value = item.default_factory()
    elif item.default is not MISSING:
        value = item.default
    else:
        return "; required"
    return "" if value == {} else f" ({_plain(value)})"


def _plain(value: Any) -> str:
    """As the command line takes it."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_plain, cast('list[Any]', value)))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value) or "''"
