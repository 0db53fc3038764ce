"""A true simulator as backend. Its latent is its whole state, S float64 numbers, hidden velocities included."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cosmos_sdk.errors import ConfigError
from cosmos_sdk.protocols import Parts, Prediction
from cosmos_sdk.rng import Rng
from cosmos_sdk.simulators import Advances
from cosmos_sdk.state import Control, Tensors, WorldState
from cosmos_sdk_simulator.instance import simulator

REWARD, TERMINATED, OBSERVATION = 0, 1, 2  # columns of the features; the observation is the rest


@dataclass(frozen=True)
class SimulatorBackendConfig:
    """Which simulator, and which signal drives it."""

    env_id: str = "gym_pusht/PushT-v0"
    signal: str = "action"
    judged: bool = True  # False: reward and end read 0, and are not computed where the simulator can leave them out


@dataclass(frozen=True)
class SimulatorSampling:
    """A simulator has no run-time options."""


@final
class SimulatorBackend:
    """Steps each row alone from its state. An absent action is zero: for a relative action, stay.

    Features (B, 1, 2 + P) float32 hold reward, end (0 or 1) and observation, so that heads and readouts cost nothing.
    """

    context = window = chunk = 1
    differentiable = False

    def __init__(self, config: SimulatorBackendConfig, parts: Parts) -> None:
        """Raises ConfigError when the spec's action is not the one that the simulator takes."""
        self.env_id, self.signal = config.env_id, config.signal
        self.sampling = SimulatorSampling()
        scene = simulator(self.env_id)
        self._judged = config.judged
        self.feature_width = OBSERVATION + len(scene.observation_names)
        given, taken = parts.spec.spaces.get(self.signal), scene.action_spec.space
        if given is None or given.shape != taken.shape or given.dtype != taken.dtype:
            problem = f"backend: {self.env_id} takes the action {taken}; the spec's signal {self.signal!r} is {given}"
            raise ConfigError([f"{problem}. Use the simulator's own action_spec."])

    def start(self, latents: Tensor, control: Control, rng: Rng) -> tuple[Tensor, Tensors]:
        """Features (B, 1, 2 + P) of states (B, 1, S), before any reward; it has no memory."""
        scene, features = simulator(self.env_id), self._features(len(latents))
        for row, state in enumerate(_rows(latents)):
            scene.set_state(state)
            features[row, 0, OBSERVATION:] = scene.observe()
        return torch.from_numpy(features).to(latents.device), {}

    def predict(self, state: WorldState, control: Control, rng: Rng) -> Prediction:
        """The states (B, 1, S) that the actions (B, 1, *) lead to; no randomness is drawn."""
        scene, actions = simulator(self.env_id), self._actions(control)
        before = _rows(state.latents)
        after, features = np.empty_like(before), self._features(len(state))
        for row, action in enumerate(actions):
            scene.set_state(before[row])
            if not self._judged and isinstance(scene, Advances):
                scene.advance(action)
            else:
                features[row, 0, :OBSERVATION] = scene.step(action)[:OBSERVATION]
            after[row] = scene.get_state()
            features[row, 0, OBSERVATION:] = scene.observe()
        device = state.latents.device
        latents = torch.from_numpy(after)[:, None].to(device)
        return Prediction(latents, torch.from_numpy(features).to(device), {})

    def _features(self, rows: int) -> NDArray[np.float32]:
        return np.zeros((rows, 1, self.feature_width), np.float32)

    def _actions(self, control: Control) -> NDArray[np.generic]:
        """Actions (B, *), clipped or refused as the simulator's ActionSpec says; absent ones are zero."""
        values = control.signals[self.signal].zeroed().values[:, 0]
        return simulator(self.env_id).action_spec.check(values.detach().cpu().numpy())


def _rows(latents: Tensor) -> NDArray[np.float64]:
    """The newest states (B, S) of latents (B, 1, S)."""
    return latents[:, -1].detach().cpu().numpy().astype(np.float64)
