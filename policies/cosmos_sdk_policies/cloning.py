"""Behaviour cloning: a small network that does what recorded actions did, given what was seen and, if any, a goal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cosmos_sdk.actions import ActionSpec
from cosmos_sdk.errors import CheckpointError, ConfigError, ShapeError
from cosmos_sdk.files import replacing

Features = Callable[[Any, Any], NDArray[np.float32]]  # (observation, goal) -> (D,)


@dataclass(frozen=True)
class CloningConfig:
    """The network and its training."""

    width: int = 256
    depth: int = 3
    steps: int = 3000
    batch_size: int = 256
    learning_rate: float = 1e-3  # decays to zero along a cosine
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuses counts below 1."""
        wrong = [
            f"{name} is {value}; expected more than 0"
            for name, value in asdict(self).items()
            if name != "seed" and value <= 0
        ]
        if wrong:
            raise ConfigError(wrong)


@final
class CloningNetwork(nn.Module):
    """Features (B, D) to normalised actions (B, A); a multi-layer perceptron with SiLU."""

    def __init__(self, num_features: int, num_actions: int, config: CloningConfig) -> None:
        super().__init__()
        widths = [num_features, *[config.width] * config.depth]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.SiLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], num_actions))
        self.mean, self.scale = (
            nn.Buffer(torch.zeros(num_features)),
            nn.Buffer(torch.ones(num_features)),
        )

    def forward(self, features: Tensor) -> Tensor:
        return self.layers((features - self.mean) / self.scale)


def clone(features: Tensor, actions: Tensor, config: CloningConfig) -> CloningNetwork:
    """Fits a network to n pairs by least squares (Pomerleau, 1988), on batches drawn from `config.seed`.

    Args:
        features: (n, D).
        actions: (n, A), normalised.
        config: see the class.

    Raises:
        ShapeError: no pairs, or not as many features as actions.
    """
    if features.ndim != 2 or actions.ndim != 2 or not 0 < len(features) == len(actions):
        got = f"{tuple(features.shape)} and {tuple(actions.shape)}"
        raise ShapeError("features and actions", got, "(n, D) and (n, A) with n > 0")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = CloningNetwork(features.shape[1], actions.shape[1], config)
    network.mean.copy_(features.mean(0))
    network.scale.copy_(features.std(0, correction=0).clamp_min(1e-3))
    optimiser = torch.optim.AdamW(network.parameters(), config.learning_rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.steps)
    draw = torch.Generator().manual_seed(config.seed)
    for _ in range(config.steps):
        rows = torch.randint(len(features), (config.batch_size,), generator=draw)
        loss = (network(features[rows]) - actions[rows]).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return network.eval().requires_grad_(False)


@final
class ClonedPolicy:
    """Acts as a cloning network says; `aim(goal)` tells it a goal, which its features may use.

    A network that was given blocks of k actions, (n, k * A), answers with chunks (k, A).
    """

    def __init__(self, network: CloningNetwork, features: Features, spec: ActionSpec) -> None:
        self.network, self.features, self.spec = network, features, spec
        self._goal: Any = None

    def reset(self, seed: int | None = None) -> None:
        """Forgets the goal."""
        self._goal = None

    def aim(self, goal: Any) -> None:
        """The goal of this episode."""
        self._goal = goal

    def act(self, observation: Any) -> NDArray[np.float32]:
        """The action (A,), or a chunk of them (k, A), within bounds."""
        given = torch.from_numpy(np.asarray(self.features(observation, self._goal), np.float32))
        with torch.no_grad():
            normalised = self.network(given[None])[0].numpy().reshape(-1, self.spec.size)
        actions = self.spec.check(self.spec.denormalise(normalised))
        return actions if len(actions) > 1 else actions[0]


def save_network(network: CloningNetwork, path: Path, config: CloningConfig) -> None:
    """Writes weights and configuration as one safetensors file, whole or not at all."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    told = {name: str(value) for name, value in asdict(config).items()}
    with replacing(path) as draft:
        save_file({name: t.contiguous() for name, t in network.state_dict().items()}, draft, told)


def load_network(path: Path, config: CloningConfig) -> CloningNetwork:
    """Reads what `save_network` wrote.

    Raises:
        CheckpointError: the file cannot be read, or was trained with another configuration.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            told: Mapping[str, str] = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} cannot be read as a cloned policy: {error}.") from error
    expected = {name: str(value) for name, value in asdict(config).items()}
    if dict(told) != expected:
        raise CheckpointError(f"{path} was trained with {dict(told)}; expected {expected}.")
    last = max(int(name.split(".")[1]) for name in weights if name.startswith("layers."))
    network = CloningNetwork(len(weights["mean"]), len(weights[f"layers.{last}.bias"]), config)
    network.load_state_dict(weights)
    return network.eval().requires_grad_(False)
