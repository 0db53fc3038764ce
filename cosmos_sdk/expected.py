"""What a field of a dataclass expects, in words, and the nearest to what was given."""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from cosmos_sdk.errors import ConfigError, did_you_mean

WORDS = {
    bool: ("true or false", "list of true and false"),
    int: ("a whole number", "list of whole numbers, such as [1, 2]"),
    float: ("a number", "list of numbers, such as [0.5, 1.0]"),
    str: ("a word", "list of words, such as [a, b]"),
}  # one, several


def check(config: object, **ranges: tuple[bool, str]) -> None:
    """Refuses fields of `config` that are out of range; for each, whether it fits, and what would.

    Raises:
        ConfigError: with the name and value of every field that does not fit.
    """
    problems = [
        f"{name} is {getattr(config, name)}; expected {words}."
        for name, (fits, words) in ranges.items()
        if not fits
    ]
    if problems:
        raise ConfigError(problems)


def mismatch(path: str, value: Any, hint: Any) -> str:
    """The sentence for a value that the field at `path` cannot hold."""
    near = did_you_mean(str(value), _choices(hint))
    return f"{path} is {value!r}; expected {expected(hint)}.{near}"


def expected(hint: Any) -> str:
    """Such as "a whole number, or null" for `int | None`; the type itself where there are no words for it."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint in WORDS:
        return WORDS[hint][0]
    if origin is Literal:
        return f"one of {', '.join(map(str, inner))}"
    if origin in (Union, UnionType):
        words = [expected(one) for one in inner if one is not NoneType]
        return ", or ".join(words + ["null"] * (NoneType in inner))
    if is_list(hint):
        return f"a {_several(inner[0])}"
    if origin is tuple:
        return f"a {_several(inner[0]).partition(',')[0]} of length {len(inner)}"
    if origin in (dict, Mapping):
        return "a mapping, such as {key: value}"
    return hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")


def is_list(hint: Any) -> bool:
    """Whether a field holds any number of values of one type, so that a single one can only mean a list of it."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return all(is_list(one) for one in inner if one is not NoneType)
    return origin is list or (origin is tuple and inner[1:] == (...,))


def _several(hint: Any) -> str:
    return WORDS[hint][1] if hint in WORDS else "list"


def _choices(hint: Any) -> list[str]:
    """The words of a Literal, also where null is allowed beside them."""
    if get_origin(hint) is Literal:
        return [str(one) for one in get_args(hint)]
    return [word for one in get_args(hint) if get_origin(one) is Literal for word in _choices(one)]
