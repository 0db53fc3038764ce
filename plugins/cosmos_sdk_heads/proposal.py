"""What to do next on the way to a goal, learned from recordings that had none: proposals for planners to refine."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import torch
from gymnasium import spaces
from torch import Tensor, nn

from cosmos_sdk.errors import ConfigError
from cosmos_sdk.protocols import Parts
from cosmos_sdk.rng import FIRST_PRIVATE_STREAM, Rng
from cosmos_sdk.state import Control, Masked, Tensors, WorldState
from cosmos_sdk_heads.layers import NEWEST, FrameInput, mean_where, mlp, seeds_of

PAIR_STREAM = FIRST_PRIVATE_STREAM + 2
LEAST, MOST = -3.5, 1.0  # log standard deviations, in half widths of the action box


@dataclass(frozen=True)
class ProposalReadoutConfig:
    """Sizes, and which pairs of moments teach."""

    hidden: int = 512
    num_components: int = 12  # of the mixture: there is more than one way round an obstacle
    hold: int = (
        5  # frames for which a proposed action is held; a recorded one is the mean of so many
    )
    longest: int = 25  # frames from a moment to its goal, as far as clips are long enough
    num_pairs: int = 4  # moments of each clip
    goalless: float = 0.1  # share of them that have to do without a goal
    latents: bool = False  # read the newest latent beside the backend's features

    def __post_init__(self) -> None:
        counts = ("hidden", "num_components", "hold", "longest", "num_pairs")
        if wrong := [name for name in counts if getattr(self, name) < 1]:
            given = ", ".join(f"{name} is {getattr(self, name)}" for name in wrong)
            raise ValueError(f"{given}; expected at least 1")
        if not 0 <= self.goalless <= 1:
            raise ValueError(f"goalless is {self.goalless}; expected a share in [0, 1]")


@final
class ProposalReadout(nn.Module):
    """A mixture density network (Bishop 1994) over the next action, given a goal and the frames left to reach it.

    Goals are hindsight (Ghosh et al. 2019, arXiv:1912.06088): what a clip shows h frames later, its actions led to. So
    any recording teaches, and the best of it is worth imitating only because a planner chooses with the world.

    The target of this readout's name is the action, `targets: {proposal: action}`, a bounded Box (A,). The features it
    reads are not bent by its loss.
    """

    low: Tensor
    scale: Tensor

    def __init__(self, config: ProposalReadoutConfig, parts: Parts) -> None:
        """Raises ConfigError without a bounded target, or without anything to read."""
        super().__init__()
        name = parts.name or "proposal"
        space = parts.spec.targets.get(name)
        if not isinstance(space, spaces.Box) or not space.is_bounded():
            given = "none" if space is None else str(space)
            wanted = "needs the action as a bounded Box under spec.targets"
            raise ConfigError([f"readouts.{name}: {wanted}; got {given}."])
        self.config, self.shape = config, space.shape
        self.size = math.prod(space.shape)
        where = f"readouts.{name}"
        self.input = FrameInput(parts, where, features=True, latents=config.latents)
        outputs = config.num_components * (1 + 2 * self.size)
        self.layers = mlp(3 * self.input.width + 2, config.hidden, outputs)
        low, high = torch.from_numpy(space.low.ravel()), torch.from_numpy(space.high.ravel())
        self.register_buffer("low", low.float(), persistent=False)
        self.register_buffer("scale", (high - low).float() / 2, persistent=False)

    def read(self, state: WorldState) -> Tensor:
        """What recordings do there when nobody names a goal, (B, *shape): the mean of the likeliest component."""
        seen = self.input.see(state, NEWEST)[:, -1]
        logits, mean, _ = self._mixture(seen, None, seen.new_ones(len(seen)))
        best = logits.argmax(1)[:, None, None].expand(-1, 1, self.size)
        return self._action(mean.gather(1, best)[:, 0])

    def goal(self, state: WorldState) -> Tensor:
        """A state as a goal of `propose`, (B, width)."""
        return self.input.see(state, NEWEST)[:, -1]

    def propose(self, state: WorldState, goal: Tensor, frames_left: Tensor, rng: Rng) -> Tensor:
        """Actions (B, *shape), drawn; to be held for `config.hold` frames.

        Args:
            state: B worlds.
            goal: (B | 1, width), of `goal`.
            frames_left: (B,), until the goal is to be reached.
            rng: one row per world.
        """
        seen = self.input.see(state, NEWEST)[:, -1]
        logits, mean, log_std = self._mixture(seen, goal.expand_as(seen), frames_left)
        uniform = rng.uniform(1).to(logits)
        chosen = (logits.softmax(1).cumsum(1) < uniform).sum(1).clamp_max(logits.shape[1] - 1)
        chosen = chosen[:, None, None].expand(-1, 1, self.size)
        mean, log_std = mean.gather(1, chosen)[:, 0], log_std.gather(1, chosen)[:, 0]
        noise = rng.normal(self.size).to(mean)
        return self._action(torch.addcmul(mean, log_std.exp(), noise))

    def loss(self, latents: Tensor, features: Tensor, control: Control, target: Masked) -> Tensors:
        """Negative log-likelihood (B,) of held actions, in units of the box, at a few moments of each clip.

        Target k is the action that led to frame k.
        """
        seen = self.input(features, latents).detach()
        values = target.zeroed().values.flatten(2).to(seen)
        action = (values - self.low) / self.scale - 1
        now, ahead, told = self._pairs(values, target.mask)
        last = target.mask.shape[1] - 1
        steps = torch.arange(1, self.config.hold + 1, device=now.device)
        index = (now[..., None] + steps).clamp_max(last)  # (B, n, hold)
        held = target.mask.gather(1, index.flatten(1)).view(index.shape) & (
            now[..., None] + steps <= last
        )
        held &= steps <= ahead[..., None]
        count = held.sum(2)
        taken = action.gather(1, index.flatten(1)[..., None].expand(-1, -1, self.size))
        taken = (taken.view(*index.shape, self.size) * held[..., None]).sum(2)
        taken = taken / count.clamp(min=1)[..., None]  # (B, n, A)
        there = (now + ahead).clamp_max(last)
        whole = (count > 0) & target.mask.gather(1, there) & (now + ahead <= last)
        width = seen.shape[2]
        begin, goal = (
            seen.gather(1, place[..., None].expand(-1, -1, width)).flatten(0, 1)
            for place in (now, there)
        )
        parts = self._mixture(begin, goal, ahead.flatten().to(seen), told.flatten())
        wrong = _negative_log(parts, taken.flatten(0, 1)).view(now.shape)
        return {"likelihood": mean_where(wrong, whole)}

    def _pairs(self, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Moments (B, n), frames from there to their goals, and whether the goal is told; from the actions alone."""
        frames = mask.shape[1]
        seeds = seeds_of(values).sum(1)
        rng = Rng(seeds, torch.zeros_like(seeds), PAIR_STREAM)
        first, far, told = (
            rng.uniform(3, self.config.num_pairs).to(values.device).unbind(1)
        )  # (B, n) each
        places = torch.arange(frames, device=mask.device)
        last = (mask * places).amax(1, keepdim=True).clamp(min=1)  # the clip's last frame
        now = (first * last).long().clamp(max=max(frames - 2, 0))
        reach = (last - now).clamp(1, self.config.longest)
        ahead = 1 + (far * reach).long().clamp_max(self.config.longest - 1)
        return now, ahead, told >= self.config.goalless

    def _mixture(
        self, seen: Tensor, goal: Tensor | None, frames_left: Tensor, told: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Logits (n, M), means and log standard deviations (n, M, A), of moments (n, width)."""
        seen = seen.to(self.low)
        wish = torch.zeros_like(seen) if goal is None else goal.to(self.low)
        knows = seen.new_ones(len(seen)) if goal is not None else seen.new_zeros(len(seen))
        if told is not None:
            knows = told.to(seen)
        way, left = (wish - seen) * knows[:, None], frames_left.to(seen) / self.config.longest
        given = torch.cat(
            (seen, wish * knows[:, None], way, (left * knows)[:, None], knows[:, None]), 1
        )
        out = self.layers(given).unflatten(1, (self.config.num_components, -1))
        logits, mean, log_std = out.split((1, self.size, self.size), 2)
        return logits[..., 0], mean, log_std.clamp(LEAST, MOST)

    def _action(self, unit: Tensor) -> Tensor:
        """Numbers (B, A), of which [-1, 1] spans the box, as actions in it."""
        action = self.low + self.scale * (unit.clamp(-1, 1) + 1)
        return action.view(-1, *self.shape)


def _negative_log(mixture: tuple[Tensor, Tensor, Tensor], values: Tensor) -> Tensor:
    """Negative log-likelihood (n,) of values (n, A) under a mixture of diagonal Gaussians."""
    logits, mean, log_std = (part.float() for part in mixture)
    apart = (values[:, None] - mean) * (-log_std).exp()
    each = -0.5 * apart.square() - log_std - 0.5 * math.log(2 * math.pi)
    return -torch.logsumexp(logits.log_softmax(1) + each.sum(2), 1)
