"""Metric `surprise`: does a world find what happened likelier than what did not?

Held-out frames are observed one after the other, each scored by its log-likelihood given the frames and actions before
it. The same is done with futures that did not happen: of other windows, in a wrong order, noisy, against physics, or
under other actions. What a comparison of pixels alone would have told stands beside.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cosmos_sdk.errors import PluginError
from cosmos_sdk.likelihood import ScoringBackend
from cosmos_sdk.results import Measurement, Result
from cosmos_sdk.statistics import Interval, auroc, bootstrap, bootstrap_jointly
from cosmos_sdk.training.contact_sheet import contact_sheet
from cosmos_sdk.world import WorldModel
from cosmos_sdk_evaluation.episodes import check_counts
from cosmos_sdk_evaluation.open_loop import OpenLoopConfig, Windows, others, windows


@dataclass
class SurpriseConfig:
    """Held-out windows: true frames, then scored ones. Both counts are rounded up to whole predicts of the world."""

    env: str = "gym_pusht/PushT-v0"
    policy: str = "pusht-scripted"
    windows: int = 200
    past: int = 8  # true frames before the first scored one, at least the context of the world
    horizon: int = 8  # scored frames
    noise: float = 0.1  # standard deviation of the noise on pixels, of full intensity
    seed: int = 0
    batch_size: int = 50

    def __post_init__(self) -> None:
        check_counts(self, "windows", "past", "batch_size")
        if self.horizon < 2:
            raise ValueError(f"horizon is {self.horizon}; expected 2 or more, to have an order")


@dataclass(frozen=True, eq=False)
class Future:
    """Windows whose futures are true, or wrong from some frame on."""

    kind: str
    frames: Tensor  # (n, P + H, 1, 3, h, w) uint8
    actions: Tensor  # (n, P + H, A)
    first: int = 0  # the first wrong frame of the H


@dataclass(frozen=True, eq=False)
class Scores:
    """Log-likelihoods in nats of n futures, one for each predict."""

    log_probs: NDArray[np.float64]  # (n, H / chunk)
    num_tokens: int  # that a predict makes; 0 where latents are no tokens

    def per_frame(self, chunk: int) -> NDArray[np.float64]:
        """The mean over a future, (n,) in nats per frame."""
        return self.log_probs.mean(1) / chunk


def surprise(world: WorldModel, config: SurpriseConfig) -> Measurement:
    """Log-likelihood of true futures, and the AUROC by which it tells them from each kind of wrong ones.

    Raises:
        PluginError: the backend of the world cannot say how likely a frame is.
    """
    if not isinstance(world.backend, ScoringBackend):
        raise PluginError(
            type(world.backend).__name__,
            "this backend cannot say how likely a frame is, which the metric 'surprise' needs.",
            "The backend 'autoregressive' can. For others, metric=open-loop compares imagined frames with true ones.",
        )
    context, chunk = world.backend.context, world.backend.chunk
    past = context + _whole(config.past - context, chunk)
    ahead = _whole(config.horizon, chunk)
    size = world.spec.frames[1:] if world.spec else (64, 64)
    cut = OpenLoopConfig(config.env, config.policy, config.windows, (ahead,), seed=config.seed)
    return compare(world, windows(cut, size, past), config)


def _whole(frames: int, chunk: int) -> int:
    return max(0, math.ceil(frames / chunk)) * chunk


def compare(world: WorldModel, data: Windows, config: SurpriseConfig) -> Measurement:
    """The figures of windows whose `context` frames are the past, and the others the true future."""
    chunk = world.backend.chunk
    true = Future("true", data.frames, data.actions)
    scores = score(world, true, data.context, config)
    right = scores.per_frame(chunk)
    results = [_mean("log-likelihood, true futures", right, "nats/frame", config)]
    if scores.num_tokens:
        bits = -right * chunk / scores.num_tokens / math.log(2)
        results.append(_mean("code length, true futures", bits, "bits/token", config))
        if size := getattr(world.tokenizer, "vocabulary_size", None):
            results.append(Result("code length, guessing", math.log2(size), "bits/token"))
    pictures: dict[str, NDArray[np.uint8]] = {}
    columns = slice(data.context - 1, None)
    labels = [f"{k:+d}" if k else "now" for k in range(data.frames.shape[1] - data.context + 1)]
    for wrong in wrong_futures(data, config):
        found = score(world, wrong, data.context, config)
        results += _told(wrong, right, scores, found, chunk, data, config)
        if wrong.frames is not data.frames:
            above, below = (clips[:3, columns] for clips in (data.frames, wrong.frames))
            sheet = contact_sheet(above, below, labels, ("true", "false"))
            pictures[f"Futures called {wrong.kind}, below the true ones"] = sheet
    return Measurement(results, pictures)


def wrong_futures(data: Windows, config: SurpriseConfig) -> list[Future]:
    """One wrong future of each kind for each window (n, P + H, ...), whose past stays true.

    `shuffled`: that of another window. `reversed`: its own, backwards. `swapped`: its own, every two frames exchanged.
    `frozen`: nothing moves from the middle on. `teleported`: in the middle one frame of the distant past. `noisy`:
    noise on every pixel. `other actions`: the true frames under the actions of another window.
    """
    past, frames, actions = data.context, data.frames, data.actions
    length = frames.shape[1]
    ahead, middle = length - past, (length - past) // 2
    order = torch.from_numpy(others(len(data), config.seed))
    pairs = (torch.arange(ahead) ^ 1).clamp(max=ahead - 1)

    def then(future: Tensor) -> Tensor:
        return torch.cat((frames[:, :past], future), 1)

    frozen, teleported = frames.clone(), frames.clone()
    frozen[:, past + middle :] = frames[:, past + middle - 1, None]
    teleported[:, past + middle] = frames[:, 0]
    false_actions = torch.cat((actions[:, :past], actions[order, past:]), 1)
    return [
        Future("shuffled", then(frames[order, past:]), actions),
        Future("reversed", then(frames[:, past:].flip(1)), actions),
        Future("swapped", then(frames[:, past:][:, pairs]), actions),
        Future("frozen", frozen, actions, middle),
        Future("teleported", teleported, actions, middle),
        Future("noisy", then(_noisy(frames[:, past:], config)), actions),
        Future("other actions", frames, false_actions),
    ]


def _noisy(frames: Tensor, config: SurpriseConfig) -> Tensor:
    generator = torch.Generator().manual_seed(config.seed)
    noise = 255 * config.noise * torch.randn(frames.shape, generator=generator)
    return (frames + noise).round().clamp(0, 255).to(torch.uint8)


@torch.no_grad()
def score(world: WorldModel, future: Future, past: int, config: SurpriseConfig) -> Scores:
    """Observes the windows (n, P + H, ...) frame by frame, and scores what lies after the past P."""
    parts: list[Tensor] = []
    num_tokens = 0
    for first in range(0, len(future.frames), config.batch_size):
        rows = slice(first, first + config.batch_size)
        log_probs, num_tokens = _score(world, future.frames[rows], future.actions[rows], past)
        parts.append(log_probs)
    return Scores(torch.cat(parts).double().cpu().numpy(), num_tokens)


def _score(world: WorldModel, frames: Tensor, actions: Tensor, past: int) -> tuple[Tensor, int]:
    """Log-likelihoods (B, H / chunk) of frames (B, P + H, ...), and the tokens in each of them."""
    context, chunk = world.backend.context, world.backend.chunk
    first = world.tokenizer.encode(frames[:, :context].to(world.device))
    coded = world.tokenizer.encode(frames.to(world.device))[:, first.shape[1] :]
    predicts = coded.unflatten(1, ((frames.shape[1] - context) // chunk, -1))
    state = world.start(first, {}, torch.arange(len(frames)), {"action": actions[:, :context]})
    log_probs: list[Tensor] = []
    for k, latents in enumerate(predicts.unbind(1)):
        begin = context + k * chunk
        taken = {"action": actions[:, begin : begin + chunk]}
        state, _, log_prob = world.score(state, taken, latents)
        if begin >= past:
            log_probs.append(log_prob)
    return torch.stack(log_probs, 1), _num_tokens(world, predicts[0, 0])


def _num_tokens(world: WorldModel, latents: Tensor) -> int:
    """The tokens among what one predict makes (n, *latent); those that it copies do not count."""
    if latents.is_floating_point():
        return 0
    return latents.numel() - len(latents) * getattr(world.tokenizer, "num_context_tokens", 0)


def _told(
    wrong: Future,
    right: NDArray[np.float64],
    true: Scores,
    found: Scores,
    chunk: int,
    data: Windows,
    config: SurpriseConfig,
) -> list[Result]:
    """How well true futures are told from those of one kind: by all frames, by one, and by pixels without a world."""
    per_frame, at = found.per_frame(chunk), wrong.first // chunk
    one = true.log_probs[:, at], found.log_probs[:, at]
    still, moved = (-change(frames, data.context) for frames in (data.frames, wrong.frames))
    above = f"true above {wrong.kind}, AUROC"
    return [
        _mean(f"log-likelihood, {wrong.kind}", per_frame, "nats/frame", config),
        _auroc(above, right, per_frame, config),
        _auroc(f"{above} of the first wrong frame", *one, config),
        _auroc(f"{above} by pixel change alone", still, moved, config),
    ]


def change(frames: Tensor, past: int) -> NDArray[np.float64]:
    """Mean squared difference (n,) between each frame of a future and the one before; frames (n, P + H, ...)."""
    shown = frames[:, past - 1 :].float() / 255
    return shown.diff(dim=1).square().flatten(1).mean(1).double().numpy()


def _auroc(
    name: str, true: NDArray[np.float64], wrong: NDArray[np.float64], config: SurpriseConfig
) -> Result:
    interval: Interval = bootstrap_jointly(_above, true, wrong, seed=config.seed)
    return Result(name, _above(true, wrong), "", len(true), interval, config.seed)


def _above(true: NDArray[np.float64], wrong: NDArray[np.float64]) -> float:
    return auroc(np.concatenate((true, wrong)), np.arange(2 * len(true)) < len(true))


def _mean(name: str, values: NDArray[np.float64], unit: str, config: SurpriseConfig) -> Result:
    interval = bootstrap(values, config.seed)
    return Result(name, float(values.mean()), unit, len(values), interval, config.seed)
