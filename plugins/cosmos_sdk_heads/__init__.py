"""Heads and readouts: reward, termination, and the state of the scene."""

from __future__ import annotations

from cosmos_sdk.hookspecs import Register, hookimpl


@hookimpl
def register_heads(register: Register) -> None:
    """Functions of a transition."""
    register("reward", "cosmos_sdk_heads.reward:RewardHead", "expected reward of a transition")
    register(
        "termination",
        "cosmos_sdk_heads.termination:TerminationHead",
        "probability that an episode ends",
    )


@hookimpl
def register_readouts(register: Register) -> None:
    """Functions of one state."""
    register("state", "cosmos_sdk_heads.state:StateReadout", "simulator state or proprioception")
