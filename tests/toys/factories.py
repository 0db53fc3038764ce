"""The smallest world that the registry can build: the mean colour of a frame, moved linearly by the action."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from cosmos_sdk.actions import ActionSpec
from cosmos_sdk.plugins import Source
from cosmos_sdk.protocols import Parts, Prediction
from cosmos_sdk.registry import Entry, Registry
from cosmos_sdk.rng import Rng
from cosmos_sdk.state import Control, Masked, Tensors, WorldState

TOYS = {
    "tokenizer": "Colour",
    "conditioner": "Linear",
    "backend": "Drift",
    "head": "Score",
    "readout": "Mean",
}


def toy_registry(**more: str) -> Registry:
    """A registry of the components below, and of `kind="Attribute"` of this module under the name "extra"."""
    source = Source("toys", "toys", "1.0")
    named = [(kind, "toy", attribute) for kind, attribute in TOYS.items()]
    named += [(kind, "extra", attribute) for kind, attribute in more.items()]
    return Registry(
        Entry(kind, name, f"toys.factories:{attr}", source) for kind, name, attr in named
    )


def toy_data() -> dict[str, Any]:
    """A world of every kind of component, as plain data."""
    action = ActionSpec(names=("x", "y"), low=(-1.0, -1.0), high=(1.0, 1.0), rate=10.0).to_dict()
    return {
        "spec": {
            "frames": [1, 8, 8],
            "rate": 10.0,
            "actions": {"action": action},
            "targets": {"reward": {"low": [0.0], "high": [1.0], "names": ["reward"]}},
        },
        "tokenizer": {"name": "toy"},
        "conditioners": {"action": {"name": "toy", "width": 4}},
        "backend": {"name": "toy", "noise": {"scale": 0.5}},
        "heads": {"reward": {"name": "toy"}},
        "readouts": {"mean": {"name": "toy"}},
    }


@dataclass(frozen=True)
class Empty:
    """Nothing to choose."""


@dataclass(frozen=True)
class Width:
    """Width of a token."""

    width: int = 8

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError(f"width {self.width} has to be positive")


@dataclass(frozen=True)
class Noise:
    """A nested section."""

    scale: float = 0.0


@dataclass(frozen=True)
class DriftConfig:
    """Of the backend."""

    window: int = 2
    noise: Noise = field(default_factory=Noise)


@dataclass(frozen=True)
class Sampling:
    """Run-time options."""

    num_steps: int = 1


class Colour(nn.Module):
    """Latent (3,): the mean colour."""

    latent_shape = (3,)

    def __init__(self, config: Empty, parts: Parts) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))
        self.size = parts.spec.frames

    def encode(self, frames: Tensor) -> Tensor:
        return frames.to(self.scale.dtype).mean((2, 4, 5)) / 255 * self.scale

    def decode(self, latents: Tensor, num_frames: int) -> Tensor:
        views, height, width = self.size
        colour = (latents[:, -num_frames:] / self.scale * 255).clamp(0, 255).to(torch.uint8)
        return colour[:, :, None, :, None, None].expand(-1, -1, views, -1, height, width)


class Linear(nn.Module):
    """One token a frame; the signal is the one whose name the conditioner bears."""

    start_space, num_tokens = None, 1

    def __init__(self, config: Width, parts: Parts) -> None:
        super().__init__()
        self.space, self.width = parts.spec.spaces[parts.name], config.width
        assert self.space.shape is not None
        self.layer = nn.Linear(self.space.shape[0], config.width)

    def start(self, signal: Masked) -> Tensors:
        return {}

    def embed(self, signal: Masked, time: Tensor, memory: Tensors) -> tuple[Masked, Tensors]:
        tokens = self.layer(signal.values)[:, :, None, None]
        return Masked(tokens, signal.mask[:, :, None, None].expand(tokens.shape[:-1])), memory


class Drift(nn.Module):
    """Latents move by a linear map of all tokens."""

    context, chunk, feature_width, differentiable = 1, 1, 0, True

    def __init__(self, config: DriftConfig, parts: Parts) -> None:
        super().__init__()
        assert parts.tokenizer is not None
        self.window, self.sampling = config.window, Sampling()
        width = sum(conditioner.width for conditioner in parts.conditioners.values())
        self.layer = nn.Linear(width, parts.tokenizer.latent_shape[0])
        self.register_buffer("calls", torch.tensor([70_001]))

    def start(self, latents: Tensor, control: Control, rng: Rng) -> tuple[Tensor, Tensors]:
        return latents.new_zeros(len(latents), 1, 0), {}

    def predict(self, state: WorldState, control: Control, rng: Rng) -> Prediction:
        cond = torch.cat([tokens.values[:, :, 0, 0] for tokens in control.cond.values()], -1)
        return Prediction(state.latents[:, -1:] + self.layer(cond), state.features, {})


class Score(nn.Module):
    """Reward, linear in the latent."""

    def __init__(self, config: Empty, parts: Parts) -> None:
        super().__init__()
        assert parts.tokenizer is not None
        assert parts.backend is not None
        self.layer = nn.Linear(parts.tokenizer.latent_shape[0], 1)

    def start(self, state: WorldState) -> Tensors:
        return {}

    def read(
        self, before: WorldState, control: Control, after: WorldState, memory: Tensors
    ) -> tuple[Tensor, Tensors]:
        return self.layer(after.latents[:, -1:]), memory


class Mean:
    """A readout without weights."""

    def __init__(self, config: Empty, parts: Parts) -> None:
        self.name = parts.name

    def read(self, state: WorldState) -> Tensor:
        return state.latents[:, -1].mean(-1, keepdim=True)


def careless(config: Mapping[str, Any], parts: Parts) -> None:
    """A factory whose config is no dataclass."""


def incomplete(config: Empty, parts: Parts) -> object:
    """A factory that makes something else than its role needs."""
    return object()
