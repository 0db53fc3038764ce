"""Each check catches the defect that it is for, under its own number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from cosmos_sdk import build as building
from cosmos_sdk.config import WorldConfig
from cosmos_sdk.protocols import Parts, Prediction
from cosmos_sdk.rng import Rng
from cosmos_sdk.state import Control, Masked
from cosmos_sdk.testing import ConformanceError, check_backend, check_tokenizer
from toys import factories
from toys.factories import Drift, DriftConfig, toy_data, toy_registry
from toys.tokenizers import Patches
from toys.worlds import make
from toys.wrapper import Wrapper, with_backend


def caught(run: Callable[[], None]) -> ConformanceError:
    with pytest.raises(ConformanceError) as error:
        run()
    return error.value


def caught_in(base: str, **methods: Callable[..., Any]) -> ConformanceError:
    world = make(base)
    return caught(lambda: check_backend(with_backend(world, Wrapper(world.backend, **methods))))


def remembering(inner: Any, new: Prediction, **tensors: torch.Tensor) -> Prediction:
    return replace(new, memory={**new.memory, **tensors})


def test_1_a_cache_that_grows() -> None:
    def start(inner: Any, *given: Any) -> Any:
        features, memory = inner.start(*given)
        return features, {**memory, "log": features}

    def predict(inner: Any, state: Any, *given: Any) -> Prediction:
        new = inner.predict(state, *given)
        log = torch.cat((state.memory["backend"]["log"], new.features), 1)
        return remembering(inner, new, log=log)

    error = caught_in("statespace", start=start, predict=predict)
    assert error.number == 1
    assert "memory/backend/log is (4, 2, 8) torch.float64 after step 1" in str(error)
    assert "expected (4, 1, 8) torch.float64" in str(error)
    assert "ring" in str(error)


def test_2_a_write_in_place() -> None:
    def predict(inner: Any, state: Any, *given: Any) -> Prediction:
        state.memory["backend"]["hidden"][:, 0] = 0.5
        return inner.predict(state, *given)

    error = caught_in("statespace", predict=predict)
    assert error.number == 2
    assert "was changed by a step of the fresh state: got 0.5" in str(error)


def test_2_a_write_through_the_index_of_a_branched_view() -> None:
    def predict(inner: Any, state: Any, *given: Any) -> Prediction:
        hidden = state.memory["backend"]["hidden"]
        if hidden.stride(0) == 0:  # the case that raises nothing: every row is overwritten
            hidden.index_put_((torch.tensor([0]), torch.tensor([0])), hidden.new_ones(1))
        return inner.predict(state, *given)

    assert caught_in("statespace", predict=predict).number == 2


def test_2_an_episode_kept_in_the_backend() -> None:
    calls: list[int] = []

    def predict(inner: Any, *given: Any) -> Prediction:
        calls.append(1)
        new = inner.predict(*given)
        return replace(new, latents=new.latents + 1e-3 * len(calls))

    assert caught_in("statespace", predict=predict).number == 2


def test_2_a_state_that_no_gradient_can_start_from() -> None:
    def predict(inner: Any, *given: Any) -> Prediction:
        with torch.inference_mode():
            return inner.predict(*given)

    error = caught_in("statespace", predict=predict)
    assert error.number == 2
    assert "is an inference tensor" in str(error)


def test_3_a_global_seed() -> None:
    def predict(inner: Any, *given: Any) -> Prediction:
        torch.manual_seed(0)
        new = inner.predict(*given)
        return replace(
            new, latents=new.latents + torch.randn(new.latents.shape[1:]).to(new.latents)
        )

    error = caught_in("statespace", predict=predict)
    assert error.number == 3
    assert "generator of torch was moved" in str(error)


def test_3_noise_from_the_global_generator() -> None:
    def predict(inner: Any, *given: Any) -> Prediction:
        new = inner.predict(*given)
        return replace(
            new, latents=new.latents + torch.randn(new.latents.shape[1:]).to(new.latents)
        )

    assert caught_in("statespace", predict=predict).number == 3


def test_4_a_row_that_knows_its_number() -> None:
    def predict(inner: Any, state: Any, *given: Any) -> Prediction:
        new = inner.predict(state, *given)
        return replace(new, latents=new.latents + 1e-3 * torch.arange(len(state))[:, None, None])

    assert caught_in("statespace", predict=predict).number == 4


def test_5_a_statistic_over_the_batch() -> None:
    def predict(inner: Any, *given: Any) -> Prediction:
        new = inner.predict(*given)
        return replace(new, latents=new.latents - new.latents.mean(0))

    assert caught_in("statespace", predict=predict).number == 5


def test_6_noise_that_does_not_know_the_seed() -> None:
    def predict(inner: Any, state: Any, control: Control, rng: Rng) -> Prediction:
        nobody = torch.zeros_like(state.seed)
        return inner.predict(state.reseed(nobody), control, Rng(nobody, rng.time))

    error = caught_in("statespace", predict=predict)
    assert error.number == 6
    assert "stochastic is True" in str(error)


def test_7_a_start_that_is_kept_in_the_backend() -> None:
    kept: list[torch.Tensor] = []

    def start(inner: Any, latents: torch.Tensor, *given: Any) -> Any:
        kept[:] = [latents.mean()]
        return inner.start(latents, *given)

    def predict(inner: Any, *given: Any) -> Prediction:
        new = inner.predict(*given)
        return replace(new, latents=new.latents + 1e-3 * kept[0])

    error = caught_in("statespace", start=start, predict=predict)
    assert error.number == 7
    assert "of the other rows" in str(error)


def test_8_memory_that_no_file_holds() -> None:
    def start(inner: Any, *given: Any) -> Any:
        features, memory = inner.start(*given)
        return features, {**memory, "phase": features[:, 0].to(torch.complex128)}

    def predict(inner: Any, state: Any, *given: Any) -> Prediction:
        phase = state.memory["backend"]["phase"] * 1j
        return remembering(inner, inner.predict(state, *given), phase=phase)

    error = caught_in("statespace", start=start, predict=predict)
    assert error.number == 8
    assert "complex128" in str(error)


def test_9_an_action_without_effect() -> None:
    def predict(inner: Any, state: Any, control: Control, rng: Rng) -> Prediction:
        cond = {n: Masked(c.values, torch.zeros_like(c.mask)) for n, c in control.cond.items()}
        return inner.predict(state, Control(control.signals, cond), rng)

    error = caught_in("statespace", predict=predict)
    assert error.number == 9
    assert "'action'" in str(error)


def test_10_training_features_that_see_the_future() -> None:
    def loss(inner: Any, *given: Any) -> Any:
        terms, features = inner.loss(*given)
        return terms, features + features.mean(1, keepdim=True)

    error = caught_in("statespace", loss=loss)
    assert error.number == 10
    assert "features" in str(error)


def test_11_a_cache_that_forgets_the_control_of_the_frame_it_commits() -> None:
    def predict(inner: Any, *given: Any) -> Prediction:
        new = inner.predict(*given)
        return remembering(inner, new, cond=torch.zeros_like(new.memory["cond"]))

    assert caught_in("diffusion", predict=predict).number == 11


def test_11_a_ring_that_shows_a_slot_too_many() -> None:
    def predict(inner: Any, state: Any, *given: Any) -> Prediction:
        return inner.predict(state, *given)

    def full(
        inner: Any, latents: torch.Tensor, control: Control, seed: torch.Tensor
    ) -> torch.Tensor:
        inner.window, window = inner.window - 1, inner.window
        try:
            return inner.full(latents, control, seed)
        finally:
            inner.window = window

    assert caught_in("diffusion", full=full).number == 11


def test_12_attention_without_a_null_token() -> None:
    def predict(inner: Any, state: Any, control: Control, rng: Rng) -> Prediction:
        new = inner.predict(state, control, rng)
        mask = control.cond["action"].mask.flatten(1)
        weights = torch.zeros(mask.shape).masked_fill(~mask, -torch.inf).softmax(1)
        return replace(new, latents=new.latents + 0 * weights.sum(1)[:, None, None].to(new.latents))

    error = caught_in("statespace", predict=predict)
    assert error.number == 12
    assert "latents holds NaN" in str(error)
    assert "null token" in str(error)


def test_13_a_loss_that_is_averaged_over_the_batch() -> None:
    def loss(inner: Any, *given: Any) -> Any:
        terms, features = inner.loss(*given)
        return {name: term.mean().expand(len(term)) for name, term in terms.items()}, features

    assert caught_in("statespace", loss=loss).number == 13


def test_13_padding_that_is_learned_from() -> None:
    def loss(inner: Any, latents: Any, control: Any, valid: torch.Tensor, rng: Rng) -> Any:
        return inner.loss(latents, control, torch.ones_like(valid), rng)

    error = caught_in("statespace", loss=loss)
    assert error.number == 13
    assert "padding" in str(error)


def test_13_a_layer_that_nothing_uses() -> None:
    world = make("statespace")
    wrapper = Wrapper(world.backend)
    wrapper.unused = torch.nn.Linear(2, 2)
    error = caught(lambda: check_backend(with_backend(world, wrapper)))
    assert error.number == 13
    assert "no gradient reaches backend.unused.weight" in str(error)


def test_14_a_straight_through_estimate_declared_as_a_gradient() -> None:
    def predict(inner: Any, *given: Any) -> Prediction:
        new = inner.predict(*given)
        rounded = (new.latents * 20).round() / 20
        return replace(new, latents=new.latents + (rounded - new.latents).detach())

    error = caught_in("statespace", predict=predict)
    assert error.number == 14
    assert "differences give" in str(error)


def test_14_a_world_whose_second_predict_passes_through_pixels() -> None:
    world = make("chunk")
    world.backend.differentiable = True  # pyright: ignore[reportAttributeAccessIssue]
    error = caught(lambda: check_backend(world))
    assert error.number == 14
    assert "predict 1 has no gradient on the latents of predict 3" in str(error)


class Plain:
    """A wrapper that is no Module, and so hides the weights it wraps."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        if name == "inner":
            raise AttributeError(name)  # a copy asks before there is one
        return getattr(self.inner, name)


def test_15_a_wrapper_that_is_no_module() -> None:
    world = make("statespace")
    error = caught(lambda: check_backend(with_backend(world, Plain(world.backend))))
    assert error.number == 15
    assert "Register it" in str(error)


def test_15_a_tokenizer_registered_twice() -> None:
    world = make("chunk")
    world.backend.tokenizer = world.tokenizer  # pyright: ignore[reportAttributeAccessIssue]
    error = caught(lambda: check_backend(world))
    assert error.number == 15
    assert "hold one storage" in str(error)


class WriteThrough(Wrapper):
    """A wrapper whose copies share the inner backend, and set its options."""

    @property
    def sampling(self) -> Any:
        return self.inner.sampling

    @sampling.setter
    def sampling(self, options: Any) -> None:
        self.inner.sampling = options


def test_15_options_that_are_written_through_to_a_shared_backend() -> None:
    world = make("statespace")
    error = caught(lambda: check_backend(with_backend(world, WriteThrough(world.backend))))
    assert error.number == 15
    assert "was replaced by `using`" in str(error)


class OnTheCpu(Drift):
    """A backend of a plugin that allocates while it is built for its shapes alone."""

    def __init__(self, config: DriftConfig, parts: Parts) -> None:
        super().__init__(config, parts)
        self.layer.bias = torch.nn.Parameter(torch.zeros(3, device="cpu"))


def test_15_a_build_on_meta_that_allocates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "registry", toy_registry)
    config = WorldConfig.from_mapping(toy_data())
    check_backend(building.build(config))
    monkeypatch.setattr(factories, "Drift", OnTheCpu)
    error = caught(lambda: check_backend(building.build(config)))
    assert error.number == 15
    assert "a build on meta allocates backend.layer.bias" in str(error)


class AllFrames(torch.nn.Module):
    """A tokenizer around another, whose decode does not listen."""

    def __init__(self, inner: Patches, decode: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self.inner, self.latent_shape, self.replacement = inner, inner.latent_shape, decode

    def encode(self, frames: torch.Tensor) -> torch.Tensor:
        return self.inner.encode(frames)

    def decode(self, latents: torch.Tensor, num_frames: int) -> torch.Tensor:
        return self.replacement(self.inner, latents, num_frames)


def test_16_a_decoder_that_returns_every_frame() -> None:
    tokenizer = AllFrames(
        Patches(), lambda inner, latents, n: inner.decode(latents, latents.shape[1])
    )
    error = caught(lambda: check_tokenizer(tokenizer, (1, 8, 8), context=4))
    assert error.number == 16
    assert "decode(latents, 1) gives (4, 4, 1, 3, 8, 8)" in str(error)


def test_16_a_decoder_that_looks_at_all_the_past() -> None:
    tokenizer = AllFrames(
        Patches(),
        lambda inner, latents, n: inner.decode(latents - 3 * latents.mean(1, keepdim=True), n),
    )
    error = caught(lambda: check_tokenizer(tokenizer, (1, 8, 8), context=6))
    assert error.number == 16
    assert "of 255" in str(error)
