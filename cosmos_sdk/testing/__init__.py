"""Conformance checks of the contract, for every plugin's own tests.

Each runs a part of the 18 checks and stops at the first that fails. Its `ConformanceError` says which one it was, what
tensor, what values, and the usual cause.
"""

from __future__ import annotations

from cosmos_sdk.testing.backend import check_backend
from cosmos_sdk.testing.conditioner import check_conditioner
from cosmos_sdk.testing.conformance import ConformanceError
from cosmos_sdk.testing.env import check_env
from cosmos_sdk.testing.head import check_head
from cosmos_sdk.testing.planner import check_planner
from cosmos_sdk.testing.small_worlds import point_starts, point_world
from cosmos_sdk.testing.tokenizer import check_tokenizer

__all__ = [
    "ConformanceError",
    "check_backend",
    "check_conditioner",
    "check_env",
    "check_head",
    "check_planner",
    "check_tokenizer",
    "point_starts",
    "point_world",
]
