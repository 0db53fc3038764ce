"""A toy discrete tokenizer and a small autoregressive world over it."""

from __future__ import annotations

from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor, nn

from cosmos_sdk.protocols import Parts, Spec
from cosmos_sdk.state import Control, Masked, WorldState
from cosmos_sdk.world import WorldModel
from cosmos_sdk_action.conditioner import ActionConditioner, ActionConditionerConfig
from cosmos_sdk_autoregressive.backend import AutoregressiveBackend
from cosmos_sdk_autoregressive.config import AutoregressiveConfig
from cosmos_sdk_autoregressive.uncertainty import EntropyHead, EntropyHeadConfig

SIZE = 8
SMALL: dict[str, Any] = {
    "width": 24,
    "num_layers": 2,
    "num_heads": 2,
    "num_kv_heads": 1,
    "head_width": 8,
    "hidden": 16,
    "memory": 3,
    "context": 2,
}


class Shades(nn.Module):
    """One whole number per patch, its brightness: side x side patches. Codes are the brightness in [-1, 1].

    After the first frame, `stride` frames share a latent, their mean. `shared`: every latent begins with the tokens of
    the first frame.
    """

    def __init__(
        self, vocabulary_size: int = 8, side: int = 2, stride: int = 1, shared: bool = False
    ) -> None:
        super().__init__()
        self.vocabulary_size, self.side, self.frames_per_latent = vocabulary_size, side, stride
        self.num_context_tokens = side**2 if shared else 0
        self.latent_shape = (self.num_context_tokens + side**2,)

    def encode(self, frames: Tensor) -> Tensor:
        stride = self.frames_per_latent
        padded = torch.cat((frames[:, :1].expand(-1, stride - 1, -1, -1, -1, -1), frames), 1)
        tokens = self._tokens(padded.float().unflatten(1, (-1, stride)).mean(2))
        if not self.num_context_tokens:
            return tokens
        return torch.cat((tokens[:, :1].expand_as(tokens), tokens), 2)

    def _tokens(self, frames: Tensor) -> Tensor:
        patch = frames.shape[-1] // self.side
        grid = frames.float().mean((2, 3)).unflatten(3, (-1, patch)).unflatten(2, (-1, patch))
        bright = grid.mean((3, 5)).flatten(2) / 255  # (B, F, N)
        # the mean of a patch of noise lies near a half
        stretched = (bright - 0.5) * 2 * patch + 0.5
        return (stretched * self.vocabulary_size).long().clamp(0, self.vocabulary_size - 1)

    def codes(self, indices: Tensor) -> Tensor:
        return 2 * (indices[..., None].float() + 0.5) / self.vocabulary_size - 1

    def decode(self, latents: Tensor, num_frames: int) -> Tensor:
        patch, own = SIZE // self.side, latents[..., self.num_context_tokens :]
        frames = own.repeat_interleave(self.frames_per_latent, 1)[:, -num_frames:]
        bright = (self.codes(frames)[..., 0] + 1) / 2
        image = bright.unflatten(2, (self.side, self.side))
        image = image.repeat_interleave(patch, 2).repeat_interleave(patch, 3)
        return (image * 255).to(torch.uint8)[:, :, None, None].expand(-1, -1, 1, 3, -1, -1)


def small_world(
    vocabulary: int = 8,
    side: int = 2,
    spread: float = 0.3,
    stride: int = 1,
    shared: bool = False,
    **config: Any,
) -> WorldModel:
    """A world of 8 x 8 pixels and side x side tokens a frame, whose weights all do something.

    Where they are spread little, what is likeliest soon stays the same. `stride` and `shared` are those of `Shades`.
    """
    torch.manual_seed(0)
    box = spaces.Box(-1.0, 1.0, (2,))
    spec = Spec((1, SIZE, SIZE), 10.0, {"action": box})
    tokenizer = Shades(vocabulary, side, stride, shared)
    action = ActionConditioner(ActionConditionerConfig(6, 6), Parts(spec, name="action"))
    parts = Parts(spec, tokenizer=tokenizer, conditioners={"action": action})
    backend = AutoregressiveBackend(AutoregressiveConfig(**{**SMALL, **config}), parts)
    head = EntropyHead(EntropyHeadConfig(), Parts(spec, name="uncertainty", backend=backend))
    world = WorldModel(tokenizer, backend, parts.conditioners, {"uncertainty": head}, {}, spec)
    with torch.no_grad():
        for parameter in world.parameters():
            parameter.add_(spread * torch.randn_like(parameter))
    return world


def backend_of(world: WorldModel) -> AutoregressiveBackend:
    """The backend, typed."""
    assert isinstance(world.backend, AutoregressiveBackend)
    return world.backend


def actions_of(world: WorldModel, actions: Tensor) -> Control:
    """The control of actions (B, K, 2), embedded."""
    signal = Masked(actions, torch.ones(actions.shape[:2], dtype=torch.bool))
    tokens, _ = world.conditioners["action"].embed(signal, torch.zeros(actions.shape[:2]), {})
    return Control({"action": signal}, {"action": tokens})


def first_states(world: WorldModel, rows: int, seed: int = 0) -> WorldState:
    """States of rows that start from frames of their own."""
    generator = torch.Generator().manual_seed(seed)
    shape = (rows, backend_of(world).context, 1, 3, SIZE, SIZE)
    frames = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    with torch.no_grad():
        return world.reset(frames, {}, torch.arange(rows) + 100 * seed)


def random_actions(rows: int, frames: int, seed: int = 0) -> Tensor:
    """Actions (rows, frames, 2) in [-1, 1]."""
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.rand(rows, frames, 2, generator=generator) - 1
