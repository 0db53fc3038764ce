"""The episodes of one dataset in memory, end to end, so that a batch is one gather: nothing is decoded in the loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from cosmos_sdk.protocols import Batch
from cosmos_sdk.state import Masked


@dataclass(frozen=True, eq=False)
class Footage:
    """N frames of E episodes. Signal k led to frame k; it is masked on the first frame of an episode."""

    frames: Tensor  # (N, V, 3, h, w) uint8, memory-mapped as a rule
    episodes: Tensor  # (E, 2) int64: first frame, end
    held_out: Tensor  # (E,) bool: never trained on
    signals: Mapping[str, Masked]  # (N, ...) and (N,)
    targets: Mapping[str, Masked]
    latents: Tensor | None = None  # (N, *latent)
    # what `cosmos-sdk collect` was told, for the card; nothing where it did not record this
    collect: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def starts(self, num_frames: int, held_out: bool, whole: bool = False) -> Tensor:
        """The first frames of all clips; an episode shorter than a clip gives one padded clip, or none if `whole`."""
        chosen: list[list[int]] = self.episodes[self.held_out == held_out].tolist()  # pyright: ignore
        ranges = [
            torch.arange(first, max(end - num_frames, first) + 1)
            for first, end in chosen
            if end - first >= num_frames or not whole
        ]
        return torch.cat(ranges) if ranges else torch.zeros(0, dtype=torch.int64)

    def clips(self, start: Tensor, num_frames: int) -> Batch:
        """Clips that begin at frames `start` (B,): frames, or latents where there are any, padded on the right."""
        start = start.to(self.frames.device)
        first, end = self.episodes.T.contiguous()
        episode = torch.searchsorted(first, start, right=True) - 1
        index = start[:, None] + torch.arange(num_frames, device=start.device)  # (B, F)
        valid = index < end[episode][:, None]
        index = torch.minimum(index, end[episode][:, None] - 1)
        if self.latents is None:
            frames, latents = self.frames[index], None
        else:
            frames = self.frames.new_empty(*index.shape, *self.frames.shape[1:3], 0, 0)
            latents = self.latents[index]  # stored in fewer bits
            latents = latents.float() if latents.is_floating_point() else latents.long()
        signals, targets = (
            {name: Masked(m.values[index], m.mask[index] & valid) for name, m in group.items()}
            for group in (self.signals, self.targets)
        )
        return Batch(frames, valid, {}, signals, targets, latents)

    def to(self, device: torch.device) -> Footage:
        """All but the frames; those too when clips are made of them."""
        if device == self.frames.device:
            return self
        move = _mover(device)
        frames = self.frames if self.latents is None else self.frames[:0]
        return replace(
            self,
            frames=frames.to(device),
            latents=None if self.latents is None else self.latents.to(device),
            episodes=self.episodes.to(device),
            held_out=self.held_out.to(device),
            signals=move(self.signals),
            targets=move(self.targets),
        )

    def with_latents(self, latents: Tensor) -> Footage:
        """Clips of these latents (N, *latent) instead of frames."""
        return replace(self, latents=latents)


def concatenate(batches: Sequence[Batch]) -> Batch:
    """One batch of the rows of several; what a dataset does not have is masked in its rows."""
    if len(batches) == 1:
        return batches[0]
    latents = [batch.latents for batch in batches if batch.latents is not None]
    return Batch(
        torch.cat([batch.frames for batch in batches]),
        torch.cat([batch.valid for batch in batches]),
        {},
        _merge([batch.signals for batch in batches], batches),
        _merge([batch.targets for batch in batches], batches),
        torch.cat(latents) if latents else None,
    )


def _merge(
    groups: Sequence[Mapping[str, Tensor | Masked]], batches: Sequence[Batch]
) -> dict[str, Masked]:
    present = {
        name: given
        for group in groups
        for name, given in group.items()
        if isinstance(given, Masked)
    }
    merged: dict[str, Masked] = {}
    for name, like in present.items():
        parts: list[Masked] = []
        for group, batch in zip(groups, batches, strict=True):
            own = group.get(name)
            empty = like.values.new_zeros(*batch.valid.shape, *like.values.shape[2:])
            parts.append(
                own if isinstance(own, Masked) else Masked(empty, torch.zeros_like(batch.valid))
            )
        merged[name] = Masked(
            torch.cat([p.values for p in parts]), torch.cat([p.mask for p in parts])
        )
    return merged


def _mover(device: torch.device) -> Callable[[Mapping[str, Masked]], dict[str, Masked]]:
    return lambda group: {
        name: Masked(m.values.to(device), m.mask.to(device)) for name, m in group.items()
    }
