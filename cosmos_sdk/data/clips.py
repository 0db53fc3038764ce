"""Windows of frames and signals for training, aligned by the contract: signal k belongs to the frame it leads to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any, Literal, Self, final

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from cosmos_sdk.data.description import describe
from cosmos_sdk.data.frames import cached_frames
from cosmos_sdk.data.lerobot import LeRobotDataset
from cosmos_sdk.errors import DatasetError, ShapeError
from cosmos_sdk.protocols import Batch, Tokenizer
from cosmos_sdk.state import Masked

Split = Literal["all", "train", "test"]
TRANSITION = (
    "action",
    "next.",
)  # columns of a row that belong to the step out of it, so to the next row's frame


@final
class ClipDataset:
    """Clips of F consecutive frames from one LeRobotDataset.

    Columns `action...` and `next....` of row k belong to the step from k to k + 1; they are shifted, so that entry k
    of a clip led to its frame k. The first is masked where the clip begins its episode. An episode shorter than F is
    padded on the right.

    Args:
        root: the folder.
        frames: F.
        signals: name -> column; default from `describe`.
        targets: name -> column; default from `describe`.
        cameras: default all.
        size: h, w of the frames.
        episodes: a split of `meta/info.json`, or episode numbers.
        cache: folder for decoded frames, default `.cache` of the dataset.
        progress: shows a bar while frames are decoded.

    Raises:
        DatasetError: what the dataset lacks, named by episode.
    """

    def __init__(
        self,
        root: str | Path,
        frames: int,
        signals: Mapping[str, str] | None = None,
        targets: Mapping[str, str] | None = None,
        cameras: Sequence[str] | None = None,
        size: tuple[int, int] = (64, 64),
        episodes: Split | Sequence[int] = "all",
        cache: Path | None = None,
        progress: bool = False,
    ) -> None:
        self.dataset = LeRobotDataset(root)
        self.description = describe(root)
        self.dataset.check(frames=False)  # decoding checks the frames
        self.signals = self._columns(self.description.signals if signals is None else signals)
        self.targets = self._columns(self.description.targets if targets is None else targets)
        self.cameras = tuple(cameras or self.dataset.cameras)
        self.frames = cached_frames(self.dataset, self.cameras, size, cache, progress)
        self.episodes = _numbers(self.dataset, episodes)
        self._latents: NDArray[np.float16] | None = None
        lengths = [len(episode) for episode in self.dataset.episodes]
        self._first = np.repeat([e.start for e in self.dataset.episodes], lengths)
        self._last = np.repeat([e.stop for e in self.dataset.episodes], lengths)
        self.num_frames = frames
        self._starts = self._clip_starts()

    def __len__(self) -> int:
        """The number of different clips."""
        return len(self._starts)

    def with_frames(self, frames: int) -> Self:
        """The same data in clips of another length; nothing is copied."""
        other = copy(self)
        other.num_frames = frames
        other._starts = other._clip_starts()
        return other

    def with_latents(
        self, tokenizer: Tokenizer, device: str = "cpu", batch_size: int = 256
    ) -> Self:
        """The same clips with `Batch.latents`, every frame encoded once; batches then carry empty frames.

        Numbers are kept as float16, tokens as int64.

        Raises:
            ShapeError: the tokenizer joins frames, so that a frame has no latent of its own.
        """
        other = copy(self)
        kept: list[NDArray[Any]] = []
        for begin in range(0, len(self.frames), batch_size):
            frames = torch.as_tensor(np.array(self.frames[begin : begin + batch_size])).to(device)
            with torch.no_grad():
                latents = tokenizer.encode(frames[:, None])
            if latents.shape[1] != 1 or (begin == 0 and _joins(tokenizer, frames)):
                raise ShapeError(
                    "tokenizer",
                    "one that joins frames",
                    "one latent for each frame",
                    "Train on frames.",
                )
            dtype = torch.float16 if latents.is_floating_point() else torch.int64
            kept.append(latents[:, 0].to("cpu", dtype).numpy())
        other._latents = np.concatenate(kept)
        return other

    def sample(self, batch_size: int, rng: Generator) -> Batch:
        """Clips drawn uniformly, with replacement."""
        return self.batch(rng.choice(self._starts, batch_size))

    def windows(self, count: int, seed: int) -> Batch:
        """`count` different whole clips, the same for the same seed."""
        return self.batch(self.starts(count, seed))

    def starts(self, count: int, seed: int) -> NDArray[np.int64]:
        """First rows (n,) of the clips of `windows`; their `simulator_state` restores the scene there.

        Raises:
            DatasetError: there are fewer whole clips.
        """
        whole = self._starts[self._last[self._starts] - self._starts >= self.num_frames]
        if count > len(whole):
            raise DatasetError(
                f"{self.dataset.root}: {count} clips of {self.num_frames} frames wanted, {len(whole)} are there."
            )
        return np.random.default_rng(seed).choice(whole, count, replace=False)

    def batch(self, starts: NDArray[np.int64]) -> Batch:
        """The clips that begin at rows `starts` (B,)."""
        rows = starts[:, None] + np.arange(self.num_frames)
        valid = rows < self._last[starts][:, None]
        rows = np.minimum(rows, self._last[starts][:, None] - 1)
        empty = np.zeros((*rows.shape, len(self.cameras), 3, 0, 0), np.uint8)
        return Batch(
            frames=_tensor(self.frames[rows] if self._latents is None else empty),
            valid=torch.as_tensor(valid),
            start={},
            signals={
                name: self._take(values, rows, valid) for name, values in self.signals.items()
            },
            targets={
                name: self._take(values, rows, valid) for name, values in self.targets.items()
            },
            latents=None if self._latents is None else _tensor(self._latents[rows]),
        )

    def _columns(self, keys: Mapping[str, str]) -> dict[str, tuple[NDArray[Any], bool]]:
        """Values (N, *) as worlds take them, and whether they belong to the transition."""
        found: dict[str, tuple[NDArray[Any], bool]] = {}
        for name, key in keys.items():
            values = self.dataset.column(key)
            discrete = values.dtype.kind in "iu"
            values = values[:, 0] if discrete and values.shape[1:] == (1,) else values
            found[name] = (
                values.astype(np.int64 if discrete else np.float32),
                key.startswith(TRANSITION),
            )
        return found

    def _take(
        self, column: tuple[NDArray[Any], bool], rows: NDArray[np.int64], valid: NDArray[np.bool_]
    ) -> Masked:
        values, transition = column
        if transition:
            valid = valid & (rows > self._first[rows])
            rows = np.maximum(rows - 1, 0)
        return Masked(_tensor(values[rows]), torch.as_tensor(valid)).zeroed()

    def _clip_starts(self) -> NDArray[np.int64]:
        chosen = [self.dataset.episodes[k] for k in self.episodes]
        return np.concatenate(
            [np.arange(e.start, max(e.stop - self.num_frames, e.start) + 1) for e in chosen]
        )


def _tensor(values: NDArray[Any]) -> Tensor:
    return torch.as_tensor(np.ascontiguousarray(values))


def _numbers(dataset: LeRobotDataset, episodes: Split | Sequence[int]) -> list[int]:
    count = len(dataset.episodes)
    if not isinstance(episodes, str):
        if wrong := [k for k in episodes if not 0 <= k < count]:
            raise DatasetError(f"{dataset.root}: no episodes {wrong}; it has 0 to {count - 1}.")
        return list(episodes)
    splits: dict[str, str] = dict(dataset.info.get("splits", {}))
    if "test" not in splits:  # a stranger's: hold out the last tenth
        border = count - max(count // 10, min(1, count - 1))
        splits = {"train": f"0:{border}", "test": f"{border}:{count}"}
    first, last = (splits | {"all": f"0:{count}"})[episodes].split(":")
    if int(first) == int(last):
        raise DatasetError(
            f"{dataset.root}: the split {episodes!r} is empty; {count} episodes in all."
        )
    return list(range(int(first), int(last)))


def _joins(tokenizer: Tokenizer, frames: Tensor) -> bool:
    """Whether a frame's latent depends on the frame before it."""
    if getattr(tokenizer, "num_context_tokens", 0):
        return True
    pair = torch.stack([frames[-1], frames[0]])[None]
    with torch.no_grad():
        alone, after = tokenizer.encode(pair[:, 1:]).double(), tokenizer.encode(pair).double()
    return after.shape[1] != 2 or not torch.allclose(after[:, 1], alone[:, 0], atol=1e-4)
