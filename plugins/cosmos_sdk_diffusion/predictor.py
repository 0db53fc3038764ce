"""One pass of the network: from the frames before, the controls and a noise level to a clean frame.

A pass sees, token by token, the noisy frame, the clean frame before it and what changed in that one. It predicts the
clean frame as a difference to the frame before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cosmos_sdk.precision import HalfCopy
from cosmos_sdk.protocols import Conditioner
from cosmos_sdk.state import Control, Masked
from cosmos_sdk_diffusion import kv_cache
from cosmos_sdk_diffusion.network import Entries, NetworkShape, SpaceTimeTransformer

Levels = tuple[
    Tensor, Tensor, Tensor
]  # the noisy sample, its level tau and the size of the step, () or (B, F)


@dataclass(frozen=True, eq=False)
class Situation:
    """What all passes of the same frames share."""

    context: Tensor  # (B, F, N, 2 C): the frame before, and its change
    level: Tensor  # (B, F): noise on the context
    tokens: Tensor  # (B, F, E, D): control tokens and registers
    pooled: Tensor  # (B, F, D): mean of the control tokens

    def rows(self, index: Tensor) -> Situation:
        """Those of some rows."""
        return Situation(
            self.context[index], self.level[index], self.tokens[index], self.pooled[index]
        )


@dataclass(frozen=True, eq=False)
class View:
    """What frames see of other frames."""

    past: list[Entries] | None  # per temporal layer; None: only each other
    distance: Tensor  # (F, S + F)
    mask: Tensor  # (B|1, F, S + F)

    def rows(self, index: Tensor) -> View:
        """Those of some rows; the mask must be the same for all."""
        past = (
            None
            if self.past is None
            else [(keys[index], values[index]) for keys, values in self.past]
        )
        return View(past, self.distance, self.mask)

    def after(self, seen: list[Entries]) -> View:
        """A later pass of the same frames: of earlier frames it sees the first pass, of its own itself."""
        own = torch.eye(self.mask.shape[-1], dtype=torch.bool, device=self.mask.device)
        mask = torch.cat((self.mask & ~own, own.expand_as(self.mask)), -1)
        return View(seen, torch.cat((self.distance, self.distance), -1), mask)


class FramePredictor(nn.Module):
    """The network, and what turns latents and controls into its tokens."""

    def __init__(
        self,
        shape: NetworkShape,
        latent_shape: tuple[int, int],
        conditioners: Mapping[str, Conditioner],
        num_registers: int,
    ) -> None:
        super().__init__()
        self.shape, self.latent_shape = shape, latent_shape
        width = shape.width
        self.network = SpaceTimeTransformer(shape)
        self.registers = nn.Parameter(0.02 * torch.randn(num_registers, width))
        self.project = nn.ModuleDict(
            {n: nn.Linear(c.width, width) for n, c in conditioners.items()}
        )
        absent = {
            n: nn.Parameter(0.02 * torch.randn(c.num_tokens, width))
            for n, c in conditioners.items()
        }
        self.absent = nn.ParameterDict(absent)
        self.embed_level = nn.Sequential(nn.Linear(width + 3, shape.cond_width), nn.SiLU())
        self._half = HalfCopy()

    def situation(self, past: Tensor, control: Control, level: Tensor) -> Situation:
        """That of every frame of a clip (B, F, N, C) with context noise level (B, F); before it, all was still."""
        before = torch.cat((past[:, :1], past[:, :-1]), 1)
        earlier = torch.cat((before[:, :1], before[:, :-1]), 1)
        shifted = torch.cat((level[:, :1], level[:, :-1]), 1)
        return self.next(earlier, before, control, shifted)

    def next(self, earlier: Tensor, before: Tensor, control: Control, level: Tensor) -> Situation:
        """That of frames after `before` (B, F, N, C), which came after `earlier`."""
        return self.steered(torch.cat((before, before - earlier), -1), level, control)

    def steered(self, context: Tensor, level: Tensor, control: Control) -> Situation:
        """Control tokens: projected, the learned null where a token is absent; then registers."""
        batch, frames = level.shape
        tokens: list[Tensor] = []
        for name, project in self.project.items():
            cond = control.cond[name]
            null = self.absent[name].to(context.dtype)
            values = torch.where(
                cond.mask[..., None], project(cond.values).to(null.dtype), null
            )  # (B, F|1, V|1, N, D)
            tokens.append(values.flatten(2, 3).expand(batch, frames, -1, -1))
        none = context.new_zeros(batch, frames, self.shape.width)
        pooled = torch.cat(tokens, 2).mean(2) if tokens else none
        tokens.append(self.registers.to(context.dtype).expand(batch, frames, -1, -1))
        return Situation(context, level, torch.cat(tokens, 2), pooled)

    def without(self, situation: Situation, control: Control, name: str) -> Situation:
        """The same without the signal `name`."""
        cond = control.cond[name]
        dropped = {**control.cond, name: Masked(cond.values, torch.zeros_like(cond.mask))}
        return self.steered(situation.context, situation.level, Control(control.signals, dropped))

    def forward(
        self, situation: Situation, view: View, levels: Levels | None = None, half: bool = False
    ) -> tuple[Tensor, Tensor, list[Entries]]:
        """Clean frames (B, F, N, C), features (B, F, D), and all that each temporal layer saw.

        Without levels it is the first pass, tau = 0, where the sample is pure noise and tells nothing: it is not shown.
        `half` computes in bfloat16.
        """
        context, channels = situation.context, self.latent_shape[1]
        batch, frames = situation.level.shape
        before = context[..., :channels]
        if levels is None:
            levels = torch.zeros_like(before), context.new_zeros(()), context.new_ones(())
        sample, tau, size = levels
        network, dtype = self.network, context.dtype
        if half:
            network, dtype = self._half.of(network), torch.bfloat16
        numbers = torch.stack([x.expand(batch, frames) for x in (tau, size, situation.level)], -1)
        cond = self.embed_level(torch.cat((situation.pooled, numbers), -1))
        inputs = torch.cat((sample, context), -1)
        inputs = inputs.view(batch, frames, self.shape.num_tokens, self.shape.inputs)
        tokens = (inputs.to(dtype), situation.tokens.to(dtype), cond.to(dtype))
        out, features, seen = network(*tokens, view.past, view.distance, view.mask)
        change = out.to(context.dtype).view(batch, frames, *self.latent_shape)
        return before + change, features.to(context.dtype), seen

    def band(self, frames: int, first: Tensor) -> View:
        """That of one pass over frames of which row b has seen those from first[b] on."""
        distance, mask = kv_cache.band(frames, self.shape.memory, first.device)
        real = (torch.arange(frames, device=first.device) >= first[:, None])[:, None]
        return View(
            None, distance, (mask & real) | torch.eye(frames, dtype=torch.bool, device=first.device)
        )

    def recent(self, past: list[Entries], filled: Tensor) -> View:
        """That of one frame on a cache of which row b has filled[b] entries."""
        size = self.shape.memory
        return View(past, kv_cache.recent(size, filled.device), kv_cache.visible(filled, size))


def rows_of(levels: Levels, index: Tensor) -> Levels:
    """The levels of some rows."""
    sample, tau, size = levels
    return sample[index], tau[index], size[index]
