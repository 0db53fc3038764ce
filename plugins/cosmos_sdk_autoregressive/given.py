"""What a frame is made under: the signals that lead to it, and the tokens that its whole clip shares.

Where a tokenizer compresses time, `stride` frames share a latent, and so do their signals; the first frame of a clip
has a latent of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from cosmos_sdk.errors import ShapeError
from cosmos_sdk.state import Control, Masked


@dataclass(frozen=True, eq=False)
class Given:
    """Of F latents of a clip; an axis of 1 says that something was given once for all of them."""

    cond: Mapping[str, Masked]  # values (B, F|1, V|1, S|1, N, D), mask (B, F|1, V|1, S|1, N)
    shared: Tensor  # (B, C): the tokens that they share; C may be 0

    @staticmethod
    def of(control: Control, shared: Tensor, count: int, stride: int) -> Given:
        """The embedded signals of frames, by the `count` latents that hold them.

        Raises:
            ShapeError: there are signals of more frames or of fewer than the latents hold.
        """
        cond = {
            name: Masked(
                by_latent(masked.values, count, stride), by_latent(masked.mask, count, stride)
            )
            for name, masked in control.cond.items()
        }
        return Given(cond, shared)

    def rows(self, chosen: Tensor) -> Given:
        """That of some rows."""
        return Given(self._map(lambda x: x[chosen]), self.shared[chosen])

    def each_latent(self, count: int) -> Given:
        """That of each of `count` latents as a row of its own; what was given once for all is repeated."""
        shared = self.shared.repeat_interleave(count, 0)
        return Given(
            self._map(lambda x: x.expand(-1, count, *x.shape[2:]).flatten(0, 1)[:, None]), shared
        )

    def _map(self, take: Callable[[Tensor], Tensor]) -> dict[str, Masked]:
        return {n: Masked(take(m.values), take(m.mask)) for n, m in self.cond.items()}


def by_latent(x: Tensor, count: int, stride: int) -> Tensor:
    """What belongs to frames (B, K|1, V, ...) by the latents that hold them, (B, count|1, V, stride|1, ...).

    Before the first frame of a clip, in its latent, stand zeros: in a mask, that nothing exists.
    """
    if x.shape[1] == 1:  # given once for all frames
        return x[:, :, :, None]
    missing = count * stride - x.shape[1]
    if missing not in (0, stride - 1):
        held = f"{1 + stride * (count - 1)}, the frames that {count} latents hold"
        raise ShapeError("the number of signals", x.shape[1], held)
    nothing = x.new_zeros(x.shape[0], missing, *x.shape[2:])
    return torch.cat((nothing, x), 1).unflatten(1, (count, stride)).transpose(2, 3)
