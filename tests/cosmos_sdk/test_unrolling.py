"""A rollout by one call of the backend is the rollout step by step, and reads only what it is asked for."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cosmos_sdk import control
from cosmos_sdk.errors import PluginError
from cosmos_sdk.protocols import Prediction
from cosmos_sdk.rng import Rng
from cosmos_sdk.state import Control, Tensors, WorldState
from cosmos_sdk.testing import ConformanceError, check_backend
from cosmos_sdk.testing.small_worlds import (
    NearOrigin,
    Newest,
    NoFrames,
    Points,
    RawAction,
    point_starts,
)
from cosmos_sdk.unrolling import Late, Unrolled
from cosmos_sdk.world import WorldModel


class Stepping(nn.Module):
    """Points whose last three latents are kept, with features and a memory."""

    context = window = 3
    feature_width, differentiable, stochastic = 2, True, True

    def __init__(self, chunk: int) -> None:
        super().__init__()
        self.inner, self.chunk = Points(chunk), chunk
        self.sampling = self.inner.sampling

    def start(self, latents: Tensor, control: Control, rng: Rng) -> tuple[Tensor, Tensors]:
        features = latents.new_zeros(len(latents), self.chunk, 2)
        return features, {"count": latents.new_zeros(len(latents), 1)}

    def predict(self, state: WorldState, control: Control, rng: Rng) -> Prediction:
        new = self.inner.predict(state, control, rng)
        features = control.signals["action"].values + new.latents[:, :, :2]
        return Prediction(new.latents, features, {"count": state.memory["backend"]["count"] + 1})


class Unrolling(Stepping):
    """The same with `unroll`; counts how often somebody looked at its latents."""

    looks = 0

    def unroll(self, state: WorldState, given: Control) -> Unrolled:
        made: list[Prediction] = []
        for k in range(given.signals["action"].mask.shape[1] // self.chunk):
            frames = slice(k * self.chunk, (k + 1) * self.chunk)
            part: Any = control.frames_of(given.signals, frames)
            made.append(self.predict(state, Control(part, {}), Rng(state.seed, state.time)))
            latents = torch.cat((state.latents, made[-1].latents), 1)[:, -3:]
            memory = {"backend": made[-1].memory}
            state = replace(
                state, latents=latents, memory=memory, time=self.later(state.time, self.chunk)
            )

        def latents_of() -> Tensor:
            self.looks += 1
            return torch.cat([new.latents for new in made], 1)

        return Unrolled(latents_of, torch.cat([new.features for new in made], 1), made[-1].memory)

    def later(self, time: Tensor, chunk: int) -> Tensor:
        return time + chunk


class SameNoise(Unrolling):
    """Wrong: every predict draws the noise of the first."""

    def later(self, time: Tensor, chunk: int) -> Tensor:
        return time


class Turns:
    """A head of both states, the control and the features."""

    def start(self, state: WorldState) -> Tensors:
        return {}

    def read(
        self, before: WorldState, control: Control, after: WorldState, memory: Tensors
    ) -> tuple[Tensor, Tensors]:
        moved = (after.latents - before.latents).square().sum((1, 2))[:, None]
        actions = control.signals["action"].values.sum(2)
        return moved + actions + after.features.sum(2) + before.time[:, None], memory


class Drift:
    """A readout of features alone, with a weight."""

    def __init__(self) -> None:
        self.weight, self.calls = torch.ones((), requires_grad=True), 0

    def read(self, state: WorldState) -> Tensor:
        self.calls += 1
        return self.weight * state.features[:, -1]


class Counting(Turns):
    """A head with a memory."""

    def start(self, state: WorldState) -> Tensors:
        return {"count": torch.zeros_like(state.time)}


def world_of(kind: type[Stepping], chunk: int = 1, **heads: Any) -> WorldModel:
    heads = heads or {"reward": NearOrigin(), "turns": Turns()}
    readouts = {"state": Newest(), "drift": Drift()}
    return WorldModel(NoFrames(), kind(chunk), {"action": RawAction()}, heads, readouts)


def future_of(world: WorldModel, keep_latents: bool = False) -> Any:
    actions = torch.rand(3, 6, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return world.rollout(point_starts(world, torch.arange(3)), {"action": actions}, keep_latents)


@pytest.mark.parametrize("chunk", [1, 2, 3])
def test_unrolling_is_stepping(chunk: int) -> None:
    slow, fast = (future_of(world_of(kind, chunk), True) for kind in (Stepping, Unrolling))
    assert list(slow.values) == list(fast.values)
    for name, value in slow.values.items():
        torch.testing.assert_close(fast.values[name], value)
    torch.testing.assert_close(fast.latents, slow.latents)
    for name, tensor in slow.state.tensors().items():
        torch.testing.assert_close(fast.state.tensors()[name], tensor)


def test_the_conformance_check_compares_both() -> None:
    check_backend(world_of(Unrolling, 2), starts=point_starts)
    with pytest.raises(ConformanceError, match="of 3 predicts from a fresh state") as caught:
        check_backend(world_of(SameNoise), starts=point_starts)
    assert caught.value.number == 11


def test_a_value_is_read_when_it_is_asked_for_and_once() -> None:
    world = world_of(Unrolling)
    values = future_of(world).values
    drift: Any = world.readouts["drift"]
    assert len(values) == 4
    assert "drift" in values
    assert "dirft" not in values
    assert list(values) == ["reward", "turns", "state", "drift"]
    assert "made: none" in repr(values)
    assert drift.calls == 0
    assert values["drift"] is values["drift"]
    assert drift.calls == 1
    with pytest.raises(KeyError):
        values["dirft"]


def test_latents_are_made_when_somebody_looks_and_once() -> None:
    world = world_of(Unrolling)
    backend: Any = world.backend
    future = future_of(world)
    assert future.values["drift"].shape == (3, 6, 2)
    assert backend.looks == 0
    assert future.values["state"].shape == (3, 6, 4)
    assert future.state.latents.shape == (3, 3, 4)
    assert future.values["reward"].shape == (3, 6)
    assert backend.looks == 1


def test_a_head_with_a_memory_is_read_step_by_step() -> None:
    future = future_of(world_of(Unrolling, count=Counting()))
    assert not isinstance(future.values, Late)
    assert future.values["count"].shape == (3, 6)


def test_a_copied_or_pickled_rollout_holds_everything() -> None:
    with torch.no_grad():
        future = future_of(world_of(Unrolling))
    for other in (copy.deepcopy(future), pickle.loads(pickle.dumps(future))):
        assert type(other.values) is dict
        for name, value in future.values.items():
            assert torch.equal(other.values[name], value)
        assert torch.equal(other.state.latents, future.state.latents)


def test_a_late_value_has_the_gradients_that_the_rollout_was_made_with() -> None:
    world = world_of(Unrolling)
    with torch.no_grad():
        without = future_of(world)
    with_gradients = future_of(world)
    with torch.inference_mode():
        assert with_gradients.values["drift"].requires_grad
        assert not with_gradients.values["drift"].is_inference()
        inferred = future_of(world)
    assert not without.values["drift"].requires_grad
    assert inferred.values["drift"].is_inference()


def test_features_may_be_given_by_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, unroll = future_of(world_of(Unrolling)), Unrolling.unroll

    def by_chunks(self: Unrolling, state: WorldState, given: Control) -> Unrolled:
        new = unroll(self, state, given)
        return replace(new, features=new.features.unflatten(1, (-1, self.chunk)))

    monkeypatch.setattr(Unrolling, "unroll", by_chunks)
    future = future_of(world_of(Unrolling))
    for name, value in plain.values.items():
        assert torch.equal(future.values[name], value)
    assert torch.equal(future.state.features, plain.state.features)


def test_features_of_another_shape_are_the_backends_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(Unrolling)
    unroll = Unrolling.unroll

    def short(self: Unrolling, state: WorldState, given: Control) -> Unrolled:
        new = unroll(self, state, given)
        return replace(new, features=new.features[:, :-1])

    monkeypatch.setattr(Unrolling, "unroll", short)
    with pytest.raises(PluginError, match=r"unroll returned features \(3, 5, 2\).*\(3, 6, 2\)"):
        future_of(world)
