"""Where dreams begin: real frames, encoded once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, final

import numpy as np
import torch
from torch import Tensor

from cosmos_sdk.checkpoint import find
from cosmos_sdk.data.clips import ClipDataset, Split
from cosmos_sdk.errors import CheckpointError, DatasetError
from cosmos_sdk.protocols import Batch
from cosmos_sdk.rng import ENV, Rng
from cosmos_sdk.state import Masked, WorldState
from cosmos_sdk.world import WorldModel

BUNDLED = "starts.safetensors"  # beside the weights of a world
BATCH = 256  # clips encoded together
_BEFORE_RESET = -1  # the time at which a start is drawn: no step of an episode shares its noise


@final
class EncodedStarts:
    """First states drawn evenly from n clips; row b of the result depends on `seed[b]` alone.

    It is also what an env of `CosmosSDK/World-v0` takes as `starts=`.
    """

    def __init__(self, latents: Tensor, history: Mapping[str, Masked]) -> None:
        """Takes latents (n, T, *latent) of clips, and the signals (n, F, ...) that led to their frames.

        Raises:
            DatasetError: no clips.
        """
        if not len(latents):
            raise DatasetError("There is no clip to start from; dreams begin at real frames.")
        self.latents, self.history = latents, dict(history)

    def __len__(self) -> int:
        return len(self.latents)

    def __call__(self, world: WorldModel, seed: Tensor) -> WorldState:
        """First states (B rows) by seed (B,)."""
        time = torch.full_like(seed, _BEFORE_RESET)
        index = (Rng(seed, time, ENV).uniform(1)[:, 0] * len(self)).long().to(self.latents.device)
        history = {name: Masked(m.values[index], m.mask[index]) for name, m in self.history.items()}
        return world.start(self.latents[index], {}, seed.to(world.device), history)

    @classmethod
    def of_dataset(
        cls,
        world: WorldModel,
        folder: str | Path,
        count: int = 10_000,
        episodes: Split = "train",
        columns: Mapping[str, str] | None = None,
        seed: int = 0,
    ) -> Self:
        """Different clips of a LeRobotDataset: at most `count`, of one split.

        Args:
            world: what they are to start.
            folder: of the dataset.
            count: of clips.
            episodes: those that the world has learned from, as a rule: it knows them best.
            columns: signal -> column; by default what the dataset says.
            seed: of the choice.

        Raises:
            DatasetError: the folder cannot be read, or no episode is long enough.
        """
        size = world.spec.frames[1:] if world.spec else (64, 64)
        context = world.backend.context
        clips = ClipDataset(folder, context, columns, {}, None, size, episodes)
        number = min(count, len(clips))
        chosen = np.sort(clips.starts(number, seed)) if number else np.zeros(0, np.int64)
        parts = [chosen[k : k + BATCH] for k in range(0, number, BATCH)]
        return cls._encoded(world, (clips.batch(part) for part in parts))

    @classmethod
    def of_world(cls, world: WorldModel, source: str | Path) -> Self:
        """The clips that stand beside a world's weights.

        Args:
            world: as loaded from there.
            source: its folder or bundled name.

        Raises:
            CheckpointError: no such world, or one without starting clips.
        """
        from safetensors.torch import load_file

        path = find(source) / BUNDLED
        if not path.is_file():
            raise CheckpointError(f"{path} is missing: name a dataset to start from (data=FOLDER).")
        tensors = load_file(path)
        frames = tensors["frames"]
        signals: dict[str, Any] = {}
        for name, values in tensors.items():
            if name.startswith("signals/"):
                mask = tensors[name.replace("signals/", "masks/")]
                signals[name.removeprefix("signals/")] = Masked(values, mask)
        valid = torch.ones(frames.shape[:2], dtype=torch.bool)
        return cls._encoded(world, [Batch(frames, valid, {}, signals, {})])

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """The clips of several; each clip counts the same. They have the same signals."""
        names = parts[0].history
        history = {
            name: Masked(
                torch.cat([part.history[name].values for part in parts]),
                torch.cat([part.history[name].mask for part in parts]),
            )
            for name in names
        }
        return cls(torch.cat([part.latents for part in parts]), history)

    @classmethod
    def _encoded(cls, world: WorldModel, batches: Iterable[Batch]) -> Self:
        taken = {name for name, part in world.conditioners.items() if part.space is not None}
        latents: list[Tensor] = []
        history: dict[str, list[Masked]] = {}
        for batch in batches:
            with torch.no_grad():
                latents.append(world.tokenizer.encode(batch.frames.to(world.device)))
            for name, signal in batch.signals.items():
                if name in taken and isinstance(signal, Masked):
                    history.setdefault(name, []).append(signal)
        joined: dict[str, Masked] = {}
        for name, parts in history.items():
            values = torch.cat([part.values for part in parts])
            mask = torch.cat([part.mask for part in parts])
            joined[name] = Masked(values.to(world.device), mask.to(world.device))
        return cls(torch.cat(latents) if latents else torch.zeros(0), joined)
