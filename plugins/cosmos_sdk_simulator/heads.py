"""What the simulator said of its last step, read off the features that it left in the state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from torch import Tensor

from cosmos_sdk.protocols import Parts
from cosmos_sdk.state import Control, Tensors, WorldState
from cosmos_sdk_simulator.backend import OBSERVATION, REWARD, TERMINATED


@dataclass(frozen=True)
class SimulatorHeadConfig:
    """Heads of a simulator have no options."""


class _Column:
    """One column of the features, (B, 1)."""

    column: int

    def __init__(self, config: SimulatorHeadConfig, parts: Parts) -> None: ...

    def start(self, state: WorldState) -> Tensors:
        return {}

    def read(
        self, before: WorldState, control: Control, after: WorldState, memory: Tensors
    ) -> tuple[Tensor, Tensors]:
        return after.features[..., self.column], memory


@final
class SimulatorReward(_Column):
    """The reward (B, 1) of the last step."""

    column = REWARD


@final
class SimulatorTermination(_Column):
    """1 where the last step ended the episode, else 0, (B, 1): the probability of one who knows."""

    column = TERMINATED


@final
class SimulatorState:
    """The observation (B, P), in the simulator's units."""

    def __init__(self, config: SimulatorHeadConfig, parts: Parts) -> None: ...

    def read(self, state: WorldState) -> Tensor:
        return state.features[:, -1, OBSERVATION:]
