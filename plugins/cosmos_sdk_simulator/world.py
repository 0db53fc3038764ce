"""A simulator as a whole world model, and first states for it."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cosmos_sdk.build import build
from cosmos_sdk.config import BoxConfig, SpecConfig, WorldConfig
from cosmos_sdk.errors import ConfigError
from cosmos_sdk.state import WorldState
from cosmos_sdk.world import WorldModel
from cosmos_sdk_simulator.backend import SimulatorBackend
from cosmos_sdk_simulator.instance import simulator


def simulator_world(env_id: str, height: int = 64, width: int = 64) -> WorldModel:
    """The world whose future is the true one: signal `action`, heads `reward` and `terminated`, readout `state`."""
    return build(simulator_config(env_id, height, width))


def simulator_config(env_id: str, height: int = 64, width: int = 64) -> WorldConfig:
    """The configuration of `simulator_world`, for YAML."""
    scene = simulator(env_id)
    state = BoxConfig(
        scene.observation_low.tolist(),
        scene.observation_high.tolist(),
        list(scene.observation_names),
        list(scene.observation_units),
    )
    spec = SpecConfig(
        (1, height, width),
        scene.rate,
        {"action": scene.action_spec.to_dict()},
        {},
        {"state": state},
    )
    return WorldConfig(
        spec,
        tokenizer={"name": "simulator", "env_id": env_id},
        backend={"name": "simulator", "env_id": env_id},
        conditioners={"action": {"name": "simulator"}},
        heads={
            "reward": {"name": "simulator-reward"},
            "terminated": {"name": "simulator-termination"},
        },
        readouts={"state": {"name": "simulator-state"}},
    )


def starts(world: WorldModel, seed: Tensor) -> WorldState:
    """First states of B episodes, as the simulator's own reset draws them from seed (B,).

    Raises:
        ConfigError: the world's backend is no simulator.
    """
    backend = world.backend
    if not isinstance(backend, SimulatorBackend):
        raise ConfigError(
            [f"starts needs a simulator's world; this backend is {type(backend).__name__}."]
        )
    scene = simulator(backend.env_id)
    drawn: list[NDArray[np.float64]] = []
    for episode in seed.tolist():
        scene.reset(episode % 2**32)  # what numpy's generators take
        drawn.append(scene.get_state())
    return world.start(torch.from_numpy(np.stack(drawn))[:, None], {}, seed)
