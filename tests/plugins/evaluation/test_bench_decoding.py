"""Medusa heads in the benchmark: how many there are, what they save, and that greedy tokens stay the same."""

from __future__ import annotations

import pytest
import torch

from cosmos_sdk_autoregressive import medusa
from cosmos_sdk_evaluation import decoding
from cosmos_sdk_evaluation.bench import Arguments
from cosmos_sdk_evaluation.decoding import agreement, choices, compare, held_actions, roll
from cosmos_sdk_evaluation.speed import fresh
from toys.tokens import backend_of, first_states, small_world
from toys.worlds import make


@pytest.mark.parametrize(
    ("heads", "measured"), [(0, []), (2, [0, 2]), (7, [0, 3, 6, 7]), (9, [0, 3, 6, 9])]
)
def test_the_numbers_of_heads_are_those_of_the_paper_as_far_as_the_world_has_them(heads, measured):
    assert choices(small_world(side=4, medusa=heads)) == measured


def test_a_world_that_knows_no_heads_has_no_figures():
    assert decoding.decoding(make("diffusion"), Arguments()) == []


def test_actions_are_held():
    held = held_actions(small_world(), 2, 12)["action"]
    assert held.shape == (2, 12, 2)
    assert (held[:, 1:5] == held[:, :1]).all()
    assert (held[:, 5] != held[:, 4]).any()


def test_heads_that_are_always_right_save_what_their_chains_hold():
    """A transformer whose last norm is zero says token 0 for ever, and so do its heads: 1 + 16 / (1 + 3) passes."""
    world = small_world(side=4, medusa=3).using(temperature=0.0)
    backend = backend_of(world)
    assert backend.medusa is not None
    assert backend.medusa.echo is not None
    torch.nn.init.zeros_(backend.predictor.trunk.norm.weight)
    torch.nn.init.zeros_(backend.medusa.echo.weight)
    found = {r.name: r for r in compare(world, "greedy", fresh(world, 2), 3, [0, 3])}
    assert found["decoding, greedy, 0 heads: passes per frame"].value == 17
    assert found["decoding, greedy, 3 heads: passes per frame"].value == 5
    assert found["decoding, greedy, 3 heads: tokens per pass"].value == pytest.approx(16 / 5)
    assert found["decoding, greedy, 3 heads: throughput against 0 heads"].value > 0
    assert found["decoding, greedy, 3 heads: latents, batch 1"].unit == "frames/s"


def test_greedy_tokens_with_heads_are_those_without():
    world = small_world(side=4, medusa=3)
    (found,) = agreement(world, first_states(world, 2), 4, [0, 3])
    assert found.value == 100
    assert world.dtype == torch.float32  # what is measured is a copy


def test_heads_that_change_the_tokens_are_found_out(monkeypatch):
    def careless(logits, guess, drafts, options, accept, own):
        kept = torch.cat((drafts, logits[:, -1:].argmax(-1)), 1)
        return kept, torch.full_like(drafts[:, 0], drafts.shape[1])

    world = small_world(side=4, medusa=3)
    monkeypatch.setattr(medusa, "settled", careless)
    (found,) = agreement(world, first_states(world, 2), 4, [0, 3])
    assert found.value < 100


def test_a_roll_keeps_every_token_and_the_passes_of_every_frame():
    world = small_world()
    rolled = roll(world, first_states(world, 2), held_actions(world, 2, 3))
    assert rolled.tokens.shape == (2, 3, 4)
    assert (rolled.passes == 5).all()
    assert rolled.seconds > 0


def test_the_figures_of_the_paper_stand_beside_those_that_are_measured(monkeypatch):
    world = small_world(side=4, medusa=3)
    monkeypatch.setattr(decoding, "starts", lambda source, rows, device: first_states(world, 2))
    found = decoding.decoding(world, Arguments(steps=2))
    text = [r.name for r in found]
    assert "decoding, sampled, 3 heads: tokens per pass" in text
    assert "decoding, 3 heads: greedy tokens that are those without heads" in text
    assert found[-1].name.startswith("decoding, Cosmos 4B, 9 heads")
    assert found[-1].value == pytest.approx(2.01, abs=0.005)
