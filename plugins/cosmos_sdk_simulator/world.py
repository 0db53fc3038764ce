"""A simulator as a whole world model, and first states for it."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cosmos_sdk.errors import ConfigError
from cosmos_sdk.simulators import simulator_config, simulator_world
from cosmos_sdk.state import WorldState
from cosmos_sdk.world import WorldModel
from cosmos_sdk_simulator.backend import SimulatorBackend
from cosmos_sdk_simulator.instance import simulator

__all__ = ["simulator_config", "simulator_world", "starts"]


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
