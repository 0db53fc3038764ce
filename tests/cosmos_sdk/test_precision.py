"""A bfloat16 copy follows the weights and leaves them alone."""

from __future__ import annotations

import copy

import torch
from torch import nn

from cosmos_sdk.precision import HalfCopy


def layers() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 4), nn.Conv1d(1, 1, 3))


def test_a_copy_is_made_once_and_takes_no_gradient():
    module, half = layers(), HalfCopy()
    first = half.of(module)
    assert half.of(module) is first
    assert all(p.dtype == torch.bfloat16 and not p.requires_grad for p in first.parameters())
    assert all(p.dtype == torch.float32 and p.requires_grad for p in module.parameters())


def test_changed_or_replaced_weights_make_a_new_copy():
    module, half = layers(), HalfCopy()
    first = half.of(module)
    with torch.no_grad():
        module.get_parameter("0.weight").mul_(2)
    second = half.of(module)
    assert torch.equal(second.get_parameter("0.weight"), 2 * first.get_parameter("0.weight"))
    assert half.of(layers()) is not second


def test_only_parts_of_the_kind_are_cast():
    own = HalfCopy(nn.Linear).of(layers())
    assert own[0].weight.dtype == torch.bfloat16
    assert own[1].weight.dtype == torch.float32


def test_a_deep_copy_of_the_holder_starts_anew():
    module, half = layers(), HalfCopy()
    own = half.of(module)
    assert copy.deepcopy(half).of(module) is not own


def test_gradients_pass_a_copy_that_was_made_in_inference_mode():
    module, half = layers(), HalfCopy(nn.Linear)
    with torch.inference_mode():
        half.of(module)
    x = torch.randn(1, 4, dtype=torch.bfloat16, requires_grad=True)
    (gradient,) = torch.autograd.grad(half.of(module)[0](x).sum(), x)
    assert gradient.isfinite().all()
