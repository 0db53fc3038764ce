"""The Gymnasium ids of learned worlds. Entry points are strings, so that registering them stays light."""

from __future__ import annotations

from typing import Any

import gymnasium

ENTRY_POINT = "cosmos_sdk_envs.env:WorldEnv"
VECTOR_ENTRY_POINT = "cosmos_sdk_envs.vector_env:WorldVectorEnv"


def register_envs() -> None:
    """Registers `CosmosSDK/World-v0` (takes `world=`) and `CosmosSDK/PushT-v0`. Calling it twice does no harm."""
    _register("CosmosSDK/World-v0")
    # As in gym_pusht/PushT-v0: 300 steps of 0.1 s, and the episode ends when the block covers its goal.
    pusht = {"world": "pusht-diffusion", "terminates_on_success": True}
    _register("CosmosSDK/PushT-v0", max_episode_steps=300, kwargs=pusht)


def _register(env_id: str, **options: Any) -> None:
    if env_id not in gymnasium.registry:
        gymnasium.register(env_id, ENTRY_POINT, vector_entry_point=VECTOR_ENTRY_POINT, **options)
