"""A compact world of Push-T, untrained: one transition for a block of five actions."""

from __future__ import annotations

from typing import Any

import torch

from cosmos_sdk.build import build
from cosmos_sdk.config import WorldConfig
from cosmos_sdk.registry import registry
from cosmos_sdk.world import WorldModel


def blocks_world(targets: tuple[str, ...] = (), **changed: Any) -> WorldModel:
    """An untrained world of blocks of five actions, as the compact worlds are; `targets` are actions to be told."""
    scene = registry().load("simulator", "gym_pusht/PushT-v0")()
    low, high = scene.observation_low.tolist(), scene.observation_high.tolist()
    names = list(scene.observation_names)
    spec: dict[str, Any] = {
        "frames": [1, 32, 32],
        "rate": 10.0,
        "actions": {"action": scene.action_spec.to_dict()},
        "targets": {"state": {"names": names, "low": low, "high": high}},
    }
    for name in targets:
        spec["targets"][name] = {"names": ["x", "y"], "low": [-1.0, -1.0], "high": [1.0, 1.0]}
    parts: dict[str, Any] = {
        "tokenizer": {"name": "conv", "widths": [16, 16], "mixer_width": 16, "auxiliary": []},
        "conditioners": {"action": {"name": "action", "width": 8, "hidden": 8}},
        "backend": {"name": "statespace", "width": 8, "hidden": 16, "encoder_hidden": 16},
        "readouts": {"state": {"name": "state", "latents": False, "features": True}},
    }
    torch.manual_seed(0)
    return build(WorldConfig.from_mapping({"spec": spec, **parts, **changed}))
