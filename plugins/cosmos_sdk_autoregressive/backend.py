"""The autoregressive backend: a frame is its action slot and N discrete tokens, each drawn given all before it.

What IRIS (arXiv:2209.00588) and iVideoGPT (arXiv:2405.15223) do, with the cache kept across frames. A frame sees the
last `memory` frames. A cached entry has seen frames that have left since, so a state is more than its latents.
Features are read at the frame's end, where all of it is known; their last channel is the mean entropy of its tokens.

Where the tokenizer compresses time, the sequence is one of latents: `chunk` frames share one, and a predict makes them
all. Of a clip the first frame has a latent of its own, so `context` latents are 1 + chunk (context - 1) frames. Such a
tokenizer takes the first latent that it decodes for that of a lone frame. After the first predict it is not: the
frames that a state decodes to lack the past of its oldest latent, the less so the more latents lie between.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cosmos_sdk import key_values
from cosmos_sdk.errors import ConfigError, SamplingError
from cosmos_sdk.protocols import Parts, Prediction
from cosmos_sdk.rng import Rng
from cosmos_sdk.state import Control, Tensors, WorldState
from cosmos_sdk_autoregressive import kv_cache
from cosmos_sdk_autoregressive.config import (
    AutoregressiveConfig,
    frame_grid,
    problems,
    transformer_shape,
)
from cosmos_sdk_autoregressive.decoding import Canvas, Made, parallel, strict
from cosmos_sdk_autoregressive.given import Given
from cosmos_sdk_autoregressive.latents import (
    check_observed,
    check_tokens,
    codes,
    distinct,
    lengthen,
    vocabulary,
)
from cosmos_sdk_autoregressive.medusa import MedusaHeads, load_heads, save_heads, speculative
from cosmos_sdk_autoregressive.predictor import Layout, TokenPredictor
from cosmos_sdk_autoregressive.rotary import Rotary
from cosmos_sdk_autoregressive.sampling import (
    AutoregressiveSampling,
    check_finite,
    cross_entropy,
    distribution,
    draw,
    entropy,
    log_prob,
    precise,
)


@final
class AutoregressiveBackend(nn.Module):
    """Latents (B, F, N) int64: N tokens of a vocabulary per frame, whatever views they came from.

    Tokens that a tokenizer says all frames of a clip share are copied from frame to frame, not predicted.
    """

    differentiable = False
    entropy_channel = -1  # of the features

    def __init__(self, config: AutoregressiveConfig, parts: Parts) -> None:
        """Builds the transformer for the tokens and conditioners that stand.

        Raises:
            UnknownNameError: no such preset.
            ConfigError: no tokenizer, one whose latents are no tokens of a vocabulary, or sizes that do not fit.
        """
        super().__init__()
        sizes = config.sizes
        self.vocabulary_size, num_tokens = vocabulary(parts)
        self.num_shared: int = getattr(parts.tokenizer, "num_context_tokens", 0)
        self.chunk: int = getattr(parts.tokenizer, "frames_per_latent", 1)
        num_tokens -= self.num_shared
        found = problems(config, num_tokens, self.chunk)
        found += [
            f"backend.cross: {name!r} is no signal of this world, whose signals are {', '.join(parts.conditioners)}."
            for name in config.cross
            if name not in parts.conditioners
        ]
        if found:
            raise ConfigError(found)
        self.predictor = TokenPredictor(
            transformer_shape(config, self.vocabulary_size, self.num_shared),
            _layout(config, parts, num_tokens),
            parts.conditioners,
            cross=config.cross,
            codes=codes(parts) if sizes.codes else None,
            parallel=config.masked_weight > 0,
            recent=sizes.recent,
            num_shared=self.num_shared,
            stride=self.chunk,
        )
        heads = sizes.width, config.medusa, bool(sizes.recent)
        self.medusa = MedusaHeads(*heads) if config.medusa else None
        self.config = config
        self.feature_width = sizes.width + (self.chunk if self.chunk > 1 else 0) + 1
        self._sampling = AutoregressiveSampling(temperature=config.temperature)

    @property
    def context(self) -> int:
        return 1 + self.chunk * (self.window - 1)

    @property
    def window(self) -> int:
        return self.config.context

    @property
    def sampling(self) -> AutoregressiveSampling:
        """Run-time options; to set them is to check that the weights can do what they ask.

        Raises:
            SamplingError: more Medusa heads than there are, or parallel decoding that was not trained.
        """
        return self._sampling

    @sampling.setter
    def sampling(self, options: AutoregressiveSampling) -> None:
        if options.medusa > self.config.medusa:
            raise SamplingError(
                f"medusa is {options.medusa}; expected 0 to {self.config.medusa}, the heads that this backend has. "
                "They are trained where backend.medusa says how many, and read by `load_drafts`."
            )
        if options.num_steps and self.predictor.hole is None:
            raise SamplingError(
                f"num_steps is {options.num_steps}; expected 0: parallel decoding was not trained, as "
                "backend.masked_weight is 0."
            )
        self._sampling = options

    def save_drafts(self, path: str | Path) -> None:
        """Writes the Medusa heads to a file of their own, for worlds that have the same transformer.

        Raises:
            SamplingError: there are none.
            WriteError: the disk is full.
        """
        if self.medusa is None:
            raise SamplingError(
                "This backend has no Medusa heads to save; backend.medusa says how many there are to train."
            )
        save_heads(self.medusa, self.predictor.trunk, path)

    def load_drafts(self, path: str | Path) -> None:
        """Takes Medusa heads that `save_drafts` wrote, in place of its own if it has any.

        A checkpoint of the world has to say their number in its config: `backend.medusa`.

        Raises:
            CheckpointError: the file holds no heads, or those of another transformer.
        """
        self.medusa = load_heads(path, self.predictor.trunk)
        self.config = replace(self.config, medusa=self.medusa.num_heads)

    @torch.no_grad()
    def start(self, latents: Tensor, control: Control, rng: Rng) -> tuple[Tensor, Tensors]:
        """Burns the context in, one strict pass over all of its frames; a repeated first frame counts once."""
        self._check(latents)
        latents = lengthen(latents, self.window)
        filled = distinct(latents)
        trunk = self.predictor.engine(self._half)
        hidden, seen = self.predictor.whole(
            trunk, *self._split(latents, control), self.window - filled
        )
        features = self._newest(hidden[:, -1, -1], entropy(trunk.logits(hidden[:, -1, :-1])))
        return features, self._remember(seen, filled, torch.ones_like(filled))

    @torch.no_grad()
    def predict(self, state: WorldState, control: Control, rng: Rng) -> Prediction:
        """The next frame, drawn as `sampling` says."""
        past, given, time = self._next(state, control)
        canvas, made = self._imagine(state.memory["backend"], past, given, time, rng)
        memory = {**canvas.remember(), "passes": made.passes}
        latents = torch.cat((given.shared, made.tokens), 1)
        return Prediction(latents[:, None], self._newest(made.end, made.entropy), memory)

    @torch.no_grad()
    def score(
        self, state: WorldState, control: Control, latents: Tensor
    ) -> tuple[Prediction, Tensor]:
        """The step to a frame (B, 1, N) that was observed, not imagined, and its log-likelihood (B,) in nats.

        It is the model's own, at temperature 1, however `sampling` draws, and counts the tokens that are predicted.
        """
        self._check(latents)
        past, given, time = self._next(state, control)
        check_observed(latents, given.shared)
        trunk, tokens = self.predictor.engine(self._half), latents[:, 0, self.num_shared :]
        canvas = Canvas(self.predictor, trunk, state.memory["backend"], past, given, time)
        hidden = canvas.read(tokens)
        logits = check_finite(canvas.logits(hidden[:, :-1]))
        memory = {**canvas.remember(), "passes": torch.ones_like(canvas.filled)}
        features = self._newest(hidden[:, -1], entropy(logits))
        return Prediction(latents, features, memory), log_prob(logits, tokens)

    @torch.no_grad()
    def log_probs(self, latents: Tensor, control: Control) -> Tensor:
        """Log-likelihood (B, F) in nats of every frame of clips (B, F, N) given those before it, in one pass.

        Only the last `memory` frames are seen, as in steps. Frame 0 is what the slot alone says, which no term trains.
        """
        return log_prob(self.logits(latents, control), latents[..., self.num_shared :])

    def logits(self, latents: Tensor, control: Control) -> Tensor:
        """Logits (B, F, N, V) of every token of clips (B, F, N) given all before it, in one pass.

        Tokens that a clip shares are given, and have none.
        """
        self._check(latents)
        trunk = self.predictor.engine(self._half)
        hidden, _ = self.predictor.whole(trunk, *self._split(latents, control))
        return trunk.logits(hidden[:, :, :-1])

    @torch.no_grad()
    def full(self, latents: Tensor, control: Control, seed: Tensor) -> Tensor:
        """What is drawn for each frame of (B, n, N) given the true ones before it; the caches come from one pass.

        The first `window` of them are context, as at a reset; the pass is banded as the cache is. Every frame is then
        made as a row of its own, under the noise that `predict` draws for it.
        """
        batch, frames = latents.shape[:2]
        first = self.window - distinct(latents[:, : self.window])
        trunk, layout = self.predictor.engine(self._half), self.predictor.layout
        tokens, given = self._split(latents, control)
        _, seen = self.predictor.whole(trunk, tokens, given, first)
        past = [kv_cache.windows(pair, layout.length, layout.memory) for pair in seen]
        frame = torch.arange(frames, device=latents.device)
        filled = (frame - first[:, None]).clamp(0, layout.memory).flatten()
        time = (frame + 1 - self.window).repeat(batch)
        rng = Rng(seed.repeat_interleave(frames), self.chunk * (time - 1))
        memory = {**key_values.pack(past), "filled": filled}
        earlier = self.predictor.shifted(tokens)[0].flatten(0, 1).flip(1)
        made = self._imagine(memory, earlier, given.each_latent(frames), time, rng)[1]
        shared = latents[..., : self.num_shared]
        return torch.cat((shared, made.tokens.view(tokens.shape)), 2)

    @torch.no_grad()
    def imagined(self, tokens: Tensor, given: Given, rng: Rng) -> Tensor:
        """The clips (B, F, N) as drawn from themselves `unroll` times over; the context stays.

        Every token is drawn given the clip of the time before, with the same noise each time: passes over whole clips
        that approach drawing one after the other (parallel scheduled sampling, Duckworth et al. 2019,
        arXiv:1906.04331; as a fixed point, Song et al. 2021, arXiv:2002.03629).
        """
        trunk, kept = self.predictor.trunk, min(self.window, tokens.shape[1] - 1)
        noise, drawn = rng.uniform(*tokens.shape[1:]), tokens
        for _ in range(self.sampling.unroll):
            logits = trunk.logits(self.predictor.whole(trunk, drawn, given)[0][:, :, :-1])
            drawn = draw(distribution(logits, self.sampling), noise)
            drawn = torch.cat((tokens[:, :kept], drawn[:, kept:]), 1)
        return drawn

    def loss(
        self, latents: Tensor, control: Control, valid: Tensor, rng: Rng
    ) -> tuple[Tensors, Tensor]:
        """Terms (B,) and features (B, F, W) of clips (B, F, N), over every frame but the first.

        Where frames share latents, there are as many features as frames; a latent counts whose last frame is valid.

        `tokens`: cross-entropy given the true tokens before, in frames that were imagined where `sampling.unroll` says
        so. `z`: keeps logits from drifting. `masked`: cross-entropy of holes, for parallel decoding. `medusa`: that of
        drafts, where `sampling.medusa` asks for them.
        """
        self._check(latents)
        trunk, config = self.predictor.trunk, self.config
        valid = valid[:, :: self.chunk]
        counted = valid & (torch.arange(valid.shape[1], device=valid.device) > 0)
        tokens, given = self._split(latents, control)
        context = self.imagined(tokens, given, rng)
        hidden, entries = self.predictor.whole(trunk, context, given)
        if self.sampling.unroll:
            hidden = self.predictor.beside(tokens, given, context, entries)
        logits = precise(trunk.logits(hidden[:, :, :-1]))  # (B, F, N, V)
        partition = logits.logsumexp(-1)  # once for both terms: these are the largest tensors here
        error = partition - logits.gather(-1, tokens[..., None])[..., 0]
        terms = {"tokens": _mean(error.mean(2), counted)}
        terms["z"] = config.z_weight * _mean(partition.square().mean(2), counted)
        if config.masked_weight:
            error = self._masked_error(tokens, given, (context, entries), counted, rng)
            terms["masked"] = config.masked_weight * error
        if self.medusa is not None and self.sampling.medusa:
            echoes = self.predictor.echoes(*self.predictor.shifted(context))
            error = self.medusa.loss(trunk, hidden, tokens, echoes)
            terms["medusa"] = config.medusa_weight * _mean(error, counted)
        end, doubt = hidden[:, :, -1], entropy(logits.detach()).mean(2)
        share = config.feature_gradient  # a head's loss is large, and would own the transformer
        end = share * end + (1 - share) * end.detach()
        return terms, self._features(end, doubt, 0)

    def _masked_error(
        self,
        tokens: Tensor,
        given: Given,
        past: tuple[Tensor, list[kv_cache.Entries]],
        counted: Tensor,
        rng: Rng,
    ) -> Tensor:
        """Mean cross-entropy (B,) of holes, of which the share in a frame is the cosine of a uniform number.

        Only a part of the rows is passed, and weighs the more.
        """
        frames, count = tokens.shape[1:]
        chosen = (rng.uniform(1)[:, 0] < self.config.masked_share).nonzero()[:, 0]
        total = torch.zeros(len(tokens), device=tokens.device)
        if not len(chosen):
            return total
        share = torch.cos(torch.pi / 2 * rng.uniform(frames)[chosen])
        holes = (count * share).ceil().clamp(1, count)
        order = rng.uniform(frames, count)[chosen].argsort(-1).argsort(-1)
        unknown, wanted = order < holes[..., None], tokens[chosen]
        context, part = past[0][chosen], given.rows(chosen)
        entries = [(keys[chosen], values[chosen]) for keys, values in past[1]]
        hidden = self.predictor.beside(wanted, part, context, entries, unknown)[:, :, 1:]
        error = torch.where(unknown, cross_entropy(self.predictor.trunk.logits(hidden), wanted), 0)
        mean = _mean(error.sum(2) / holes.to(error), counted[chosen]) / self.config.masked_share
        return total.index_add(0, chosen, mean.to(total))

    def _imagine(
        self, memory: Tensors, past: Tensor, given: Given, time: Tensor, rng: Rng
    ) -> tuple[Canvas, Made]:
        options, trunk = self.sampling, self.predictor.engine(self._half)
        canvas = Canvas(self.predictor, trunk, memory, past, given, time, room=options.medusa)
        if options.num_steps:
            return canvas, parallel(canvas, options, rng)
        if options.medusa and self.medusa is not None:
            return canvas, speculative(canvas, self.medusa, options, rng)
        return canvas, strict(canvas, options, rng)

    def _split(self, latents: Tensor, control: Control) -> tuple[Tensor, Given]:
        """Clips (B, F, C + N) as the tokens that are predicted (B, F, N), and what they are predicted under."""
        shared = latents[:, -1, : self.num_shared]
        given = Given.of(control, shared, latents.shape[1], self.chunk)
        return latents[..., self.num_shared :], given

    def _next(self, state: WorldState, control: Control) -> tuple[Tensor, Given, Tensor]:
        """Before a frame: the tokens of those it follows (B, T, N), what it is made under, and its time (B,)."""
        given = Given.of(control, state.latents[:, -1, : self.num_shared], 1, self.chunk)
        return state.latents[..., self.num_shared :], given, state.time // self.chunk + 1

    @property
    def _half(self) -> bool:
        table = self.predictor.trunk.embed.weight
        wanted = self.sampling.precision == "bfloat16" and table.dtype == torch.float32
        return wanted and not torch.is_autocast_enabled(table.device.type)

    def _newest(self, end: Tensor, doubt: Tensor) -> Tensor:
        """Features (B, chunk, W) of the frames of one latent: the vector (B, D) at its end, entropies (B, N)."""
        like = self.predictor.slot
        return self._features(end[:, None].to(like), doubt.mean(1, keepdim=True), 1 - self.chunk)

    def _features(self, end: Tensor, doubt: Tensor, first: int) -> Tensor:
        """Features (B, n, W) of the frames from `first` on, where that of the first latent alone is frame 0.

        Of L latents the vectors (B, L, D) at their ends, and the mean entropies (B, L) of their tokens. What frames
        share a latent differ in their place in it alone.
        """
        frame = torch.arange(first, 1 + self.chunk * (end.shape[1] - 1), device=end.device)
        latent = (frame + self.chunk - 1) // self.chunk
        parts = [end[:, latent], doubt[:, latent, None].to(end)]
        if self.chunk > 1:
            place = F.one_hot((frame - 1) % self.chunk, self.chunk).to(end)
            parts.insert(1, place.expand(len(end), -1, -1))
        return torch.cat(parts, -1)

    def _remember(
        self, seen: list[kv_cache.Entries], filled: Tensor, passes: Tensor
    ) -> dict[str, Tensor]:
        layout, weight = self.predictor.layout, self.predictor.slot
        size = layout.memory * layout.length
        recent = [key_values.newest(pair, size) for pair in seen]
        entries = [(keys.to(weight), values.to(weight)) for keys, values in recent]
        return {**key_values.pack(entries), "filled": filled, "passes": passes}

    def _check(self, latents: Tensor) -> None:
        count = self.num_shared + self.predictor.layout.num_tokens
        check_tokens(latents, count, self.vocabulary_size)


def _layout(config: AutoregressiveConfig, parts: Parts, num_tokens: int) -> Layout:
    sizes = config.sizes
    pace = sizes.base_rate / parts.spec.rate
    rows, columns = config.grid or frame_grid(*parts.spec.frames, num_tokens)
    rotary = Rotary(sizes.head_width, sizes.theta, pace, config.yarn)
    return Layout(
        (rows, columns), config.context, sizes.memory, rotary, sizes.width, sizes.absolute
    )


def _mean(values: Tensor, counted: Tensor) -> Tensor:
    """Mean (B,) of values (B, F) over the frames that count; zero without any."""
    total = torch.where(counted, values, torch.zeros_like(values)).sum(1)
    return total / counted.sum(1).clamp(min=1)
