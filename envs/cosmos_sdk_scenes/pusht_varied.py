"""Push-T whose sizes and colours are part of its state: for randomised recordings, and tests on what they left out."""

from __future__ import annotations

from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from cosmos_sdk.errors import ShapeError
from cosmos_sdk_scenes.pusht import PushTSimulator
from cosmos_sdk_scenes.pusht_look import NAMES, Draw, Look, draw_look


@final
class VariedPushT:
    """Simulator `CosmosSDK/VariedPushT-v0`: Push-T in a look that each episode draws.

    State (21,) float64: that of Push-T, then sizes in px and colours of 0 to 255. So a recorded moment is restored in
    its own look, and who plans in this simulator plans with bodies of the right size.
    """

    rate = PushTSimulator.rate
    action_spec = PushTSimulator.action_spec
    state_names = (*PushTSimulator.state_names, *NAMES)
    observation_names = PushTSimulator.observation_names
    observation_units = PushTSimulator.observation_units
    observation_low = PushTSimulator.observation_low
    observation_high = PushTSimulator.observation_high
    reaching = PushTSimulator.reaching

    def __init__(self, colours: Draw = "training", sizes: Draw = "training") -> None:
        """What `reset` draws the look from."""
        self._colours: Draw = colours
        self._sizes: Draw = sizes
        self._scene = PushTSimulator()

    @property
    def look(self) -> Look:
        return self._scene.look

    def reset(self, seed: int) -> None:
        """Push-T's own start, in a look that follows from the seed too."""
        rng = np.random.default_rng([seed, 0x100C])  # apart from gym-pusht's numbers of this seed
        self._scene.look = draw_look(rng, self._colours, self._sizes)
        self._scene.reset(seed)

    def get_state(self) -> NDArray[np.float64]:
        return np.concatenate([self._scene.get_state(), self.look.vector()])

    def set_state(self, state: NDArray[Any]) -> None:
        """Raises ShapeError for a state without a look."""
        if np.shape(state) != (len(self.state_names),):
            raise ShapeError("state", np.shape(state), f"({len(self.state_names)},), look included")
        count = len(PushTSimulator.state_names)
        self._scene.look = Look.of(state[count:])
        self._scene.set_state(state[:count])

    def observe(self) -> NDArray[np.float32]:
        return self._scene.observe()

    def step(self, action: NDArray[Any]) -> tuple[float, bool, dict[str, Any]]:
        """See Push-T; the goal is as large as the block."""
        return self._scene.step(action)

    def advance(self, action: NDArray[Any]) -> NDArray[np.float32]:
        """`step` without looking at the goal; returns the raw action."""
        return self._scene.advance(action)

    def render_clean(self, height: int, width: int) -> NDArray[np.uint8]:
        return self._scene.render_clean(height, width)
