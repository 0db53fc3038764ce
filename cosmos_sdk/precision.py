"""Weights in bfloat16 for inference, beside the ones that are trained and saved."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TypeVar, cast

import torch
from torch import nn

M = TypeVar("M", bound=nn.Module)


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 itself; a CPU without it emulates it, many times slower."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    supported = cast("Callable[[], bool]", torch.ops.mkldnn._is_mkldnn_bf16_supported)
    return device.type == "cpu" and torch.backends.mkldnn.is_available() and supported()


class HalfCopy:
    """Keeps a bfloat16 copy of a module, and makes it anew when the weights have changed.

    Autocast would cast the weights again at every call, which costs a small batch more than it gains. This is no
    Module: what holds it has one set of weights in its `state_dict`. Shallow copies of the holder share it.
    """

    def __init__(self, kind: type[nn.Module] = nn.Module) -> None:
        """Parts of `kind` are cast, with what they hold; the rest of the copy keeps its dtype."""
        self._kind = kind
        self._weights: list[nn.Parameter] = []
        self._version = -1
        self._copy: nn.Module | None = None

    def of(self, module: M) -> M:
        """The copy of `module`, whose weights take no gradient; inputs of cast parts must be bfloat16."""
        if not self._weights or next(module.parameters()) is not self._weights[0]:
            self._weights, self._copy = list(module.parameters()), None
        version = sum(p._version for p in self._weights)  # pyright: ignore[reportPrivateUsage]
        if self._copy is None or version != self._version:
            with torch.inference_mode(False):  # gradients may have to pass this copy later
                self._copy, self._version = copy.deepcopy(module).requires_grad_(False), version
                for part in self._copy.modules():
                    if isinstance(part, self._kind):
                        part.to(torch.bfloat16)
        return cast("M", self._copy)

    def __deepcopy__(self, memo: dict[int, object]) -> HalfCopy:
        """The copy of a holder has weights of its own."""
        return HalfCopy(self._kind)
