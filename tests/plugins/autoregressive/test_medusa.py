"""Medusa changes how many passes a frame takes, and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from cosmos_sdk.errors import CheckpointError, ConfigError, SamplingError
from cosmos_sdk.world import WorldModel
from cosmos_sdk_autoregressive import medusa
from cosmos_sdk_autoregressive.medusa import MedusaHeads, load_heads, own_draw, save_heads, verified
from toys.tokens import backend_of, first_states, random_actions, small_world

DRAWS = 100_000
SMALL: dict[str, Any] = {
    "width": 12,
    "num_layers": 1,
    "num_heads": 1,
    "head_width": 6,
    "hidden": 8,
    "memory": 2,
}


def rolled(world: WorldModel, frames: int = 6) -> tuple[Tensor, Tensor]:
    """Tokens (3, frames, N) and passes (3, frames) of an imagined future."""
    state, actions = first_states(world, 3), random_actions(3, frames).to(world.dtype)
    tokens: list[Tensor] = []
    passes: list[Tensor] = []
    with torch.no_grad():
        for k in range(frames):
            state, _ = world.step(state, {"action": actions[:, k : k + 1]})
            tokens.append(state.latents[:, -1])
            passes.append(state.memory["backend"]["passes"])
    return torch.stack(tokens, 1), torch.stack(passes, 1)


@pytest.mark.parametrize("heads", [3, 6, 9])
def test_greedy_tokens_are_the_same_with_heads_and_without(heads):
    world = small_world(side=4, medusa=9).double().using(temperature=0.0)
    plain, without = rolled(world)
    drafted, passes = rolled(world.using(medusa=heads))
    assert torch.equal(plain, drafted)
    assert (without == 17).all()
    assert (passes <= 17).all()


@pytest.mark.parametrize(("heads", "passes"), [(3, 5), (6, 4), (9, 3)])
def test_heads_that_are_always_right_take_one_pass_for_each_of_their_chains(heads, passes):
    """A transformer whose last norm is zero says token 0 for ever, and so do its heads: 1 + 16 / (1 + heads)."""
    world = small_world(side=4, medusa=9).using(temperature=0.0, medusa=heads)
    backend = backend_of(world)
    assert backend.medusa is not None
    assert backend.medusa.echo is not None
    torch.nn.init.zeros_(backend.predictor.trunk.norm.weight)
    torch.nn.init.zeros_(backend.medusa.echo.weight)
    assert (rolled(world)[1] == passes).all()


def test_rows_take_their_own_numbers_of_passes():
    _, passes = rolled(small_world(side=4, medusa=6).using(medusa=6), 8)
    assert len(passes.unique()) > 2


def p_value(world: WorldModel) -> float:
    """Chi-square of 1e5 imagined frames of one state against the likelihood of every frame there is."""
    state, action = first_states(world, 1), random_actions(1, 1)
    every = torch.cartesian_prod(*[torch.arange(3)] * 4)
    with torch.no_grad():
        _, _, log = world.score(
            state.branch(81), {"action": action.expand(81, -1, -1)}, every[:, None]
        )
        branches = state.branch(DRAWS).reseed(torch.arange(DRAWS))
        after, _ = world.step(branches, {"action": action.expand(DRAWS, -1, -1)})
    expected = log.double().exp().numpy() * DRAWS
    assert expected.sum() == pytest.approx(DRAWS, rel=1e-5)
    number = (after.latents[:, -1] * torch.tensor([27, 9, 3, 1])).sum(1)
    counts = torch.bincount(number, minlength=81).numpy().astype(float)
    rare = expected < 10
    counts = np.append(counts[~rare], counts[rare].sum())
    expected = np.append(expected[~rare], expected[rare].sum() + 1e-9)
    assert len(counts) > 20
    return float(stats.chisquare(counts, expected * counts.sum() / expected.sum()).pvalue)


@pytest.mark.parametrize("options", [{"medusa": 2}, {}], ids=["medusa", "strict"])
def test_sampling_keeps_the_distribution(options):
    assert p_value(small_world(3, medusa=2, **SMALL).using(**options)) > 0.01


def test_a_biased_acceptance_is_caught(monkeypatch):
    def generous(true: Tensor, drafted: Tensor, drafts: Tensor, uniform: Tensor) -> Tensor:
        return verified(true, drafted, drafts, 0.7 * uniform)

    monkeypatch.setattr(medusa, "verified", generous)
    assert p_value(small_world(3, medusa=2, **SMALL).using(medusa=2)) < 1e-4


def test_a_token_that_is_drawn_as_if_no_draft_had_failed_is_caught(monkeypatch):
    def forgetful(true: Tensor, drafted: Tensor, accepted: Tensor, uniform: Tensor) -> Tensor:
        return own_draw(true, torch.zeros_like(drafted), accepted, uniform)

    monkeypatch.setattr(medusa, "own_draw", forgetful)
    assert p_value(small_world(3, medusa=2, **SMALL).using(medusa=2)) < 1e-4


def test_the_first_draft_that_fails_ends_the_chain():
    true = torch.tensor([[[0.5, 0.5], [1.0, 0.0], [0.5, 0.5]]]).expand(3, -1, -1)
    drafted = torch.tensor([[[0.5, 0.5], [0.0, 1.0]]]).expand(3, -1, -1)
    drafts, uniform = torch.tensor([[0, 1], [1, 1], [0, 1]]), torch.full((3, 2), 0.9)
    accepted = verified(true, drafted, drafts, uniform)
    assert accepted.tolist() == [1, 1, 1]
    assert own_draw(true, drafted, accepted, torch.full((3,), 0.9)).tolist() == [0, 0, 0]


def test_heads_begin_as_the_transformer_itself():
    hidden = torch.randn(2, 12)
    assert torch.equal(MedusaHeads(12, 3)(hidden, 2), hidden[:, None].expand(-1, 2, -1))


def test_heads_learn_and_the_transformer_does_not_notice():
    world = small_world(medusa=3)
    backend = backend_of(world)
    assert backend.medusa is not None
    hidden = torch.randn(2, 3, 5, 24, requires_grad=True)
    trunk, tokens = backend.predictor.trunk, torch.randint(0, 8, (2, 3, 4))
    backend.medusa.loss(trunk, hidden, tokens).sum().backward()
    assert hidden.grad is None
    assert all(weight.grad is None for weight in trunk.parameters())
    gradient = backend.medusa.layers.weight.grad
    assert gradient is not None
    assert gradient.any()


def test_saved_heads_load_on_their_own_trunk_alone(tmp_path):
    backend = backend_of(small_world(medusa=2))
    assert backend.medusa is not None
    path, trunk = tmp_path / "heads.safetensors", backend.predictor.trunk
    save_heads(backend.medusa, trunk, path)
    loaded = load_heads(path, trunk)
    assert torch.equal(loaded.layers.weight, backend.medusa.layers.weight)
    with torch.no_grad():
        trunk.norm.weight[0] += 1
    with pytest.raises(CheckpointError, match=r"another trunk .*expected .*train them on this one"):
        load_heads(path, trunk)


def test_a_file_without_heads_is_refused(tmp_path):
    path = tmp_path / "heads.safetensors"
    path.write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="cannot be read as Medusa heads"):
        load_heads(path, backend_of(small_world()).predictor.trunk)


def test_heads_trained_elsewhere_are_taken_by_a_world_that_has_none(tmp_path):
    world, path = small_world(medusa=3).double(), tmp_path / "heads.safetensors"
    bare = small_world().double()
    backend_of(bare).predictor.load_state_dict(backend_of(world).predictor.state_dict())
    backend_of(world).save_drafts(path)
    with pytest.raises(SamplingError, match=r"medusa is 3; expected 0 to 0.*load_drafts"):
        bare.using(medusa=3)
    backend_of(bare).load_drafts(path)
    drafts = backend_of(bare).medusa
    assert drafts is not None
    assert drafts.layers.weight.dtype == torch.float64
    assert backend_of(bare).config.medusa == 3
    greedy = bare.using(temperature=0.0)
    plain, drafted = (rolled(w) for w in (greedy, greedy.using(medusa=3)))
    assert torch.equal(plain[0], drafted[0])
    other = small_world(spread=0.2)
    with pytest.raises(CheckpointError, match="another trunk"):
        backend_of(other).load_drafts(path)
    with pytest.raises(SamplingError, match="no Medusa heads to save"):
        backend_of(other).save_drafts(path)


def test_more_heads_than_there_are_is_refused():
    with pytest.raises(SamplingError, match="medusa is 3; expected 0 to 2"):
        small_world(medusa=2).using(medusa=3)


def test_heads_beyond_the_frame_are_refused():
    with pytest.raises(ConfigError, match="use for 0 to 3"):
        small_world(medusa=4)
