"""How an episode begins: from frames that the caller gives, else from the starts of the env."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cosmos_sdk.errors import ConfigError, PluginError
from cosmos_sdk.state import Masked, WorldState
from cosmos_sdk.world import WorldModel
from cosmos_sdk_envs import options as given
from cosmos_sdk_envs.controls import Controls
from cosmos_sdk_envs.starts import Starts

_NO_STARTS = (
    "starts: this env has none, so an episode needs reset(options={'frames': (F, h, w, 3) uint8}); "
    "pass starts= for resets and autoresets without frames."
)


@final
@dataclass(frozen=True)
class Resets:
    """Makes first states of some slots of an env in one batched call."""

    world: WorldModel
    starts: Starts | None
    controls: Controls
    cameras: Sequence[str]
    num_envs: int

    def begin(
        self, seed: Tensor, slots: NDArray[np.bool_], options: Mapping[str, Any] | None = None
    ) -> WorldState:
        """A first state of the n chosen slots.

        Args:
            seed: (B,) of all slots.
            slots: (B,) the chosen ones.
            options: of `reset`; a caller that gives frames per slot gives them for all slots.

        Raises:
            ConfigError: neither frames nor starts to begin from.
            PluginError: the starts made another number of rows.
        """
        index = torch.from_numpy(np.flatnonzero(slots))
        seed = seed[index.to(seed.device)]
        if options and "frames" in options:
            return self._from_frames(seed, index, options)
        if self.starts is None:
            raise ConfigError([_NO_STARTS])
        state = self.starts(self.world, seed)
        if len(state) != len(seed):
            reason = f"returned {len(state)} rows for {len(seed)} seeds."
            raise PluginError("starts", reason, "Return one row per seed.")
        return state

    def _from_frames(self, seed: Tensor, index: Tensor, options: Mapping[str, Any]) -> WorldState:
        frames = given.read_frames(options["frames"], self.cameras, self.num_envs)
        history: dict[str, Masked] = {}
        if "actions" in options:
            told = self.controls.history(options["actions"], self.num_envs, frames.shape[1])
            history[self.controls.signal] = Masked(told.values[index], told.mask[index])
        spaces = {name: part.start_space for name, part in self.world.conditioners.items()}
        start = given.read_start(options.get("start", {}), spaces, self.num_envs)
        chosen = {name: signal[index] for name, signal in start.items()}
        return self.world.reset(frames[index], chosen, seed, history)
