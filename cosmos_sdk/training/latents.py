"""Frames encoded once: a file of latents beside the run, in few bits, valid for one tokenizer and one dataset.

Numbers are stored in 16 bits, tokens in the fewest bits that hold the vocabulary; `Footage.clips` makes float32 and
int64 of them again.
"""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from cosmos_sdk.files import replacing
from cosmos_sdk.protocols import Tokenizer
from cosmos_sdk.training.footage import Footage

BLOCK = 256  # frames encoded together


def codes_frames_alone(
    tokenizer: Tokenizer, footage: Footage, num_frames: int, device: torch.device
) -> bool:
    """Whether a frame's latent is the same alone and in a clip: time is not compressed, and context does not count.

    Args:
        tokenizer: one that shows its `num_context_tokens` is believed; another is tried.
        footage: gives the clip for the trial, of frames far apart, so that none is like the one before it.
        num_frames: of a clip, a number that the tokenizer takes.
        device: of the tokenizer.
    """
    if getattr(tokenizer, "num_context_tokens", 0):
        return False
    places = torch.linspace(0, len(footage.frames) - 1, num_frames).long()
    clip = footage.frames[places].to(device)
    with torch.no_grad():
        together = tokenizer.encode(clip[None])[0]
        if len(together) != num_frames:
            return False
        alone = tokenizer.encode(clip[:, None])[:, 0]
    return torch.allclose(together.double(), alone.double(), atol=1e-4)


def encode(
    tokenizer: Tokenizer, footage: Footage, folder: Path, name: str, device: torch.device
) -> Tensor:
    """All latents (N, *latent) of a dataset, memory-mapped; read from the cache when it holds them already."""
    path = folder / f"{name}-{_key(tokenizer, footage)}.npy"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        for stale in folder.glob(f"{name}-*.npy"):
            stale.unlink()
        with replacing(path) as draft:
            _write(tokenizer, footage, draft, name, device)
    # "c": pages of our own, which torch may call writable
    return torch.as_tensor(np.load(path, mmap_mode="c"))


def _write(
    tokenizer: Tokenizer, footage: Footage, path: Path, name: str, device: torch.device
) -> None:
    count = len(footage.frames)
    stored: np.memmap | None = None
    for begin in tqdm(range(0, count, BLOCK), desc=f"encode {name}", unit="block", mininterval=1.0):
        block = footage.frames[begin : begin + BLOCK].to(device)
        with torch.no_grad():
            latents = tokenizer.encode(block[:, None])[:, 0].cpu()  # (n, *latent)
        values = latents.to(_stored(latents, tokenizer)).numpy()
        if stored is None:
            shape = (count, *values.shape[1:])
            stored = np.lib.format.open_memmap(path, "w+", values.dtype, shape)
        stored[begin : begin + len(values)] = values
    if stored is not None:
        stored.flush()


def _stored(latents: Tensor, tokenizer: Tokenizer) -> torch.dtype:
    """The smallest dtype that holds such latents: without a known vocabulary, any whole number."""
    if latents.is_floating_point():
        return torch.float16
    vocabulary: int = getattr(tokenizer, "vocabulary_size", 2**63)
    dtypes = (torch.uint8, torch.int16, torch.int32, torch.int64)
    return next(dtype for dtype in dtypes if vocabulary - 1 <= torch.iinfo(dtype).max)


def _key(tokenizer: Tokenizer, footage: Footage) -> str:
    digest = hashlib.sha256(repr(tuple(footage.frames.shape)).encode())
    some = footage.frames[:: max(1, len(footage.frames) // 64)].contiguous().numpy()
    digest.update(zlib.crc32(some.tobytes()).to_bytes(4, "little"))
    if isinstance(tokenizer, nn.Module):
        for key, tensor in tokenizer.state_dict().items():
            digest.update(key.encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()[:16]
