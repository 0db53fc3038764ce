"""What an agent sees: pixels of one camera, a Dict of cameras and readouts, the state readout, or the features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from cosmos_sdk.errors import ConfigError
from cosmos_sdk.state import Tensors
from cosmos_sdk.world import WorldModel
from cosmos_sdk_envs.starts import Starts

KINDS = ("pixels", "dict", "state", "features")
Observation = Any  # an array, or a dict of arrays, (B, ...) each


@dataclass(frozen=True)
class Sizes:
    """What the spaces are made of: frames (V, h, w), one Box per readout, and the width of the backend's features."""

    frames: tuple[int, int, int]
    readouts: Mapping[str, spaces.Box]
    features: int = 0


@final
class Observer:
    """Builds the observations of one kind. Every array that it hands out is a fresh one."""

    def __init__(self, kind: str, cameras: Sequence[str] | None, sizes: Sizes) -> None:
        """Fixes the spaces.

        Args:
            kind: "pixels": Box (h, w, 3) uint8, of several cameras a Dict; "dict": a Dict of every camera and readout;
                "state": the Box of the readout `state`; "features": Box (W,) of what the backend knows of the newest
                frame. For these two no frame is decoded.
            cameras: one name per view; by default those of the spec, else camera_0, camera_1, ...
            sizes: of the world.

        Raises:
            ConfigError: an unknown kind, or names that do not fit the cameras.
        """
        num_views, height, width = sizes.frames
        self.kind, self.cameras = kind, list(cameras or [f"camera_{v}" for v in range(num_views)])
        self._readouts = dict(sizes.readouts) if kind in ("dict", "state") else {}
        self._check(kind, num_views, sizes)
        image = spaces.Box(0, 255, (height, width, 3), np.uint8)
        images: dict[str, spaces.Space[Any]] = {name: image for name in self.cameras}
        if kind == "state":
            self.space: spaces.Space[Any] = self._readouts["state"]
        elif kind == "features":
            self.space = spaces.Box(-np.inf, np.inf, (sizes.features,))
        elif kind == "pixels" and num_views == 1:
            self.space = image
        else:
            self.space = spaces.Dict({**images, **self._readouts})

    @property
    def needs_frames(self) -> bool:
        """Whether a frame has to be decoded at all."""
        return self.kind not in ("state", "features")

    def observe(self, images: Tensor | None, readouts: Tensors, features: Tensor) -> Observation:
        """Observations (B, ...) of images (B, V, 3, h, w) uint8, readouts (B, *) and features (B, W)."""
        if self.kind == "state":
            return self._bounded("state", readouts["state"])
        if self.kind == "features":
            return to_array(features)
        assert images is not None
        views = to_images(images)
        if not isinstance(self.space, spaces.Dict):
            return views[0]
        values = {name: self._bounded(name, readouts[name]) for name in self._readouts}
        return {**dict(zip(self.cameras, views, strict=True)), **values}

    def slot(self, observations: Observation, index: int) -> Observation:
        """The observation of one slot, as an array or dict of its own."""
        if isinstance(observations, dict):
            return {name: values[index].copy() for name, values in observations.items()}
        return observations[index].copy()

    def _bounded(self, name: str, readout: Tensor) -> NDArray[Any]:
        space = self._readouts[name]
        return np.clip(to_array(readout).reshape(-1, *space.shape), space.low, space.high).astype(
            space.dtype
        )

    def _check(self, kind: str, num_views: int, sizes: Sizes) -> None:
        problems: list[str] = []
        if kind not in KINDS:
            problems.append(f"observation={kind!r}: choose from {', '.join(KINDS)}.")
        if kind == "state" and "state" not in sizes.readouts:
            known = ", ".join(sizes.readouts) or "none"
            problems.append(
                f"observation='state': the world has no readout 'state'; it has {known}."
            )
        if kind == "features" and not sizes.features:
            problems.append("observation='features': the backend of this world has none.")
        if len(set(self.cameras)) != num_views or set(self.cameras) & set(self._readouts):
            expected = f"{num_views} distinct names that no readout has"
            problems.append(f"cameras={self.cameras}: expected {expected}.")
        if problems:
            raise ConfigError(problems)


def sizes_of(world: WorldModel, starts: Starts | None, readouts: bool) -> Sizes:
    """The sizes that the spec tells; what it does not tell is measured on a first state.

    Raises:
        ConfigError: the spec is missing, and so is a way to make a state.
    """
    known = world.spec.targets if world.spec else {}
    boxes = {
        name: known[name] for name in world.readouts if isinstance(known.get(name), spaces.Box)
    }
    width = world.backend.feature_width
    if world.spec and (not readouts or len(boxes) == len(world.readouts)):
        return Sizes(world.spec.frames, boxes, width)  # pyright: ignore[reportArgumentType]
    if starts is None:
        missing = sorted(set(world.readouts) - set(boxes)) if world.spec else "frames"
        raise ConfigError(
            [f"the world's spec does not tell the size of {missing}; give starts= to measure it."]
        )
    with torch.no_grad():
        state = starts(world, torch.zeros(1, dtype=torch.int64, device=world.device))
        measured = {
            n: spaces.Box(-np.inf, np.inf, tuple(v.shape[1:]))
            for n, v in world.observe(state).items()
        }
        shape = tuple(world.decode(state, 1).shape)  # (1, 1, V, 3, h, w)
    return Sizes((shape[2], shape[4], shape[5]), {**measured, **boxes}, width)  # pyright: ignore[reportArgumentType]


def to_images(images: Tensor) -> NDArray[np.uint8]:
    """(B, V, 3, h, w) to (V, B, h, w, 3), in memory of its own: one slot's camera is one block."""
    # stacking channels is four times as fast as a transposed copy, whose inner loop would be three bytes long
    return torch.stack(images.transpose(0, 1).unbind(2), -1).cpu().numpy()


def to_array(values: Tensor) -> NDArray[Any]:
    """A float array or an integer one, in memory of its own."""
    values = values.detach()
    return np.array((values.float() if values.is_floating_point() else values).cpu().numpy())
