"""How unsure a world is of a step: what the members of an ensemble, or several draws of a future, do not agree on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn
from torch.nn import functional as F

from cosmos_sdk.errors import ConfigError
from cosmos_sdk.protocols import Backend, Parts
from cosmos_sdk.rng import FIRST_PRIVATE_STREAM, Rng
from cosmos_sdk.state import Control, Masked, Tensors, WorldState
from cosmos_sdk_heads.layers import mean_where

MEMBER_STREAM = (
    FIRST_PRIVATE_STREAM + 3
)  # keeps the draws of this head apart from the backend's own


@dataclass(frozen=True)
class DisagreementConfig:
    """The ensemble, and what its members predict."""

    of: str = ""  # the target in the spec whose bounds the predicted column has, such as "state"; its own name if empty
    num_members: int = 5
    hidden: int = 64
    prior: float = 1.0  # weight of each member's random function, which never learns; 0: none

    def __post_init__(self) -> None:
        if self.num_members < 2 or self.hidden < 1 or not self.prior >= 0:
            given = f"{self.num_members}, {self.hidden} and {self.prior}"
            raise ValueError(
                f"num_members must be 2 or more, hidden positive and prior not negative; got {given}"
            )


@final
class Disagreement(nn.Module):
    """Members that predict a target one frame ahead, from features and signals; their disagreement (B, chunk).

    The recipe feeds them like any head, under its own name: `targets: {uncertainty: observation.state}`.

    Where there was data they agree; elsewhere each says something else. What it reads is how far they differ: the
    standard deviation over members, root mean square over the target's numbers, which are scaled to [-1, 1] by their
    bounds (as PETS, arXiv:1805.12114, and Plan2Explore, arXiv:2005.05960, ask ensembles). Each member adds a random
    function of its own that does not learn (Osband et al. 2018, arXiv:1806.03335): networks that learn alike from like
    beginnings would agree on what none of them has seen.

    The members do not move the features: their gradient stops there.
    """

    low: Tensor
    span: Tensor

    def __init__(self, config: DisagreementConfig, parts: Parts) -> None:
        """Reads features of the frame before, and the signals that lead from it.

        Raises:
            ConfigError: no features, or no bounded target of this name.
        """
        super().__init__()
        name = parts.name or "uncertainty"
        self.config = config
        width = parts.backend.feature_width if parts.backend else 0
        space = parts.spec.targets.get(config.of or name)
        problems: list[str] = []
        if not width:
            problems.append(f"heads.{name}: the backend offers no features to predict from.")
        if not isinstance(space, spaces.Box) or not space.is_bounded():
            wanted = f"predicts spec.targets.{config.of or name}, which has to be a bounded Box"
            known = ", ".join(parts.spec.targets) or "none"
            problems.append(f"heads.{name}: {wanted}; it is {space}. Targets: {known} (`of:`).")
        if problems or not isinstance(space, spaces.Box):
            raise ConfigError(problems)
        low, high = (np.asarray(bound.ravel(), np.float64) for bound in (space.low, space.high))
        self.register_buffer("low", torch.tensor(low, dtype=torch.float32), persistent=False)
        span = torch.tensor(np.where(high > low, high - low, 1.0), dtype=torch.float32)
        self.register_buffer("span", span, persistent=False)
        self.signals = tuple(parts.conditioners)
        inputs = width + sum(c.width for c in parts.conditioners.values())
        self.members = _Ensemble(config.num_members, inputs, config.hidden, len(low))
        self.priors = _Ensemble(config.num_members, inputs, config.hidden, len(low))
        self.priors.requires_grad_(False)

    def start(self, state: WorldState) -> Tensors:
        return {}

    def read(
        self, before: WorldState, control: Control, after: WorldState, memory: Tensors
    ) -> tuple[Tensor, Tensors]:
        """Disagreement (B, chunk) about arriving in each frame of `after`."""
        earlier = torch.cat((before.features[:, -1:], after.features[:, :-1]), 1)
        said = self._predict(earlier, control)  # (M, B, chunk, P)
        return said.std(0).square().mean(-1).sqrt(), memory

    def loss(self, latents: Tensor, features: Tensor, control: Control, target: Masked) -> Tensors:
        """Squared error (B,) of every member in what it predicts of frames (B, F, P) from the frames before."""
        values = target.zeroed().values.flatten(2).to(self.low)
        wanted = 2 * (values - self.low) / self.span - 1
        earlier = F.pad(features, (0, 0, 1, 0))[:, :-1].detach()
        error = (self._predict(earlier, control) - wanted).square().mean((0, -1))
        first = torch.zeros_like(target.mask)
        first[:, :1] = True  # of what came before it nothing is known
        return {"squared": mean_where(error, target.mask & ~first)}

    def _predict(self, features: Tensor, control: Control) -> Tensor:
        """What the members say, (M, B, F, P), after features (B, F, W) and the signals that follow."""
        seen = [features]
        for name in self.signals:
            tokens = control.cond[name]
            mask = tokens.mask[..., None].to(features)
            vector = (tokens.values.to(features) * mask).mean((2, 3))  # (B, F | 1, D)
            seen.append(vector.expand(*features.shape[:2], -1).detach())
        inputs = torch.cat(seen, -1)
        return self.members(inputs) + self.config.prior * self.priors(inputs)


class _Ensemble(nn.Module):
    """M perceptrons of one hidden layer, side by side."""

    def __init__(self, members: int, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.into = nn.Parameter(torch.randn(members, inputs, hidden) / inputs**0.5)
        self.bias = nn.Parameter(torch.randn(members, 1, hidden))
        self.out = nn.Parameter(torch.randn(members, hidden, outputs) / hidden**0.5)
        self.offset = nn.Parameter(torch.zeros(members, 1, outputs))

    def forward(self, inputs: Tensor) -> Tensor:
        """(M, *, outputs) of (*, inputs)."""
        flat = inputs.flatten(0, -2).to(self.into)
        hidden = torch.tanh(flat @ self.into + self.bias)  # (M, n, hidden)
        return (hidden @ self.out + self.offset).unflatten(1, inputs.shape[:-1])


@dataclass(frozen=True)
class SampleDisagreementConfig:
    """How many futures are compared."""

    num_samples: int = 4

    def __post_init__(self) -> None:
        if self.num_samples < 2:
            raise ValueError(f"num_samples is {self.num_samples}; two futures are the least")


@final
class SampleDisagreement:
    """How far several draws of the same step differ: the standard deviation of their latents, root mean square.

    For backends that draw their futures; it costs `num_samples` more predicts a step and learns nothing. It samples
    with the options that the world was built with, not with those of `world.using`.
    """

    def __init__(self, config: SampleDisagreementConfig, parts: Parts) -> None:
        """Raises ConfigError for a backend whose futures are certain, or are indices."""
        if parts.backend is None or not getattr(parts.backend, "stochastic", False):
            kind = type(parts.backend).__name__
            remedy = "Use the head 'disagreement', an ensemble, instead."
            raise ConfigError(
                [
                    f"heads.{parts.name}: futures of {kind} do not differ by seed, so none disagree. {remedy}"
                ]
            )
        if hasattr(parts.tokenizer, "vocabulary_size"):
            raise ConfigError(
                [f"heads.{parts.name}: latents that are indices have no distance; use 'entropy'."]
            )
        self.config = config
        self._backend: tuple[Backend] = (parts.backend,)  # registered by the world, not twice

    def start(self, state: WorldState) -> Tensors:
        """A memory, so that a rollout calls this head with whole states."""
        return {"steps": torch.zeros_like(state.time)}

    def read(
        self, before: WorldState, control: Control, after: WorldState, memory: Tensors
    ) -> tuple[Tensor, Tensors]:
        """Disagreement (B, chunk), the same for all frames of a predict."""
        backend, drawn = self._backend[0], list[Tensor]()
        seeds = Rng(before.seed, before.time, MEMBER_STREAM)
        for _ in range(self.config.num_samples):
            rng: Any = Rng(seeds.integers().to(before.seed), before.time)
            drawn.append(backend.predict(before, control, rng).latents.flatten(1))
        doubt = torch.stack(drawn).float().std(0).square().mean(1).sqrt()
        steps = {"steps": memory["steps"] + 1}
        return doubt[:, None].expand(-1, after.features.shape[1]), steps
