"""From an array of actions to the signal of a world, checked by its ActionSpec before anything is stepped."""

from __future__ import annotations

import copy
from typing import Any, final

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector.utils import batch_space
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from cosmos_sdk.actions import ActionSpec
from cosmos_sdk.errors import ActionError, ConfigError, did_you_mean
from cosmos_sdk.state import Masked
from cosmos_sdk.world import WorldModel


@final
class Controls:
    """The actions of an env: one signal of the world, per step, or (chunk, ...) where the world predicts chunks."""

    def __init__(
        self, world: WorldModel, signal: str = "action", action_spec: ActionSpec | None = None
    ) -> None:
        """Takes the bounds from `action_spec`, else from the world's config, else from the signal's own space.

        Raises:
            ConfigError: the world has no such signal, or the spec describes another one.
            ActionError: the signal's space implies no ActionSpec.
        """
        space = _space_of(world, signal)
        self.signal, self.chunk, self.shape = signal, world.backend.chunk, space.shape or ()
        self.spec = action_spec or _spec_of(world, signal, space)
        discrete = self.spec.num_actions is not None
        # a block of several controls per frame, Box(5, A), is described row by row (A,) or as a whole (5 * A,)
        sizes = (self.shape[-1], int(np.prod(self.shape))) if self.shape else (0,)
        if discrete == bool(self.shape) or self.spec.size not in sizes:
            raise ConfigError(
                [
                    f"action_spec: {self.spec.space} does not describe the signal {signal!r}, {space}."
                ]
            )
        self._row = () if discrete else (self.spec.size,)
        self._rest = 0 if discrete else np.clip(0.0, self.spec.low, self.spec.high)
        self.space: spaces.Space[Any] = space if self.chunk == 1 else batch_space(space, self.chunk)

    def read(self, actions: object, acting: NDArray[np.bool_]) -> Tensor:
        """The signal (B, chunk, *shape) of B slots; what the slots say that do not act is ignored.

        Raises:
            ActionError: wrong shape or dtype, NaN, or out of bounds where the spec refuses that.
        """
        num_envs = len(acting)
        frames = () if self.chunk == 1 else (self.chunk,)
        values = _array(actions)
        if values.shape != (num_envs, *frames, *self.shape):
            expected = f"{(num_envs, *frames, *self.shape)}, slots first"
            raise ActionError(f"The actions have shape {values.shape}; expected {expected}.")
        if not acting.all():
            values = values.copy()
            rows = values[~acting].reshape(-1, *self._row)
            values[~acting] = np.broadcast_to(self._rest, rows.shape).reshape(values[~acting].shape)
        return torch.from_numpy(self._check(values)).view(num_envs, self.chunk, *self.shape)

    def history(self, actions: object, num_envs: int, num_frames: int) -> Masked:
        """The signal (B, F, *shape) of F context frames.

        Args:
            actions: ([B,] F - 1, *shape), the action between each two frames, or ([B,] F, *shape), where the first one
                led to the first frame.
            num_envs: B.
            num_frames: F.

        Raises:
            ActionError: as `read`.
        """
        values = _array(actions)
        if values.ndim == 1 + len(self.shape):
            values = np.broadcast_to(values, (num_envs, *values.shape))
        count = values.shape[1] if values.ndim > 1 else -1
        if values.shape != (num_envs, count, *self.shape) or count not in (
            num_frames - 1,
            num_frames,
        ):
            expected = f"([{num_envs},] {num_frames - 1} or {num_frames}, *{self.shape})"
            raise ActionError(
                f"options['actions'] has shape {np.shape(values)}; expected {expected}."
            )
        first = num_frames - count  # the action into frame 0 is unknown
        checked = torch.from_numpy(self._check(values))
        padded = checked.new_zeros(num_envs, num_frames, *self.shape)
        padded[:, first:] = checked
        return Masked(padded, (torch.arange(num_frames) >= first).expand(num_envs, -1))

    def _check(self, values: NDArray[Any]) -> NDArray[Any]:
        lead = values.shape[: values.ndim - len(self.shape)]
        return self.spec.check(values.reshape(-1, *self._row)).reshape(*lead, *self.shape)


def _space_of(world: WorldModel, signal: str) -> spaces.Space[Any]:
    """A copy of the signal's space: seeding the action space of an env must not reach into the world."""
    taken = {n: c.space for n, c in world.conditioners.items() if c.space is not None}
    if signal not in taken:
        choices = f"{did_you_mean(signal, taken)} Signals per frame: {', '.join(taken) or 'none'}."
        raise ConfigError([f"signal={signal!r}: this world does not take it.{choices}"])
    return copy.deepcopy(taken[signal])


def _spec_of(world: WorldModel, signal: str, space: spaces.Space[Any]) -> ActionSpec:
    if world.config is not None and signal in world.config.spec.actions:
        return ActionSpec.from_dict(world.config.spec.actions[signal])
    if isinstance(space, spaces.Box):
        space = spaces.Box(space.low.ravel(), space.high.ravel())
    return ActionSpec.from_space(space, world.spec.rate if world.spec else 1.0)


def _array(actions: object) -> NDArray[Any]:
    if isinstance(actions, Tensor):
        return actions.detach().cpu().numpy()
    try:
        given: ArrayLike = actions  # pyright: ignore[reportAssignmentType]
        return np.asarray(given)
    except ValueError as error:
        raise ActionError(f"The actions are no array: {error}.") from error
