"""The estimate against what is really allocated."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from cosmos_sdk.errors import ConfigError
from cosmos_sdk.protocols import Batch
from cosmos_sdk.rng import TRAINING, Rng
from cosmos_sdk.state import Masked
from cosmos_sdk.training import optimiser
from cosmos_sdk.training.ema import AveragedWeights
from cosmos_sdk.training.recipe import StageConfig
from cosmos_sdk.world import WorldModel
from cosmos_sdk_autoregressive.estimate import inference_memory, run, training_memory
from toys.memory import Alive, kept
from toys.tokens import backend_of, first_states, random_actions, small_world

ROWS, FRAMES, CODES = 4, 6, 64
SIZES: dict[str, Any] = {
    "width": 96,
    "hidden": 128,
    "head_width": 48,
    "memory": 7,
    "masked_share": 1.0,  # as many rows in every step
}


def stage(**given: Any) -> StageConfig:
    return StageConfig("world", 1, ROWS, FRAMES, **given)


def batch(shared: int = 0) -> tuple[Batch, Rng]:
    known = torch.ones(ROWS, FRAMES, dtype=torch.bool)
    latents = torch.randint(0, CODES, (ROWS, FRAMES, shared + 16))
    empty = torch.zeros(ROWS, FRAMES, 1, 3, 0, 0, dtype=torch.uint8)
    actions = {"action": Masked(random_actions(ROWS, FRAMES), known)}
    rng = Rng(torch.arange(ROWS), torch.zeros(ROWS, dtype=torch.int64), TRAINING)
    return Batch(empty, known, {}, actions, {}, latents), rng


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("config", "using"),
    [
        ({"masked_weight": 0.0}, {}),
        ({}, {}),
        ({"memory": 3, "masked_weight": 0.0, "recent": 0}, {}),
        ({"num_kv_heads": 2, "masked_weight": 0.0}, {}),
        ({"masked_weight": 0.0, "num_layers": 4}, {}),
        ({"medusa": 2}, {"medusa": 2}),
        ({}, {"unroll": 1}),
        ({"cross": ("action",), "recent": 0}, {}),
        ({"shared": True}, {}),
        ({"shared": True, "num_layers": 4, "num_kv_heads": 2, "masked_weight": 0.0}, {}),
    ],
    ids=str,
)
def test_activations_are_what_autograd_keeps(config, using, precision):
    world = small_world(CODES, side=4, **{**SIZES, **config}).using(**using)
    half = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16")
    with kept(world) as measured, half:
        terms = world.loss(*batch(backend_of(world).num_shared))
    assert all(term.requires_grad for term in terms.values())
    guess = training_memory(world, stage(using=using, precision=precision)).activations
    assert guess == pytest.approx(measured(), rel=0.1)


def test_a_stage_for_the_drafts_alone_keeps_theirs_and_trains_nothing_else():
    world = small_world(CODES, side=4, medusa=3, **SIZES).using(medusa=3)
    backend = backend_of(world)
    assert backend.medusa is not None
    world.requires_grad_(False)
    backend.medusa.requires_grad_(True)
    config = stage(using={"medusa": 3}, frozen=["backend.predictor", "conditioners"])
    with kept(world) as measured:
        term = world.loss(*batch())["backend/medusa"]
    memory = training_memory(world, config)
    assert term.requires_grad
    assert memory.activations == pytest.approx(measured(), rel=0.15)
    assert memory.gradients == sum(p.nbytes for p in backend.medusa.parameters())


def trained(world: WorldModel, config: StageConfig) -> tuple[torch.optim.AdamW, AveragedWeights]:
    """One step, as the trainer makes it."""
    parameters = {n: p for n, p in world.named_parameters() if p.requires_grad}
    adamw, averages = optimiser.adamw(parameters, config), AveragedWeights()
    torch.stack([term.mean() for term in world.loss(*batch()).values()]).sum().backward()
    adamw.step()
    averages.update(parameters, 0.9)
    return adamw, averages


def test_weights_gradients_moments_and_averages_are_what_a_step_leaves():
    world, config = small_world(CODES, side=4, **SIZES), stage()
    adamw, averages = trained(world, config)
    memory = training_memory(world, config)
    gradients = [p.grad for p in world.parameters() if p.grad is not None]
    moments = [t for s in adamw.state.values() for n, t in s.items() if n.startswith("exp_avg")]
    assert memory.weights == sum(p.nbytes for p in world.parameters())
    assert memory.gradients == sum(t.nbytes for t in gradients)
    assert memory.moments == sum(t.nbytes for t in moments)
    assert memory.averages == sum(t.nbytes for t in averages.shadow.values())
    assert training_memory(world, stage(ema=0.0)).averages == 0


def test_a_step_of_training_takes_no_more_than_the_estimate_and_not_much_less():
    world, config = small_world(CODES, side=4, **SIZES), stage()
    memory = training_memory(world, config)
    with Alive() as alive:
        trained(world, config)
    expected = memory.total - memory.weights
    assert 0.7 * expected < alive.peak < 1.05 * expected


@pytest.mark.parametrize(
    ("config", "options"),
    [({}, {}), ({}, {"num_steps": 2}), ({"shared": True}, {})],
    ids=["strict", "parallel", "shared"],
)
def test_a_step_of_inference_takes_no_more_than_the_estimate(config, options):
    world = small_world(CODES, side=4, **{**SIZES, **config}).using(**options)
    state, action = first_states(world, ROWS), random_actions(ROWS, 1)
    memory = inference_memory(world, ROWS)
    with Alive() as alive, torch.no_grad():
        world.step(state, {"action": action})
    taken = alive.peak + sum(t.untyped_storage().nbytes() for t in state.memory["backend"].values())
    expected = memory.states + memory.workspace
    assert 0.5 * expected < taken < 1.1 * expected


def test_the_states_of_an_estimate_are_those_before_and_after_a_step():
    world = small_world(CODES, **SIZES)
    state = first_states(world, ROWS)
    with torch.no_grad():
        state, _ = world.step(state, {"action": random_actions(ROWS, 1)})
    entries = [t for n, t in state.memory["backend"].items() if n.startswith(("keys", "values"))]
    assert inference_memory(world, ROWS).states == 2 * sum(
        t.untyped_storage().nbytes() for t in entries
    )


def test_recomputing_layers_keeps_less():
    world = small_world(CODES, **SIZES, num_layers=6)
    plain, less = (training_memory(world, stage(), again) for again in (False, True))
    assert less.activations < plain.activations
    assert less.weights == plain.weights


def test_a_larger_preset_needs_more_of_everything(capsys):
    printed: list[list[float]] = []
    for preset in ("s", "m"):
        assert (
            run(["config=examples/configs/pusht-128.yaml", f"world.backend.preset={preset}"]) == 0
        )
        text = capsys.readouterr().out
        printed.append([float(line.split()[-2]) for line in text.splitlines() if "GiB" in line])
    assert all(small <= large for small, large in zip(*printed, strict=True))


def test_the_4b_layout_fits_one_accelerator_of_139_gib(capsys):
    assert run(["config=examples/configs/cosmos-4b.yaml"]) == 0
    printed = capsys.readouterr().out
    assert "transformer 4,014,088,192" in printed
    total = next(line for line in printed.splitlines() if line.startswith("  total"))
    assert 90 < float(total.split()[1]) < 139


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["config=pusht-diffusion"], "'diffusion'; .* backend 'autoregressive' alone"),
        (["stage=wrld"], r"Did you mean 'world'\?"),
        (["stage=tokenizer"], "no stage that trains the world"),
        (["row=1"], "unknown key"),
    ],
)
def test_what_cannot_be_estimated_is_refused(words, message):
    with pytest.raises(ConfigError, match=message):
        run(["config=examples/configs/pusht-128.yaml", *words])
