"""The Gymnasium id of the disc pusher. The entry point is a string, so that registering it imports no scene."""

from __future__ import annotations

import gymnasium

DISC_PUSHER = "CosmosSDK/DiscPusher-v0"


def register_envs() -> None:
    """Registers `CosmosSDK/DiscPusher-v0`, which ends after 100 steps of 0.1 s. Calling it twice does no harm."""
    if DISC_PUSHER not in gymnasium.registry:
        entry_point = "cosmos_sdk_scenes.disc_pusher:DiscPusherEnv"
        gymnasium.register(DISC_PUSHER, entry_point, max_episode_steps=100)
