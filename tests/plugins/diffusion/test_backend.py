"""The diffusion backend meets the contract in a small world, and does what its options say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from cosmos_sdk.errors import ConfigError, UnknownNameError
from cosmos_sdk.protocols import Batch, Parts, Spec
from cosmos_sdk.rng import TRAINING, Rng
from cosmos_sdk.state import Control, Masked
from cosmos_sdk.testing import check_backend
from cosmos_sdk.world import WorldModel
from cosmos_sdk_action.conditioner import ActionConditioner, ActionConditionerConfig
from cosmos_sdk_diffusion.backend import DiffusionBackend, DiffusionConfig
from cosmos_sdk_tokenizers.conv import ConvTokenizer, ConvTokenizerConfig

STATE = spaces.Box(np.array([0, 0], "f"), np.array([1, 6.2831855], "f"))
SMALL: dict[str, Any] = {
    "width": 16,
    "num_layers": 2,
    "num_heads": 2,
    "hidden": 16,
    "cond_width": 8,
    "pack": 2,
    "memory": 3,
}


def small_world(
    views: int = 1,
    height: int = 16,
    width: int = 32,
    auxiliary: tuple[str, ...] = ("state",),
    **config: Any,
) -> WorldModel:
    torch.manual_seed(0)
    actions = {"action": spaces.Box(-1, 1, (2,))}
    spec = Spec((views, height, width), 10.0, actions, {"state": STATE})
    sizes = ConvTokenizerConfig(
        4, widths=(8,), mixer_width=8, mixer_blocks=1, auxiliary_width=8, auxiliary=auxiliary
    )
    tokenizer = ConvTokenizer(sizes, Parts(spec))
    action = ActionConditioner(ActionConditionerConfig(8, 8), Parts(spec, name="action"))
    parts = Parts(spec, tokenizer=tokenizer, conditioners={"action": action})
    backend = DiffusionBackend(DiffusionConfig(**{**SMALL, **config}), parts)
    return perturbed(WorldModel(tokenizer, backend, parts.conditioners, {}, {}, spec))


def perturbed(world: WorldModel) -> WorldModel:
    """Layers that start at zero would hide what the test looks for."""
    with torch.no_grad():
        for parameter in world.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return world


def clips(rows: int = 3, frames: int = 6, shape: tuple[int, ...] = (1, 3, 16, 32)) -> Batch:
    generator = np.random.default_rng(0)
    pixels = torch.from_numpy(generator.integers(0, 256, (rows, frames, *shape), np.uint8))
    actions = torch.from_numpy(generator.uniform(-1, 1, (rows, frames, 2)).astype("f"))
    known = torch.ones(rows, frames, dtype=torch.bool)
    known[:, 0] = False
    valid = torch.ones_like(known)
    return Batch(pixels, valid, {}, {"action": Masked(actions, known)}, {})


def diffusion(world: WorldModel) -> DiffusionBackend:
    assert isinstance(world.backend, DiffusionBackend)
    return world.backend


def rng(rows: int = 3, time: int = 0) -> Rng:
    return Rng(torch.arange(rows), torch.full((rows,), time), TRAINING)


def rolled(world: WorldModel, num_steps: int = 6) -> torch.Tensor:
    """Latents (3, num_steps, N, C) of an imagined future."""
    actions = torch.linspace(-1, 1, 3 * num_steps * 2).view(3, num_steps, 2)
    with torch.no_grad():
        state = world.reset(clips().frames, {}, torch.arange(3))
        kept = world.rollout(state, {"action": actions}, keep_latents=True).latents
    assert kept is not None
    return kept[:, :, -1]


@pytest.mark.parametrize("num_steps", [1, 2])
def test_the_backend_meets_the_contract(num_steps):
    check_backend(small_world().using(num_steps=num_steps))


@pytest.mark.parametrize("num_steps", [1, 2, 4, 8])
def test_one_set_of_weights_runs_with_any_number_of_steps(num_steps):
    latents = rolled(small_world().using(num_steps=num_steps))
    assert latents.isfinite().all()
    assert (latents[:, 1:] != latents[:, :-1]).any()


def test_one_step_draws_no_noise_and_several_do():
    world = small_world()
    state = world.reset(clips().frames, {}, torch.zeros(3, dtype=torch.int64))
    action = {"action": torch.zeros(3, 1, 2)}
    other = state.reseed(state.seed + 1)
    assert torch.equal(world.step(state, action)[0].latents, world.step(other, action)[0].latents)
    world = world.using(num_steps=2)
    assert not torch.equal(
        world.step(state, action)[0].latents, world.step(other, action)[0].latents
    )


def test_context_noise_disturbs_what_a_step_starts_from():
    world = small_world()
    assert not torch.equal(rolled(world), rolled(world.using(context_noise=0.1)))


def test_bfloat16_follows_float32_and_leaves_the_weights_alone():
    world = small_world()
    before = {name: p.clone() for name, p in world.named_parameters()}
    exact, half = rolled(world), rolled(world.using(precision="bfloat16"))
    assert half.dtype == torch.float32
    assert 0 < (half - exact).abs().max() < 0.1
    assert all(torch.equal(p, before[name]) for name, p in world.named_parameters())


def test_bfloat16_copies_follow_the_weights():
    world = small_world().using(precision="bfloat16")
    before = rolled(world)
    with torch.no_grad():
        for parameter in diffusion(world).parameters():
            parameter.mul_(1.1)
    assert not torch.equal(before, rolled(world))


def test_guidance_of_one_changes_nothing_and_of_two_goes_further_from_no_signal():
    world = small_world()
    plain = rolled(world, 1)
    assert torch.equal(plain, rolled(world.using(guidance={"action": 1.0}), 1))
    twice = rolled(world.using(guidance={"action": 2.0}), 1)
    none = rolled(world.using(guidance={"action": 0.0}), 1)
    torch.testing.assert_close(twice - plain, plain - none)


def test_a_repeated_first_frame_says_no_more_than_one():
    """A history of one frame is padded to the context by copies, of which the memory holds one."""
    world = small_world()
    one = clips().frames[:, :1]
    state = world.reset(one, {}, torch.arange(3))
    assert torch.equal(state.memory["backend"]["filled"], torch.ones(3, dtype=torch.int64))
    copies = world.reset(one.expand(-1, 3, *one.shape[2:]), {}, torch.arange(3))
    assert torch.equal(state.features, copies.features)


def test_an_unrolled_clip_is_imagined_as_steps_imagine_it():
    world = small_world(context=3)
    batch = clips()
    latents = world.tokenizer.encode(batch.frames)
    action = batch.signals["action"]
    assert isinstance(action, Masked)
    tokens, _ = world.conditioners["action"].embed(action, torch.zeros(3, 6), {})
    control = Control({"action": action}, {"action": tokens})
    backend = diffusion(world.using(unroll=3))
    with torch.no_grad():
        _, features = backend.loss(latents, control, batch.valid, rng())
        history = {"action": Masked(action.values[:, :3], action.mask[:, :3])}
        state = world.start(latents[:, :3], {}, torch.arange(3), history)
        for k in (3, 4, 5):
            state, _ = world.step(state, {"action": action.values[:, k : k + 1]})
            torch.testing.assert_close(state.features[:, 0], features[:, k])


@pytest.mark.parametrize(
    "options",
    [{}, {"unroll": 3}, {"diffusion": 1.0, "bootstrap": 1.0}, {"unroll": 2, "diffusion": 0.5}],
    ids=str,
)
def test_training_lowers_every_term_of_the_loss(options):
    world = small_world(dropout=0.0).using(**options)
    batch = clips()
    optimiser = torch.optim.Adam(list(diffusion(world).parameters()), 5e-3)
    diffusion(world).train()
    seen: list[dict[str, float]] = []
    for _ in range(12):
        terms = {name: term.mean() for name, term in world.loss(batch, rng()).items()}
        optimiser.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        optimiser.step()
        seen.append({name: float(term.detach()) for name, term in terms.items()})
    assert ("backend/diffusion" in seen[0]) == ("diffusion" in options)
    assert all(seen[-1][name] < seen[0][name] for name in seen[0])


def test_the_loss_of_a_row_does_not_know_its_batch():
    world = small_world().using(unroll=2, diffusion=0.5, bootstrap=0.5)
    diffusion(world).train()
    batch = clips()
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


def test_a_memory_of_three_frames_is_not_reached_by_the_fifth_before():
    """Layers widen the reach: with one temporal layer a frame sees its memory and what that saw as context."""
    world = small_world(num_layers=2)
    batch = clips(1, 8)
    latents = world.tokenizer.encode(batch.frames)
    control = Control(
        {},
        {"action": Masked(torch.zeros(1, 8, 1, 1, 8), torch.zeros(1, 8, 1, 1, dtype=torch.bool))},
    )
    changed = latents.clone()
    changed[:, 0] += 1
    with torch.no_grad():
        seed = torch.zeros(1, dtype=torch.int64)
        same = diffusion(world).full(latents, control, seed) == diffusion(world).full(
            changed, control, seed
        )
    reached = ~same.flatten(2).all(2)[0]
    assert reached[:4].all()
    assert not reached[7]


def test_a_tokenizer_without_auxiliary_heads_adds_no_perceptual_term():
    """There is nothing to compare, and a mean of nothing is no number."""
    terms = small_world(auxiliary=()).loss(clips(), Rng(torch.arange(3), torch.zeros(3).long()))
    assert "backend/perceptual" not in terms
    assert all(term.isfinite().all() for term in terms.values())


@pytest.mark.parametrize(("views", "height", "width"), [(1, 8, 16), (2, 24, 16), (3, 16, 16)])
def test_any_size_and_number_of_views_steps(views, height, width):
    world = small_world(views, height, width)
    frames = clips(2, 2, (views, 3, height, width)).frames
    state = world.reset(frames, {}, torch.arange(2))
    state, _ = world.step(state, {"action": torch.zeros(2, 1, 2)})
    assert world.decode(state).shape == (2, 1, views, 3, height, width)


def test_a_pack_that_does_not_divide_the_tokens_is_refused():
    with pytest.raises(ConfigError, match="pack=3"):
        small_world(pack=3)


def test_an_unknown_preset_names_the_nearest():
    with pytest.raises(UnknownNameError, match="'xs'"):
        small_world(preset="xss")


@pytest.mark.parametrize(("preset", "millions"), [("xs", 2), ("s", 5), ("m", 17)])
def test_presets_have_the_sizes_they_promise(preset, millions):
    spec = Spec((1, 64, 64), 10.0, {"action": spaces.Box(-1, 1, (2,))})
    with torch.device("meta"):
        tokenizer = ConvTokenizer(ConvTokenizerConfig(), Parts(spec))
        backend = DiffusionBackend(DiffusionConfig(preset), Parts(spec, tokenizer=tokenizer))
    count = sum(parameter.numel() for parameter in backend.parameters())
    assert round(count / 1e6) in (millions, millions + 1)
