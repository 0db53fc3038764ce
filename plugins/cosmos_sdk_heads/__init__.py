"""Heads and readouts: reward, termination, doubt, value, and the state of the scene."""

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
    here = "cosmos_sdk_heads.disagreement"
    register("disagreement", f"{here}:Disagreement", "how far an ensemble's predictions differ")
    register("sample-disagreement", f"{here}:SampleDisagreement", "how far drawn futures differ")


@hookimpl
def register_readouts(register: Register) -> None:
    """Functions of one state."""
    register("state", "cosmos_sdk_heads.state:StateReadout", "simulator state or proprioception")
    register("value", "cosmos_sdk_heads.value:ValueReadout", "rewards that are still to come")
    register(
        "proposal",
        "cosmos_sdk_heads.proposal:ProposalReadout",
        "actions on the way to a goal, for planners to refine",
    )
