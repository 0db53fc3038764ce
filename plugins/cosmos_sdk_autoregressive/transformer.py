"""A decoder-only transformer: pre-norm, RMSNorm, SwiGLU, QK-norm, grouped queries, cross-attention where asked for.

The layout of Cosmos (arXiv:2501.03575, table 13), which is that of Llama 3 with normed queries and keys. No biases.
It knows neither frames nor time: positions come as a rotation, what is seen as a memory and a mask.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cosmos_sdk_autoregressive.kv_cache import Entries, Memory
from cosmos_sdk_autoregressive.rotary import Rotation, rotate

EPS = 1e-5  # keeps a vector of zeros finite


@dataclass(frozen=True)
class TransformerShape:
    """Sizes of a transformer."""

    vocabulary: int
    width: int
    num_layers: int
    num_heads: int
    num_kv_heads: int  # fewer than heads: grouped queries (Ainslie et al. 2023, arXiv:2305.13245)
    hidden: int  # of the gated MLP
    head_width: int
    tied: bool = False  # one table for input and output
    cross: bool = False  # every layer also attends to conditions
    attention_scale: float = 1.0  # beyond 1 / sqrt(head width), as YaRN asks


class RMSNorm(nn.Module):
    """Root mean square norm (Zhang and Sennrich 2019, arXiv:1910.07467) of the last axis."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return rms(x) * self.weight


class SelfAttention(nn.Module):
    """Attention to the memory and to the own positions."""

    def __init__(self, shape: TransformerShape) -> None:
        super().__init__()
        self.shape = shape
        self.heads = (shape.num_heads, shape.num_kv_heads)  # of queries, of keys and values
        self.qkv = nn.Linear(
            shape.width, (sum(self.heads) + self.heads[1]) * shape.head_width, bias=False
        )
        self.out = nn.Linear(shape.num_heads * shape.head_width, shape.width, bias=False)
        self.query_norm, self.key_norm = RMSNorm(shape.head_width), RMSNorm(shape.head_width)
        self._made: tuple[list[tuple[int, int]], Tensor] = ([], torch.empty(0))

    def forward(self, x: Tensor, rotation: Rotation, memory: Memory, mask: Tensor | None) -> Tensor:
        batch, length, _ = x.shape
        qkv = self.qkv(x).view(batch, length, -1, self.shape.head_width).transpose(1, 2)
        both, v = qkv.split_with_sizes(
            (sum(self.heads), self.heads[1]), 1
        )  # (B, H, n, d): queries with keys
        q, k = rotate(rms(both) * self._scale(), rotation).split_with_sizes(self.heads, 1)
        k, v = memory.put(k, v)
        y = attend(q, k, v, mask, self.shape)
        return self.out(y.transpose(1, 2).reshape(batch, length, -1))

    def _scale(self) -> Tensor:
        """The weights of both norms (H, 1, d), head by head; made once where nothing learns."""
        weights = (self.query_norm.weight, self.key_norm.weight)
        if torch.is_grad_enabled():
            return _by_head(weights, self.heads)
        key = [(w.data_ptr(), w._version) for w in weights]  # pyright: ignore[reportPrivateUsage]
        if key != self._made[0]:
            self._made = (key, _by_head(weights, self.heads))
        return self._made[1]


class CrossAttention(nn.Module):
    """Attention to the conditions of the frame."""

    def __init__(self, shape: TransformerShape) -> None:
        super().__init__()
        self.shape = shape
        heads, keys = (n * shape.head_width for n in (shape.num_heads, shape.num_kv_heads))
        self.q = nn.Linear(shape.width, heads, bias=False)
        self.kv = nn.Linear(shape.width, 2 * keys, bias=False)
        self.out = nn.Linear(heads, shape.width, bias=False)
        self.query_norm, self.key_norm = RMSNorm(shape.head_width), RMSNorm(shape.head_width)

    def entries(self, context: Tensor) -> Entries:
        """Keys and values of context (R, M, D), which all tokens of a frame or of a clip share."""
        kv = self.kv(context).unflatten(-1, (2, -1, self.shape.head_width)).transpose(1, 3)
        return self.key_norm(kv[:, :, 0]), kv[:, :, 1]

    def forward(self, x: Tensor, entries: Entries, mask: Tensor) -> Tensor:
        """Attends from x (B, F * n, D) to entries (R, H, M, d) of R = B * F frames or of R = B clips.

        The mask (R, 1, 1, M) is added to the logits.
        """
        y = x.reshape(len(mask), -1, x.shape[-1])
        q = self.query_norm(self.q(y).unflatten(-1, (-1, self.shape.head_width)).transpose(1, 2))
        y = attend(q, *entries, mask, self.shape)
        return self.out(y.transpose(1, 2).flatten(2)).view(x.shape)


class GatedMLP(nn.Module):
    """SwiGLU (Shazeer 2020, arXiv:2002.05202)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.into = nn.Linear(width, 2 * hidden, bias=False)
        self.out = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.into(x).chunk(2, -1)
        return self.out(F.silu(gate) * value)


class Layer(nn.Module):
    """Attention, conditions where there are any, MLP."""

    def __init__(self, shape: TransformerShape) -> None:
        super().__init__()
        self.attention_norm, self.attention = RMSNorm(shape.width), SelfAttention(shape)
        self.cross_norm = RMSNorm(shape.width) if shape.cross else None
        self.cross = CrossAttention(shape) if shape.cross else None
        self.mlp_norm, self.mlp = RMSNorm(shape.width), GatedMLP(shape.width, shape.hidden)

    def forward(
        self,
        x: Tensor,
        rotation: Rotation,
        memory: Memory,
        mask: Tensor | None,
        conditions: tuple[Entries, Tensor] | None,
    ) -> Tensor:
        x = x + self.attention(self.attention_norm(x), rotation, memory, mask)
        if self.cross is not None and self.cross_norm is not None and conditions is not None:
            x = x + self.cross(self.cross_norm(x), *conditions)
        return x + self.mlp(self.mlp_norm(x))


class Transformer(nn.Module):
    """Tokens to hidden vectors to logits."""

    def __init__(self, shape: TransformerShape) -> None:
        super().__init__()
        self.shape = shape
        self.embed = nn.Embedding(shape.vocabulary, shape.width)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.num_layers))
        self.norm = RMSNorm(shape.width)
        self.unembed = None if shape.tied else nn.Linear(shape.width, shape.vocabulary, bias=False)
        for name, weight in self.named_parameters():
            if weight.ndim == 2:
                # the residual stream keeps its size through the depth
                shrink = math.sqrt(2 * shape.num_layers) if name.endswith("out.weight") else 1.0
                nn.init.normal_(weight, std=0.02 / shrink)

    def forward(
        self,
        x: Tensor,
        rotation: Rotation,
        memories: Sequence[Memory],
        mask: Tensor | None,
        absolute: Tensor | None = None,
        conditions: Sequence[tuple[Entries, Tensor]] | None = None,
    ) -> Tensor:
        """Normed hidden vectors (B, n, D) of embedded tokens (B, n, D).

        One memory per layer. A mask (B|1, 1, n|1, S) of floats is added to attention logits, one of bools is true where
        a position is seen, None is causal. `absolute` (B|1, n, D) is added before every layer; `conditions` are those
        of `prepare`.
        """
        mask = None if mask is None else additive(mask, x)
        for i, layer in enumerate(self.layers):
            if absolute is not None:
                x = x + absolute
            own = None if conditions is None else conditions[i]
            x = layer(x, rotation, memories[i], mask, own)
        return self.norm(x)

    def prepare(self, context: Tensor, mask: Tensor) -> list[tuple[Entries, Tensor]] | None:
        """The conditions (R, M, D) of R frames or clips for every layer, once for all passes; mask (R, 1, 1, M)."""
        if not self.shape.cross:
            return None
        mask = additive(mask, context)
        layers = (layer for layer in self.layers if isinstance(layer, Layer))
        return [(layer.cross.entries(context), mask) for layer in layers if layer.cross is not None]

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits (..., vocabulary) of hidden vectors (..., D)."""
        table = self.embed if self.unembed is None else self.unembed
        return F.linear(hidden, table.weight)


def _by_head(weights: Sequence[Tensor], heads: Sequence[int]) -> Tensor:
    return torch.cat([w.expand(n, 1, -1) for w, n in zip(weights, heads, strict=True)])


def rms(x: Tensor) -> Tensor:
    """Vectors of root mean square 1 along the last axis, in four operations; `F.rms_norm` takes eight."""
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x / (length * (1 / math.sqrt(x.shape[-1])) + EPS)


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, shape: TransformerShape) -> Tensor:
    """Attention (B, H, n, d); without a mask it is causal. Queries of a group share keys and values."""
    return F.scaled_dot_product_attention(
        q,
        k,
        v,
        mask,
        is_causal=mask is None,
        scale=shape.attention_scale / math.sqrt(shape.head_width),
        enable_gqa=shape.num_heads != shape.num_kv_heads,
    )


def additive(mask: Tensor, like: Tensor) -> Tensor:
    """What is added to the attention logits of a pass over `like`: -inf where a mask of bools is false.

    Attention would make it of the bools anew in every layer, and keep each for the backward pass.
    """
    if mask.dtype != torch.bool:
        return mask
    device, dtype = like.device.type, like.dtype
    if dtype == torch.float32 and torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
    return torch.zeros_like(mask, dtype=dtype).masked_fill(~mask, -torch.inf)
