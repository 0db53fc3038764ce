"""A backend around another, with one method replaced: how the tests plant a defect."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from cosmos_sdk.world import WorldModel

_DECLARED = (
    "context",
    "window",
    "chunk",
    "feature_width",
    "differentiable",
    "stochastic",
    "sampling",
)


class Wrapper(nn.Module):
    """Does what `inner` does, but for the methods given: functions (inner, *arguments)."""

    def __init__(self, inner: Any, **methods: Callable[..., Any]) -> None:
        super().__init__()
        self.inner = inner
        self.methods = methods
        for name in _DECLARED:
            setattr(self, name, getattr(inner, name))
        if callable(getattr(inner, "loss", None)):
            self.loss = self._method("loss")
        if callable(getattr(inner, "full", None)):
            self.full = self._method("full")

    def _method(self, name: str) -> Callable[..., Any]:
        return Delegate(self.inner, name, self.methods.get(name))

    def start(self, *arguments: Any) -> Any:
        return self._method("start")(*arguments)

    def predict(self, *arguments: Any) -> Any:
        return self._method("predict")(*arguments)


class Delegate:
    """A method of the inner backend, or what stands in its place; unlike a closure it is copied with its backend."""

    def __init__(self, inner: Any, name: str, other: Callable[..., Any] | None) -> None:
        self.inner, self.name, self.other = inner, name, other

    def __call__(self, *arguments: Any) -> Any:
        if self.other is None:
            return getattr(self.inner, self.name)(*arguments)
        return self.other(self.inner, *arguments)


def with_backend(world: WorldModel, backend: Any) -> WorldModel:
    """The same world around another backend."""
    heads, readouts = dict(world.heads.items()), dict(world.readouts.items())
    conditioners = dict(world.conditioners.items())
    return WorldModel(world.tokenizer, backend, conditioners, heads, readouts, world.spec)
