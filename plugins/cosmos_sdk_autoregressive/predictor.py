"""Frames as sequences: an action slot, then the frame's tokens; what predicts token n + 1 stands at token n.

The same weights make a frame strictly or in parallel. Strictly, a position sees the frame up to itself and predicts
what follows it. In parallel, unknown tokens are holes, a position sees its whole frame and predicts itself. Both see
earlier frames through the entries of the strict pass. Where a tokenizer compresses time, a frame here is a latent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cosmos_sdk.precision import HalfCopy
from cosmos_sdk.protocols import Conditioner
from cosmos_sdk_autoregressive import kv_cache
from cosmos_sdk_autoregressive.absolute import frame_embedding
from cosmos_sdk_autoregressive.given import Given
from cosmos_sdk_autoregressive.kv_cache import Entries
from cosmos_sdk_autoregressive.rotary import Rotary, Rotation, frame_positions, has_doubles
from cosmos_sdk_autoregressive.transformer import Transformer, TransformerShape

Conditions = list[tuple[Entries, Tensor]] | None  # per layer


@dataclass(frozen=True)
class Layout:
    """Where the tokens of a frame stand, and how many frames see one another."""

    grid: tuple[int, int]
    context: int  # frames that a reset encodes
    memory: int  # earlier frames that a frame sees
    rotary: Rotary
    width: int
    absolute: bool

    @property
    def num_tokens(self) -> int:
        return self.grid[0] * self.grid[1]

    @property
    def length(self) -> int:
        """Positions of a frame: the slot and the tokens."""
        return 1 + self.num_tokens

    def rotation(self, times: Tensor, like: Tensor) -> Rotation:
        """Tables (..., F * P, d) of frames at `times` (..., F) since reset."""
        exact = times if has_doubles(times.device) else times.cpu()
        table = self.rotary.table(frame_positions(exact, self.grid), like.dtype)
        return Rotation(*(part.to(times.device) for part in table))

    def embedding(self, seen: Tensor, like: Tensor) -> Tensor | None:
        """Absolute embedding (..., P, D) of frames that see so many earlier ones, (...); None when unused."""
        if not self.absolute:
            return None
        frames = self.memory + 1
        table = frame_embedding(self.width, frames, self.grid, like.dtype, like.device)
        return table[seen.clamp(0, self.memory)]


class TokenPredictor(nn.Module):
    """The transformer, and what turns tokens and controls into its inputs."""

    codes: Tensor

    def __init__(
        self,
        shape: TransformerShape,
        layout: Layout,
        conditioners: Mapping[str, Conditioner],
        cross: Sequence[str],
        codes: Callable[[Tensor], Tensor] | None,
        parallel: bool,
        recent: int,
        num_shared: int = 0,
        stride: int = 1,
    ) -> None:
        """Takes `codes`, tokens (...) -> (..., C), where embeddings see them; `parallel` makes holes known.

        With `recent` frames, a position also sees what stood in them where its own prediction will stand: from frame to
        frame most stays, and what an attention would have to look up is there. Tokens that a clip shares are attended
        to by every layer, as signals of `cross` are. Of `stride` frames that share a latent, each has a projection of
        its own for its signals.
        """
        super().__init__()
        self.shape, self.layout, self.cross, self.stride = shape, layout, tuple(cross), stride
        width = shape.width
        self.trunk = Transformer(shape)
        self.slot = _vectors(width)
        self.project = nn.ModuleDict(
            {n: nn.Linear(c.width, stride * width) for n, c in conditioners.items()}
        )
        self.absent = nn.ParameterDict(
            {n: _vectors(c.num_tokens, width) for n, c in conditioners.items() if n not in cross}
        )
        # always there to be attended to
        self.nothing = _vectors(1, width) if cross or num_shared else None
        self.place = _vectors(num_shared, width) if num_shared else None
        self.hole = _vectors(width) if parallel else None
        self.code = None
        if codes is not None:
            table = codes(torch.arange(shape.vocabulary)).detach().float()  # (V, C)
            self.register_buffer("codes", table, persistent=False)  # the tokenizer's constants
            self.code = nn.Linear(table.shape[-1], width, bias=False)
        self.recent = recent
        self.echo = nn.Linear(recent * width, width, bias=False) if recent else None
        self.unseen = _vectors(recent, width) if recent else None
        self._half = HalfCopy()

    def engine(self, half: bool) -> Transformer:
        """The transformer, or its copy in bfloat16."""
        return self._half.of(self.trunk) if half else self.trunk

    def embed(self, tokens: Tensor) -> Tensor:
        """Embeddings (..., D) of tokens (...), which see their codes where they have some."""
        x = self.trunk.embed(tokens)
        if self.code is None:
            return x
        return x + self.code(F.embedding(tokens, self.codes).to(x.dtype))

    def echoes(self, earlier: Tensor, exists: Tensor) -> Tensor | None:
        """What stood where each token of a frame will stand, (B, F, N, D); None when unused.

        Args:
            earlier: the tokens of the frames before each frame, newest first, (B, F, recent, N).
            exists: which of them there are, (B, F, recent).
        """
        if self.echo is None or self.unseen is None:
            return None
        x = torch.where(exists[..., None, None], self.embed(earlier), self.unseen[:, None])
        return self.echo(x.transpose(2, 3).flatten(3))

    def shifted(self, tokens: Tensor, first: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The arguments of `echoes` for clips (B, F, N), whose rows begin at frame first[b]."""
        batch, frames = tokens.shape[:2]
        lag = torch.arange(1, self.recent + 1, device=tokens.device)
        frame = torch.arange(frames, device=tokens.device)
        before = frame[:, None] - lag  # (F, recent)
        begun = frame.new_zeros(batch) if first is None else first
        exists = before >= begun[:, None, None]
        return tokens[:, before.clamp(min=0)], exists

    def slots(self, given: Given, batch: int, frames: int) -> Tensor:
        """Action slots (B, F, D): the mean of each signal's tokens, the learned null where a token is absent.

        Frames that share a latent add theirs up.
        """
        total = self.slot.expand(batch, frames, -1)
        for name, null in self.absent.items():
            cond = given.cond[name]
            values = self._projected(name, cond.values).to(null)
            values = torch.where(cond.mask[..., None], values, null)
            total = total + values.mean((2, 4)).sum(2)  # (B, F|1, V|1, S, N, D) -> (B, F|1, D)
        return total

    def _projected(self, name: str, values: Tensor) -> Tensor:
        """A signal's tokens (B, F|1, V|1, S, N, C) in the width of the transformer, by their place in the latent."""
        linear, places = self.project[name], values.shape[3]
        assert isinstance(linear, nn.Linear)
        weights, biases = (x.unflatten(0, (self.stride, -1)) for x in (linear.weight, linear.bias))
        parts = zip(values.unbind(3), weights[-places:], biases[-places:], strict=True)
        return torch.stack([F.linear(x, weight, bias) for x, weight, bias in parts], 3)

    def conditions(self, trunk: Transformer, given: Given, batch: int, frames: int) -> Conditions:
        """What the tokens of each of B * F frames attend to, once for all passes.

        Of B clips, where nothing differs between their frames.
        """
        if self.nothing is None:
            return None
        if all(given.cond[name].values.shape[1] == 1 for name in self.cross):
            frames = 1
        tokens = [self.nothing.expand(batch, frames, 1, -1)]
        masks = [torch.ones(batch, frames, 1, dtype=torch.bool, device=self.nothing.device)]
        if self.place is not None:
            words = (self.embed(given.shared) + self.place)[:, None]
            tokens.append(words.expand(batch, frames, -1, -1))
            masks.append(masks[0].expand(-1, -1, words.shape[2]))
        for name in self.cross:
            cond = given.cond[name]
            values = self._projected(name, cond.values).flatten(2, 4)
            tokens.append(values.to(self.nothing).expand(batch, frames, -1, -1))
            masks.append(cond.mask.flatten(2, 4).expand(batch, frames, -1))
        values, mask = torch.cat(tokens, 2).flatten(0, 1), torch.cat(masks, 2).flatten(0, 1)
        return trunk.prepare(values.to(trunk.embed.weight), mask[:, None, None])

    def whole(
        self, trunk: Transformer, tokens: Tensor, given: Given, first: Tensor | None = None
    ) -> tuple[Tensor, list[Entries]]:
        """The strict pass over clips of tokens (B, F, N): hidden vectors (B, F, P, D) and its entries.

        Row b begins with frame first[b]; what stands before it is not seen. Without `first` all is seen. A clip is
        what follows a reset: its first frames are the context, the newest of which is at time 0.
        """
        mask = self._banded(tokens, first)
        memories = [kv_cache.Recorded() for _ in trunk.layers]
        x = ahead(self.embed(tokens), self.echoes(*self.shifted(tokens, first)))
        hidden = self._pass(trunk, x, given, first, memories, mask)
        return hidden, [m.entries for m in memories if m.entries is not None]

    def beside(
        self,
        tokens: Tensor,
        given: Given,
        context: Tensor,
        entries: list[Entries],
        unknown: Tensor | None = None,
    ) -> Tensor:
        """Hidden vectors (B, F, P, D) of frames whose past is `context` (B, F, N), with the entries of its strict pass.

        Strict within the frame too; or, where `unknown` (B, F, N) says which tokens are holes, it sees all of itself.
        """
        x, frames, length = self.embed(tokens), tokens.shape[1], self.layout.length
        echoes = self.echoes(*self.shifted(context))
        earlier, own = kv_cache.band(frames, length, self.layout.memory, tokens.device)
        if unknown is None:
            x = ahead(x, echoes)
        else:
            assert self.hole is not None
            x = within(torch.where(unknown[..., None], self.hole, x), echoes)
            frame = torch.arange(frames * length, device=tokens.device) // length
            own = frame[:, None] == frame[None, :]
        memories = [kv_cache.Appended(before) for before in entries]
        mask = torch.cat((earlier, own), 1)[None, None]
        return self._pass(self.trunk, x, given, None, memories, mask)

    def _pass(
        self,
        trunk: Transformer,
        x: Tensor,
        given: Given,
        first: Tensor | None,
        memories: Sequence[kv_cache.Memory],
        mask: Tensor | None,
    ) -> Tensor:
        """One pass over all frames of embedded positions (B, F, P, D), to the first of which slots are added."""
        batch, frames = x.shape[:2]
        slots = self.slots(given, batch, frames)[:, :, None]
        x = torch.cat((x[:, :, :1] + slots, x[:, :, 1:]), 2).to(trunk.embed.weight)
        frame = torch.arange(frames, device=x.device)
        seen = frame[None] if first is None else frame - first[:, None]
        absolute = self.layout.embedding(seen, x)
        hidden = trunk(
            x.flatten(1, 2),
            self.layout.rotation(frame + 1 - self.layout.context, x),
            memories,
            mask,
            None if absolute is None else absolute.flatten(1, 2),
            self.conditions(trunk, given, batch, frames),
        )
        return hidden.view(x.shape)

    def _banded(self, tokens: Tensor, first: Tensor | None) -> Tensor | None:
        frames, length = tokens.shape[1], self.layout.length
        if first is None and frames <= self.layout.memory + 1:
            return None  # causal is all there is to say, and has kernels of its own
        earlier, own = kv_cache.band(frames, length, self.layout.memory, tokens.device)
        if first is None:
            return (earlier | own)[None, None]
        frame = torch.arange(frames * length, device=tokens.device) // length
        return ((earlier & (frame >= first[:, None])[:, None]) | own)[:, None]


def ahead(x: Tensor, echoes: Tensor | None) -> Tensor:
    """Positions (..., P, D) of tokens (..., N, D), with what stood where the one after each will stand; a slot is 0."""
    x = F.pad(x, (0, 0, 1, 0))
    return x if echoes is None else x + F.pad(echoes, (0, 0, 0, 1))


def within(x: Tensor, echoes: Tensor | None) -> Tensor:
    """The same with what stood where each token itself will stand."""
    return F.pad(x if echoes is None else x + echoes, (0, 0, 1, 0))


def _vectors(*shape: int) -> nn.Parameter:
    return nn.Parameter(0.02 * torch.randn(*shape))
