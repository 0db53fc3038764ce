"""Expert data: a planner in the true simulator, or in a world, drives the scene that is recorded."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

import torch
from numpy.random import Generator
from numpy.typing import NDArray

from cosmos_sdk.config import typed
from cosmos_sdk.errors import UnknownNameError
from cosmos_sdk.registry import registry
from cosmos_sdk.simulators import Simulator, simulator_world
from cosmos_sdk.state import WorldState
from cosmos_sdk.world import WorldModel
from cosmos_sdk_policies.composition import objective_of
from cosmos_sdk_policies.mpc import MPCPolicy
from cosmos_sdk_policies.suiting import check_plan, check_scene

SIMULATOR = "simulator"  # the world that is the scene itself


@dataclass(frozen=True)
class MPCRecorderConfig:
    """`cosmos-sdk collect policy=mpc planner=icem world=simulator`."""

    planner: str = "icem"
    planner_options: dict[str, Any] = field(default_factory=dict[str, Any])
    world: str = SIMULATOR  # that of the scene itself; else a checkpoint folder or a bundled world
    objective: str = "reward"
    objective_options: dict[str, Any] = field(default_factory=dict[str, Any])
    replan_every: int = 5


@final
class MPCRecorder:
    """Recorder `mpc`. Episodes repeat with their seed, so plans have no deadline."""

    def __init__(self, config: MPCRecorderConfig, env: str) -> None:
        """Opens the planner, the objective and the world, so that what cannot record fails before anything is written.

        Raises:
            ConfigError, UnknownNameError: an option that does not fit.
        """
        self.config = config
        self._planner = typed(registry().load("planner", config.planner), config.planner_options)
        self._objective = objective_of(config.objective, config.objective_options)
        self._knows = config.world == SIMULATOR
        self._world = simulator_world(env) if self._knows else _load(config.world)
        check_scene(self._world, env)
        check_plan(self._planner, self._world, self._objective)

    def reset(self, rng: Generator, scene: Simulator) -> None:
        """A new episode begins; the noise of its plans is rng's."""
        seed = int(rng.integers(2**31))

        def enter() -> WorldState:
            state = torch.from_numpy(scene.get_state())
            return self._world.start(state[None, None], {}, torch.tensor([seed]))

        self._policy = MPCPolicy(
            self._planner,
            self._world,
            self._objective,
            self.config.replan_every,
            enter=enter if self._knows else None,
            seed=seed,
        )

    def act(self, scene: Simulator) -> NDArray[Any]:
        """The planned action, for what the scene shows now."""
        if self._knows:
            return self._policy.act(None)
        height, width = self._world.spec.frames[1:] if self._world.spec else (64, 64)
        return self._policy.act(scene.render_clean(height, width))


def _load(name: str) -> WorldModel:
    """A learned world by its folder or name; the simulator is among the names."""
    bundled = registry().names("world")
    if not Path(name).is_dir() and name not in bundled:
        raise UnknownNameError("world", name, [SIMULATOR, *bundled], "A folder is a world too.")
    return WorldModel.from_pretrained(name)
