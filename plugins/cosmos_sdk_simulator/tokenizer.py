"""Pictures of simulator states. The way back does not exist: a picture shows no velocities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Never, final

import numpy as np
import torch
from torch import Tensor

from cosmos_sdk.errors import ConfigError, CosmosError
from cosmos_sdk.protocols import Parts
from cosmos_sdk_simulator.instance import simulator


@dataclass(frozen=True)
class SimulatorTokenizerConfig:
    """Which simulator."""

    env_id: str = "gym_pusht/PushT-v0"


@final
class SimulatorTokenizer:
    """States (B, T, S) float64 to frames (B, F, 1, 3, h, w) uint8 by rendering."""

    def __init__(self, config: SimulatorTokenizerConfig, parts: Parts) -> None:
        """Raises ConfigError for a spec of several views: a simulator has one camera."""
        views, self.height, self.width = parts.spec.frames
        if views != 1:
            raise ConfigError([f"tokenizer: {config.env_id} has one view; the spec says {views}."])
        self.env_id = config.env_id
        self.latent_shape = (len(simulator(self.env_id).state_names),)

    def encode(self, frames: Tensor) -> Never:
        """Raises CosmosError, always."""
        raise CosmosError(
            f"The simulator {self.env_id} cannot be put where a picture is: pictures show no velocities. "
            "Start it from states: world.start(latents (B, 1, S) float64, start={}, seed), or "
            "cosmos_sdk_simulator.world.starts(world, seed)."
        )

    def decode(self, latents: Tensor, num_frames: int) -> Tensor:
        """The last `num_frames` states of latents (B, T, S) as frames (B, num_frames, 1, 3, h, w)."""
        scene = simulator(self.env_id)
        shown = latents[:, latents.shape[1] - num_frames :].detach().cpu().numpy()
        frames = np.empty((*shown.shape[:2], 1, 3, self.height, self.width), np.uint8)
        for index in np.ndindex(*shown.shape[:2]):
            scene.set_state(shown[index])
            frames[index][0] = scene.render_clean(self.height, self.width).transpose(2, 0, 1)
        return torch.from_numpy(frames).to(latents.device)
