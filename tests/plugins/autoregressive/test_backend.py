"""The autoregressive backend meets the contract in a small world, and knows how likely a frame is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor

from cosmos_sdk.errors import ConfigError, ShapeError, VocabularyError
from cosmos_sdk.protocols import Batch, Parts, Spec
from cosmos_sdk.registry import registry
from cosmos_sdk.rng import TRAINING, Rng
from cosmos_sdk.state import Masked
from cosmos_sdk.testing import check_backend
from cosmos_sdk.world import WorldModel
from cosmos_sdk_autoregressive.backend import AutoregressiveBackend
from cosmos_sdk_autoregressive.config import AutoregressiveConfig
from cosmos_sdk_autoregressive.given import Given
from cosmos_sdk_autoregressive.uncertainty import EntropyHead, EntropyHeadConfig
from toys.tokenizers import Patches
from toys.tokens import (
    Shades,
    actions_of,
    backend_of,
    first_states,
    random_actions,
    small_world,
)
from toys.worlds import make


@pytest.mark.parametrize(
    ("config", "options"),
    [
        ({}, {}),
        ({"context": 3}, {"num_steps": 2}),
        ({"medusa": 2, "tied": True}, {"medusa": 2, "top_k": 5}),
        ({"cross": ("action",), "absolute": False, "codes": False}, {"temperature": 0.7}),
        ({"stride": 3, "cross": ("action",)}, {}),
        ({"shared": True, "medusa": 2}, {"medusa": 2}),
        ({"stride": 2, "shared": True}, {"num_steps": 2}),
    ],
    ids=["strict", "parallel", "medusa", "cross", "compressed time", "shared", "both"],
)
def test_the_backend_meets_the_contract(config, options):
    check_backend(small_world(**config).using(**options))


def clips(rows: int, frames: int, seed: int = 0) -> Batch:
    """Tokens that follow from the action: all of a frame are equal, one of two by the sign of its first number."""
    actions = random_actions(rows, frames, seed)
    tokens = 1 + 4 * (actions[..., :1] > 0).long().expand(-1, -1, 4)
    known = torch.ones(rows, frames, dtype=torch.bool)
    pixels = torch.zeros(rows, frames, 1, 3, 0, 0, dtype=torch.uint8)
    return Batch(pixels, known, {}, {"action": Masked(actions, known)}, {}, tokens)


def training_rng(rows: int, step: int = 0) -> Rng:
    return Rng(torch.arange(rows), torch.full((rows,), step), TRAINING)


def trained(world: WorldModel, steps: int) -> list[dict[str, float]]:
    """The terms of the loss, step by step; every step sees clips of its own, so that there is nothing to memorise."""
    optimiser = torch.optim.Adam(world.parameters(), 1e-2)
    seen: list[dict[str, float]] = []
    for step in range(steps):
        batch = clips(8, 6, seed=step)
        terms = {n: t.mean() for n, t in world.loss(batch, training_rng(8, step)).items()}
        optimiser.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        optimiser.step()
        seen.append({name: float(term.detach()) for name, term in terms.items()})
    return seen


def test_training_teaches_strict_and_parallel_decoding_and_the_drafts():
    world = small_world(medusa=2)
    seen = trained(world.using(medusa=2), 80)
    assert set(seen[0]) == {"backend/tokens", "backend/z", "backend/masked", "backend/medusa"}
    assert all(
        seen[-1][f"backend/{name}"] < 0.3 * seen[0][f"backend/{name}"]
        for name in ("tokens", "masked", "medusa")
    )
    rows = 256
    batch = clips(rows, 3, seed=1000)
    latents, action = batch.latents, batch.signals["action"]
    assert latents is not None
    assert isinstance(action, Masked)
    history = {"action": action.values[:, :2]}
    state = world.start(latents[:, :2], {}, torch.arange(rows), history)
    actions = {"action": action.values[:, 2:]}
    for options in ({}, {"num_steps": 1}, {"num_steps": 3}, {"medusa": 2}):
        after, values = world.using(temperature=0.5, **options).step(state, actions)
        assert (after.latents[:, -1] == latents[:, 2]).float().mean() > 0.9
        assert values["uncertainty"].mean() < 0.5
    medusa = world.using(temperature=0.0, medusa=2).step(state, actions)[0]
    assert medusa.memory["backend"]["passes"].float().mean() < 4


def test_the_z_loss_is_the_squared_log_of_the_partition_function():
    world = small_world(8)
    torch.nn.init.zeros_(backend_of(world).predictor.trunk.norm.weight)
    terms = world.loss(clips(3, 4), training_rng(3))
    squared = torch.tensor(np.log(8) ** 2).float().expand(3)
    torch.testing.assert_close(terms["backend/z"], 3e-4 * squared)
    torch.testing.assert_close(terms["backend/tokens"], squared.sqrt())


def test_holes_of_a_part_of_the_rows_weigh_as_much_as_those_of_all():
    world = small_world(8)
    torch.nn.init.zeros_(backend_of(world).predictor.trunk.norm.weight)
    terms = world.loss(clips(4000, 2), training_rng(4000))["backend/masked"]
    passed = terms > 0
    assert 0.45 < passed.float().mean() < 0.55
    assert float(terms.mean().detach()) == pytest.approx(np.log(8), rel=0.05)


def test_a_context_imagined_deep_enough_is_what_the_world_would_have_imagined():
    """Passes over whole clips end where one greedy step after the other ends; the context stays."""
    world = small_world(spread=0.6).double().using(temperature=0.0, unroll=6 * 4)
    backend, latents = backend_of(world), torch.randint(0, 8, (3, 8, 4))
    actions = random_actions(3, 8).double()
    given = Given.of(actions_of(world, actions), latents[:, 0, :0], 8, 1)
    made = backend.imagined(latents, given, training_rng(3))
    state = world.start(latents[:, :2], {}, torch.arange(3), {"action": actions[:, :2]})
    ahead = world.rollout(state, {"action": actions[:, 2:]}, keep_latents=True).latents
    assert ahead is not None
    assert torch.equal(made[:, 2:], ahead[:, :, -1])
    assert torch.equal(made[:, :2], latents[:, :2])
    assert not torch.equal(made, latents)


def test_training_on_imagined_contexts_teaches_the_true_tokens_too():
    world = small_world().using(unroll=2)
    seen = trained(world, 80)
    assert seen[-1]["backend/tokens"] < 0.3 * seen[0]["backend/tokens"]
    assert seen[-1]["backend/masked"] < 0.3 * seen[0]["backend/masked"]


def test_the_likelihoods_of_all_frames_add_up_to_one():
    world = small_world(3)
    state = first_states(world, 1).branch(81)
    every = torch.cartesian_prod(*[torch.arange(3)] * 4)
    control = actions_of(world, random_actions(1, 1).expand(81, -1, -1))
    total = backend_of(world).score(state, control, every[:, None])[1].exp().sum()
    assert float(total) == pytest.approx(1, abs=1e-5)


def test_the_likelihood_of_a_clip_is_that_of_observing_it_frame_by_frame():
    world = small_world().double()
    backend = backend_of(world)
    latents, actions = torch.randint(0, 8, (2, 9, 4)), random_actions(2, 9).double()
    whole = backend.log_probs(latents, actions_of(world, actions))
    history = {"action": actions[:, :2]}
    state = world.start(latents[:, :2], {}, torch.arange(2), history)
    for k in range(2, 9):
        signals, observed = {"action": actions[:, k : k + 1]}, latents[:, k : k + 1]
        state, _, log = world.score(state, signals, observed)
        torch.testing.assert_close(log, whole[:, k])


def test_entropy_of_an_even_choice_is_the_log_of_the_vocabulary():
    world = small_world(8)
    torch.nn.init.zeros_(backend_of(world).predictor.trunk.norm.weight)
    state = first_states(world, 2)
    for options in ({}, {"num_steps": 2}, {"temperature": 0.1, "top_k": 1}):
        _, values = world.using(**options).step(state, {})
        torch.testing.assert_close(values["uncertainty"], torch.full((2, 1), np.log(8)).float())


def test_a_repeated_first_frame_says_no_more_than_one():
    world = small_world(context=3)
    one = torch.randint(0, 256, (2, 1, 1, 3, 8, 8), dtype=torch.uint8)
    state = world.reset(one, {}, torch.arange(2))
    assert state.memory["backend"]["filled"].tolist() == [1, 1]
    copies = world.reset(one.expand(-1, 3, -1, -1, -1, -1), {}, torch.arange(2))
    assert torch.equal(state.features, copies.features)


def test_bfloat16_follows_float32_and_leaves_the_weights_alone():
    world = small_world()
    state, actions = first_states(world, 4), random_actions(4, 1)
    latents = torch.randint(0, 8, (4, 1, 4))
    before = {name: p.clone() for name, p in world.named_parameters()}
    exact, half = (
        backend_of(w).score(state, actions_of(world, actions), latents)[1]
        for w in (world, world.using(precision="bfloat16"))
    )
    assert 0 < (half - exact).abs().max() < 0.5
    assert all(torch.equal(p, before[name]) for name, p in world.named_parameters())
    after, _ = world.using(precision="bfloat16").step(state, {"action": actions})
    assert after.memory["backend"]["keys0"].dtype == torch.float32


@pytest.mark.parametrize("token", [-1, 8])
def test_a_token_outside_the_vocabulary_is_refused_everywhere(token):
    world = small_world(8)
    latents = torch.full((1, 2, 4), token)
    with pytest.raises(VocabularyError, match=rf"token {token} .*from 0 to 7"):
        world.start(latents, {}, torch.zeros(1, dtype=torch.int64))
    with pytest.raises(VocabularyError, match=f"token {token}"):
        world.score(first_states(world, 1), {"action": random_actions(1, 1)}, latents[:, :1])
    batch = clips(1, 2)
    batch = Batch(batch.frames, batch.valid, {}, batch.signals, {}, latents)
    with pytest.raises(VocabularyError, match=f"token {token}"):
        world.loss(batch, training_rng(1))


@pytest.mark.parametrize(
    "latents", [torch.zeros(1, 2, 5).long(), torch.zeros(1, 2, 4)], ids=["five", "real"]
)
def test_latents_that_are_no_tokens_are_refused(latents: Tensor):
    with pytest.raises(ShapeError, match=r"tokens \(B, F, 4\) torch.int64"):
        small_world().start(latents, {}, torch.zeros(1, dtype=torch.int64))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"context": 4}, "context: 4 frames, where memory=3.*expected 1 to 3"),
        ({"num_heads": 3, "num_kv_heads": 2}, "2 does not divide num_heads=3"),
        ({"grid": (2, 3)}, r"grid: \(2, 3\) does not hold the 4 tokens"),
        ({"cross": ("text",)}, "'text' is no signal of this world, whose signals are action"),
        ({"head_width": 5}, "head_width: 5"),
    ],
    ids=str,
)
def test_sizes_that_do_not_fit_are_refused(config, message):
    with pytest.raises(ConfigError, match=message):
        small_world(**config)


def test_a_continuous_tokenizer_is_refused():
    spec = Spec((1, 8, 8), 10.0, {})
    with pytest.raises(ConfigError, match=r"discrete tokenizer.*Patches has latents"):
        AutoregressiveBackend(AutoregressiveConfig(), Parts(spec, tokenizer=Patches()))


def test_the_entropy_of_a_backend_that_draws_no_tokens_is_refused():
    parts = Parts(Spec((1, 8, 8), 10.0, {}), backend=make("diffusion").backend)
    with pytest.raises(ConfigError, match="Diffusion draws none"):
        EntropyHead(EntropyHeadConfig(), parts)


@pytest.mark.parametrize(("preset", "millions"), [("xs", 2), ("s", 5)])
def test_presets_have_the_sizes_they_promise(preset, millions):
    spec = Spec((1, 64, 64), 10.0, {"action": spaces.Box(-1, 1, (2,))})
    with torch.device("meta"):
        parts = Parts(spec, tokenizer=Shades(1000, 4))
        backend = AutoregressiveBackend(AutoregressiveConfig(preset), parts)
    assert backend.predictor.layout.grid == (4, 4)
    assert round(sum(p.numel() for p in backend.parameters()) / 1e6) == millions


def test_the_4b_layout_stands_as_a_backend_on_the_meta_device():
    spec = Spec((1, 640, 1024), 24.0, {})
    with torch.device("meta"):
        tokenizer = Shades(64_000)
        tokenizer.latent_shape = (2560,)
        config = AutoregressiveConfig("4b", context=1, masked_weight=0.0)
        backend = AutoregressiveBackend(config, Parts(spec, tokenizer=tokenizer))
    assert backend.predictor.layout.grid == (40, 64)
    trunk = sum(p.numel() for p in backend.predictor.trunk.parameters())
    assert trunk == 4_014_088_192
    assert sum(p.numel() for p in backend.parameters()) == trunk + 4096  # the action slot


def test_the_registry_knows_the_backend_and_the_head():
    assert registry().load("backend", "autoregressive") is AutoregressiveBackend
    assert registry().load("head", "entropy") is EntropyHead
