"""What B real environments showed and what was done in them: the history by which a world is entered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cosmos_sdk.errors import ShapeError
from cosmos_sdk.state import Masked


def views_of(observation: Any) -> NDArray[np.uint8]:
    """Frames (V, h, w, 3) of an observation: an image (h, w, 3), images (V, h, w, 3), or a mapping that holds images.

    Of a mapping, its entries of three axes and type uint8 are the views, in their order.
    """
    if isinstance(observation, Mapping):
        entries = [np.asarray(value) for value in observation.values()]
        observation = [entry for entry in entries if entry.dtype == np.uint8 and entry.ndim == 3]
    frames = np.asarray(observation)
    frames = frames[None] if frames.ndim == 3 else frames
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
        raise ShapeError(
            "observation", f"{frames.shape} {frames.dtype}", "(h, w, 3) or (V, h, w, 3) uint8, RGB"
        )
    return frames


@final
class Sight:
    """The last F frames of each slot, and the actions that led to them.

    An episode that is younger repeats its first frame, as `world.reset` does with a short history; the actions of what
    was before it do not exist.
    """

    def __init__(
        self, context: int, rows: int, views: Callable[[Any], NDArray[np.uint8]] = views_of
    ) -> None:
        """Keeps `context` frames of `rows` slots; `views` takes frames (V, h, w, 3) out of one observation."""
        self._context, self._rows, self._views = context, rows, views
        self._frames: Tensor | None = None  # (B, F, V, 3, h, w)
        self._actions: Tensor | None = None  # (B, F, *), entry k led to frame k
        self._known = torch.zeros(rows, context, dtype=torch.bool)
        self._young = torch.ones(rows, dtype=torch.bool)

    def forget(self, slots: Tensor) -> None:
        """In these slots, (B,) bool, the next observation begins an episode."""
        self._young = self._young | slots

    def see(self, observations: Any, taken: Tensor | None) -> None:
        """Observations of B slots, and the actions (B, *) that led to them, None at the very beginning.

        Raises:
            ShapeError: another number of observations than slots, or no pictures in them.
        """
        single = [self._views(one) for one in slots_of(observations, self._rows)]
        now = torch.from_numpy(np.stack(single)).movedim(-1, -3)  # (B, V, 3, h, w)
        if self._frames is None:
            self._frames = now[:, None].repeat(1, self._context, *[1] * (now.ndim - 1))
        shifted = torch.cat((self._frames[:, 1:], now[:, None]), 1)
        still = now[:, None].expand_as(shifted)
        young = self._young
        self._frames = torch.where(young.view(-1, *[1] * now.ndim), still, shifted)
        self._known = torch.cat((self._known[:, 1:], ~young[:, None]), 1) & ~young[:, None]
        if taken is not None:
            if self._actions is None:
                self._actions = torch.zeros_like(taken)[:, None].repeat_interleave(self._context, 1)
            self._actions = torch.cat((self._actions[:, 1:], taken[:, None]), 1)
        self._young = torch.zeros_like(young)

    def recall(self, rows: Tensor, idle: Tensor) -> tuple[Tensor, Masked]:
        """Frames (n, F, V, 3, h, w) and actions (n, F, *) of some slots; `idle` (*) stands where there are none yet."""
        assert self._frames is not None
        known = self._known[rows]
        if self._actions is None:
            return self._frames[rows], Masked(idle.expand(*known.shape, *idle.shape), known)
        return self._frames[rows], Masked(self._actions[rows], known)


def slots_of(observations: Any, rows: int) -> Sequence[Any]:
    """One observation for each slot of a vector environment's: an array, a mapping of arrays, or a sequence."""
    if isinstance(observations, Mapping):
        parts = [{k: v[b] for k, v in observations.items()} for b in range(rows)]
        lengths = {len(value) for value in observations.values()}
    else:
        parts, lengths = list(observations), {len(observations)}
    if lengths != {rows}:
        raise ShapeError("observations", f"{sorted(lengths)} slots", f"{rows}, as num_envs says")
    return parts
