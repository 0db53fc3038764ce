"""The composition: what a world fills in, refuses and keeps apart. A running sum stands for the physics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor, nn

from cosmos_sdk.errors import ConfigError, PluginError, SamplingError, ShapeError, SignalError
from cosmos_sdk.protocols import Batch, Prediction
from cosmos_sdk.rng import TRAINING, Rng
from cosmos_sdk.state import Control, Masked, Tensors, WorldState
from cosmos_sdk.world import WorldModel


class MeanColour:
    """A frame is its mean grey level."""

    latent_shape = (1,)

    def encode(self, frames: Tensor) -> Tensor:
        return frames.float().mean((2, 3, 4, 5))[..., None] / 255

    def decode(self, latents: Tensor, num_frames: int) -> Tensor:
        grey = latents[:, -num_frames:].mul(255).round().clamp(0, 255).to(torch.uint8)
        return grey.view(*grey.shape[:2], 1, 1, 1, 1).expand(-1, -1, 1, 3, 2, 2)


class Push(nn.Module):
    """The action as one token."""

    start_space, num_tokens, width = None, 1, 1

    def __init__(self, space: spaces.Space[Any] | None = None) -> None:
        super().__init__()
        self.space = space or spaces.Box(-1, 1, (1,))

    def start(self, signal: Masked) -> Tensors:
        return {}

    def embed(self, signal: Masked, time: Tensor, memory: Tensors) -> tuple[Masked, Tensors]:
        values = signal.values.float().view(*signal.mask.shape, 1, 1, 1)
        return Masked(values, signal.mask[..., None, None]), {}


@dataclass(frozen=True)
class Options:
    gain: float = 1.0


class Sum(nn.Module):
    """x <- x + gain * action + noise / 1000."""

    context, window, chunk, feature_width, differentiable = 3, 2, 1, 1, True

    def __init__(self, chunk: int = 1) -> None:
        super().__init__()
        self.chunk, self.sampling = chunk, Options()
        self.scale = nn.Parameter(torch.ones(1))

    def start(self, latents: Tensor, control: Control, rng: Rng) -> tuple[Tensor, Tensors]:
        burned = control.cond["push"].values.sum((1, 2, 3))  # the signals of the context frames
        return torch.zeros(len(rng), self.chunk, 1, dtype=latents.dtype), {"burned": burned}

    def predict(self, state: WorldState, control: Control, rng: Rng) -> Prediction:
        moved = control.cond["push"].values.sum((1, 2, 3)) * self.scale * self.sampling.gain
        new = state.latents[:, -1] + moved + rng.normal(1) / 1000
        features = new[:, None].expand(-1, self.chunk, -1)
        return Prediction(new[:, None], features, state.memory["backend"])

    def loss(
        self, latents: Tensor, control: Control, valid: Tensor, rng: Rng
    ) -> tuple[Tensors, Tensor]:
        error = (
            latents[:, 1:] - latents[:, :-1] - control.cond["push"].values[:, 1:, 0, 0] * self.scale
        ) ** 2
        return {"mse": (error[..., 0] * valid[:, 1:]).sum(1) / valid.sum(1)}, latents


class Level:
    """A readout: the newest latent."""

    def read(self, state: WorldState) -> Tensor:
        return state.latents[:, -1]


class Steps:
    """A head with memory: how many steps were taken."""

    def start(self, state: WorldState) -> Tensors:
        return {"count": torch.zeros(len(state))}

    def read(
        self, before: WorldState, control: Control, after: WorldState, memory: Tensors
    ) -> tuple[Tensor, Tensors]:
        count = memory["count"] + 1
        return count[:, None].expand(-1, after.features.shape[1]), {"count": count}


def world(chunk: int = 1, space: spaces.Space[Any] | None = None) -> WorldModel:
    return WorldModel(
        MeanColour(), Sum(chunk), {"push": Push(space)}, {"steps": Steps()}, {"level": Level()}
    )


def frames(rows: int, count: int) -> Tensor:
    return torch.full((rows, count, 1, 3, 2, 2), 51, dtype=torch.uint8)


def fresh(rows: int = 2, chunk: int = 1) -> tuple[WorldModel, WorldState]:
    model = world(chunk)
    return model, model.reset(frames(rows, 1), {}, torch.arange(rows))


def test_a_short_history_repeats_its_first_frame_and_masks_its_absent_signals() -> None:
    model = world()
    history = {"push": torch.full((1, 2, 1), 0.25)}
    state = model.reset(frames(1, 2), {}, torch.tensor([3]), history)
    assert state.latents.shape == (1, 2, 1)
    assert state.memory["backend"]["burned"].item() == pytest.approx(0.5)
    assert state.time.tolist() == [0]


def test_a_step_is_a_function_of_state_and_signals() -> None:
    model, state = fresh()
    before = state.map(torch.clone)
    action = {"push": torch.full((2, 1, 1), 0.3)}
    first, second = model.step(state, action)[0], model.step(state, action)[0]
    assert torch.equal(first.latents, second.latents)
    assert torch.equal(before.latents, state.latents)
    assert first.time.tolist() == [1, 1]


def test_a_missing_signal_equals_a_masked_one_whatever_its_content() -> None:
    model, state = fresh()
    without = model.step(state, {})[0].latents
    for content in (0.0, 1e3, float("nan")):
        absent = Masked(torch.full((2, 1, 1), content), torch.zeros(2, 1, dtype=torch.bool))
        assert torch.equal(model.step(state, {"push": absent})[0].latents, without)


def test_a_rollout_collects_heads_and_readouts_and_keeps_latents_on_request() -> None:
    model, state = fresh()
    rollout = model.rollout(state, {"push": torch.zeros(2, 4, 1)}, keep_latents=True)
    assert rollout.values["steps"][0].tolist() == [1, 2, 3, 4]
    assert rollout.values["level"].shape == (2, 4, 1)
    assert rollout.latents is not None
    assert rollout.latents.shape == (2, 4, 2, 1)
    assert torch.equal(rollout.latents[:, -1], rollout.state.latents)


@pytest.mark.parametrize(
    ("signals", "error", "text"),
    [
        ({"psuh": torch.zeros(2, 1, 1)}, SignalError, "Did you mean 'push'"),
        ({"push": torch.zeros(2, 1, 3)}, ShapeError, r"\(2, 1, 1\)"),
        ({"push": torch.zeros(2, 2, 1)}, ShapeError, r"\(2, 1, 1\)"),
        ({"push": torch.full((2, 1, 1), float("nan"))}, SignalError, "NaN"),
    ],
    ids=["name", "shape", "chunk", "nan"],
)
def test_a_bad_signal_is_refused_and_changes_nothing(
    signals: dict[str, Tensor], error: type[Exception], text: str
) -> None:
    model, state = fresh()
    before = state.map(torch.clone)
    with pytest.raises(error, match=text):
        model.step(state, signals)
    assert torch.equal(before.latents, state.latents)


@pytest.mark.parametrize(
    "space", [spaces.Discrete(3), spaces.MultiDiscrete([3]), spaces.Box(0, 2, (1,), np.int64)]
)
def test_a_whole_signal_must_be_one_of_its_choices(space: spaces.Space[Any]) -> None:
    model = world(space=space)
    whole = torch.zeros(1, 1, *(space.shape or ()), dtype=torch.int64)
    state = model.reset(frames(1, 1), {}, torch.tensor([0]))
    model.step(state, {"push": whole + 2})
    with pytest.raises(SignalError, match=r"must lie in .*; got \[3\]"):
        model.step(state, {"push": whole + 3})
    with pytest.raises(ShapeError, match="whole numbers"):
        model.step(state, {"push": whole.float()})


@pytest.mark.parametrize(
    "bad",
    [torch.zeros(1, 1, 1, 3, 2, 2), torch.zeros(1, 1, 3, 2, 2, dtype=torch.uint8)],
    ids=["dtype", "axes"],
)
def test_frames_of_another_type_or_shape_are_refused(bad: Tensor) -> None:
    with pytest.raises(ShapeError, match="uint8, RGB"):
        world().reset(bad, {}, torch.tensor([0]))


def test_the_number_of_signals_must_be_a_multiple_of_the_chunk() -> None:
    model, state = fresh(chunk=2)
    with pytest.raises(ShapeError, match="multiple of the backend's chunk, 2"):
        model.rollout(state, {"push": torch.zeros(2, 3, 1)})
    assert model.rollout(state, {"push": torch.zeros(2, 4, 1)}).values["steps"].shape == (2, 4)


def test_run_time_options_make_another_view_of_the_same_weights() -> None:
    model, state = fresh()
    twice = model.using(gain=2.0)
    assert twice.backend.scale is model.backend.scale  # pyright: ignore
    assert model.backend.sampling.gain == 1.0
    assert twice.backend.sampling.gain == 2.0
    action = {"push": torch.full((2, 1, 1), 0.5)}
    assert not torch.equal(
        model.step(state, action)[0].latents, twice.step(state, action)[0].latents
    )
    with pytest.raises(SamplingError, match="Did you mean 'gain'"):
        model.using(gian=2.0)
    with pytest.raises(SamplingError, match=r"using\.gain"):
        model.using(gain="loud")


def test_a_backend_that_returns_another_shape_is_named() -> None:
    model, state = fresh()
    model.backend.feature_width = 5  # pyright: ignore
    with pytest.raises(PluginError, match=r"Sum.*features \(2, 1, 1\); expected \(2, 1, 5\)"):
        model.step(state, {})


def test_a_conditioner_that_returns_another_shape_is_named() -> None:
    model, state = fresh()
    model.conditioners["push"].num_tokens = 2  # pyright: ignore
    with pytest.raises(PluginError, match="push"):
        model.step(state, {})


def test_two_components_cannot_share_a_namespace() -> None:
    with pytest.raises(ConfigError, match="'push' is used by two"):
        WorldModel(MeanColour(), Sum(), {"push": Push()}, {"push": Steps()}, {})


def test_the_loss_is_per_row_and_padding_never_matters() -> None:
    model = world()
    valid = torch.tensor([[True] * 4, [True, True, False, False]])
    actions = torch.linspace(-1, 1, 8).view(2, 4, 1)
    images = torch.randint(0, 255, (2, 4, 1, 3, 2, 2), dtype=torch.uint8)
    rng = Rng(torch.arange(2), torch.zeros(2, dtype=torch.int64), TRAINING)
    loss = model.loss(Batch(images, valid, {}, {"push": actions}, {}), rng)["backend/mse"]
    actions, images = actions.clone(), images.clone()
    actions[1, 2:], images[1, 2:] = 77.0, 0
    padded = model.loss(Batch(images, valid, {}, {"push": actions}, {}), rng)["backend/mse"]
    assert loss.shape == (2,)
    assert torch.equal(loss, padded)
    encoded = model.tokenizer.encode(images)
    cached = model.loss(Batch(images[..., :0, :0], valid, {}, {"push": actions}, {}, encoded), rng)
    assert torch.equal(cached["backend/mse"], loss)


def test_a_backend_without_a_loss_says_that_it_cannot_be_trained() -> None:
    class Frozen:
        context = window = chunk = 1

    model = WorldModel(MeanColour(), Frozen(), {}, {}, {})  # pyright: ignore
    empty = Batch(frames(1, 1), torch.ones(1, 1, dtype=torch.bool), {}, {}, {})
    with pytest.raises(PluginError, match="cannot be trained"):
        model.loss(empty, Rng(torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.int64)))


def test_parameters_of_components_are_the_worlds_and_plain_components_stay_plain() -> None:
    model = world().double()
    assert [name for name, _ in model.named_parameters()] == ["backend.scale"]
    assert model.dtype == torch.float64
    assert list(model.heads) == ["steps"]
    assert "steps" in model.heads
    state = model.reset(frames(1, 1), {}, torch.tensor([0]))
    stepped, _ = model.step(state, {"push": torch.zeros(1, 1, 1)})
    assert np.isfinite(model.decode(stepped).numpy()).all()
