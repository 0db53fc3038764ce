"""Real pictures as states of a world: how policies that read a world's features act in reality."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cosmos_sdk.errors import ConfigError
from cosmos_sdk.state import WorldState
from cosmos_sdk.world import WorldModel
from cosmos_sdk_policies.policy import Policy, begin
from cosmos_sdk_policies.sight import Sight, views_of

Views = Callable[[Any], NDArray[np.uint8]]


@final
class WorldSight:
    """What one environment showed of an episode and what was done in it, as a state of a world (one row).

    The last `context` frames and the actions between them enter the world by `world.reset`, as where a dream begins.
    """

    def __init__(self, world: WorldModel, signal: str = "action", views: Views = views_of) -> None:
        """Takes the world, the name of its action, and what finds the frames (V, h, w, 3) in an observation.

        Raises:
            ConfigError: the world takes no such signal.
        """
        space = world.conditioners[signal].space if signal in world.conditioners else None
        if space is None:
            raise ConfigError(
                [f"signal={signal!r}: the world takes {', '.join(world.conditioners)}."]
            )
        discrete = not np.issubdtype(space.dtype or np.float32, np.floating)
        self.world, self.signal = world, signal
        self._idle = torch.zeros(
            space.shape or (), dtype=torch.int64 if discrete else torch.float32
        )
        self._sight = Sight(world.backend.context, 1, views)
        self.reset()

    def reset(self, seed: int | None = None) -> None:
        """An episode begins."""
        self._seed = torch.tensor([seed or 0])
        self._taken: Tensor | None = None
        self._sight.forget(torch.ones(1, dtype=torch.bool))

    def see(self, observation: Any) -> None:
        """Remembers what is seen now."""
        self._sight.see([observation], self._taken)

    def enter(self) -> WorldState:
        """The state of now."""
        frames, actions = self._sight.recall(torch.tensor([0]), self._idle)
        return self.world.reset(frames, {}, self._seed, {self.signal: actions})

    def took(self, action: Any) -> None:
        """Remembers the action (*shape) that leads to what is seen next."""
        taken = torch.as_tensor(action, dtype=self._idle.dtype, device=self._idle.device)
        self._taken = taken.view(1, *self._idle.shape)


@final
class FeaturePolicy:
    """A policy that learned on an env with `observation="features"`, acting on pictures.

    `FeaturePolicy(SB3Policy(PPO.load(...)), world)` drives the real environment.
    """

    def __init__(
        self, policy: Policy, world: WorldModel, signal: str = "action", views: Views = views_of
    ) -> None:
        """Takes a policy of features (W,), and the world that knows them."""
        self.policy, self.world = policy, world
        self._sight = WorldSight(world, signal, views)

    def reset(self, seed: int | None = None) -> None:
        """An episode begins, for the policy too."""
        self._sight.reset(seed)
        begin(self.policy, seed)

    @torch.no_grad()
    def act(self, observation: Any) -> Any:
        """The policy's action for a picture (h, w, 3), pictures (V, h, w, 3) or a mapping of them."""
        self._sight.see(observation)
        action = self.policy.act(self._sight.enter().features[0, -1].float().cpu().numpy())
        self._sight.took(action)
        return action
