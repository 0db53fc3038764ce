"""The actor: what it reads off a state of the world, and the distribution of actions that follows."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Protocol, final

import torch
from gymnasium import spaces
from torch import Tensor, nn
from torch.distributions import Categorical, Normal

from cosmos_sdk.errors import ConfigError, ShapeError
from cosmos_sdk.rng import Rng
from cosmos_sdk.state import WorldState
from cosmos_sdk.world import WorldModel
from cosmos_sdk_policies.coordinates import Box, Choices

STD = (0.1, 1.0)  # of a continuous action in [-1, 1]
UNIFORM = 0.01  # share of a discrete actor that is uniform, so that no choice is ever excluded


def perceptron(num_inputs: int, width: int, depth: int, num_outputs: int) -> nn.Sequential:
    """Normalised hidden layers with SiLU; the outputs begin at zero."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise([num_inputs, *[width] * depth]):
        layers += [nn.Linear(inputs, outputs), nn.LayerNorm(outputs), nn.SiLU()]
    last = nn.Linear(width, num_outputs)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(*layers, last)


@final
class StateReader(nn.Module):
    """What actor and critic see of a state: the features of its newest frame, its latent, or both, at unit scale."""

    centre: Tensor
    spread: Tensor

    def __init__(self, world: WorldModel, reads: Sequence[str] = ("features",)) -> None:
        """Takes what there is to read from the world's parts.

        Raises:
            ConfigError: features of a backend that has none, or latents that are no numbers.
        """
        super().__init__()
        self.reads = tuple(reads)
        width = sum(_width(world, name) for name in self.reads)
        self.register_buffer("centre", torch.zeros(width))
        self.register_buffer("spread", torch.ones(width))

    @property
    def width(self) -> int:
        """W, the numbers of a state."""
        return len(self.centre)

    def prepare(self, state: WorldState) -> None:
        """Takes centre and spread from many states."""
        seen = self._numbers(state).detach()
        self.centre.copy_(seen.mean(0))
        self.spread.copy_(seen.std(0, correction=0).clamp_min(1e-3))

    def forward(self, state: WorldState) -> Tensor:
        """Numbers (B, W)."""
        return (self._numbers(state) - self.centre) / self.spread

    def _numbers(self, state: WorldState) -> Tensor:
        parts = [
            state.features[:, -1] if name == "features" else state.latents[:, -1].flatten(1)
            for name in self.reads
        ]
        return torch.cat([part.to(self.centre) for part in parts], -1)


class Actions(Protocol):
    """A distribution over actions (B, n), in coordinates that `Actor.signal` turns into a signal."""

    def sample(self, draw: Tensor) -> Tensor: ...  # one of `Actor.draws`, (B, n)
    def mode(self) -> Tensor: ...
    def log_prob(self, action: Tensor) -> Tensor: ...  # (B,)
    def entropy(self) -> Tensor: ...  # (B,)


@final
class BoundedNormal:
    """Gaussian around a mean within [-1, 1]; what it draws beyond is cut off when it becomes a signal.

    Gradients reach mean and standard deviation through what is drawn.
    """

    def __init__(self, outputs: Tensor) -> None:
        mean, std = outputs.chunk(2, -1)
        low, high = STD
        # two more than nothing: an actor that has learned nothing explores
        self._normal = Normal(mean.tanh(), low + (high - low) * (std + 2).sigmoid())

    def sample(self, draw: Tensor) -> Tensor:
        return self._normal.mean + self._normal.stddev * draw.to(self._normal.mean)

    def mode(self) -> Tensor:
        return self._normal.mean

    def log_prob(self, action: Tensor) -> Tensor:
        return self._normal.log_prob(action).sum(-1)

    def entropy(self) -> Tensor:
        return self._normal.entropy().sum(-1)


@final
class Choice:
    """One choice of n for each of D components, from logits (B, D, n)."""

    def __init__(self, logits: Tensor) -> None:
        share = (1 - UNIFORM) * logits.softmax(-1) + UNIFORM / logits.shape[-1]
        self._categorical = Categorical(probs=share)

    def sample(self, draw: Tensor) -> Tensor:
        share: Tensor = self._categorical.probs
        below = share.cumsum(-1) < draw[..., None].to(share)
        return below.sum(-1).clamp_max(share.shape[-1] - 1)

    def mode(self) -> Tensor:
        return self._categorical.probs.argmax(-1)

    def log_prob(self, action: Tensor) -> Tensor:
        return self._categorical.log_prob(action).sum(-1)

    def entropy(self) -> Tensor:
        return self._categorical.entropy().sum(-1)


@final
class Actor(nn.Module):
    """Numbers (B, W) of a state to a distribution of actions. A world that predicts chunks is given a chunk at once."""

    def __init__(
        self,
        num_inputs: int,
        space: spaces.Space[Any],
        chunk: int,
        width: int,
        depth: int,
        device: torch.device | None = None,
    ) -> None:
        """Takes the space of one signal: a bounded `Box`, or `Discrete`. Its bounds stay on `device`, the CPU if None.

        Raises:
            ConfigError: a space of another kind, or a Box without bounds.
        """
        super().__init__()
        self.chunk, self.discrete = chunk, isinstance(space, spaces.Discrete)
        if not self.discrete and not (isinstance(space, spaces.Box) and space.is_bounded()):
            raise ConfigError(
                [f"an actor's actions are a bounded Box or Discrete; the signal is {space}."]
            )
        kind = Choices if self.discrete else Box
        self.coordinates = kind(space, "action", device or torch.device("cpu"), torch.float32)
        count = int(space.n) if isinstance(space, spaces.Discrete) else 2
        size = chunk * max(1, int(torch.tensor(space.shape or (1,)).prod()))
        self._logits = (size, count)
        self.layers = perceptron(num_inputs, width, depth, size * count)

    def forward(self, numbers: Tensor) -> Actions:
        """The distribution after what was seen, (B, W)."""
        outputs = self.layers(numbers)
        return (
            Choice(outputs.unflatten(-1, self._logits)) if self.discrete else BoundedNormal(outputs)
        )

    def draws(self, rng: Rng, steps: int) -> Tensor:
        """What the actions of some steps are drawn with, (B, steps, n), in one call: a draw has a price of its own."""
        shape = (steps, self._logits[0])
        return rng.uniform(*shape) if self.discrete else rng.normal(*shape)

    @property
    def idle(self) -> Tensor:
        """A signal (*shape) that stands where none was given, masked."""
        dtype = torch.int64 if self.discrete else torch.float32
        return torch.zeros(self.coordinates.shape, dtype=dtype)

    def signal(self, action: Tensor) -> Tensor:
        """The signal (B, chunk, *shape) of actions (B, n), within bounds; its gradient passes the cut unchanged."""
        if not self.discrete:
            action = action + (action.clamp(-1, 1) - action).detach()
        frames = self.coordinates.action(action.unflatten(-1, (self.chunk, -1)))
        return frames.reshape(len(action), self.chunk, *self.coordinates.shape)


def _width(world: WorldModel, name: str) -> int:
    if name == "features":
        width = world.backend.feature_width
        if not width:
            kind = type(world.backend).__name__
            raise ConfigError(
                [f"reads: {kind} has no features; set reads=[latents] to read the newest latent."]
            )
        return width
    if name != "latents":
        raise ConfigError([f"reads: {name!r} is nothing to read; choose from features, latents."])
    if hasattr(world.tokenizer, "vocabulary_size"):
        raise ConfigError(["reads: latents of this tokenizer are indices, which are no numbers."])
    size = tuple(world.tokenizer.latent_shape)
    if not size:
        raise ShapeError("latents", size, "numbers")
    return int(torch.tensor(size).prod())
