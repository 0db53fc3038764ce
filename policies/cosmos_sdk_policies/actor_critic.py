"""An actor and a critic that learn from imagined steps only (DreamerV3, Hafner et al. 2023, arXiv:2301.04104).

The world is never changed: it is what the two learn from, as a simulator would be.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, final

import torch
from gymnasium import spaces
from torch import Tensor, nn

from cosmos_sdk import two_hot
from cosmos_sdk.errors import ConfigError, NotFiniteError, did_you_mean
from cosmos_sdk.expected import check as check_ranges
from cosmos_sdk.returns import lambda_returns
from cosmos_sdk.rng import Rng
from cosmos_sdk.state import WorldState
from cosmos_sdk.world import WorldModel
from cosmos_sdk_policies.actor import Actor, StateReader, perceptron
from cosmos_sdk_policies.guards import Guard
from cosmos_sdk_policies.return_scale import ReturnScale


@dataclass(frozen=True)
class ActorCriticConfig:
    """Sizes and the objective; where the paper gives a value, it is the default."""

    reads: tuple[str, ...] = ("features",)  # of a state: features, latents
    width: int = 256
    depth: int = 2
    num_bins: int = 255  # of the critic
    horizon: int = 15  # imagined steps after a real frame
    discount: float = 0.997  # per step
    trace: float = 0.95  # lambda
    entropy: float = 3e-4  # its weight beside scaled returns
    # where the policy's gradient comes from: the likelihood of its actions, or the world itself (Dreamer,
    # arXiv:1912.01603), which is far less noisy where the world is smooth; auto: the world's, where it has one
    gradient: Literal["auto", "reinforce", "world"] = "auto"
    critic_decay: float = 0.98  # of the averaged critic that the critic is drawn to
    guard: Guard = field(default_factory=Guard)

    def __post_init__(self) -> None:
        """Refuses what cannot be learned with."""
        least = {"width": 1, "depth": 1, "horizon": 1}
        check_ranges(
            self,
            **{n: (getattr(self, n) >= at, f"at least {at}") for n, at in least.items()},
            discount=(0 <= self.discount < 1, "0 or more and less than 1"),
            critic_decay=(0 <= self.critic_decay < 1, "0 or more and less than 1"),
            trace=(0 <= self.trace <= 1, "0 to 1"),
            entropy=(self.entropy >= 0, "0 or more"),
            num_bins=(self.num_bins >= 3 and self.num_bins % 2 == 1, "an odd number from 3 on"),
            reads=(bool(self.reads), "at least one of features, latents"),
        )


@dataclass(frozen=True, eq=False)
class Dream:
    """What H imagined steps from B states were."""

    numbers: Tensor  # (B, H + 1, W) what was read of each state
    actions: Tensor  # (B, H, n) as the actor's distribution drew them
    rewards: Tensor  # (B, H) penalised
    continues: Tensor  # (B, H) probability that the episode goes on
    believed: Tensor  # (B, H) bool, by the guard
    weights: Tensor  # (B, H) how much step t counts: whether it is reached and believed, discounted
    doubt: Tensor  # (B, H)


@final
class ActorCritic(nn.Module):
    """Actor, critic, and what they need to read a world's states."""

    bins: Tensor

    def __init__(
        self, world: WorldModel, config: ActorCriticConfig, signal: str = "action"
    ) -> None:
        """Builds them for the world's features and one of its signals.

        Raises:
            ConfigError: lists what the world lacks for this: a reward, the signal, a gradient, a guard's head.
        """
        super().__init__()
        check(world, config, signal)
        self.config, self.signal_name = config, signal
        self.reader = StateReader(world, config.reads)
        space: Any = world.conditioners[signal].space
        sizes = (config.width, config.depth)
        self.actor = Actor(self.reader.width, space, world.backend.chunk, *sizes, world.device)
        self.critic = perceptron(self.reader.width, *sizes, config.num_bins)
        self.slow_critic = copy.deepcopy(self.critic).requires_grad_(False)
        self.register_buffer("bins", two_hot.symexp_bins(config.num_bins), persistent=False)
        self.scale = ReturnScale()
        self.through_world = gradient_of(world, config) == "world"

    def value(self, numbers: Tensor) -> Tensor:
        """The critic's expected return (*) of what was read of states, (*, W)."""
        return two_hot.symmetric_mean(self.critic(numbers), self.bins)

    def imagine(self, world: WorldModel, state: WorldState, rng: Rng) -> Dream:
        """H steps from B states, the actor acting; gradients pass through the world where they are wanted."""
        with torch.set_grad_enabled(self.through_world):
            numbers, acted, heard = [self.reader(state)], [], []
            for draw in self.actor.draws(rng, self.config.horizon).to(state.seed.device).unbind(1):
                # a policy is judged by what its actions lead to, not by what it looked at
                action = self.actor(numbers[-1].detach()).sample(draw)
                state, values = world.step(state, {self.signal_name: self.actor.signal(action)})
                numbers.append(self.reader(state))
                acted.append(action)
                heard.append(self.judged(values))
            rewards, continues, doubt = (
                torch.stack(parts, 1) for parts in zip(*heard, strict=True)
            )
        if not rewards.isfinite().all():
            raise NotFiniteError(
                "imagined rewards", "The world's reward head is broken; train it again."
            )
        return self._believed(
            torch.stack(numbers, 1), torch.stack(acted, 1), rewards, continues, doubt
        )

    def losses(self, dream: Dream) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Of the actor and of the critic, both (), and figures to report."""
        config, seen = self.config, dream.numbers.detach()
        values = self.value(dream.numbers)  # (B, H + 1)
        returns = lambda_returns(
            dream.rewards, values, dream.continues, config.discount, config.trace, dream.believed
        )
        scale = self.scale.update(returns)
        policy = self.actor(seen[:, :-1].flatten(0, 1))
        entropy = policy.entropy().view_as(returns)
        if self.through_world:
            gain = returns / scale
        else:
            advantage = ((returns - values[:, :-1]) / scale).detach()
            gain = advantage * policy.log_prob(dream.actions.flatten(0, 1)).view_as(returns)
        actor_loss = -(dream.weights * (gain + config.entropy * entropy)).mean()

        logits, slow = self.critic(seen[:, :-1]), self.slow_critic(seen[:, :-1])
        targets = (returns.detach(), two_hot.symmetric_mean(slow, self.bins))
        errors = [two_hot.cross_entropy(logits, target, self.bins) for target in targets]
        critic_loss = (dream.weights * (errors[0] + errors[1])).mean()
        figures = {
            "actor": actor_loss,
            "critic": critic_loss,
            "reward": _mean(dream.rewards, dream.weights),
            "value": _mean(values[:, :-1], dream.weights),
            "entropy": _mean(entropy, dream.weights),
            "return_scale": scale,
        }
        if dream.doubt.any():
            figures["uncertainty"] = _mean(dream.doubt, dream.weights)
        return actor_loss, critic_loss, figures

    def follow(self) -> None:
        """Moves the averaged critic towards the critic."""
        with torch.no_grad():
            for slow, fast in zip(
                self.slow_critic.parameters(), self.critic.parameters(), strict=True
            ):
                slow.lerp_(fast, 1 - self.config.critic_decay)

    def judged(self, values: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """The reward up to the end, the probability that there was none, and the doubt of one predict, (B,) each."""
        rewards = values["reward"].flatten(1)  # (B, chunk)
        ends = (
            values["terminated"].flatten(1) if "terminated" in values else torch.zeros_like(rewards)
        )
        lives = (1 - ends).cumprod(1)
        before = torch.cat((torch.ones_like(lives[:, :1]), lives[:, :-1]), 1)
        total = (before * rewards).sum(1)
        return total, lives[:, -1], self.config.guard.doubt(values, total)

    def _believed(
        self, numbers: Tensor, actions: Tensor, rewards: Tensor, continues: Tensor, doubt: Tensor
    ) -> Dream:
        """The dream after the guard: doubt costs, and a dream ends before the first step beyond the limit."""
        guard = self.config.guard
        believed = torch.ones_like(doubt, dtype=torch.bool)
        if guard.limit is not None:
            believed = (doubt <= guard.limit).cumprod(1).bool()
        reached = (self.config.discount * continues.detach()).cumprod(1)
        weights = torch.cat((torch.ones_like(reached[:, :1]), reached[:, :-1]), 1) * believed
        penalised = rewards - guard.penalty * doubt  # its gradient counts where the world's does
        return Dream(numbers, actions, penalised, continues, believed, weights, doubt.detach())


def check(world: WorldModel, config: ActorCriticConfig, signal: str) -> None:
    """Holds a world to what actor and critic need of it.

    Raises:
        ConfigError: every problem.
    """
    problems: list[str] = []
    if "reward" not in world.heads:
        known = ", ".join(world.heads) or "none"
        remedy = "Train one: heads.reward={name: reward}, targets.reward=next.reward."
        problems.append(f"the world has no head 'reward' to learn from; heads: {known}. {remedy}")
    taken = {n: c.space for n, c in world.conditioners.items() if c.space is not None}
    if signal not in taken:
        known = ", ".join(taken) or "none"
        problems.append(f"signal={signal!r}: the world takes {known}.{did_you_mean(signal, taken)}")
    if config.gradient == "world" and not world.backend.differentiable:
        kind = type(world.backend).__name__
        problems.append(f"gradient: {kind} passes no gradients; set gradient=reinforce.")
    if config.gradient == "world" and isinstance(taken.get(signal), spaces.Discrete):
        problems.append("gradient: choices have no gradient; set gradient=reinforce.")
    try:
        config.guard.check(world)
    except ConfigError as error:
        problems += error.problems
    if problems:
        raise ConfigError(problems)


def gradient_of(world: WorldModel, config: ActorCriticConfig, signal: str = "action") -> str:
    """What `auto` means for a world."""
    if config.gradient != "auto":
        return config.gradient
    smooth = isinstance(world.conditioners[signal].space, spaces.Box)
    return "world" if world.backend.differentiable and smooth else "reinforce"


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    return (values * weights).sum() / weights.sum().clamp_min(1e-6)
