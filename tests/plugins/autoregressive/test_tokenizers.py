"""Tokenizers that compress time, and tokenizers whose clips share tokens, under the backend."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from cosmos_sdk.build import build
from cosmos_sdk.config import WorldConfig
from cosmos_sdk.errors import ConfigError, ShapeError
from cosmos_sdk.protocols import Batch
from cosmos_sdk.rng import TRAINING, Rng
from cosmos_sdk.state import Masked
from cosmos_sdk.testing import check_backend
from cosmos_sdk.world import WorldModel
from cosmos_sdk_autoregressive.given import by_latent
from toys.tokens import SMALL, actions_of, backend_of, first_states, random_actions, small_world

COSMOS = {
    "name": "cosmos",
    "preset": "dv4x8x8",
    "channels": 3,
    "levels": [16, 15, 16],  # coarse codes of so small a network may all be 0
    "width": 4,
    "multipliers": [1, 2],
    "blocks": 1,
}
COMPRESSIVE = {
    "name": "compressive",
    "levels": [16, 15, 16],
    "widths": [8, 8],
    "context_widths": [8],
    "mixer_width": 16,
    "mixer_blocks": 1,
}


def built(tokenizer: dict[str, Any], **heads: Any) -> WorldModel:
    """A world of 16 x 32 pixels with a real tokenizer, made from its config."""
    action = {"names": ["x", "y"], "low": [-1.0, -1.0], "high": [1.0, 1.0], "rate": 10.0}
    unit = {"low": [0.0], "high": [1.0]}
    spec = {
        "frames": [1, 16, 32],
        "rate": 10.0,
        "actions": {"action": action},
        "targets": {"reward": unit, "terminated": unit},
    }
    torch.manual_seed(0)
    config = {
        "spec": spec,
        "tokenizer": tokenizer,
        "conditioners": {"action": {"name": "action"}},
        "backend": {"name": "autoregressive", **SMALL},
        "heads": {"uncertainty": {"name": "entropy"}, **heads},
    }
    return build(WorldConfig.from_mapping(config))


def test_a_world_with_the_cosmos_tokenizer_meets_the_contract():
    heads = {"reward": {"name": "reward"}, "terminated": {"name": "termination"}}
    world = built(COSMOS, **heads)
    assert (world.backend.chunk, world.backend.window, world.backend.context) == (4, 2, 5)
    check_backend(world)


def test_a_world_with_the_compressive_tokenizer_meets_the_contract():
    world = built(COMPRESSIVE)
    assert backend_of(world).num_shared == 8
    assert backend_of(world).predictor.layout.num_tokens == 2
    check_backend(world)


def test_a_step_of_a_world_of_compressed_time_makes_the_frames_of_a_latent():
    world = built(COSMOS)
    frames = torch.randint(0, 256, (2, 5, 1, 3, 16, 32), dtype=torch.uint8)
    state = world.reset(frames, {}, torch.arange(2))
    assert torch.equal(state.latents, world.tokenizer.encode(frames))
    assert world.decode(state).shape == (2, 4, 1, 3, 16, 32)
    future = world.rollout(state, {"action": random_actions(2, 8)}, keep_latents=True)
    assert future.latents is not None
    assert future.latents.shape == (2, 2, 2, 8)
    assert future.values["uncertainty"].shape == (2, 8)
    assert future.state.time.tolist() == [8, 8]
    assert world.decode(future.state).shape == (2, 4, 1, 3, 16, 32)


def clips(world: WorldModel, rows: int, latents: int, seed: int) -> Batch:
    """Tokens that follow from the last action of a latent: all are equal, one of two by the sign of its first number.

    Those that a clip shares come first.
    """
    backend = backend_of(world)
    frames = 1 + backend.chunk * (latents - 1)
    actions = random_actions(rows, frames, seed)
    tokens = 1 + 4 * (actions[:, :: backend.chunk, :1] > 0).long().expand(-1, -1, 4)
    shared = torch.randint(0, 8, (rows, 1, backend.num_shared)).expand(-1, latents, -1)
    known = torch.ones(rows, frames, dtype=torch.bool)
    pixels = torch.zeros(rows, frames, 1, 3, 0, 0, dtype=torch.uint8)
    signals = {"action": Masked(actions, known)}
    return Batch(pixels, known, {}, signals, {}, torch.cat((shared, tokens), 2))


@pytest.mark.parametrize("coder", [{"stride": 3}, {"shared": True}], ids=str)
def test_training_teaches_tokens_that_follow_from_the_action(coder):
    world = small_world(medusa=2, **coder).using(medusa=2)
    optimiser = torch.optim.Adam(world.parameters(), 1e-2)
    seen: list[dict[str, float]] = []
    for step in range(80):
        rng = Rng(torch.arange(8), torch.full((8,), step), TRAINING)
        terms = {n: t.mean() for n, t in world.loss(clips(world, 8, 5, step), rng).items()}
        optimiser.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        optimiser.step()
        seen.append({name: float(term.detach()) for name, term in terms.items()})
    for name in ("tokens", "masked", "medusa"):
        assert seen[-1][f"backend/{name}"] < 0.4 * seen[0][f"backend/{name}"]


@pytest.mark.parametrize("coder", [{"stride": 3}, {"shared": True}], ids=str)
def test_the_likelihood_of_a_clip_is_that_of_observing_it_latent_by_latent(coder):
    """In one pass over the clip as in steps with the cache, in double precision, over three windows."""
    world = small_world(**coder).double()
    backend, chunk = backend_of(world), backend_of(world).chunk
    latents = clips(world, 2, 9, seed=1).latents
    assert latents is not None
    latents[..., backend.num_shared :] = torch.randint(0, 8, (2, 9, 4))
    actions = random_actions(2, 1 + 8 * chunk).double()
    whole = backend.log_probs(latents, actions_of(world, actions))
    assert whole.shape == (2, 9)
    history = {"action": actions[:, : 1 + chunk]}
    state = world.start(latents[:, :2], {}, torch.arange(2), history)
    for k in range(2, 9):
        begin = 1 + (k - 1) * chunk
        signals = {"action": actions[:, begin : begin + chunk]}
        state, values, log = world.score(state, signals, latents[:, k : k + 1])
        torch.testing.assert_close(log, whole[:, k], rtol=0, atol=1e-10)
        assert values["uncertainty"].shape == (2, chunk)


def next_logits(world: WorldModel, latents: Tensor, actions: Tensor) -> Tensor:
    return backend_of(world).logits(latents, actions_of(world, actions))[:, -1].detach()


def test_every_frame_of_a_latent_is_heard_in_its_own_place():
    world, latents = small_world(stride=3), torch.randint(0, 8, (1, 3, 4))
    actions = random_actions(1, 7)
    base = next_logits(world, latents, actions)
    for k in (4, 5, 6):
        changed = actions.clone()
        changed[:, k] += 0.5
        assert not torch.allclose(next_logits(world, latents, changed), base)
    swapped = actions[:, [0, 1, 2, 3, 5, 4, 6]]
    assert not torch.allclose(next_logits(world, latents, swapped), base)


def test_signals_are_put_to_the_latents_that_hold_their_frames():
    x = torch.arange(1, 8)[None, :, None, None]  # (B, K, V, N)
    assert by_latent(x, 3, 3).flatten().tolist() == [0, 0, 1, 2, 3, 4, 5, 6, 7]
    assert by_latent(x[:, 1:4], 1, 3).flatten().tolist() == [2, 3, 4]
    assert by_latent(x[:, :1], 3, 3).shape == (1, 1, 1, 1, 1)
    with pytest.raises(ShapeError, match=r"number of signals.*6.*7, the frames that 3 latents"):
        by_latent(x[:, :6], 3, 3)


def test_features_of_frames_that_share_a_latent_differ_in_their_place_alone():
    world = small_world(stride=3)
    features = first_states(world, 2).features
    assert features.shape == (2, 3, world.backend.feature_width)
    assert torch.equal(features[:, :, 24:27], torch.eye(3).expand(2, -1, -1))
    rest = torch.cat((features[..., :24], features[..., 27:]), -1)
    assert torch.equal(rest[:, 0], rest[:, 2])


def test_a_lone_first_frame_is_no_latent_of_several_frames():
    with pytest.raises(ConfigError, match="context: 1; expected 2 or more, as 3 frames share"):
        small_world(stride=3, context=1)


def test_the_tokens_that_a_clip_shares_are_copied_and_heard():
    world = small_world(shared=True)
    latents, actions = torch.randint(0, 8, (2, 3, 8)), random_actions(2, 3)
    latents[..., :4] = latents[:, :1, :4]
    state = world.start(latents[:, 1:], {}, torch.arange(2))
    after, _ = world.step(state, {"action": actions[:, :1]})
    assert torch.equal(after.latents[:, -1, :4], latents[:, 0, :4])
    other = latents.clone()
    other[..., :4] = (latents[..., :4] + 1) % 8
    first, second = (next_logits(world, x, actions) for x in (latents, other))
    assert not torch.allclose(first, second)


def test_only_tokens_that_are_predicted_have_a_likelihood():
    """Those of all frames that a clip may go on with add up to one."""
    world = small_world(3, shared=True)
    state = first_states(world, 1).branch(81)
    every = torch.cartesian_prod(*[torch.arange(3)] * 4)
    observed = torch.cat((state.latents[:, -1, :4], every), 1)[:, None]
    control = actions_of(world, random_actions(1, 1).expand(81, -1, -1))
    total = backend_of(world).score(state, control, observed)[1].exp().sum()
    assert float(total) == pytest.approx(1, abs=1e-5)


def test_an_observed_frame_that_was_encoded_in_another_clip_is_refused():
    world = small_world(shared=True)
    state = first_states(world, 2)
    observed = state.latents[:, -1:].clone()
    observed[:, :, 0] = (observed[:, :, 0] + 1) % 8
    with pytest.raises(ShapeError, match=r"same first 4 tokens.*in one clip with those of the re"):
        world.score(state, {"action": random_actions(2, 1)}, observed)
