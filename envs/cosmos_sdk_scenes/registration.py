"""`import cosmos_sdk_scenes.registration` registers `CosmosSDK/DiscPusher-v0` with Gymnasium.

Apart from the plugin itself: listing plugins registers nothing. `gymnasium.make` imports it from the id, too:
`gymnasium.make("cosmos_sdk_scenes.registration:CosmosSDK/DiscPusher-v0")`.
"""

from __future__ import annotations

from gymnasium.envs.registration import register

register(
    "CosmosSDK/DiscPusher-v0", "cosmos_sdk_scenes.disc_pusher:DiscPusherEnv", max_episode_steps=100
)
