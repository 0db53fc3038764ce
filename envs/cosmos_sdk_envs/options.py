"""What `reset` may be given: seeds per slot, a mask of slots, and frames and signals to begin with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cosmos_sdk.errors import ConfigError, ShapeError, did_you_mean

OPTIONS = ("frames", "actions", "start", "reset_mask")


def check_options(options: Mapping[str, Any] | None) -> dict[str, Any]:
    """The options, known to be options.

    Raises:
        ConfigError: an option that `reset` does not know, or signals without the frames that they belong to.
    """
    given = dict(options or {})
    problems = [
        f"options[{name!r}]: unknown option.{did_you_mean(str(name), OPTIONS)} Options: {', '.join(OPTIONS)}."
        for name in given
        if name not in OPTIONS
    ]
    for name in ("actions", "start"):
        if name in given and "frames" not in given:
            problems.append(f"options[{name!r}]: give it together with options['frames'].")
    if problems:
        raise ConfigError(problems)
    return given


def slot_seeds(seed: int | Sequence[int | None] | None, num_envs: int) -> list[int | None]:
    """One seed per slot: seed, seed + 1, ... from one number, as in Gymnasium's own vector envs; None is to be drawn.

    Raises:
        ShapeError: a list of another length.
        ConfigError: a seed that is no whole number of 0..2**63 - 1.
    """
    if seed is None or isinstance(seed, (int, np.integer)):
        seeds = [None if seed is None else int(seed) + i for i in range(num_envs)]
    else:
        seeds = [None if number is None else int(number) for number in seed]
    if len(seeds) != num_envs:
        raise ShapeError("seed", f"a list of {len(seeds)}", f"one seed per slot: {num_envs}")
    if wrong := [number for number in seeds if number is not None and not 0 <= number < 2**63]:
        raise ConfigError([f"seed={wrong[0]}: expected a whole number of 0..2**63 - 1."])
    return seeds


def read_mask(mask: object, num_envs: int) -> NDArray[np.bool_]:
    """The slots (B,) to reset; None means all.

    Raises:
        ShapeError: not a boolean array of one entry per slot, or no slot at all.
    """
    if mask is None:
        return np.ones(num_envs, np.bool_)
    array = np.asarray(mask)
    if array.dtype != np.bool_ or array.shape != (num_envs,) or not array.any():
        got = f"{array.shape} {array.dtype} with {int(np.count_nonzero(array))} slots chosen"
        raise ShapeError("options['reset_mask']", got, f"({num_envs},) bool, one slot at least")
    return array


def read_frames(given: Any, cameras: Sequence[str], num_envs: int) -> Tensor:
    """Frames (B, F, V, 3, h, w) of ([B,] F, h, w, 3) from one camera, or ([B,] F, V, h, w, 3) from several.

    One array ([B,] F, h, w, 3) per camera, by name, is taken too. Sizes are the world's to check.

    Raises:
        ShapeError: another number of axes, of slots or of cameras, or not uint8.
    """
    if isinstance(given, Mapping):
        if set(given) != set(cameras):
            raise ShapeError("the cameras of options['frames']", sorted(given), sorted(cameras))
        frames = np.stack([np.asarray(given[name]) for name in cameras], -4)
    else:
        frames = np.asarray(given)
        if len(cameras) == 1 and frames.ndim in (4, 5):
            frames = np.expand_dims(frames, -4)
    if frames.ndim == 5:
        frames = np.broadcast_to(frames, (num_envs, *frames.shape))
    known = (num_envs, len(cameras), 3)
    fits = frames.ndim == 6 and tuple(frames.shape[axis] for axis in (0, 2, 5)) == known
    if not fits or not frames.shape[1] or frames.dtype != np.uint8:
        views = f"{len(cameras)}, " if len(cameras) > 1 else ""
        expected = f"([{num_envs},] F, {views}h, w, 3) uint8"
        raise ShapeError("options['frames']", f"{tuple(frames.shape)} {frames.dtype}", expected)
    return torch.from_numpy(np.array(np.moveaxis(frames, -1, -3), order="C"))


def read_start(
    start: Mapping[str, Any], spaces: Mapping[str, Any], num_envs: int
) -> dict[str, Tensor]:
    """Once-per-episode signals (B, *start_space.shape), of one array for all slots or one per slot."""
    signals: dict[str, Tensor] = {}
    for name, value in start.items():
        tensor = torch.as_tensor(value)
        space = spaces.get(name)
        shared = space is None or tensor.shape == tuple(space.shape or ())
        signals[name] = tensor.expand(num_envs, *tensor.shape) if shared else tensor
    return signals
