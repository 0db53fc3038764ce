"""The state-space backend meets the contract, and finds what is known of the worlds it learns."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from cosmos_sdk.errors import ConfigError, SamplingError
from cosmos_sdk.protocols import Batch, Parts, Spec
from cosmos_sdk.rng import TRAINING, Rng
from cosmos_sdk.state import Control, Masked
from cosmos_sdk.testing import check_backend, check_head
from cosmos_sdk.world import WorldModel
from cosmos_sdk_action.conditioner import ActionConditioner, ActionConditionerConfig
from cosmos_sdk_heads.reward import RewardHead, RewardHeadConfig
from cosmos_sdk_heads.state import StateReadout, StateReadoutConfig
from cosmos_sdk_heads.value import ValueReadout, ValueReadoutConfig
from cosmos_sdk_statespace.backend import StateSpaceBackend
from cosmos_sdk_statespace.config import StateSpaceConfig
from toys.tokenizers import Patches

SMALL: dict[str, Any] = {
    "width": 6,
    "chunk": 2,
    "hidden": 12,
    "encoder_hidden": 12,
    "decoder_hidden": 8,
    "cond_width": 4,
    "guard_memory": 16,
}
REWARD = spaces.Box(np.zeros(1, "f"), np.ones(1, "f"))
STATE = spaces.Box(np.array([0, 0], "f"), np.array([1, 6.2831855], "f"))


def small_world(**config: Any) -> WorldModel:
    torch.manual_seed(0)
    actions = {"action": spaces.Box(-1, 1, (2,))}
    targets = {"reward": REWARD, "value": REWARD, "state": STATE}
    parts = Parts(Spec((1, 8, 8), 10.0, actions, targets), tokenizer=Patches())
    action = ActionConditioner(ActionConditionerConfig(8, 8), replace(parts, name="action"))
    parts = replace(parts, conditioners={"action": action})
    backend = StateSpaceBackend(StateSpaceConfig(**{**SMALL, **config}), parts)
    parts = replace(parts, backend=backend)
    heads = {"reward": RewardHead(RewardHeadConfig(8, 5), replace(parts, name="reward"))}
    read = StateReadoutConfig(8, latents=False, features=True)
    readouts: dict[str, Any] = {
        "state": StateReadout(read, replace(parts, name="state")),
        "value": ValueReadout(ValueReadoutConfig(8, 5), replace(parts, name="value")),
    }
    assert parts.tokenizer is not None
    world = WorldModel(parts.tokenizer, backend, parts.conditioners, heads, readouts, parts.spec)
    with torch.no_grad():
        for parameter in world.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return world


def backend_of(world: WorldModel) -> StateSpaceBackend:
    assert isinstance(world.backend, StateSpaceBackend)
    return world.backend


def clips(rows: int = 3, frames: int = 8) -> Batch:
    generator = np.random.default_rng(0)
    pixels = torch.from_numpy(generator.integers(0, 256, (rows, frames, 1, 3, 8, 8), np.uint8))
    actions = torch.from_numpy(generator.uniform(-1, 1, (rows, frames, 2)).astype("f"))
    valid = torch.ones(rows, frames, dtype=torch.bool)
    return Batch(pixels, valid, {}, {"action": Masked(actions, valid)}, {})


def rng(rows: int = 3, time: int = 0) -> Rng:
    return Rng(torch.arange(rows), torch.full((rows,), time), TRAINING)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"chunk": 1, "guard": "variance"},
        {"stochastic": True},
        {"num_layers": 0, "encoder_layers": 0, "decoder_hidden": 0, "guard": "none"},
    ],
    ids=str,
)
def test_the_backend_meets_the_contract(config):
    check_backend(small_world(**config))


def test_the_contract_holds_where_frames_inside_a_block_are_left_out():
    check_backend(small_world().using(inner_frames=False))


@pytest.mark.parametrize("name", ["value", "state", "reward"])
def test_heads_meet_the_contract_on_the_vector(name):
    check_head(small_world(), name)


def test_a_clip_is_imagined_in_training_as_steps_imagine_it():
    world, batch = small_world(feature_gradient=0.5), clips()
    backend = backend_of(world)
    latents = world.tokenizer.encode(batch.frames)
    action = batch.signals["action"]
    assert isinstance(action, Masked)
    tokens, _ = world.conditioners["action"].embed(action, torch.zeros(3, 8), {})
    with torch.no_grad():
        encoded = backend.encode(latents)
        imagined, _, ahead = backend._unroll(encoded, Control({}, {"action": tokens}), rng())
        state = world.start(latents[:, :2], {}, torch.arange(3))
        for k in (2, 4, 6):
            state, _ = world.step(state, {"action": action.values[:, k : k + 2]})
            torch.testing.assert_close(state.features, imagined[:, k : k + 2])
    assert ahead.tolist() == [False] * 2 + [True] * 6


def test_a_precision_that_does_not_exist_is_refused():
    with pytest.raises(SamplingError, match=r"using\.precision.*bfloat16"):
        small_world().using(precision="float999")


def test_leaving_inner_frames_out_changes_nothing_at_the_ends_of_blocks():
    world, actions = small_world(), {"action": torch.linspace(-1, 1, 24).view(2, 6, 2)}
    state = world.reset(clips(2).frames, {}, torch.arange(2))
    with torch.no_grad():
        whole = world.rollout(state, actions, keep_latents=True)
        ends = world.using(inner_frames=False).rollout(state, actions, keep_latents=True)
    assert whole.latents is not None
    assert ends.latents is not None
    torch.testing.assert_close(ends.latents[:, :, -1], whole.latents[:, :, -1])
    torch.testing.assert_close(ends.values["state"], whole.values["state"])
    assert torch.equal(ends.state.features[:, 0], ends.state.features[:, 1])
    assert not torch.equal(whole.state.features[:, 0], whole.state.features[:, 1])


def test_unrolling_is_stepping_where_some_actions_are_absent():
    world, state = small_world(), small_world().reset(clips(2).frames, {}, torch.arange(2))
    there = torch.tensor([[True] * 6, [True, False, True, True, False, False]])
    action = Masked(torch.linspace(-1, 1, 24).view(2, 6, 2), there)
    with torch.no_grad():
        future, states = world.rollout(state, {"action": action}), list[torch.Tensor]()
        for k in (0, 2, 4):
            part = Masked(action.values[:, k : k + 2], there[:, k : k + 2])
            state, _ = world.step(state, {"action": part})
            states.append(world.observe(state)["state"])
    torch.testing.assert_close(future.values["state"], torch.stack(states, 1))
    torch.testing.assert_close(future.state.features, state.features)


def test_what_nobody_differentiates_is_computed_alike():
    world, actions = small_world(), {"action": torch.linspace(-1, 1, 24).view(2, 6, 2)}
    state = world.reset(clips(2).frames, {}, torch.arange(2))
    with_gradients = world.rollout(state, actions).values["state"]
    with torch.no_grad():
        without = world.rollout(state, actions).values["state"]
    assert with_gradients.requires_grad
    assert torch.equal(with_gradients, without)


def test_bfloat16_follows_float32_and_its_copies_follow_the_weights():
    world, actions = small_world(), {"action": torch.linspace(-1, 1, 24).view(2, 6, 2)}
    state = world.reset(clips(2).frames, {}, torch.arange(2))
    half = world.using(precision="bfloat16")

    def ends(world: WorldModel) -> torch.Tensor:
        with torch.no_grad():
            return world.rollout(state, actions).state.features

    exact, close = ends(world), ends(half)
    assert close.dtype == torch.float32
    assert (close - exact).abs().max() < 0.02
    with torch.no_grad():
        backend_of(world).transition.out.bias.add_(1.0)
    assert (ends(half) - close).abs().min() > 1


def test_a_stochastic_transition_follows_its_seed_and_its_temperature():
    world = small_world(stochastic=True)
    state = world.reset(clips().frames, {}, torch.zeros(3, dtype=torch.int64))
    action, other = {"action": torch.zeros(3, 2, 2)}, state.reseed(state.seed + 1)

    def differ(world: WorldModel) -> bool:
        return not torch.equal(
            world.step(state, action)[0].latents, world.step(other, action)[0].latents
        )

    assert differ(world)
    assert not differ(world.using(temperature=0.0))


def test_the_spread_of_a_stochastic_transition_is_learned():
    """A vector that takes steps of a known deviation: its transition's spread becomes that deviation."""
    world = small_world(stochastic=True, chunk=1, num_layers=0)
    backend = backend_of(world)
    assert backend.spread is not None
    steps = 0.3 * torch.randn(256, 2, 6)
    start = torch.zeros(256, 6)
    signals = torch.zeros(256, 4)
    optimiser = torch.optim.Adam(list(backend.parameters()), 3e-2)
    for k in range(150):
        read = backend.transition.read(start, signals)
        vectors, log_std = backend._move(backend.transition, start, read)
        assert log_std is not None
        error = vectors - steps[:, k % 2, None]
        loss = (
            error.square().mean() + (log_std + 0.5 * (error.detach() / log_std.exp()) ** 2).mean()
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    read = backend.transition.read(start[:1], signals[:1])
    _, log_std = backend._move(backend.transition, start[:1], read)
    assert log_std is not None
    assert log_std.exp().mean().item() == pytest.approx(0.3, rel=0.15)


@pytest.mark.parametrize("guard", ["sigreg", "variance", "none"])
def test_the_loss_of_a_row_does_not_know_its_batch(guard):
    world, batch = small_world(guard=guard), clips()
    backend = backend_of(world)
    if backend.guard is not None:
        backend.guard.remember(torch.randn(16, 6))
    together = world.loss(batch, rng())
    for row in range(3):
        one = slice(row, row + 1)
        action = batch.signals["action"]
        assert isinstance(action, Masked)
        signals = {"action": Masked(action.values[one], action.mask[one])}
        alone = Batch(batch.frames[one], batch.valid[one], {}, signals, {})
        own = world.loss(alone, Rng(torch.tensor([row]), torch.tensor([0]), TRAINING))
        for name, term in own.items():
            torch.testing.assert_close(term, together[name][one])


def test_the_encoder_learns_from_the_dynamics_while_the_tokenizer_is_frozen():
    world = small_world(decoder_gradient=0.0)
    terms = world.loss(clips(), rng())
    terms["backend/latent"].sum().backward()
    assert all(p.grad is not None for p in backend_of(world).encoder.parameters())
    assert isinstance(world.tokenizer, Patches)
    assert all(p.grad is None for p in world.tokenizer.parameters())


def test_without_its_gradient_the_decoder_only_looks_on():
    world = small_world(decoder_gradient=0.0)
    terms = world.loss(clips(), rng())
    (terms["backend/reconstruction"] + terms["backend/prediction"]).sum().backward()
    backend = backend_of(world)
    assert all(p.grad is not None for p in backend.decoder.parameters())
    grads = [p.grad for p in backend.encoder.parameters()]
    assert not any(bool(grad.any()) for grad in grads if grad is not None)


class Indices(Patches):
    """Latents out of a vocabulary."""

    vocabulary_size = 7


def test_latents_that_are_indices_are_refused():
    parts = Parts(Spec((1, 8, 8), 10.0, {}), tokenizer=Indices())
    with pytest.raises(ConfigError, match="indices"):
        StateSpaceBackend(StateSpaceConfig(), parts)


@pytest.mark.parametrize("wrong", [{"chunk": 0}, {"num_layers": -1}, {"guard_memory": 1}])
def test_sizes_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match="expected at least"):
        StateSpaceConfig(**wrong)


def test_under_autocast_the_terms_stay_close_and_in_full_precision():
    world, batch = small_world(), clips()
    exact = world.loss(batch, rng())
    with torch.autocast("cpu", torch.bfloat16):
        half = world.loss(batch, rng())
    for name, term in exact.items():
        assert half[name].dtype == torch.float32
        torch.testing.assert_close(half[name], term, rtol=0.05, atol=0.02)
