"""Known answers: a linear system is identified, and vectors collapse without a guard and not with one."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from gymnasium import spaces
from torch import Tensor, nn

from cosmos_sdk.protocols import Parts, Spec
from cosmos_sdk.rng import TRAINING, Rng
from cosmos_sdk.state import Control, Masked
from cosmos_sdk_statespace.backend import StateSpaceBackend
from cosmos_sdk_statespace.config import StateSpaceConfig

ROTATION = torch.tensor([[0.9, -0.3], [0.3, 0.9]])  # eigenvalues 0.9 +- 0.3i
PUSH = torch.tensor([[0.3, 0.0], [0.1, 0.4]])
FRAMES = 8


class Numbers(nn.Module):
    """A tokenizer whose latents are given; there are no pictures."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.latent_shape = (size,)

    def encode(self, frames: Tensor) -> Tensor:
        raise NotImplementedError

    def decode(self, latents: Tensor, num_frames: int) -> Tensor:
        raise NotImplementedError


class Raw:
    """The action itself as a token."""

    start_space, num_tokens, width = None, 1, 2
    space = spaces.Box(-1, 1, (2,))


def learner(size: int, **config: Any) -> StateSpaceBackend:
    torch.manual_seed(0)
    spec = Spec((1, 8, 8), 10.0, {"action": Raw.space})
    parts: Any = functools.partial(Parts, spec)
    parts = parts(tokenizer=Numbers(size), conditioners={"action": Raw()})
    return StateSpaceBackend(StateSpaceConfig(**config), parts)


def oscillator(rows: int, mixing: Tensor) -> tuple[Tensor, Tensor]:
    """Observations (rows, F, P) of x' = R x + P u, mixed into more numbers, and the actions (rows, F, 2)."""
    actions = torch.rand(rows, FRAMES, 2) * 2 - 1
    x, seen = torch.randn(rows, 2), []
    for k in range(FRAMES):
        x = x @ ROTATION.T + actions[:, k] @ PUSH.T
        seen.append(x)
    return torch.stack(seen, 1) @ mixing, actions


def control_of(actions: Tensor) -> Control:
    mask = torch.ones(*actions.shape[:2], 1, 1, dtype=torch.bool)
    return Control({}, {"action": Masked(actions[:, :, None, None], mask)})


def train(
    backend: StateSpaceBackend, mixing: Tensor, steps: int, rate: float = 1e-2
) -> dict[str, float]:
    """The last terms of the loss."""
    backend.train()
    optimiser = torch.optim.Adam(list(backend.parameters()), rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    terms: dict[str, Tensor] = {}
    for step in range(steps):
        latents, actions = oscillator(64, mixing)
        seed = torch.arange(64)
        rng = Rng(seed, torch.full_like(seed, step), TRAINING)
        valid = torch.ones(64, FRAMES, dtype=torch.bool)
        terms = dict(backend.loss(latents, control_of(actions), valid, rng)[0])
        optimiser.zero_grad()
        torch.stack([term.mean() for term in terms.values()]).sum().backward()
        optimiser.step()
        schedule.step()
    backend.eval()
    return {name: float(term.detach().mean()) for name, term in terms.items()}


LINEAR = {"width": 2, "chunk": 1, "num_layers": 0, "encoder_layers": 0, "decoder_hidden": 0}


@pytest.mark.parametrize("guard", ["sigreg", "variance"])
def test_a_linear_system_is_identified(guard):
    """Whatever coordinates the encoder chose, the eigenvalues of the transition are those of the system."""
    mixing = torch.randn(2, 6)
    backend = learner(6, **LINEAR, guard=guard, cond_width=4)
    train(backend, mixing, 800)
    own = torch.eye(2) + backend.transition.out.weight[:, :2]
    found = torch.linalg.eigvals(own.detach())
    found = found[found.imag.argsort()]
    expected = torch.tensor([0.9 - 0.3j, 0.9 + 0.3j])
    assert (found - expected).abs().max() < 0.02
    latents, actions = oscillator(64, mixing)
    rng = Rng(torch.arange(64), torch.arange(64), TRAINING)
    with torch.no_grad():
        encoded = backend.encode(latents)
        imagined, _, ahead = backend._unroll(encoded, control_of(actions), rng)
        error = (backend.decode(imagined) - latents)[
            :, ahead
        ].square().mean() / latents.square().mean()
    assert error < 1e-3


SMALL = {
    "width": 2,
    "chunk": 2,
    "hidden": 32,
    "num_layers": 1,
    "encoder_hidden": 32,
    "cond_width": 4,
}


def spread(guard: str, mixing: Tensor) -> float:
    """The smallest standard deviation of the vectors along any direction, learned without a decoder's help."""
    backend = learner(6, **SMALL, guard=guard, decoder_gradient=0.0)
    train(backend, mixing, 250, 3e-3)
    with torch.no_grad():
        vectors = backend.encode(oscillator(256, mixing)[0])[:, 1:].flatten(0, 1)
    return float(torch.linalg.eigvalsh(vectors.T.cov()).clamp(min=0).sqrt()[0])


def test_vectors_collapse_without_a_guard_and_not_with_one():
    mixing = torch.randn(2, 6)
    assert spread("none", mixing) < 0.05
    assert spread("sigreg", mixing) > 0.5
    assert spread("variance", mixing) > 0.3
