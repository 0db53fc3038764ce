"""The benchmark measures what a world offers, whatever its backend, under names that a reader understands."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cosmos_sdk.errors import ConfigError, SamplingError
from cosmos_sdk.world import WorldModel
from cosmos_sdk_evaluation import speed, steadiness
from cosmos_sdk_evaluation.bench import Arguments, check
from cosmos_sdk_evaluation.modes import Mode, modes, precisions, quickest
from toys.tokens import small_world
from toys.worlds import make

QUICK = Arguments(precision=("float32",), batch_sizes=(2,), steps=2, long=3)


def names(world: WorldModel, *num_steps: int) -> list[str]:
    return [mode.name for mode in modes(world, num_steps)]


def test_a_world_of_tokens_is_measured_in_strict_and_in_parallel_decoding():
    assert names(small_world()) == ["strict", "parallel 1", "parallel 4"]
    assert modes(small_world())[0] == Mode("strict", {"num_steps": 0})
    assert quickest(small_world()).name == "parallel 1"


def test_a_world_that_takes_steps_is_measured_at_one_two_and_four_as_ever():
    world = make("diffusion")
    assert names(world) == ["K=1", "K=2", "K=4"]
    assert quickest(world).options == {"num_steps": 1}
    assert precisions(world, ("float32", "bfloat16")) == [Mode()]  # it has no such option


def test_a_world_without_such_a_choice_is_measured_as_it_is():
    assert modes(make("chunk")) == [Mode()]
    with pytest.raises(SamplingError, match="no run-time option 'num_steps'"):
        modes(make("chunk"), (1,))


def test_what_a_world_was_not_trained_for_is_left_out_unless_asked_for():
    world = small_world(masked_weight=0.0)
    assert names(world) == ["strict"]
    assert quickest(world).name == "strict"
    with pytest.raises(SamplingError, match="parallel decoding was not trained"):
        modes(world, (1,))


def test_the_numbers_that_are_asked_for_are_taken():
    assert names(small_world(), 2, 0) == ["parallel 2", "strict"]


def test_every_setting_has_its_name_and_two_figures_and_one_that_is_scaled():
    found = [r.name for r in speed.frames_per_second(small_world(), replace(QUICK, num_steps=(0,)))]
    assert found == [
        "strict float32 batch 2 decoded",
        "strict float32 batch 2 decoded, on a core of 100 GFLOP/s",
        "strict float32 batch 2 latents",
    ]


def test_planning_says_in_which_mode_it_imagines(monkeypatch):
    monkeypatch.setattr(speed, "HORIZON", 2)
    found = [r.name for r in speed.planning(small_world(), QUICK)]
    assert found[0] == "planning, 1 x 300 candidates x 2 steps, parallel 1, float32: time"


def test_a_full_size_decision_is_measured_of_worlds_that_unroll_and_read_a_state(monkeypatch):
    monkeypatch.setattr(speed, "ITERATIONS", 1)
    assert speed.decisions(small_world(), QUICK) == []
    world = WorldModel.from_pretrained("pusht-statespace")
    found = speed.decisions(world, QUICK, repeats=1)
    name = "a decision, 300 samples x 5 blocks x 1 iterations, float32"
    assert [result.name for result in found] == [name, f"{name}, on a core of 100 GFLOP/s"]
    assert all(result.value > 0 for result in found)


def test_steadiness_and_the_layer_are_measured_of_any_world(monkeypatch):
    monkeypatch.setattr(steadiness, "PAIRS", 2)
    monkeypatch.setattr(steadiness, "OLD", 12)
    found = steadiness.steadiness(small_world(), QUICK)
    assert found[0].value > 0
    assert steadiness.environment_overhead(small_world(), QUICK, rows=2)[0].unit == "%"


def test_an_unknown_part_is_refused_before_anything_is_measured():
    check(Arguments())
    with pytest.raises(ConfigError, match=r"'sped' is no part. Did you mean 'speed'\?"):
        check(Arguments(only=("sped",)))
