"""The one instance of each simulator."""

from __future__ import annotations

from functools import cache

from cosmos_sdk.registry import registry
from cosmos_sdk.simulators import Simulator


@cache
def simulator(env_id: str) -> Simulator:
    """The simulator that is registered for a Gymnasium id, built once a process.

    Whoever uses it calls `set_state` or `reset` first, so that sharing it shows nowhere: a world may be copied,
    and its tokenizer, backend and starts work on the same bodies. Not for several threads at once.

    Raises:
        UnknownNameError: nobody registered a simulator under this id.
        MissingPackageError: its packages are not installed.
    """
    return registry().load("simulator", env_id)()
