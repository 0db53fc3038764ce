"""From a batch to one number, and the running means of what went into it."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from cosmos_sdk.errors import ConfigError, PluginError, TrainingError, did_you_mean
from cosmos_sdk.protocols import Batch, TrainableTokenizer
from cosmos_sdk.rng import Rng
from cosmos_sdk.training.recipe import TOKENIZER, StageConfig
from cosmos_sdk.world import WorldModel


def losses(world: WorldModel, stage: StageConfig, batch: Batch, rng: Rng) -> dict[str, Tensor]:
    """The terms of one batch, each (B,): of the tokenizer, or of backend, heads and readouts."""
    if stage.train != TOKENIZER:
        return dict(world.loss(batch, rng))
    if not callable(getattr(world.tokenizer, "loss", None)):
        kind = type(world.tokenizer).__name__
        raise PluginError(
            kind, "this tokenizer cannot be trained.", "It has no method `loss`; drop its stage."
        )
    tokenizer: TrainableTokenizer = world.tokenizer  # pyright: ignore[reportAssignmentType]
    return dict(tokenizer.loss(batch.frames, batch.valid, batch.targets, rng))


def weighted(terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """The sum of the weighted means over rows; a term without a weight counts once.

    Raises:
        ConfigError: a weight for a term that does not exist.
    """
    problems = [
        f"weights: there is no loss {name!r}.{did_you_mean(name, terms)} Losses: {', '.join(terms)}."
        for name in weights
        if name not in terms
    ]
    if problems:
        raise ConfigError(problems)
    return torch.stack(
        [weights.get(name, 1.0) * term.float().mean() for name, term in terms.items()]
    ).sum()


class Meter:
    """Means of losses since the last reading; reading makes an accelerator wait, so it is done now and then."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._count = 0

    def add(self, terms: Mapping[str, Tensor]) -> None:
        """Adds the terms of one step, averaged over rows."""
        for name, term in terms.items():
            mean = term.detach().float().mean()
            self._sums[name] = self._sums[name] + mean if name in self._sums else mean
        self._count += 1

    def read(self) -> dict[str, float]:
        """The means since the last reading.

        Raises:
            TrainingError: one of them is not finite.
        """
        means = {name: float(total) / self._count for name, total in self._sums.items()}
        self._sums, self._count = {}, 0
        if wrong := [name for name, value in means.items() if not math.isfinite(value)]:
            remedy = "Lower learning_rate or clip_norm, or train in float32; the last snapshot holds finite weights."
            raise TrainingError(f"Not finite: {', '.join(wrong)}. {remedy}")
        return means
