"""Schedules, decay groups, averages."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch
from torch import nn

from cosmos_sdk.training import optimiser
from cosmos_sdk.training.ema import AveragedWeights
from cosmos_sdk.training.recipe import StageConfig


def stage(**more: object) -> StageConfig:
    return StageConfig(
        **{"train": "world", "steps": 100, "learning_rate": 1.0, "warmup": 10, **more}
    )  # pyright: ignore[reportArgumentType]


def rates(**more: object) -> list[float]:
    config = stage(**more)
    return [optimiser.learning_rate(config, step) for step in range(config.steps)]


def test_the_rate_rises_linearly_then_follows_a_cosine() -> None:
    rate = rates()
    assert rate[:10] == pytest.approx([0.1 * k for k in range(1, 11)])
    assert rate[55] == pytest.approx(0.5)
    assert 0 < rate[-1] < 1e-3


@pytest.mark.parametrize("shape", ["cosine", "linear", "sqrt"])
def test_warmup_stable_decay_is_flat_between(shape: str) -> None:
    rate = rates(decay=20, decay_shape=shape, decay_to=0.1)
    assert set(rate[9:81]) == {1.0}
    assert all(a > b for a, b in itertools.pairwise(rate[80:]))
    assert optimiser.learning_rate(
        stage(decay=20, decay_shape=shape, decay_to=0.1), 100
    ) == pytest.approx(0.1)


def test_a_stage_without_decay_stays_flat() -> None:
    assert set(rates(decay=0, warmup=0)) == {1.0}


def test_only_matrices_decay() -> None:
    layer = nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3))
    adamw = optimiser.adamw(dict(layer.named_parameters()), stage(weight_decay=0.5))
    for parameter in layer.parameters():
        parameter.grad = torch.zeros_like(parameter)
    before = {name: p.detach().clone() for name, p in layer.named_parameters()}
    adamw.step()
    changed = {name for name, p in layer.named_parameters() if not torch.equal(p, before[name])}
    assert changed == {"0.weight"}


def test_moments_survive_a_new_optimiser() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(3, 3)
    named = dict(layer.named_parameters())
    first = optimiser.adamw(named, stage())
    layer(torch.randn(5, 3)).square().sum().backward()
    first.step()
    held = {name: t.clone() for name, t in optimiser.moments(first, named).items()}
    second = optimiser.adamw(named, stage())
    optimiser.restore(second, named, held)
    again = optimiser.moments(second, named)
    assert again.keys() == held.keys()
    assert all(torch.equal(again[name], held[name]) for name in held)


def test_a_kernel_that_is_laid_out_channels_last_goes_on_as_if_nothing_had_happened() -> None:
    torch.manual_seed(0)
    first = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    second = copy.deepcopy(first)
    runs = [(layer, dict(layer.named_parameters())) for layer in (first, second)]
    optimisers = [optimiser.adamw(named, stage()) for _, named in runs]
    held = {}
    for step in range(3):
        images = torch.randn(2, 3, 8, 8)
        if step == 1:  # what is read from a file is contiguous
            held = {
                n: t.contiguous() for n, t in optimiser.moments(optimisers[1], runs[1][1]).items()
            }
            optimisers[1] = optimiser.adamw(runs[1][1], stage())
            optimiser.restore(optimisers[1], runs[1][1], held)
        for (layer, _), adamw in zip(runs, optimisers, strict=True):
            adamw.zero_grad()
            layer(images).square().sum().backward()
            adamw.step()
    assert held["weight/exp_avg"].is_contiguous()
    assert torch.equal(first.weight, second.weight)


def test_the_average_of_constant_weights_is_those_weights() -> None:
    weight = nn.Parameter(torch.randn(4))
    average = AveragedWeights()
    for _ in range(20):
        average.update({"w": weight}, 0.999)
    torch.testing.assert_close(average.shadow["w"], weight.detach())


def test_the_average_follows_the_formula_and_gives_the_weights_back() -> None:
    weight = nn.Parameter(torch.zeros(1))
    average, expected = AveragedWeights(), 0.0
    for step in range(50):
        weight.data.fill_(float(step))
        decay = min(0.8, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
        average.update({"w": weight}, 0.8)
    with average.applied({"w": weight}):
        assert weight.item() == pytest.approx(expected)
    assert weight.item() == 49
    average.commit({"w": weight})
    assert weight.item() == pytest.approx(expected)
    assert average.shadow == {}
