"""Task `pusht-ranking`: policies of graded quality on Push-T, judged in the true simulator and in a world.

The list stands here, before the world was asked. None of the policies knows the world that judges it: search happens in
the true simulator, entered by the observed pose, and cloning learns from recordings of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, final

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray

from cosmos_sdk.errors import ConfigError
from cosmos_sdk.ledger import fingerprint
from cosmos_sdk.results import Measurement
from cosmos_sdk.simulators import simulator_world
from cosmos_sdk.state import WorldState
from cosmos_sdk.world import WorldModel
from cosmos_sdk_policies import pusht_tasks
from cosmos_sdk_policies.cloning import (
    ClonedPolicy,
    CloningConfig,
    clone,
    load_network,
    save_network,
)
from cosmos_sdk_policies.evaluation import evaluate_policies
from cosmos_sdk_policies.goal_state import GoalState
from cosmos_sdk_policies.icem import ICEM
from cosmos_sdk_policies.mpc import MPCPolicy
from cosmos_sdk_policies.policy import begin, identity
from cosmos_sdk_policies.pusht_tasks import ENV, scene

MPC = {"tiny": (8, 2), "small": (16, 2), "medium": (32, 3), "large": (64, 4)}  # samples, iterations
CLONES = (20, 200, 2000)  # recorded episodes
BLOCK = 5  # frames that all of them decide at once: worlds that step one frame, or five, judge the same behaviour
NOISE = 0.25  # share of the blocks in which a noisy policy does something random
TASKS = ("field", "moved")
POLICIES = (
    "random",
    "still",
    "walk",
    "walk-noisy",
    *(f"clone-{count}" for count in CLONES),
    *(f"mpc-{size}" for size in MPC),
    "mpc-small-noisy",
    "mpc-medium-noisy",
)


@dataclass
class RankingConfig:
    """Which policies, from how many starts of which tasks."""

    n: int = 50  # starts of each task
    tasks: tuple[str, ...] = ("field",)
    policies: tuple[str, ...] = POLICIES
    without: tuple[str, ...] = ("random",)  # the statistics are told without these too
    folder: str | None = None  # keeps episodes and cloned policies: the same call goes on
    processes: int = 1  # that play at the same time
    cloning: CloningConfig = field(default_factory=CloningConfig)
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuses names that are none, and counts below 1."""
        known = {"policies": POLICIES, "tasks": TASKS, "without": POLICIES}
        wrong = [
            f"{key}: {name!r} is none of {', '.join(choices)}"
            for key, choices in known.items()
            for name in getattr(self, key)
            if name not in choices
        ]
        for name in ("n", "processes"):
            if getattr(self, name) < 1:
                wrong.append(f"{name} is {getattr(self, name)}; expected at least 1")
        if wrong:
            raise ConfigError(wrong)


@torch.no_grad()
def pusht_ranking(world: WorldModel, config: RankingConfig) -> Measurement:
    """Success of each policy on both sides, and how well the world ranks them."""
    draw = partial(pusht_tasks.draw_starts, config.n, seed=config.seed)
    verdict = evaluate_policies(
        {name: graded_policy(name, config) for name in config.policies},
        partial(_reality, world),
        partial(_imagination, world),
        [start for task in config.tasks for start in draw(task)],
        max_frames=scene().reaching.budget,
        reached=pusht_tasks.reached,
        block=BLOCK,
        folder=config.folder,
        judge=fingerprint(world),
        processes=config.processes,
        seed=config.seed,
        progress=True,
    )
    without = [name for name in config.without if name in config.policies]
    return verdict.measurement(without if len(without) < len(config.policies) else ())


def _reality(world: WorldModel) -> gymnasium.Env[Any, Any]:
    """The true simulator, showing pictures of the size and under the name of the world's."""
    spec = world.spec
    size, named = (spec.frames[1:], spec.cameras) if spec else ((64, 64), ())
    camera = named[0] if named else "camera_0"
    shown = {"observation": "dict", "size": size, "camera": camera}
    env = gymnasium.make("CosmosSDK/Simulator-v0", simulator=ENV, disable_env_checker=True, **shown)
    return env.unwrapped


def _imagination(world: WorldModel) -> gymnasium.Env[Any, Any]:
    """The world that judges."""
    options: dict[str, Any] = {"observation": "dict", "disable_env_checker": True}
    return gymnasium.make("CosmosSDK/World-v0", world=world, **options).unwrapped


def graded_policy(name: str, config: RankingConfig) -> Any:
    """A policy of the list; cloned ones are trained, or read from the folder."""
    noisy, name = name.endswith("-noisy"), name.removesuffix("-noisy")
    kind, _, size = name.partition("-")
    simple: dict[str, Callable[[], Any]] = {
        "random": lambda: Noisy(Still(), 1.0),
        "still": Still,
        "walk": Walk,
    }
    if kind == "mpc":
        policy: Any = PoseMPC(*MPC[size])
    elif kind == "clone":
        policy = cloned(int(size), config)
    else:
        policy = simple[name]()
    return Noisy(policy, NOISE) if noisy else policy


@torch.enable_grad()
def cloned(num_episodes: int, config: RankingConfig) -> ClonedPolicy:
    """A policy cloned from the first recordings; smaller sets are the beginnings of larger ones."""
    path = Path(config.folder) / f"clone-{num_episodes}.safetensors" if config.folder else None
    if path is not None and path.is_file():
        network = load_network(path, config.cloning)
    else:
        recorded = list(islice(pusht_tasks.tracks(pusht_tasks.CLONED), num_episodes))
        given, actions = pusht_tasks.pairs(recorded, BLOCK)
        network = clone(given, actions, config.cloning)  # its actions are in [-1, 1]: normalised
        if path is not None:
            save_network(network, path, config.cloning)
    return ClonedPolicy(network, pusht_tasks.features, scene().action_spec)


@final
class Still:
    """Does nothing: a relative action of zero."""

    def act(self, observation: Any) -> NDArray[np.float32]:
        """(2,)."""
        return np.zeros(2, np.float32)


@final
class Walk:
    """Takes the agent straight to where the goal shows it, and pushes the block only by chance."""

    reach = 200.0  # px, about what the agent goes in a block of relative actions of 1

    def aim(self, goal: NDArray[Any]) -> None:
        """The observation (5,) to reach."""
        self._goal = np.asarray(goal)[:2]

    def act(self, observation: Any) -> NDArray[np.float32]:
        """(2,), to be held for a block."""
        way = self._goal - np.asarray(observation["state"])[:2]
        return np.clip(way / self.reach, -1, 1).astype(np.float32)


@final
class Noisy:
    """Another policy, of which a uniform action takes the place in a share of the decisions."""

    def __init__(self, policy: Any, share: float) -> None:
        self.policy, self.share = policy, share
        self.fingerprint = f"{share} {identity(policy)}"

    def reset(self, seed: int | None = None) -> None:
        """A new episode: its noise follows from the seed."""
        self._rng = np.random.default_rng([seed or 0, 5])
        begin(self.policy, seed)

    def aim(self, goal: Any) -> None:
        """Passes the goal on."""
        if hasattr(self.policy, "aim"):
            self.policy.aim(goal)

    def act(self, observation: Any) -> NDArray[np.float32]:
        """(2,) or (5, 2)."""
        noise, wild = self._rng.uniform(-1, 1, 2), self._rng.random() < self.share
        action = self.policy.act(observation)  # it is asked always: it may remember
        return noise.astype(np.float32) if wild else action


@final
class PoseMPC:
    """Searches in the true simulator, which is put where the observed pose is; hidden velocities count as zero."""

    def __init__(self, num_samples: int, num_iterations: int) -> None:
        elites = max(2, num_samples // 8)
        self._planner = ICEM(
            num_samples=num_samples, num_iterations=num_iterations, num_elites=elites, sigma=0.4
        )
        self._seed = 0
        self._oracle = simulator_world(ENV, judged=False)  # which saves half its time
        self.fingerprint = str(self._planner)

    def reset(self, seed: int | None = None) -> None:
        """A new episode."""
        self._seed = seed or 0

    def aim(self, goal: NDArray[Any]) -> None:
        """Plans towards the observation (5,); a difference that costs 1 is that of task pusht-goals."""
        near, turned = scene().reaching.position_tolerance, scene().reaching.angle_tolerance
        scale = (2 * near, 2 * near, near, near, turned)
        cost = GoalState(torch.as_tensor(goal)[None], scale, angles=(4,), mean_weight=0.3)
        self._mpc = MPCPolicy(
            self._planner, self._oracle, cost, BLOCK, seed=self._seed, enter=self._enter
        )

    def act(self, observation: Any) -> NDArray[np.float32]:
        """(5, 2)."""
        self._pose = np.asarray(observation["state"], np.float64)
        return np.stack([self._mpc.act(observation) for _ in range(BLOCK)])

    def _enter(self) -> WorldState:
        state = np.zeros(len(scene().state_names))
        state[:2], state[4:7] = self._pose[:2], self._pose[2:]
        latents = torch.from_numpy(state)[None, None]
        return self._oracle.start(latents, {}, torch.tensor([self._seed]))
