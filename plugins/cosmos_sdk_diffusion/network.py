"""A block-causal space-time transformer over latent frames.

Within a frame every token sees every other; across frames a token sees itself in the last frames. Pre-norm, QK-norm,
SwiGLU, a learned bias per head and distance in time, and per-frame adaptive norms (Peebles and Xie 2023,
arXiv:2212.09748). On a CPU at these sizes elementwise passes cost more than products: what is fused is fused.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Entries = tuple[Tensor, Tensor]  # keys and values (B, N, H, S, d) of one temporal layer


@dataclass(frozen=True)
class NetworkShape:
    """Sizes of the network."""

    inputs: int  # channels of one input token
    outputs: int  # channels of one output token
    num_tokens: int
    width: int
    num_layers: int
    num_heads: int
    hidden: int  # of the gated MLP
    temporal_every: int  # layers temporal_every, 2 * temporal_every, ... also look back in time
    memory: int  # earlier frames that a frame sees
    cond_width: int  # of the vector that modulates the norms

    def is_temporal(self, layer: int) -> bool:
        """Whether layer 0, 1, ... looks back in time."""
        return layer % self.temporal_every == self.temporal_every - 1


class SpatialAttention(nn.Module):
    """Attention among the tokens of a frame."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.heads = (num_heads, width // num_heads)
        self.qk = nn.Linear(width, 2 * width, bias=False)
        self.v = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.scale = nn.Parameter(torch.ones(width // num_heads))

    def forward(self, x: Tensor) -> Tensor:  # (B, F, N, D)
        batch, frames, tokens, width = x.shape
        qk = normed(self.qk(x).view(batch * frames, tokens, 2, *self.heads), self.scale)
        v = self.v(x).view(batch * frames, tokens, *self.heads)
        q, k = (y.transpose(1, 2) for y in qk.unbind(2))  # (BF, H, N, d)
        y = F.scaled_dot_product_attention(q, k, v.transpose(1, 2))
        return self.out(y.transpose(1, 2).reshape(batch, frames, tokens, width))


class TemporalAttention(nn.Module):
    """Attention of a token to itself in earlier frames, with a learned bias per head and distance.

    Only distances count, so step 10,000 is as exact as step 10.
    """

    def __init__(self, width: int, num_heads: int, memory: int) -> None:
        super().__init__()
        self.heads = (num_heads, width // num_heads)
        self.norm = nn.Parameter(torch.ones(width))
        self.qk = nn.Linear(width, 2 * width, bias=False)
        self.v = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.scale = nn.Parameter(torch.ones(width // num_heads))
        self.distance = nn.Parameter(torch.zeros(num_heads, memory + 1))

    def forward(
        self, x: Tensor, past: Entries | None, distance: Tensor, hidden: Tensor
    ) -> tuple[Tensor, Entries]:
        """Attends from x (B, F, N, D) to past, (B, N, H, S, d) each, and to x; returns that and all entries.

        distance (F, S + F); hidden (B|1, 1, 1, F, S + F) is 0 where a frame sees another, else minus infinity.
        """
        batch, frames, tokens, width = x.shape
        y = normed(x, self.norm)
        qk = normed(self.qk(y).view(batch, frames, tokens, 2, *self.heads), self.scale)
        q, k = (z.permute(0, 2, 3, 1, 4) for z in qk.unbind(3))  # (B, N, H, F, d)
        v = self.v(y).view(batch, frames, tokens, *self.heads).permute(0, 2, 3, 1, 4)
        if past is not None:
            k, v = torch.cat((past[0].to(k.dtype), k), -2), torch.cat((past[1].to(v.dtype), v), -2)
        bias = self.distance.index_select(1, distance.flatten()).unflatten(1, distance.shape)
        bias = (bias + hidden).to(q.dtype)  # (B|1, 1, H, F, S + F)
        if bias.shape[0] > 1:
            bias = bias.expand(-1, tokens, -1, -1, -1)
        # (BN, H, F, d): the fused kernel takes four axes
        rows = [z.flatten(0, 1) for z in (q, k, v, bias)]
        y = F.scaled_dot_product_attention(rows[0], rows[1], rows[2], rows[3])
        y = y.view(batch, tokens, *y.shape[1:]).permute(0, 3, 1, 2, 4)
        return self.out(y.reshape(batch, frames, tokens, width)), (k, v)


class GatedMLP(nn.Module):
    """SwiGLU (Shazeer 2020, arXiv:2002.05202)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.into = nn.Linear(width, 2 * hidden, bias=False)
        self.out = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.into(x).unflatten(-1, (2, -1)).unbind(-2)
        return self.out(F.silu(gate) * value)


class Layer(nn.Module):
    """Space, then time in some layers, then an MLP; scale and shift of two norms come from the frame's condition."""

    def __init__(self, shape: NetworkShape, is_temporal: bool) -> None:
        super().__init__()
        self.space = SpatialAttention(shape.width, shape.num_heads)
        self.time = (
            TemporalAttention(shape.width, shape.num_heads, shape.memory) if is_temporal else None
        )
        self.mlp = GatedMLP(shape.width, shape.hidden)


class SpaceTimeTransformer(nn.Module):
    """Input tokens (B, F, N, inputs) and extra tokens (B, F, E, D) to output tokens and features (B, F, D)."""

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        self.shape = shape
        width = shape.width
        self.into = nn.Linear(shape.inputs, width)
        self.place = nn.Parameter(0.02 * torch.randn(shape.num_tokens, width))
        self.layers = nn.ModuleList(
            Layer(shape, shape.is_temporal(i)) for i in range(shape.num_layers)
        )
        self.modulate = nn.Linear(shape.cond_width, (4 * shape.num_layers + 2) * width)
        self.out = nn.Linear(width, shape.outputs)
        for linear in (self.modulate, self.out):
            nn.init.zeros_(linear.weight)
            nn.init.zeros_(linear.bias)
        for layer in self.layers:
            for name, weight in layer.named_parameters():
                if name.endswith(
                    "out.weight"
                ):  # the residual stream keeps its size through the depth
                    nn.init.normal_(weight, std=0.02 / math.sqrt(2 * shape.num_layers))

    def forward(
        self,
        inputs: Tensor,
        extra: Tensor,
        cond: Tensor,
        past: list[Entries] | None,
        distance: Tensor,
        mask: Tensor,
    ) -> tuple[Tensor, Tensor, list[Entries]]:
        """Outputs (B, F, N, outputs), features (B, F, D) of the last extra token, and entries per temporal layer.

        cond (B, F, cond_width) modulates the norms; past holds one pair (B, N + E, H, S, d) per temporal layer;
        distance (F, S + F) and mask (B|1, F, S + F) say how far back an entry is and whether a frame sees it.
        """
        x = torch.cat((self.into(inputs) + self.place, extra), 2)
        pairs = self.modulate(cond).unflatten(-1, (-1, 2, 1, self.shape.width)).to(x.dtype)
        scale, shift = pairs.unbind(-3)  # (B, F, 2 * layers + 1, 1, D)
        scales, shifts = (1 + scale).unbind(-3), shift.unbind(-3)
        hidden = torch.zeros_like(mask, dtype=x.dtype).masked_fill(~mask, -torch.inf)[:, None, None]
        seen: list[Entries] = []
        for i, layer in enumerate(self.layers):
            assert isinstance(layer, Layer)
            x = x + layer.space(torch.addcmul(shifts[2 * i], normed(x), scales[2 * i]))
            if layer.time is not None:
                before = None if past is None else past[len(seen)]
                y, entries = layer.time(x, before, distance, hidden)
                x = x + y
                seen.append(entries)
            x = x + layer.mlp(torch.addcmul(shifts[2 * i + 1], normed(x), scales[2 * i + 1]))
        y = torch.addcmul(shifts[-1], normed(x), scales[-1])
        return self.out(y[:, :, : self.shape.num_tokens]), y[:, :, -1], seen


def normed(x: Tensor, weight: Tensor | None = None) -> Tensor:
    """Layer norm of the last axis without shift: on a CPU its backward is one kernel, that of RMSNorm is not."""
    return F.layer_norm(x, (x.shape[-1],), weight)
