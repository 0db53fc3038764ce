"""A recipe for any LeRobotDataset v3 folder: cameras, actions and targets are what the folder says they are."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

from cosmos_sdk.config import WorldConfig
from cosmos_sdk.data.description import describe

SIZE = (64, 64)  # h, w
# Under an hour on two cores: the stages of the bundled Push-T world, without its oversampling of moments that move.
STAGES: list[dict[str, Any]] = [
    {
        "train": "tokenizer",
        "steps": 6000,
        "batch_size": 64,
        "frames": 1,
        "learning_rate": 3e-3,
        "decay_to": 0.02,
        "clip_norm": 0.5,
        "precision": "bfloat16",
    },
    {
        "name": "one-step",
        "train": "world",
        "steps": 3000,
        "batch_size": 32,
        "frames": 12,
        "learning_rate": 1.5e-3,
        "decay_to": 0.5,
        "precision": "bfloat16",
    },
    {
        "name": "dream",  # the last frames of a clip are imagined one from another
        "train": "world",
        "steps": 1000,
        "batch_size": 16,
        "frames": 16,
        "learning_rate": 7.5e-4,
        "warmup": 0,
        "decay_to": 0.05,
        "precision": "bfloat16",
        "using": {"unroll": 8},
    },
]
BACKEND = {"name": "diffusion", "preset": "s", "num_layers": 4, "hidden": 512, "pack": 4}


def default_recipe(folder: str | Path) -> dict[str, Any]:
    """Plain data: the first-party components, with a head or readout for each column that the folder has."""
    about = describe(folder)
    spec = about.spec(SIZE)
    heads = {"reward": "reward", "terminated": "termination"}
    world = WorldConfig(
        spec=spec,
        tokenizer={"name": "conv"},
        backend=dict(BACKEND),
        conditioners={"action": {"name": "action"}},
        heads={name: {"name": heads[name]} for name in about.targets if name in heads},
        readouts={"state": {"name": "state"}} if "state" in about.targets else {},
    )
    return {
        "data": {"data": {"folder": str(folder)}},
        "world": world.to_mapping(),
        "stages": deepcopy(STAGES),
        "signals": dict(about.signals),
        "targets": dict(about.targets),
    }
