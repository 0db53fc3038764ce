"""What a step was worth, whether it ended the episode, and what else was said of it: heads, as Gymnasium asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from cosmos_sdk.errors import PluginError
from cosmos_sdk.rng import ENV, Rng
from cosmos_sdk.state import Tensors, WorldState
from cosmos_sdk_envs.observations import to_array

JUDGING = ("reward", "terminated")


@final
@dataclass(frozen=True)
class Judge:
    """Reads the heads `reward` and `terminated`, of which it reads zeros where a world lacks them; and the others."""

    chunk: int
    samples: bool  # the end is drawn with its probability; else it comes at 0.5
    others: Sequence[str] = ()  # heads that judge nothing, such as `uncertainty`

    def __call__(
        self, values: Tensors, before: WorldState
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64]]:
        """Judges one predict of B slots.

        Args:
            values: of the heads, (B, chunk, 1) or (B, chunk) each.
            before: the state that was stepped.

        Returns:
            The rewards (B,), summed up to the end of the episode; whether it ended (B,); and how many frames before the
            newest one it did (B,).
        """
        probability = self._per_frame("terminated", values, len(before))
        bar = np.full_like(probability, 0.5)
        if self.samples:
            # the noise of this time belongs to a reset instead where the slot does not step
            bar = to_array(Rng(before.seed, before.time, ENV).uniform(self.chunk))
        ends = probability > bar  # (B, chunk)
        terminated = np.asarray(ends.any(1))
        last = np.where(terminated, ends.argmax(1), self.chunk - 1)
        counts = np.arange(self.chunk) <= last[:, None]
        reward = np.where(counts, self._per_frame("reward", values, len(before)), 0.0).sum(1)
        return reward, terminated, self.chunk - 1 - last

    def remarks(self, values: Tensors, back: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
        """What the other heads say of one predict, (B,) or (B, *) each: the mean over the frames of the episode.

        Args:
            values: of the heads, (B, chunk, 1), (B, chunk) or (B, chunk, *) each.
            back: frames before the newest one at which the episode ended, (B,).
        """
        return {name: self._mean(name, values[name], back) for name in self.others}

    def _mean(self, head: str, value: Tensor, back: NDArray[np.int64]) -> NDArray[np.float64]:
        shape = (len(back), self.chunk)
        if value.shape[:2] != shape:
            got, remedy = tuple(value.shape), "A head speaks of every frame of a chunk."
            raise PluginError(head, f"the head said {got}; expected {(*shape, '*')}.", remedy)
        said = to_array(value[..., 0] if value.shape[2:] == (1,) else value).astype(np.float64)
        if self.chunk == 1:
            return said[:, 0]
        counts = np.arange(self.chunk) < self.chunk - back[:, None]
        counts = counts.reshape(*shape, *[1] * (said.ndim - 2))
        return np.where(counts, said, 0.0).sum(1) / counts.sum(1)

    def _per_frame(self, head: str, values: Tensors, num_envs: int) -> NDArray[np.float64]:
        shape = (num_envs, self.chunk)
        if head not in values:
            return np.zeros(shape)
        said = to_array(values[head]).astype(np.float64)
        if said.shape not in (shape, (*shape, 1)):
            remedy = "An env needs one number a frame."
            raise PluginError(head, f"the head said {said.shape}; expected {shape}.", remedy)
        return said.reshape(shape)
