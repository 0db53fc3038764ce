"""Held-out figures: how far what a world imagines under the true actions is from what was recorded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cosmos_sdk.protocols import Batch, TrainableTokenizer
from cosmos_sdk.rng import TRAINING, Rng
from cosmos_sdk.state import Masked
from cosmos_sdk.training.contact_sheet import contact_sheet, save_png
from cosmos_sdk.training.footage import Footage
from cosmos_sdk.training.recipe import ValidationConfig
from cosmos_sdk.vocabulary import Vocabulary, code_usage
from cosmos_sdk.world import WorldModel

SEED = 20  # of the windows and of their noise: the same at every validation of every run
MICRO_BATCH = 16  # windows imagined together


@dataclass(frozen=True, eq=False)
class Report:
    """Figures by name, and a picture (h, w, 3) uint8."""

    figures: dict[str, float]
    picture: np.ndarray

    def save_picture(self, path: Path) -> None:
        """Writes the picture as PNG."""
        path.parent.mkdir(parents=True, exist_ok=True)
        save_png(self.picture, path)


@torch.no_grad()
def validate_tokenizer(
    world: WorldModel, footage: Footage, config: ValidationConfig, num_frames: int
) -> Report | None:
    """PSNR of reconstructed held-out clips, how much of a vocabulary they use, and losses.

    None when no episode is held out.
    """
    starts = footage.starts(num_frames, held_out=True)
    if not len(starts):
        return None
    batch = _windows(footage, starts, num_frames, config.num_windows)
    frames = batch.frames.to(world.device)
    latents = world.tokenizer.encode(frames)
    made = world.tokenizer.decode(latents, num_frames).cpu()
    figures = {"validation/psnr": psnr(made[batch.valid], batch.frames[batch.valid])}
    if isinstance(world.tokenizer, Vocabulary):
        use = code_usage(latents, world.tokenizer.vocabulary_size)
        figures |= {f"validation/code_{name}": value for name, value in use._asdict().items()}
    figures |= _tokenizer_losses(world, batch)
    columns = min(config.num_rows * 2, len(made))
    true, made = batch.frames[:columns, 0][None], made[:columns, 0][None]  # (1, H, V, 3, h, w)
    return Report(
        figures, contact_sheet(true, made, [str(k) for k in range(columns)], ("true", "coded"))
    )


@torch.no_grad()
def validate_world(world: WorldModel, footage: Footage, config: ValidationConfig) -> Report | None:
    """PSNR of open-loop futures under the true signals, at each horizon, beside copying the last frame.

    None when no held-out episode is long enough for one predict.
    """
    world = world.using(**config.using)
    context, chunk = world.backend.context, world.backend.chunk
    horizons = _reachable(footage, context, chunk, config.horizons)
    if not horizons:
        return None
    length = context + -(-max(horizons) // chunk) * chunk  # whole predicts
    starts = footage.starts(length, held_out=True, whole=True)
    batch = _windows(footage, starts, length, config.num_windows)
    parts = [_imagine(world, batch, context, horizons, rows) for rows in _slices(len(batch.valid))]
    made = torch.cat(parts)  # (N, H, V, 3, h, w)
    true = batch.frames[:, [context - 1 + h for h in horizons]]
    copied = batch.frames[:, context - 1 : context].expand_as(true)
    figures = {f"validation/psnr_{h}": psnr(made[:, k], true[:, k]) for k, h in enumerate(horizons)}
    figures |= {
        f"validation/copy_psnr_{h}": psnr(copied[:, k], true[:, k]) for k, h in enumerate(horizons)
    }
    losses = world.loss(on_device(batch, world.device), _noise(len(batch.valid), world.device))
    figures |= {f"validation/{name}": float(value.mean()) for name, value in losses.items()}
    rows = config.num_rows
    return Report(figures, contact_sheet(true[:rows], made[:rows], [f"+{h}" for h in horizons]))


def psnr(a: Tensor, b: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of pictures (..., 3, h, w) uint8, the mean over them; equal ones count 60."""
    error = (a.float() - b.float()).square().mean((-3, -2, -1)).clamp_min(255**2 * 1e-6)
    return float((10 * torch.log10(255**2 / error)).mean())


def on_device(batch: Batch, device: torch.device) -> Batch:
    """The batch on another device."""
    signals, targets = (
        {
            name: Masked(m.values.to(device), m.mask.to(device))
            for name, m in group.items()
            if isinstance(m, Masked)
        }
        for group in (batch.signals, batch.targets)
    )
    latents = None if batch.latents is None else batch.latents.to(device)
    return Batch(batch.frames.to(device), batch.valid.to(device), {}, signals, targets, latents)


def _imagine(
    world: WorldModel, batch: Batch, context: int, horizons: list[int], rows: slice
) -> Tensor:
    """What the world shows at the horizons, (n, H, V, 3, h, w) on the CPU."""
    frames = batch.frames[rows, :context].to(world.device)
    seed = torch.arange(len(batch.valid))[rows]
    masked = {
        n: m for n, m in on_device(batch, world.device).signals.items() if isinstance(m, Masked)
    }
    past = {
        name: Masked(m.values[rows, :context], m.mask[rows, :context]) for name, m in masked.items()
    }
    future = {
        name: Masked(m.values[rows, context:], m.mask[rows, context:]) for name, m in masked.items()
    }
    state = world.reset(frames, {}, seed, past)
    latents = world.rollout(state, future, keep_latents=True).latents
    assert latents is not None  # asked for
    chunk = world.backend.chunk
    shown: list[Tensor] = []
    for horizon in horizons:
        predict, frame = divmod(horizon - 1, chunk)
        shown.append(world.tokenizer.decode(latents[:, predict], chunk)[:, frame].cpu())
    return torch.stack(shown, 1)


def _reachable(footage: Footage, context: int, chunk: int, horizons: list[int]) -> list[int]:
    """The horizons that some held-out episode is long enough for."""
    held = footage.episodes[footage.held_out]
    longest = int((held[:, 1] - held[:, 0]).max()) if len(held) else 0
    return [h for h in sorted(horizons) if context + -(-h // chunk) * chunk <= longest]


def _windows(footage: Footage, starts: Tensor, num_frames: int, count: int) -> Batch:
    """Some of the clips that begin at `starts`, drawn at random, but the same at every call."""
    order = np.random.default_rng(SEED).permutation(len(starts))[:count]
    return footage.clips(starts[np.sort(order)], num_frames)


def _tokenizer_losses(world: WorldModel, batch: Batch) -> dict[str, float]:
    if not callable(getattr(world.tokenizer, "loss", None)):
        return {}
    tokenizer: TrainableTokenizer = world.tokenizer  # pyright: ignore[reportAssignmentType]
    moved = on_device(batch, world.device)
    losses = tokenizer.loss(
        moved.frames, moved.valid, moved.targets, _noise(len(batch.valid), world.device)
    )
    return {f"validation/{name}": float(value.mean()) for name, value in losses.items()}


def _noise(rows: int, device: torch.device) -> Rng:
    seed = torch.arange(rows, device=device)
    return Rng(seed, torch.zeros_like(seed), TRAINING)


def _slices(count: int) -> list[slice]:
    return [slice(begin, begin + MICRO_BATCH) for begin in range(0, count, MICRO_BATCH)]
