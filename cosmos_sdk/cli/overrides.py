"""Arguments of a command are overrides, `key=value` or `a.b=value`, of a dataclass that gives types and defaults."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from cosmos_sdk.config import override, typed

T = TypeVar("T")


def parse(cls: type[T], arguments: Sequence[str]) -> T:
    """Fills the dataclass `cls` from `key=value` arguments.

    Raises:
        ConfigError: with every malformed argument, unknown key (and the nearest), wrong type and missing value.
    """
    return typed(cls, override({}, arguments))
