"""The state-space backend: a frame is a vector of some hundred numbers, and a transition spans a block of actions.

Planners imagine hundreds of futures to keep one action. What they pay for is passes: so a vector and not tokens, one
pass for a block, and no cache, the newest vector being all that is remembered. The encoder stands here and not in a
tokenizer, so that it learns together with the transition, from whatever latents a frozen tokenizer makes; the decoder
leads back to those latents, and the tokenizer to pixels, when somebody asks for them.
"""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor, nn

from cosmos_sdk.control import num_frames
from cosmos_sdk.errors import ConfigError
from cosmos_sdk.precision import HalfCopy, has_bfloat16
from cosmos_sdk.protocols import Parts, Prediction, Tokenizer
from cosmos_sdk.rng import Rng
from cosmos_sdk.state import Control, Tensors, WorldState
from cosmos_sdk.unrolling import Unrolled
from cosmos_sdk_statespace.config import StateSpaceConfig, StateSpaceSampling
from cosmos_sdk_statespace.guards import Guard, SigReg, VarianceCovariance
from cosmos_sdk_statespace.network import SignalFusion, Transition, perceptron, with_change

GUARDS: dict[str, type[Guard]] = {"sigreg": SigReg, "variance": VarianceCovariance}
GUARDED_FRAMES = 4  # of a clip; its frames are alike


@final
class StateSpaceBackend(nn.Module):
    """Latents (B, T, *latent), one per frame and of real numbers, whatever their shape; features are the vectors."""

    context = 2  # a frame, and the one before it for what moves
    differentiable = True

    def __init__(self, config: StateSpaceConfig, parts: Parts) -> None:
        """Builds encoder, transition and decoder for the latents and conditioners that stand.

        Raises:
            ConfigError: no tokenizer, or one whose latents are indices.
        """
        super().__init__()
        self.config, self.sampling = config, StateSpaceSampling()
        self.latent_shape = _latent_shape(parts.tokenizer)
        self.chunk, self.window, self.feature_width = config.chunk, config.chunk + 1, config.width
        self.stochastic = config.stochastic
        size, width = math.prod(self.latent_shape), config.width
        self.encoder = perceptron(2 * size, config.encoder_hidden, width, config.encoder_layers)
        self.fusion = SignalFusion(parts.conditioners, config.cond_width)
        block = config.chunk * config.cond_width
        self.transition = Transition(width, config.chunk, block, config.hidden, config.num_layers)
        layers = 1 if config.decoder_hidden else 0
        self.decoder = perceptron(width, config.decoder_hidden, size, layers)
        self.spread = None
        if config.stochastic:  # log standard deviations of a block's vectors
            self.spread = nn.Linear(self.transition.out.in_features, config.chunk * width)
        self.guard = None
        if config.guard != "none":
            self.guard = GUARDS[config.guard](width, config.guard_memory)
        self._half_transition, self._half_decoder = HalfCopy(), HalfCopy()

    def start(self, latents: Tensor, control: Control, rng: Rng) -> tuple[Tensor, Tensors]:
        """Encodes the window; the newest vector is all that a step needs, and the features hold it."""
        return self.encode(latents[:, -self.window :])[:, -self.chunk :], {}

    def predict(self, state: WorldState, control: Control, rng: Rng) -> Prediction:
        """The frames of one block, in one pass."""
        signals = self.fusion(control.cond, state.features, self.chunk).flatten(1)
        vector = state.features[:, -1]
        transition = self._weights(vector)
        vectors = self._imagine(transition, vector, transition.read(vector, signals), rng)
        return Prediction(self._shown(vectors), self._whole(vectors), {})

    def unroll(self, state: WorldState, control: Control) -> Unrolled:
        """The frames of S = K / chunk blocks; nobody waits for latents that nobody reads.

        The signals of all blocks meet the first layer in one product; only vectors have to wait for one another.
        """
        signals = self.fusion(control.cond, state.features, num_frames(control.signals))
        vector, made = state.features[:, -1], list[Tensor]()
        transition = self._weights(vector)
        blocks = signals.reshape(len(signals), -1, self.chunk * signals.shape[2])
        for block, share in enumerate(transition.share(blocks).unbind(1)):
            rng = Rng(state.seed, state.time + block * self.chunk)
            read = transition.read_on(vector, share)
            made.append(self._imagine(transition, vector, read, rng))
            vector = made[-1][:, -1]
        features = torch.stack(made, 1).expand(-1, -1, self.chunk, -1)  # (B, S, c, D)
        return Unrolled(
            lambda: torch.cat([self._shown(vectors) for vectors in made], 1), features, {}
        )

    def encode(self, latents: Tensor) -> Tensor:
        """Vectors (B, F, D) of latents (B, F, *latent), each seen beside the one before it."""
        dtype = self.transition.out.weight.dtype  # autocast would leave vectors in fewer bits
        return self.encoder(with_change(latents.flatten(2).to(dtype))).to(dtype)

    def decode(self, vectors: Tensor) -> Tensor:
        """Latents (B, F, *latent) of vectors (B, F, D)."""
        return self.decoder(vectors).unflatten(-1, self.latent_shape)

    def loss(
        self, latents: Tensor, control: Control, valid: Tensor, rng: Rng
    ) -> tuple[Tensors, Tensor]:
        """Terms (B,) and features (B, F, D) of clips (B, F, *latent).

        From the second frame on all are imagined, block after block, with gradients through all of them. `latent`: the
        squared error of their vectors, gradients reaching both sides (LeWM, arXiv:2603.19312), so that a guard has to
        stand by; `prediction` and `reconstruction`: of what is decoded from imagined and from encoded vectors;
        `guard`; `likelihood`: of a stochastic transition's spread.

        Heads learn from encoded vectors in one half of the rows and from imagined ones in the other.
        """
        encoded = self.encode(latents)
        imagined, log_std, ahead = self._unroll(encoded, control, rng)
        counted = valid & ahead
        weight, numbers = self.config.decoder_weight, latents.flatten(2).to(encoded.dtype)
        shown = _share(torch.cat((encoded, imagined), 1), self.config.decoder_gradient)
        wrong = (self.decoder(shown) - torch.cat((numbers, numbers), 1)).square().mean(2)
        frames = valid.shape[1]
        terms = {
            "latent": self.config.latent_weight
            * _mean((imagined - encoded).square().mean(2), counted),
            "reconstruction": weight * _mean(wrong[:, :frames], valid),
            "prediction": weight * _mean(wrong[:, frames:], counted),
        }
        if log_std is not None:
            terms["likelihood"] = _mean(
                _negative_log(log_std, (imagined - encoded).detach()), counted
            )
        if self.guard is not None:
            terms["guard"] = self.config.guard_weight * self._guarded(
                self.guard, encoded, valid, rng
            )
        half = (rng.uniform(1) < 0.5).to(valid.device)[..., None]
        features = torch.where(half, encoded, imagined)
        return terms, _share(features, self.config.feature_gradient)

    def _unroll(
        self, encoded: Tensor, control: Control, rng: Rng
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """Encoded vectors (B, F, D), whole blocks of which are imagined from the second on; where that is, (F,)."""
        frames = encoded.shape[1]
        first = min(1, max(frames - 1 - self.chunk, 0))  # the frame before has no change to show
        blocks = (frames - 1 - first) // self.chunk
        end = first + 1 + blocks * self.chunk
        signals = self.fusion(control.cond, encoded, frames)[:, first + 1 : end]
        vector, made = encoded[:, first], [encoded[:, : first + 1]]
        spreads = [torch.zeros_like(made[0])]
        for k in range(blocks):
            block = signals[:, k * self.chunk : (k + 1) * self.chunk].flatten(1)
            read = self.transition.read(vector, block)
            vectors, log_std = self._move(self.transition, vector, read)
            made.append(vectors)
            vector = vectors[:, -1]
            if log_std is not None:
                spreads.append(log_std)
                noise = rng.normal(self.feature_width).to(vector)
                vector = vector + log_std[:, -1].exp().detach() * noise
        ahead = torch.arange(frames, device=encoded.device)
        ahead = (ahead > first) & (ahead < end)
        rest = encoded[:, end:]
        log_std = (
            torch.cat((*spreads, torch.zeros_like(rest)), 1) if self.spread is not None else None
        )
        return torch.cat((*made, rest), 1), log_std, ahead

    def _weights(self, vector: Tensor) -> Transition:
        """The transition, or a copy of it in fewer bits."""
        half = self._half(vector)
        return self._half_transition.of(self.transition) if half else self.transition

    def _imagine(self, transition: Transition, vector: Tensor, read: Tensor, rng: Rng) -> Tensor:
        """The vectors (B, c, D) of the block after a vector; (B, 1, D) of its last where others are not wanted."""
        last = not self.sampling.inner_frames
        vectors, log_std = self._move(transition, vector, read, last)
        if log_std is None or not self.sampling.temperature:
            return vectors
        noise = rng.normal(self.chunk, self.feature_width).to(vectors)[:, -vectors.shape[1] :]
        return vectors + self.sampling.temperature * log_std.exp() * noise

    def _shown(self, vectors: Tensor) -> Tensor:
        """Latents (B, c, *latent) of the vectors of a block."""
        half = self._half(vectors)
        decoder = self._half_decoder.of(self.decoder) if half else self.decoder
        numbers = decoder(vectors.to(torch.bfloat16) if half else vectors).to(vectors.dtype)
        return self._whole(numbers.unflatten(-1, self.latent_shape))

    def _move(
        self, transition: Transition, vector: Tensor, read: Tensor, last: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """The vectors of a block (B, c or 1, D), and of a stochastic transition their log standard deviations."""
        vectors, log_std = transition(vector, read, last), None
        if self.spread is not None:
            log_std = self.spread(read.to(vector)).unflatten(-1, (self.chunk, -1))[
                :, -vectors.shape[1] :
            ]
            log_std = log_std.clamp(-7, 2)
        return vectors, log_std

    def _half(self, vectors: Tensor) -> bool:
        """Whether to compute in copies of the weights; under autocast the products are in bfloat16 anyway."""
        wanted = self.sampling.precision == "bfloat16" and vectors.dtype == torch.float32
        return (
            wanted
            and has_bfloat16(vectors.device)
            and not torch.is_autocast_enabled(vectors.device.type)
        )

    def _guarded(self, guard: Guard, encoded: Tensor, valid: Tensor, rng: Rng) -> Tensor:
        """The term of the guard (B,) at a few frames of each row."""
        place = rng.uniform(GUARDED_FRAMES).to(encoded.device) * valid.sum(1, keepdim=True)
        index = place.long().clamp(max=valid.shape[1] - 1)
        chosen = encoded.gather(1, index[..., None].expand(-1, -1, encoded.shape[2]))
        term = guard(chosen)
        if self.training:
            guard.remember(chosen.flatten(0, 1))
        return term

    def _whole(self, frames: Tensor) -> Tensor:
        """A block's frames (B, c, ...): where only the last was made, it stands for all."""
        if frames.shape[1] == self.chunk:
            return frames
        return frames.expand(-1, self.chunk, *frames.shape[2:])


def _latent_shape(tokenizer: Tokenizer | None) -> tuple[int, ...]:
    if tokenizer is None:
        raise ConfigError(["backend statespace: needs a tokenizer; the world has none."])
    if hasattr(tokenizer, "vocabulary_size"):
        kind = type(tokenizer).__name__
        raise ConfigError(
            [
                f"backend statespace: needs latents of real numbers; those of {kind} are indices into a vocabulary. "
                "Take a continuous tokenizer, such as 'conv'."
            ]
        )
    return tuple(tokenizer.latent_shape)


def _share(vectors: Tensor, share: float) -> Tensor:
    """The same, passing only a share of the gradient back."""
    if share == 1:
        return vectors
    return share * vectors + (1 - share) * vectors.detach()


def _negative_log(log_std: Tensor, error: Tensor) -> Tensor:
    """Negative log-likelihood (B, F), in nats and per number, of errors under zero-mean Gaussians, up to a constant.

    The mean learns from squared errors alone: a likelihood would spare it where the spread is large.
    """
    return (log_std + 0.5 * (error * (-log_std).exp()).square()).mean(2)


def _mean(values: Tensor, counted: Tensor) -> Tensor:
    """Mean (B,) of values (B, F) over the frames that count; zero without any."""
    total = torch.where(counted, values, torch.zeros_like(values)).sum(1)
    return total / counted.sum(1).clamp(min=1)
