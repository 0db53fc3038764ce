"""The one instance of each simulator."""

from __future__ import annotations

from functools import cache

from cosmos_sdk.simulators import Simulator, open_simulator


@cache
def simulator(env_id: str) -> Simulator:
    """The simulator of a Gymnasium id, built once a process; raises as `open_simulator`.

    Whoever uses it calls `set_state` or `reset` first, so that sharing it shows nowhere: a world may be copied,
    and its tokenizer, backend and starts work on the same bodies. Not for several threads at once.
    """
    return open_simulator(env_id)
