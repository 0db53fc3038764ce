"""Task `dream-return`: what a policy that learned in a world earns in reality, and what the world says it earns.

The world says so twice: with a look at reality every `horizon` steps, as where it learned, and without any after the
first pictures. A world may be right about the one and wrong about the other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from cosmos_sdk.errors import ConfigError
from cosmos_sdk.expected import check
from cosmos_sdk.ledger import Ledger, provenance
from cosmos_sdk.results import Measurement, Result
from cosmos_sdk.simulators import Simulator, open_simulator
from cosmos_sdk.state import Masked, WorldState
from cosmos_sdk.statistics import bootstrap
from cosmos_sdk.world import WorldModel
from cosmos_sdk_policies.actor_critic import ActorCritic
from cosmos_sdk_policies.dream_policy import DreamPolicy, load_policy
from cosmos_sdk_policies.learning_curve import panels
from cosmos_sdk_policies.policy import RandomPolicy

IMAGINED = ("looking again", "never looking again")


@dataclass
class DreamReturnConfig:
    """Episodes of `steps`, each in reality and, from the same first pictures, in the world."""

    policy: str = "outputs/dream/policy"  # folder that `cosmos-sdk dream` wrote
    env: str = "Pendulum-v1"
    episodes: int = 50
    steps: int = 200  # at most
    horizon: int = 15  # imagined steps between two looks at reality
    seed: int = 1000  # of the first episode; the others follow
    random: bool = True  # how little uniform actions earn stands beside
    folder: str | None = None  # of finished episodes: the same command goes on there

    def __post_init__(self) -> None:
        least = {"episodes": 1, "steps": 2, "horizon": 1}
        check(self, **{n: (getattr(self, n) >= at, f"at least {at}") for n, at in least.items()})


@dataclass(frozen=True, eq=False)
class Episode:
    """What was seen, done and earned in S real steps."""

    frames: NDArray[np.uint8]  # (S + 1, h, w, 3)
    actions: NDArray[Any]  # (S, *shape), action k led to frame k + 1
    rewards: NDArray[np.float64]  # (S,)


@torch.no_grad()
def dream_return(world: WorldModel, config: DreamReturnConfig) -> Measurement:
    """Mean returns with bootstrap intervals: real, random, and real beside imagined over the steps that both have.

    The world is entered by the first `context` real pictures, so both returns leave out the steps between these.

    Raises:
        CheckpointError, ConfigError: the policy does not fit the world, or the world not the environment.
    """
    _, agent = load_policy(config.policy, world)
    check_actions(world, agent, config.env)
    plan = {k: v for k, v in asdict(config).items() if k not in ("folder", "episodes", "random")}
    plan |= provenance(world)
    plan["agent"] = float(sum(p.sum() for p in agent.parameters()))
    ledger = Ledger(config.folder, plan, ("row", "episode"))
    policies: dict[str, Callable[[Simulator], Any]] = {
        "policy": lambda _: DreamPolicy(agent, world)
    }
    if config.random:
        policies["random"] = lambda scene: RandomPolicy(scene.action_spec.space)
    totals = {
        row: [
            _finished(world, agent, make, row, number, config, ledger)
            for number in _bar(config, row)
        ]
        for row, make in policies.items()
    }
    results = [
        _result(f"real return, {row}", [one["total"] for one in ones], config)
        for row, ones in totals.items()
    ]
    real = [one["late"] for one in totals["policy"]]
    results.append(_result("real return after the first pictures", real, config))
    for way in IMAGINED:
        dreamt = [one[way] for one in totals["policy"]]
        gaps = [a - b for a, b in zip(dreamt, real, strict=True)]
        results.append(_result(f"imagined return, {way}", dreamt, config))
        results.append(_result(f"imagined minus real, {way}", gaps, config))
    return Measurement(results, _pictures(totals["policy"]))


def play(scene: Simulator, policy: Any, seed: int, steps: int, size: tuple[int, int]) -> Episode:
    """One real episode, of which a policy sees pictures of `size` (h, w) only; of no size, nothing is drawn."""
    scene.reset(seed)
    policy.reset(seed)

    def look() -> NDArray[np.uint8]:
        return scene.render_clean(*size) if all(size) else np.zeros((*size, 3), np.uint8)

    frames, actions, rewards = [look()], [], []
    for _ in range(steps):
        action = scene.action_spec.check(policy.act(frames[-1]))
        reward, terminated, info = scene.step(action)
        rewards.append(reward)
        actions.append(action)
        frames.append(look())
        if terminated or info.get("truncated", False):
            break
    return Episode(np.stack(frames), np.stack(actions), np.asarray(rewards, np.float64))


@torch.no_grad()
def imagined_return(
    world: WorldModel, agent: ActorCritic, episode: Episode, seed: int, horizon: int
) -> float:
    """What the world says that its actor earns from the first `context` pictures on.

    Every `horizon` steps it begins anew from what was really seen; the parts are imagined as one batch.
    """
    context, chunk = world.backend.context, world.backend.chunk
    predicts = max(1, horizon // chunk)
    newest = torch.arange(context - 1, len(episode.rewards), predicts * chunk)  # (n,)
    if not len(newest):
        return 0.0
    state = _entered(world, agent, episode, newest, seed)
    total, alive = torch.zeros(len(newest)), torch.ones(len(newest))
    for step in range(predicts):
        action = agent.actor(agent.reader(state)).mode()
        state, values = world.step(state, {agent.signal_name: agent.actor.signal(action)})
        rewards, continues, _ = agent.judged(values)
        within = newest + step * chunk < len(episode.rewards)
        total, alive = total + alive * within * rewards, alive * continues
    return float(total.sum())


def _entered(
    world: WorldModel, agent: ActorCritic, episode: Episode, newest: Tensor, seed: int
) -> WorldState:
    """The world where frames `newest` (n,) of an episode are the last that was seen."""
    rows = newest[:, None] + torch.arange(1 - world.backend.context, 1)  # (n, F)
    frames = torch.from_numpy(episode.frames).movedim(-1, 1)[rows][:, :, None]
    idle = agent.actor.idle
    actions = torch.as_tensor(episode.actions, dtype=idle.dtype).view(-1, *idle.shape)
    history = Masked(actions[(rows - 1).clamp_min(0)], rows > 0)
    seeds = torch.full_like(newest, seed)
    return world.reset(frames, {}, seeds, {agent.signal_name: history})


def check_actions(world: WorldModel, agent: ActorCritic, env: str) -> None:
    """Raises ConfigError where the environment takes other actions than the world."""
    mine, theirs = (
        world.conditioners[agent.signal_name].space,
        open_simulator(env).action_spec.space,
    )
    if mine != theirs:
        raise ConfigError(
            [f"{env} takes {theirs}; the world's signal {agent.signal_name!r} is {mine}."]
        )


def _finished(
    world: WorldModel,
    agent: ActorCritic,
    make: Callable[[Simulator], Any],
    row: str,
    number: int,
    config: DreamReturnConfig,
    ledger: Ledger,
) -> dict[str, Any]:
    """What one episode earned, played unless the ledger holds it."""
    if (row, number) not in ledger:
        scene, seed = open_simulator(config.env), config.seed + number
        policy = make(scene)
        sees = isinstance(policy, DreamPolicy)
        shown = world.spec.frames[1:] if world.spec else (64, 64)
        size = shown if sees else (0, 0)
        episode = play(scene, policy, seed, config.steps, size)
        late = episode.rewards[world.backend.context - 1 :]
        told = {"total": float(episode.rewards.sum()), "late": float(late.sum())}
        if sees:
            for name, horizon in zip(IMAGINED, (config.horizon, config.steps), strict=True):
                told[name] = imagined_return(world, agent, episode, seed, horizon)
        ledger.add((row, number), told)
    return ledger[row, number]


def _pictures(episodes: list[dict[str, Any]]) -> dict[str, NDArray[np.uint8]]:
    """Returns in rising order, one panel each; none of a single episode."""
    if len(episodes) < 2:
        return {}
    names = {"late": "real", **{way: f"imagined, {way}" for way in IMAGINED}}
    drawn = {
        f"{shown}, sorted": (np.arange(len(episodes)), np.sort([one[name] for one in episodes]))
        for name, shown in names.items()
    }
    return {"returns": panels(drawn)}


def _result(name: str, values: list[float], config: DreamReturnConfig) -> Result:
    interval = bootstrap(values, config.seed)
    return Result(name, float(np.mean(values)), "", len(values), interval, config.seed)


def _bar(config: DreamReturnConfig, row: str) -> Any:
    return tqdm(range(config.episodes), f"{Path(config.policy).parent.name}: {row}", unit="episode")
