"""Which clips make the batch of a step: a function of (seed, stage, step), so no generator has to be saved."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from cosmos_sdk.errors import ConfigError, DatasetError
from cosmos_sdk.protocols import Batch
from cosmos_sdk.rng import TRAINING, Rng
from cosmos_sdk.training.footage import Footage, concatenate
from cosmos_sdk.training.recipe import StageConfig


class Sampler:
    """Draws the batches of one stage: a mixture of datasets, in which clips that move can be favoured."""

    def __init__(
        self, footage: Mapping[str, Footage], stage: StageConfig, seed: tuple[int, int]
    ) -> None:
        """Lists the training clips.

        Args:
            footage: the datasets by name.
            stage: how to draw.
            seed: (seed of the run, number of the stage).

        Raises:
            DatasetError: a dataset has no clip to train on.
            ConfigError: `moving` is asked of a dataset that has no such target.
        """
        self._stage, self._seed = stage, seed
        chosen = {name: footage[name] for name in stage.mix or footage}
        self._footage = list(chosen.values())
        self._all = [_starts(name, data, stage) for name, data in chosen.items()]
        sizes = [float(len(starts)) for starts in self._all]
        shares = np.array(list(stage.mix.values()) or sizes)
        self._shares = shares / shares.sum()
        self._moving = self._all if stage.moving == 0 else self._moving_clips(chosen)

    def batch(self, step: int) -> tuple[Batch, Rng]:
        """The clips of a step, and the noise of its losses."""
        rng = np.random.default_rng([*self._seed, step])
        count = self._stage.batch_size
        dataset = rng.choice(len(self._footage), count, p=self._shares)
        favoured, position = rng.random(count) < self._stage.moving, rng.random(count)
        seeds = torch.as_tensor(rng.integers(0, 2**62, count))
        parts: list[Batch] = []
        for k, footage in enumerate(self._footage):
            rows = np.flatnonzero(dataset == k)
            if len(rows):
                pools = [(self._moving if favoured[row] else self._all)[k] for row in rows]
                places = [
                    pool[int(position[row] * len(pool))]
                    for row, pool in zip(rows, pools, strict=True)
                ]
                parts.append(footage.clips(torch.stack(places), self._stage.frames))
        batch = concatenate(parts)
        alone = torch.as_tensor(rng.random(count) < self._stage.single).to(batch.valid.device)
        batch.valid[alone, 1:] = False
        seeds = seeds.to(batch.valid.device)
        return batch, Rng(seeds, torch.full_like(seeds, step), TRAINING)

    def _moving_clips(self, chosen: Mapping[str, Footage]) -> list[Tensor]:
        """Per dataset, the clips in which the target changes; all of them where the target or the change is absent."""
        name, columns = self._stage.moving_target, self._stage.moving_columns
        if not any(name in data.targets for data in chosen.values()):
            known = sorted({target for data in chosen.values() for target in data.targets})
            raise ConfigError(
                [
                    f"moving_target: no dataset has a target {name!r}; targets: {', '.join(known) or 'none'}."
                ]
            )
        pools: list[Tensor] = []
        for data, starts in zip(chosen.values(), self._all, strict=True):
            if name in data.targets:
                change = changes(data, name, columns, self._stage.moving_threshold)
                own = starts[_any_within(change, starts, self._stage.frames)]
            else:
                own = starts[:0]
            pools.append(own if len(own) else starts)
        return pools


def changes(footage: Footage, target: str, columns: list[int], threshold: float) -> Tensor:
    """(N,) bool: the target differs from the frame before by more than `threshold` of its range in some column.

    A jump of nearly the whole range is a small change of an angle.
    """
    values = footage.targets[target].values.cpu().flatten(1).double()  # (N, P)
    values = values[:, columns] if columns else values
    span = values.amax(0) - values.amin(0)
    jump = (values[1:] - values[:-1]).abs()
    jump = torch.minimum(jump, span - jump)
    moved = torch.zeros(len(values), dtype=torch.bool)
    moved[1:] = (jump > threshold * span).any(1)
    moved[footage.episodes[:, 0].cpu()] = False
    return moved


def _any_within(moved: Tensor, starts: Tensor, num_frames: int) -> Tensor:
    """Which clips hold a change between two of their frames; for a clip of one frame, into it."""
    count = torch.cat((torch.zeros(1, dtype=torch.int64), moved.long().cumsum(0)))  # (N + 1,)
    begin = starts + (1 if num_frames > 1 else 0)
    end = (starts + num_frames).clamp(max=len(moved))
    return count[end] > count[torch.minimum(begin, end)]


def _starts(name: str, footage: Footage, stage: StageConfig) -> Tensor:
    starts = footage.starts(stage.frames, held_out=False)
    if not len(starts):
        raise DatasetError(
            f"The dataset {name!r} has no episode to train on: all {len(footage.held_out)} are held out."
        )
    return starts
