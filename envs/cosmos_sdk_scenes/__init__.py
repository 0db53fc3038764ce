"""Scenes with a true simulator: Push-T (needs gym-pusht) and our own disc pusher, with policies that record them.

Importing this registers `CosmosSDK/DiscPusher-v0` with Gymnasium, and imports no torch.
"""

from __future__ import annotations

from cosmos_sdk.hookspecs import Register, hookimpl
from cosmos_sdk_scenes.registration import register_envs

register_envs()


@hookimpl
def register_simulators(register: Register) -> None:
    """Simulators under the Gymnasium ids of their environments."""
    register(
        "gym_pusht/PushT-v0",
        "cosmos_sdk_scenes.pusht:PushTSimulator",
        "a disc pushes a T (needs gym-pusht)",
    )
    register(
        "CosmosSDK/VariedPushT-v0",
        "cosmos_sdk_scenes.pusht_varied:VariedPushT",
        "Push-T in drawn colours and sizes (needs gym-pusht)",
    )
    register(
        "CosmosSDK/DiscPusher-v0",
        "cosmos_sdk_scenes.disc_pusher:DiscPusher",
        "a disc pushes a disc; numpy only",
    )


@hookimpl
def register_recorders(register: Register) -> None:
    """Who records these scenes."""
    register(
        "pusht-scripted",
        "cosmos_sdk_scenes.pusht_scripted:PushTScripted",
        "pushes of every kind, for recording",
    )
    register(
        "pusht-scatter",
        "cosmos_sdk_scenes.pusht_scripted:PushTScatter",
        "random placements, for pictures (steps=0)",
    )
    register(
        "pusht-held",
        "cosmos_sdk_scenes.pusht_held:PushTHeld",
        "held actions, most of them aimed at the block, as planners try them",
    )
    register(
        "disc-scripted",
        "cosmos_sdk_scenes.disc_scripted:DiscScripted",
        "pushes towards random places, for recording",
    )
