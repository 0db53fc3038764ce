"""Check 14: gradients from latents to the control are true where a backend declares them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from cosmos_sdk.testing.conformance import check, demand
from cosmos_sdk.testing.trial import Trial

_DIRECTIONS = 8


@check(
    14,
    "Usual cause: argmax, rounding, a pass through uint8 frames or torch.no_grad on the way from the signal to the "
    "latents. Declare differentiable = False, and gradient planners will refuse; others do not mind.",
)
def declared_gradients_are_true(trial: Trial) -> None:
    """14: `differentiable` means that gradients equal central differences, and reach across predicts."""
    world = trial.world
    if not world.backend.differentiable:
        return
    state = trial.states["running"].rows(slice(0, 2))
    signals = {
        n: s.to(world.dtype) if s.is_floating_point() else s for n, s in trial.signals(2, 3).items()
    }
    names = [n for n, s in signals.items() if s.is_floating_point()]
    if not names or not state.latents.is_floating_point():
        return
    generator = torch.Generator().manual_seed(0)
    chunk = world.backend.chunk
    # a world without parameters takes its signals in float32
    eps, tolerance = (1e-5, 1e-4) if world.dtype == torch.float64 else (1e-2, 1e-2)

    def draw(like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=generator, dtype=torch.float64).to(like)

    weight = draw(state.latents)

    def value(given: dict[str, Tensor], predicts: int) -> Tensor:
        future = world.rollout(state, {n: s[:, : predicts * chunk] for n, s in given.items()})
        return (future.state.latents * weight).sum()

    leaves = {n: (s.clone().requires_grad_() if n in names else s) for n, s in signals.items()}
    grads = _gradients(value(leaves, 1), leaves, names)
    for _ in range(_DIRECTIONS):
        direction = {n: draw(signals[n]) for n in names}
        slope = sum(float((grads[n] * direction[n]).sum()) for n in names)
        with torch.no_grad():
            ends = [
                value({**signals, **{n: signals[n] + e * direction[n] for n in names}}, 1)
                for e in (eps, -eps)
            ]
        measured = float(ends[0] - ends[1]) / (2 * eps)
        allowed = tolerance * max(abs(slope), abs(measured)) + 1e-9 * max(
            1.0, float(state.latents.abs().sum())
        )
        problem = f"the gradient along a random direction of {names} is {slope:.6g}; differences give {measured:.6g}."
        demand(abs(slope - measured) <= allowed, problem)
    across = _gradients(value(leaves, 3), leaves, names)
    for name in names:
        early = float(across[name][:, :chunk].abs().max())
        demand(early > 0, f"the {name!r} of predict 1 has no gradient on the latents of predict 3.")


def _gradients(value: Tensor, leaves: Mapping[str, Tensor], names: list[str]) -> dict[str, Tensor]:
    demand(value.requires_grad, "latents carry no gradient to the signals.")
    given = [leaves[name] for name in names]
    grads = torch.autograd.grad(value, given, allow_unused=True, materialize_grads=True)
    return dict(zip(names, grads, strict=True))
