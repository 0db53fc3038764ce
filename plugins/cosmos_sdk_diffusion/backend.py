"""The diffusion backend: latent video by a block-causal transformer, one pass per frame and denoising step.

A frame's first pass sees the clean frame before it and leaves its temporal keys and values, so the commit of frame t is
fused into the first pass of frame t + 1: a step with K = 1 costs exactly one pass. At noise level tau = 0 the network
predicts the conditional mean, which every frame of every clip trains; levels above refine it in K - 1 more passes
(`forcing`). tau runs from 0, noise, to 1, data.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cosmos_sdk import key_values
from cosmos_sdk.errors import ConfigError, UnknownNameError
from cosmos_sdk.protocols import Parts, Prediction
from cosmos_sdk.rng import Rng
from cosmos_sdk.state import Control, Masked, Tensors, WorldState
from cosmos_sdk_diffusion import kv_cache
from cosmos_sdk_diffusion.forcing import diffusion_error, noisy_levels
from cosmos_sdk_diffusion.network import Entries, NetworkShape
from cosmos_sdk_diffusion.predictor import FramePredictor, Levels, Situation, View, rows_of
from cosmos_sdk_diffusion.samplers import flow_euler

PRESETS: dict[str, dict[str, int]] = {
    "xs": {"width": 192, "num_layers": 4, "num_heads": 3, "hidden": 384},  # 2 M parameters
    "s": {"width": 256, "num_layers": 5, "num_heads": 4, "hidden": 640},  # 5 M
    "m": {"width": 384, "num_layers": 9, "num_heads": 6, "hidden": 768},  # 17 M
    "l": {"width": 768, "num_layers": 12, "num_heads": 12, "hidden": 2048},
}


@dataclass
class DiffusionConfig:
    """Sizes, by preset or one by one, and weights of the loss. A size that is not None overrides the preset's."""

    preset: str = "xs"
    width: int | None = None
    num_layers: int | None = None
    num_heads: int | None = None
    hidden: int | None = None  # of the gated MLP
    temporal_every: int = 2  # every n-th layer looks back in time
    pack: int = 1  # latent tokens that share one token of the network
    num_registers: int = 1
    cond_width: int = 128
    context: int = 4  # frames that a reset encodes
    memory: int = 7  # earlier frames that a frame sees
    dropout: float = 0.1  # share of frames without a signal in training, for each signal alone
    context_noise: float = (
        0.1  # in training, half of the context frames get noise, of a deviation up to this
    )
    loss_weight: float = 10.0  # of squared errors of latents, which are small: of the order of a frame's change squared
    perceptual_weight: float = 3.0  # of the distance in what the tokenizer's auxiliary heads read
    feature_gradient: float = 0.02  # share of the heads' gradient that reaches the network


@dataclass(frozen=True)
class DiffusionSampling:
    """Run-time options; the last three are used in training only."""

    num_steps: int = 1  # K
    context_noise: float = (
        0.0  # standard deviation of the noise on the frames that a step starts from
    )
    guidance: dict[str, float] = field(
        default_factory=dict[str, float]
    )  # signal -> scale; 1 = none
    precision: Literal["float32", "bfloat16"] = "float32"
    unroll: int = 0  # so many last frames of a clip are imagined, each from those imagined before
    diffusion: float = 0.0  # share of clips that also train the passes above noise level 0
    bootstrap: float = 0.0  # share of their frames that learn a long step from two short ones


@final
class DiffusionBackend(nn.Module):
    """Latents (B, T, N, C), one per frame: N tokens of C channels, whatever views they came from."""

    chunk = 1
    window = 2  # the frame before, and what changed in it
    differentiable = True

    def __init__(self, config: DiffusionConfig, parts: Parts) -> None:
        """Builds the network for the latents and conditioners that stand.

        Raises:
            UnknownNameError: no such preset.
            ConfigError: no tokenizer, latents that are not tokens, or a `pack` that does not divide them.
        """
        super().__init__()
        if config.preset not in PRESETS:
            raise UnknownNameError("preset of the diffusion backend", config.preset, PRESETS)
        num_tokens, channels = _latent_shape(config, parts)
        size = {
            name: getattr(config, name) or value for name, value in PRESETS[config.preset].items()
        }
        shape = NetworkShape(
            inputs=3 * channels * config.pack,
            outputs=channels * config.pack,
            num_tokens=num_tokens // config.pack,
            temporal_every=config.temporal_every,
            memory=config.memory,
            cond_width=config.cond_width,
            **size,
        )
        self.config, self.sampling, self.feature_width = config, DiffusionSampling(), shape.width
        self.predictor = FramePredictor(
            shape, (num_tokens, channels), parts.conditioners, config.num_registers
        )
        self._tokenizer = (parts.tokenizer,)  # in a tuple: its weights are registered by the world

    @property
    def context(self) -> int:
        return self.config.context

    def start(self, latents: Tensor, control: Control, rng: Rng) -> tuple[Tensor, Tensors]:
        """Burns the context in, one pass over all of its frames; a repeated first frame counts once."""
        latents = _lengthen(latents, self.context)
        frames = latents.shape[1]
        past, level = self._noised(latents, rng)
        situation = self.predictor.situation(past, control, level)
        filled = _distinct(latents)
        _, features, seen = self.predictor(
            situation, self.predictor.band(frames, frames - filled), half=self._half
        )
        return features[:, -1:], self._remember(seen, filled)

    def predict(self, state: WorldState, control: Control, rng: Rng) -> Prediction:
        """The next frame, in `sampling.num_steps` passes."""
        past, level = self._noised(state.latents, rng)
        return Prediction(*self._imagine(past, level[:, 1:], control, state.memory["backend"], rng))

    def full(self, latents: Tensor, control: Control, seed: Tensor) -> Tensor:
        """What is predicted for each frame of (B, n, N, C) given the true ones before it, without a cache.

        The first `context` frames are context, as at a reset; the mask is banded as the cache is, and the noise is what
        `predict` draws. Context noise, which `start` draws at once for all frames, is left out.
        """
        frames, context = latents.shape[1], self.context
        situation = self.predictor.situation(latents, control, latents.new_zeros(latents.shape[:2]))
        view = self.predictor.band(frames, context - _distinct(latents[:, :context]))
        clean, _, seen = self.predictor(situation, view, half=self._half)
        drawn: list[Tensor] = []
        for time in range(-context, frames - context):  # of the frame before
            drawn.append(self._draw(Rng(seed, torch.full_like(seed, time))))
        return self._refine(clean, situation, control, view.after(seen), torch.cat(drawn, 1))

    def loss(
        self, latents: Tensor, control: Control, valid: Tensor, rng: Rng
    ) -> tuple[Tensors, Tensor]:
        """Terms (B,) and features (B, F, D) of clips (B, F, N, C).

        `mean`: squared error of the first pass, for every frame but the first; the last `sampling.unroll` of them are
        imagined, and gradients run through all they were imagined from. `perceptual`: smooth L1 of what the
        tokenizer's auxiliary heads read. `diffusion`: the passes above noise level 0.
        """
        frames = valid.shape[1]
        burn = frames - min(self.sampling.unroll, frames - 2)
        control = self._dropped(control, rng)
        past, level = self._noised(latents[:, :burn], rng)
        situation = self.predictor.situation(past, _frames(control, slice(0, burn)), level)
        view = View(None, *kv_cache.band(burn, self.config.memory, latents.device))
        predicted, features, seen = self.predictor(situation, view)
        counted = valid & (torch.arange(frames, device=valid.device) > 0)
        terms: dict[str, Tensor] = {}
        if self.sampling.diffusion:
            own = (latents[:, :burn], counted[:, :burn], situation, view.after(seen))
            terms["diffusion"] = self._diffusion(*own, rng)
        if burn < frames:
            more, read = self._unrolled(past, seen, control, frames, rng)
            predicted, features = torch.cat((predicted, more), 1), torch.cat((features, read), 1)
        terms["mean"] = self.config.loss_weight * _mean(
            (predicted - latents).square().mean((2, 3)), counted
        )
        perceive = getattr(self._tokenizer[0], "perceive", None)
        if perceive is not None and self.config.perceptual_weight:
            seen_in, wanted = perceive(predicted), perceive(latents)
            if wanted.shape[2]:  # without auxiliary heads there is nothing to compare
                error = F.smooth_l1_loss(seen_in, wanted, beta=0.02, reduction="none").mean(2)
                terms["perceptual"] = self.config.perceptual_weight * _mean(error, counted)
        share = (
            self.config.feature_gradient
        )  # a head's loss is large beside the others, and would own the network
        return terms, share * features + (1 - share) * features.detach()

    def _diffusion(
        self, latents: Tensor, counted: Tensor, situation: Situation, view: View, rng: Rng
    ) -> Tensor:
        """The passes above noise level 0, for a share of the rows (B,)."""
        levels = noisy_levels(latents, self.sampling.bootstrap, rng)
        chosen = (rng.uniform(1)[:, 0] < self.sampling.diffusion).nonzero()[:, 0]
        total = latents.new_zeros(len(latents))
        if not len(chosen):
            return total
        part = situation.rows(chosen), view.rows(chosen), rows_of(levels, chosen)
        error = _mean(diffusion_error(self.predictor, latents[chosen], *part), counted[chosen])
        return total.index_add(0, chosen, self.config.loss_weight * error.to(total))

    def _unrolled(
        self, past: Tensor, seen: list[Entries], control: Control, frames: int, rng: Rng
    ) -> tuple[Tensor, Tensor]:
        """Frames n .. frames - 1 after `past` (B, n, N, C), each imagined from those before: latents and features."""
        batch, burn = past.shape[:2]
        filled = torch.full((batch,), burn, device=past.device).clamp(max=self.config.memory)
        memory, level, window = self._remember(seen, filled), past.new_zeros(batch, 1), past[:, -2:]
        made: list[Tensor] = []
        features: list[Tensor] = []
        for k in range(burn, frames):
            frame = _frames(control, slice(k, k + 1))
            latents, read, memory = self._imagine(window, level, frame, memory, rng)
            window = torch.cat((window[:, 1:], latents), 1)
            made.append(latents)
            features.append(read)
        return torch.cat(made, 1), torch.cat(features, 1)

    def _imagine(
        self, past: Tensor, level: Tensor, control: Control, memory: Tensors, rng: Rng
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """One frame from the last two (B, 2, N, C): latents, features, next memory."""
        cached, filled = key_values.unpack(memory), memory["filled"]
        view = self.predictor.recent(cached, filled)
        situation = self.predictor.next(past[:, :1], past[:, 1:], control, level)
        clean, features, seen = self.predictor(situation, view, half=self._half)
        noise = self._draw(rng) if self.sampling.num_steps > 1 else None
        clean = self._refine(clean, situation, control, view, noise)
        own = [
            kv_cache.shift(entries, before) for entries, before in zip(seen, cached, strict=True)
        ]
        return (
            clean,
            features,
            {**key_values.pack(own), "filled": (filled + 1).clamp(max=self.config.memory)},
        )

    def _refine(
        self,
        clean: Tensor,
        situation: Situation,
        control: Control,
        view: View,
        noise: Tensor | None,
    ) -> Tensor:
        """Guidance of the first pass, and the passes after it: Euler steps from noise to data."""
        num_steps = self.sampling.num_steps
        first = self._guided(clean, situation, control, view, None)
        if num_steps == 1 or noise is None:
            return first
        size = clean.new_tensor(1 / num_steps)

        def denoise(sample: Tensor, tau: Tensor) -> Tensor:
            if tau == 0:
                return first
            levels = (sample, tau, size)
            clean = self.predictor(situation, view, levels, half=self._half)[0]
            return self._guided(clean, situation, control, view, levels)

        return flow_euler(denoise, noise.to(clean), num_steps)

    def _guided(
        self,
        clean: Tensor,
        situation: Situation,
        control: Control,
        view: View,
        levels: Levels | None,
    ) -> Tensor:
        """Classifier-free guidance, one scale per signal, dropped for this frame only, so that one cache serves all."""
        total = clean
        for name, scale in self.sampling.guidance.items():
            if scale != 1:
                other = self.predictor(
                    self.predictor.without(situation, control, name), view, levels, half=self._half
                )[0]
                total = total + (scale - 1) * (clean - other)
        return total

    @property
    def _half(self) -> bool:
        """Whether to compute in copies of the weights; under autocast the products are in bfloat16 anyway."""
        wanted = (
            self.sampling.precision == "bfloat16"
            and self.predictor.registers.dtype == torch.float32
        )
        return wanted and not torch.is_autocast_enabled(self.predictor.registers.device.type)

    def _remember(self, seen: list[Entries], filled: Tensor) -> dict[str, Tensor]:
        entries = [key_values.newest(pair, self.config.memory) for pair in seen]
        return {**key_values.pack(entries), "filled": filled}

    def _draw(self, rng: Rng) -> Tensor:
        return rng.normal(1, *self.predictor.latent_shape)

    def _noised(self, latents: Tensor, rng: Rng) -> tuple[Tensor, Tensor]:
        """Context frames (B, F, N, C) with noise, and its standard deviation (B, F)."""
        batch, frames = latents.shape[:2]
        if self.training:
            level = self.config.context_noise * rng.uniform(frames) * (rng.uniform(frames) < 0.5)
        else:
            level = torch.full((batch, frames), self.sampling.context_noise)
        level = level.to(latents)
        if not self.training and not self.sampling.context_noise:
            return latents, level
        return latents + level[..., None, None] * rng.normal(*latents.shape[1:]).to(latents), level

    def _dropped(self, control: Control, rng: Rng) -> Control:
        """Signals dropped frame by frame in training, each alone, so that guidance can do without one."""
        if not self.training or not self.config.dropout:
            return control
        cond: dict[str, Masked] = {}
        for name, masked in control.cond.items():
            keep = rng.uniform(masked.mask.shape[1]) >= self.config.dropout
            cond[name] = Masked(masked.values, masked.mask & keep[:, :, None, None])
        return Control(control.signals, cond)


def _latent_shape(config: DiffusionConfig, parts: Parts) -> tuple[int, int]:
    if parts.tokenizer is None:
        raise ConfigError(["backend diffusion: needs a tokenizer; the world has none."])
    shape = parts.tokenizer.latent_shape
    if len(shape) != 2:
        raise ConfigError(
            [f"backend diffusion: needs latents of tokens (N, C); the tokenizer makes {shape}."]
        )
    if shape[0] % config.pack:
        raise ConfigError(
            [f"backend diffusion: pack={config.pack} does not divide the {shape[0]} latent tokens."]
        )
    return shape[0], shape[1]


def _lengthen(latents: Tensor, frames: int) -> Tensor:
    """The last `frames` latents; a short history repeats its first."""
    missing = max(0, frames - latents.shape[1])
    return torch.cat(
        (latents[:, :1].expand(-1, missing, *latents.shape[2:]), latents[:, -frames:]), 1
    )


def _distinct(latents: Tensor) -> Tensor:
    """How many frames of (B, F, N, C) a history has (B,), its repeated first frame counted once."""
    same = (latents[:, 1:] == latents[:, :-1]).flatten(2).all(2)
    return latents.shape[1] - same.long().cumprod(1).sum(1)


def _frames(control: Control, frames: slice) -> Control:
    """The control of some frames; what is given once for all frames stays."""

    def take(masked: Masked) -> Masked:
        if masked.mask.shape[1] == 1:
            return masked
        return Masked(masked.values[:, frames], masked.mask[:, frames])

    signals = {name: take(masked) for name, masked in control.signals.items()}
    return Control(signals, {name: take(masked) for name, masked in control.cond.items()})


def _mean(values: Tensor, counted: Tensor) -> Tensor:
    """Mean (B,) of values (B, F) over the frames that count; zero without any."""
    total = torch.where(counted, values, torch.zeros_like(values)).sum(1)
    return total / counted.sum(1).clamp(min=1)
