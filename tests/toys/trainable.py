"""A dot that an action moves: episodes as `Footage`, and the smallest world that learns them. Seconds, not minutes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from cosmos_sdk.config import WorldConfig
from cosmos_sdk.protocols import Prediction, Spec
from cosmos_sdk.rng import Rng
from cosmos_sdk.state import Control, Masked, Tensors, WorldState
from cosmos_sdk.training.footage import Footage
from cosmos_sdk.training.recipe import Recipe
from cosmos_sdk.world import WorldModel

SIZE, WIDTH = 8, 6  # pixels; numbers of a latent
SPEC = Spec(
    (1, SIZE, SIZE), 10.0, {"action": spaces.Box(-1, 1, (2,))}, {"state": spaces.Box(0, 1, (2,))}
)
WORLD = {
    "spec": {"frames": [1, SIZE, SIZE], "rate": 10.0},
    "tokenizer": {"name": "toy"},
    "backend": {"name": "toy"},
}


def dot_footage(
    num_episodes: int = 8, length: int = 12, held_out: int = 2, seed: int = 0
) -> Footage:
    """Episodes of a Gaussian dot. In every second one it stands still."""
    rng = np.random.default_rng(seed)
    action = rng.uniform(-1, 1, (num_episodes, length, 2)).astype(np.float32)
    action[::2] = 0
    place = np.clip(rng.uniform(0.2, 0.8, (num_episodes, 1, 2)) + 0.1 * np.cumsum(action, 1), 0, 1)
    grid = (np.arange(SIZE) + 0.5) / SIZE
    x, y = (np.exp(-((grid - place[..., k, None]) ** 2) / 0.02) for k in (0, 1))
    grey = (255 * y[..., :, None] * x[..., None, :]).astype(np.uint8).reshape(-1, 1, 1, SIZE, SIZE)
    first = torch.arange(num_episodes) * length
    count = num_episodes * length
    led = torch.ones(count, dtype=torch.bool)
    led[first] = False
    return Footage(
        torch.from_numpy(grey.repeat(3, 2)),
        torch.stack((first, first + length), 1),
        torch.arange(num_episodes) >= num_episodes - held_out,
        {"action": Masked(torch.from_numpy(action.reshape(count, 2)), led)},
        {
            "state": Masked(
                torch.from_numpy(place.reshape(count, 2).astype(np.float32)),
                torch.ones(count, dtype=torch.bool),
            )
        },
    )


def dot_recipe(**more: Any) -> Recipe:
    """Tokenizer, then world, in two stages of the same weights."""
    common = {"batch_size": 8, "warmup": 3, "learning_rate": 5e-3, "ema": 0.9}
    values = {
        "data": {"dots": "unused"},
        "world": WORLD,
        "stages": [
            {"train": "tokenizer", "steps": 30, "frames": 2, **common},
            {"train": "world", "steps": 20, "frames": 5, "decay": 0, **common},
            {
                "train": "world",
                "steps": 10,
                "frames": 6,
                "using": {"scale": 2.0},
                "moving": 0.5,
                **common,
            },
        ],
        "validation": {"every": 20, "num_windows": 4, "horizons": [1, 3], "num_rows": 2},
        "checkpoint_every": 7,
        "tensorboard": False,
    }
    return Recipe.from_mapping({**values, **more})


def dot_world(seed: int = 0) -> WorldModel:
    """A linear autoencoder, and dynamics linear in latent and action."""
    torch.manual_seed(seed)
    readouts = {"state": DotReadout()}
    config = WorldConfig.from_mapping(WORLD)
    return WorldModel(
        DotTokenizer(), DotBackend(), {"action": DotAction()}, {}, readouts, SPEC, config
    )


class DotTokenizer(nn.Module):
    """Latents (WIDTH,) of a frame, around the mean frame that `prepare` saw."""

    latent_shape = (WIDTH,)
    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        pixels = 3 * SIZE * SIZE
        self.encoder, self.decoder = nn.Linear(pixels, WIDTH), nn.Linear(WIDTH, pixels)
        self.register_buffer("mean", torch.zeros(pixels))
        self.prepared = 0

    def prepare(self, frames: Tensor) -> None:
        self.prepared += 1
        self.mean.copy_(frames.flatten(1).float().mean(0) / 255)

    def encode(self, frames: Tensor) -> Tensor:
        return self.encoder(frames.flatten(2).to(self.mean.dtype) / 255 - self.mean)

    def decode(self, latents: Tensor, num_frames: int) -> Tensor:
        pixels = self.decoder(latents[:, -num_frames:]) + self.mean
        return (pixels * 255).clamp(0, 255).to(torch.uint8).unflatten(-1, (1, 3, SIZE, SIZE))

    def loss(self, frames: Tensor, valid: Tensor, targets: dict[str, Masked], rng: Rng) -> Tensors:
        wanted = frames.flatten(2).to(self.mean.dtype) / 255 - self.mean
        latents = self.encoder(wanted)
        error = (
            (self.decoder(latents + 0.01 * rng.normal(*latents.shape[1:])) - wanted)
            .square()
            .mean(-1)
        )
        return {"reconstruction": (error * valid).sum(1) / valid.sum(1)}


class DotAction(nn.Module):
    """One token: the action."""

    start_space, space, num_tokens, width = None, SPEC.spaces["action"], 1, 2

    def start(self, signal: Masked) -> Tensors:
        return {}

    def embed(self, signal: Masked, time: Tensor, memory: Tensors) -> tuple[Masked, Tensors]:
        return Masked(signal.values[:, :, None, None], signal.mask[:, :, None, None]), memory


@dataclass(frozen=True)
class DotSampling:
    """Run-time options."""

    scale: float = 1.0  # of the loss, so that a test sees which options a stage ran under


class DotBackend(nn.Module):
    """Next latent = last latent + linear(latent, action); dropout draws from torch's own generator."""

    context, window, chunk, feature_width, differentiable = 2, 2, 1, 0, True

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Sequential(nn.Dropout(0.05), nn.Linear(WIDTH + 2, WIDTH))
        self.sampling = DotSampling()

    def start(self, latents: Tensor, control: Control, rng: Rng) -> tuple[Tensor, Tensors]:
        return latents.new_zeros(len(latents), 1, 0), {}

    def predict(self, state: WorldState, control: Control, rng: Rng) -> Prediction:
        return Prediction(
            self._next(state.latents[:, -1:], control, slice(0, 1)), state.features, {}
        )

    def loss(
        self, latents: Tensor, control: Control, valid: Tensor, rng: Rng
    ) -> tuple[Tensors, Tensor]:
        made = self._next(latents[:, :-1], control, slice(1, None))
        error = (made - latents[:, 1:]).square().mean(-1) * valid[:, 1:]
        features = latents.new_zeros(*latents.shape[:2], 0)
        return {"step": self.sampling.scale * error.sum(1) / valid.sum(1)}, features

    def _next(self, latents: Tensor, control: Control, frames: slice) -> Tensor:
        action = control.cond["action"].values[:, frames, 0, 0]
        return latents + self.layer(torch.cat((latents, action), -1))


class DotReadout(nn.Module):
    """The place of the dot."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(WIDTH, 2)

    def read(self, state: WorldState) -> Tensor:
        return self.layer(state.latents[:, -1])

    def loss(self, latents: Tensor, features: Tensor, control: Control, target: Masked) -> Tensors:
        error = (self.layer(latents) - target.values).square().mean(-1)
        return {"place": (error * target.mask).mean(1)}


def without_held_out(footage: Footage) -> Footage:
    """The same, all of it for training."""
    return replace(footage, held_out=torch.zeros_like(footage.held_out))
