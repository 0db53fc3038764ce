"""Where every slot of an env stands, as a value: one `WorldState`, what it shows, and whether its episode is over."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cosmos_sdk.errors import ShapeError
from cosmos_sdk.state import Tensors, WorldState
from cosmos_sdk.world import WorldModel

_NAMESPACE = "env"  # in the memory of a saved state, beside those of the world's components


@final
@dataclass(frozen=True, eq=False)
class Slots:
    """B slots at one moment. A step makes a new one, so that a step that fails changes nothing."""

    state: WorldState
    done: NDArray[np.bool_]  # (B,) the episode is over: terminated or truncated
    back: NDArray[
        np.int64
    ]  # (B,) frames from the newest to the one shown: an episode may end inside a chunk
    images: Tensor | None  # (B, V, 3, h, w) uint8, as shown; None until somebody looks
    readouts: Tensors  # (B, *)

    @property
    def shown_features(self) -> Tensor:
        """Features (B, W) of the frame that each slot shows."""
        features = self.state.features
        last = features.shape[1] - 1 - torch.from_numpy(self.back).to(features.device)
        return features[torch.arange(len(features), device=features.device), last]

    def put(self, index: Tensor, other: Slots) -> Slots:
        """Slots `index` (n,) replaced by the n of `other`."""
        where = index.cpu().numpy()
        done, back = self.done.copy(), self.back.copy()
        done[where], back[where] = other.done, other.back
        images = None
        if self.images is not None and other.images is not None:
            images = self.images.index_copy(0, index, other.images)
        readouts = {n: v.index_copy(0, index, other.readouts[n]) for n, v in self.readouts.items()}
        return Slots(self.state.put(index, other.state), done, back, images, readouts)

    def to_state(self) -> WorldState:
        """One state that holds all of this but the images, which follow from it."""
        device = self.state.seed.device
        own = {
            "done": torch.from_numpy(self.done.copy()).to(device),
            "back": torch.from_numpy(self.back.copy()).to(device),
        }
        return replace(self.state, memory={**self.state.memory, _NAMESPACE: own})


def ordinary(state: WorldState) -> WorldState:
    """The state in tensors that may enter autograd: those made in inference mode, where an env steps, may not."""
    return state.map(lambda tensor: tensor.clone() if tensor.is_inference() else tensor)


def look(
    world: WorldModel,
    state: WorldState,
    done: NDArray[np.bool_] | None = None,
    back: NDArray[np.int64] | None = None,
    decode: bool = True,
) -> Slots:
    """Reads a state off: its readouts, and its frames where `decode` says so."""
    num_envs = len(state)
    done = np.zeros(num_envs, np.bool_) if done is None else done
    back = np.zeros(num_envs, np.int64) if back is None else back
    images = decode_shown(world, state, back) if decode else None
    return Slots(state, done, back, images, world.observe(state))


def decode_shown(world: WorldModel, state: WorldState, back: NDArray[np.int64]) -> Tensor:
    """The frame (B, V, 3, h, w) that each slot shows: the newest, decoded alone, unless its episode ended before."""
    images = world.decode(state, 1)[:, -1]
    early = np.flatnonzero(back)
    if not len(early):
        return images
    index = torch.from_numpy(early).to(images.device)
    frames = world.decode(state.rows(index.to(state.seed.device)))  # (n, chunk, V, 3, h, w)
    last = frames.shape[1] - 1
    shown = frames[torch.arange(len(early)), last - torch.from_numpy(back[early])]
    return images.index_copy(0, index, shown)


def from_state(world: WorldModel, saved: WorldState, num_envs: int, decode: bool) -> Slots:
    """The inverse of `Slots.to_state`; a state of the world alone is taken as one of running episodes.

    Raises:
        ShapeError: the state has another number of rows than the env has slots.
    """
    if len(saved) != num_envs:
        raise ShapeError(
            "the state to restore", f"one of {len(saved)} rows", f"one row per slot: {num_envs}"
        )
    memory = {name: tensors for name, tensors in saved.memory.items() if name != _NAMESPACE}
    state = replace(saved, memory=memory).map(lambda tensor: tensor.to(world.device))
    own = saved.memory.get(_NAMESPACE)
    if own is None:
        return look(world, state, decode=decode)
    return look(world, state, own["done"].cpu().numpy(), own["back"].cpu().numpy(), decode)
