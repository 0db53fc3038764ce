"""Metric `reward`: are imagined rewards and endings those of the simulator, successes included?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from cosmos_sdk.results import Measurement, Result
from cosmos_sdk.statistics import auroc, bootstrap, calibration_error
from cosmos_sdk.world import WorldModel
from cosmos_sdk_evaluation.episodes import Episode, check_counts, held_out


@dataclass
class RewardConfig:
    """Held-out episodes of one behaviour, which includes scripted successes."""

    env: str = "gym_pusht/PushT-v0"
    policy: str = "pusht-scripted"
    episodes: int = 300
    length: int = 60  # steps of an episode
    horizon: int = 50  # of an imagined return
    seed: int = 0
    reward: str = "reward"
    terminated: str = "terminated"

    def __post_init__(self) -> None:
        check_counts(self, "episodes", "length", "horizon")


@torch.no_grad()
def reward_quality(world: WorldModel, config: RewardConfig) -> Measurement:
    """One-step errors along the real episode, then the return of one open-loop rollout against the true return."""
    size = world.spec.frames[1:] if world.spec else (64, 64)
    one_step: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = []
    returns: list[tuple[float, float]] = []
    episodes = held_out(
        config.env, config.policy, config.episodes, config.length, size, config.seed
    )
    for number, episode in enumerate(episodes):
        if len(episode) > world.backend.context:
            one_step.append(_one_step(world, episode, config, number))
            returns.append(_returns(world, episode, config, number))
    reward, true, chance, ended = (np.concatenate(column) for column in zip(*one_step, strict=True))
    errors = [float(np.abs(r - t).mean()) for r, t, _, _ in one_step]
    naive = [float(np.abs(true.mean() - t).mean()) for _, t, _, _ in one_step]
    imagined, real = np.array(returns).T
    n, seed, positives = len(one_step), config.seed, int(ended.sum())
    scale = f"{positives} endings of {ended.size} steps"
    results = [
        Result(
            "reward error, one step", float(np.mean(errors)), "", n, bootstrap(errors, seed), seed
        ),
        Result(
            "reward error of predicting the mean",
            float(np.mean(naive)),
            "",
            n,
            bootstrap(naive, seed),
            seed,
        ),
        Result(
            "reward R2, one step",
            1 - float(((reward - true) ** 2).mean() / true.var()),
            "",
            reward.size,
            None,
            seed,
        ),
        Result(f"termination AUROC ({scale})", auroc(chance, ended), "", positives, None, seed),
        Result(
            "termination calibration error",
            calibration_error(chance, ended),
            "",
            ended.size,
            None,
            seed,
        ),
        Result(
            "imagined return, mean", float(imagined.mean()), "", n, bootstrap(imagined, seed), seed
        ),
        Result("true return, mean", float(real.mean()), "", n, bootstrap(real, seed), seed),
        Result(
            "imagined against true return, Pearson",
            float(np.corrcoef(imagined, real)[0, 1]),
            "",
            n,
            None,
            seed,
        ),
    ]
    return Measurement(results)


def _one_step(
    world: WorldModel, episode: Episode, config: RewardConfig, number: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Each step from its own real context, all in one batch: (predicted, true) reward, (predicted, true) ending."""
    context, length = world.backend.context, len(episode)
    led_to = torch.cat([torch.zeros_like(episode.actions[:1]), episode.actions])
    firsts = range(length - context + 1)  # window [k, k + context) predicts frame k + context
    frames = torch.stack([episode.frames[k : k + context] for k in firsts])
    history = torch.stack([led_to[k : k + context] for k in firsts])
    taken = torch.stack([episode.actions[k + context - 1] for k in firsts])[:, None]
    state = world.reset(frames, {}, torch.arange(len(firsts)) + 997 * number, {"action": history})
    _, values = world.step(state, {"action": taken})
    part = slice(context - 1, length)
    predicted = (
        values[config.reward][:, 0].cpu().numpy(),
        values[config.terminated][:, 0].cpu().numpy(),
    )
    return (
        predicted[0],
        episode.rewards[part].numpy(),
        predicted[1],
        episode.terminated[part].numpy(),
    )


def _returns(
    world: WorldModel, episode: Episode, config: RewardConfig, number: int
) -> tuple[float, float]:
    """Sums of reward over one rollout from the first context, up to its own end: (imagined, true)."""
    context = world.backend.context
    led_to = torch.cat([torch.zeros_like(episode.actions[:1]), episode.actions])
    actions = episode.actions[context - 1 :][: config.horizon][None]
    state = world.reset(
        episode.frames[None, :context],
        {},
        torch.tensor([number]),
        {"action": led_to[None, :context]},
    )
    values = world.rollout(state, {"action": actions}).values
    going = torch.cumprod(1 - values[config.terminated][0].float(), 0)
    alive = torch.cat([torch.ones(1), going[:-1]])  # the step that ends an episode still pays
    imagined = float((values[config.reward][0] * alive).sum())
    return imagined, float(episode.rewards[context - 1 :][: config.horizon].sum())
