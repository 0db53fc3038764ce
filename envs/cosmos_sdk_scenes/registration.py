"""The Gymnasium ids of scenes. Entry points are strings, so that registering them imports no scene."""

from __future__ import annotations

import gymnasium

DISC_PUSHER = "CosmosSDK/DiscPusher-v0"
SIMULATOR = "CosmosSDK/Simulator-v0"


def register_envs() -> None:
    """Registers `CosmosSDK/DiscPusher-v0`, which ends after 100 steps of 0.1 s, and `CosmosSDK/Simulator-v0`.

    The second takes `simulator=`, the id of any simulator. Calling this twice does no harm.
    """
    if DISC_PUSHER not in gymnasium.registry:
        entry_point = "cosmos_sdk_scenes.disc_pusher:DiscPusherEnv"
        gymnasium.register(DISC_PUSHER, entry_point, max_episode_steps=100)
    if SIMULATOR not in gymnasium.registry:
        gymnasium.register(SIMULATOR, "cosmos_sdk_scenes.simulator_env:SimulatorEnv")
