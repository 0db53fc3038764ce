"""The action conditioner: what the agent does, as one token a frame."""

from __future__ import annotations

from cosmos_sdk.hookspecs import Register, hookimpl


@hookimpl
def register_conditioners(register: Register) -> None:
    """The action conditioner."""
    register(
        "action",
        "cosmos_sdk_action.conditioner:ActionConditioner",
        "an action, continuous or discrete",
    )
