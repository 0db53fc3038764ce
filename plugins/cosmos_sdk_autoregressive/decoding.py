"""Making one frame: token after token, or in a few parallel passes.

Both leave the same entries in the memory, those of a strict pass over the finished frame; so a world may change from
one to the other at any step, and the likelihood of a frame does not depend on how it was made.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from cosmos_sdk import key_values
from cosmos_sdk.rng import Rng
from cosmos_sdk.state import Tensors
from cosmos_sdk_autoregressive import kv_cache
from cosmos_sdk_autoregressive.given import Given
from cosmos_sdk_autoregressive.predictor import TokenPredictor
from cosmos_sdk_autoregressive.rotary import Rotation
from cosmos_sdk_autoregressive.sampling import (
    AutoregressiveSampling,
    check_finite,
    choose,
    entropy,
    precise,
)
from cosmos_sdk_autoregressive.transformer import Transformer


@dataclass(frozen=True, eq=False)
class Made:
    """A finished frame."""

    tokens: Tensor  # (B, N)
    end: Tensor  # (B, D): the hidden vector at its last token
    entropy: Tensor  # (B, N): of each token given those before it, in nats
    passes: Tensor  # (B,): of the transformer


class Canvas:
    """The next frame of B rows on fresh memory: passes over any of its positions, given the frames before."""

    def __init__(
        self,
        predictor: TokenPredictor,
        trunk: Transformer,
        memory: Tensors,
        past: Tensor,
        given: Given,
        time: Tensor,
        room: int = 0,
    ) -> None:
        """Takes the memory of a state, its tokens (B, T, N), what the frame is made under and its time (B,).

        There is `room` for drafts beyond the frame.
        """
        layout, table = predictor.layout, trunk.embed.weight
        self.layout, self.trunk, self.predictor = layout, trunk, predictor
        self.memory, self.filled, self.rows = memory, memory["filled"], len(memory["filled"])
        self.past = layout.memory * layout.length
        cos, sin = layout.rotation(time[:, None], table)  # (B, P, d)
        self.rotation = Rotation(*(F.pad(x[:, None], (0, 0, 0, room)) for x in (cos, sin)))
        self.scratch = [
            kv_cache.Scratch((keys.to(table.dtype), values.to(table.dtype)), layout.length + room)
            for keys, values in key_values.unpack(memory)
        ]
        self.bias = self._bias(layout.length + room, table)
        absolute = layout.embedding(self.filled, table)
        self.absolute = None if absolute is None else F.pad(absolute, (0, 0, 0, room))
        self.slot = predictor.slots(given, self.rows, 1).to(table.dtype)  # (B, 1, D)
        self.echoes = self._echoes(past, room)  # (B, P + room, D)
        self.conditions = predictor.conditions(trunk, given, self.rows, 1)

    def _bias(self, length: int, like: Tensor) -> Tensor:
        """What is added to attention logits, (B, 1, length, S + length): 0 where a position is seen."""
        frame = torch.arange(self.past, device=like.device) // self.layout.length
        exists = frame >= (self.layout.memory - self.filled)[:, None]  # (B, S)
        causal = torch.ones(length, length, dtype=torch.bool, device=like.device).tril()
        seen = torch.cat(
            (exists[:, None].expand(-1, length, -1), causal.expand(self.rows, -1, -1)), 2
        )
        return torch.zeros_like(seen, dtype=like.dtype).masked_fill(~seen, -torch.inf)[:, None]

    def _echoes(self, past: Tensor, room: int) -> Tensor | None:
        recent = self.predictor.recent
        earlier = past[:, past.shape[1] - recent :].flip(1)[:, None]
        lag = torch.arange(1, recent + 1, device=past.device)
        echoes = self.predictor.echoes(earlier, (lag <= self.filled[:, None])[:, None])
        return None if echoes is None else F.pad(echoes[:, 0], (0, 0, 0, 1 + room)).to(self.slot)

    def embed(self, tokens: Tensor) -> Tensor:
        """Embeddings (..., D) of tokens (...)."""
        return self.predictor.embed(tokens).to(self.slot.dtype)

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits (..., V)."""
        return self.trunk.logits(hidden)

    def run(self, x: Tensor, place: int) -> Tensor:
        """Hidden vectors (B, n, D) of embedded positions place, place + 1, ...; each sees what precedes it."""
        end = place + x.shape[1]
        if self.echoes is not None:
            x = x + self.echoes[:, place:end]
        bias = self.bias[:, :, place:end, : self.past + end]
        absolute = None if self.absolute is None else self.absolute[:, place:end]
        return self._pass(x, place, self.rotation.at(slice(place, end)), bias, absolute)

    def run_at(self, x: Tensor, places: Tensor) -> Tensor:
        """The same for positions (B, n) that differ between rows."""
        row = torch.arange(self.rows, device=places.device)[:, None]
        if self.echoes is not None:
            x = x + self.echoes[row, places]
        cos, sin = (table[row, 0, places][:, None] for table in self.rotation)
        bias = self.bias[row, 0, places][:, None]
        absolute = None if self.absolute is None else self.absolute[row, places]
        return self._pass(x, places, Rotation(cos, sin), bias, absolute)

    def fill(self, tokens: Tensor, unknown: Tensor | None) -> Tensor:
        """Hidden vectors (B, N, D) of tokens (B, N) with holes, all if None; each sees the whole frame."""
        hole = self.predictor.hole
        assert hole is not None
        x = hole.to(self.slot).expand(*tokens.shape, -1)
        if unknown is not None:
            x = torch.where(unknown[..., None], x, self.embed(tokens))
        if self.echoes is not None:
            x = x + self.echoes[:, : x.shape[1]]
        last = self.layout.length - 1  # it sees the whole frame, and so do all here
        bias = self.bias[:, :, last : last + 1, : self.past + last + 1]
        rotation = self.rotation.at(slice(0, last + 1))
        return self._pass(torch.cat((self.slot, x), 1), 0, rotation, bias, self.absolute)[:, 1:]

    def read(self, tokens: Tensor) -> Tensor:
        """Hidden vectors (B, P, D) of the strict pass over a finished frame (B, N)."""
        return self.run(torch.cat((self.slot, self.embed(tokens)), 1), 0)

    def _pass(
        self,
        x: Tensor,
        place: int | Tensor,
        rotation: Rotation,
        bias: Tensor,
        absolute: Tensor | None,
    ) -> Tensor:
        for scratch in self.scratch:
            scratch.place = place
        return self.trunk(x, rotation, self.scratch, bias, absolute, self.conditions)

    def remember(self) -> dict[str, Tensor]:
        """The memory after this frame: its entries join, those of the oldest frame leave."""
        kept = slice(self.layout.length, self.layout.length + self.past)
        entries: list[kv_cache.Entries] = []
        for scratch, old in zip(self.scratch, key_values.unpack(self.memory), strict=True):
            # slices of memory that nobody writes to any more
            keys, values = (x[:, :, kept].to(old[0].dtype) for x in (scratch.keys, scratch.values))
            entries.append((keys, values))
        filled = (self.filled + 1).clamp(max=self.layout.memory)
        return {**key_values.pack(entries), "filled": filled}


def strict(canvas: Canvas, options: AutoregressiveSampling, rng: Rng) -> Made:
    """Token after token; the last pass, over the last token, ends the frame."""
    count = canvas.layout.num_tokens
    noise = numbers(options, rng, canvas.slot, count)
    tokens: list[Tensor] = []
    said: list[Tensor] = []
    # many small operations, each cheaper where nothing could be recorded
    with torch.inference_mode():
        hidden = canvas.run(canvas.slot, 0)[:, 0]
        for n in range(count):
            said.append(canvas.logits(hidden))
            tokens.append(choose(said[-1], options, noise[:, n]))
            hidden = canvas.run(canvas.embed(tokens[-1])[:, None], n + 1)[:, 0]
    # stacks and clones are tensors like any other again
    logits = check_finite(torch.stack(said, 1))
    passes = torch.full_like(canvas.filled, count + 1)
    return Made(torch.stack(tokens, 1), hidden.clone(), entropy(logits), passes)


def parallel(canvas: Canvas, options: AutoregressiveSampling, rng: Rng) -> Made:
    """MaskGIT (Chang et al. 2022, arXiv:2202.04200, section 3.2): all holes are drawn, the surest are kept.

    So many holes are left after each pass as the cosine schedule says. A last pass reads the frame strictly.
    """
    count, steps = canvas.layout.num_tokens, options.num_steps
    noise = numbers(options, rng, canvas.slot, steps, 2, count)
    tokens = torch.zeros(canvas.rows, count, dtype=torch.int64, device=canvas.filled.device)
    unknown = torch.ones_like(tokens, dtype=torch.bool)
    for k in range(steps):
        logits = check_finite(canvas.logits(canvas.fill(tokens, unknown if k else None)))
        drawn = choose(logits, options, noise[:, k, 0])
        tokens = torch.where(unknown, drawn, tokens)
        left = holes_left(count, k + 1, steps)
        if not left:
            break
        sure = F.log_softmax(precise(logits), -1).gather(-1, tokens[..., None])[..., 0]
        gumbel = -torch.log(-torch.log(noise[:, k, 1].clamp(max=1 - 2**-24)))
        sure = sure + options.shuffle * options.temperature * (1 - (k + 1) / steps) * gumbel
        sure = sure.masked_fill(~unknown, torch.inf)
        unknown = sure.argsort(dim=-1, stable=True).argsort(-1) < left
    hidden = canvas.read(tokens)
    passes = torch.full_like(canvas.filled, steps + 1)
    return Made(tokens, hidden[:, -1], entropy(canvas.logits(hidden[:, :-1])), passes)


def holes_left(count: int, step: int, steps: int) -> int:
    """Of `count` tokens those still unknown after pass `step` of `steps`; none after the last."""
    return 0 if step == steps else math.floor(count * math.cos(math.pi / 2 * step / steps))


def numbers(options: AutoregressiveSampling, rng: Rng, like: Tensor, *shape: int) -> Tensor:
    """Uniform numbers (B, *shape); (1, *shape) of no meaning where nothing is drawn."""
    if options.temperature == 0:
        return torch.full((1, *shape), 0.5, device=like.device)
    return rng.uniform(*shape)
