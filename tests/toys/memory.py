"""Counts the bytes of tensors, those that are alive and those that autograd keeps."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Alive(TorchDispatchMode):
    """Inside of it, what operations allocate is counted until it is freed; `peak` is the most at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._seen: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        before = {t.untyped_storage().data_ptr() for t in tree_leaves((args, kwargs)) if _held(t)}
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if _held(tensor) and tensor.untyped_storage().data_ptr() not in before:
                self._count(tensor.untyped_storage())
        return made

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = id(storage), storage.nbytes()
        if key in self._seen:
            return

        def freed(_: object) -> None:
            self.now -= size
            self._seen.pop(key, None)

        self._seen[key] = weakref.ref(storage, freed)
        self.now += size
        self.peak = max(self.peak, self.now)


def _held(value: object) -> bool:
    return isinstance(value, Tensor)


@contextmanager
def kept(but: nn.Module) -> Generator[Callable[[], int]]:
    """The bytes that autograd keeps for the backward pass, without weights and their copies in other precisions."""
    weights = {w.untyped_storage().data_ptr() for w in but.parameters()}
    shapes = {tuple(w.shape) for w in but.parameters() if w.ndim == 2}
    shapes |= {shape[::-1] for shape in shapes}
    found: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        copy = tensor.dtype == torch.bfloat16 and tuple(tensor.shape) in shapes
        if not copy and tensor.untyped_storage().data_ptr() not in weights:
            found[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield lambda: sum(tensor.untyped_storage().nbytes() for tensor in found.values())
