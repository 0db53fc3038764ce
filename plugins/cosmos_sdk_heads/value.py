"""The value of a state: what rewards are still to come, learned from the rewards of clips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from gymnasium import spaces
from torch import Tensor, nn

from cosmos_sdk.errors import ConfigError
from cosmos_sdk.protocols import Parts
from cosmos_sdk.returns import lambda_returns
from cosmos_sdk.state import Control, Masked, WorldState
from cosmos_sdk.two_hot import two_hot
from cosmos_sdk_heads.layers import NEWEST, FrameInput, mean_where, mlp
from cosmos_sdk_heads.reward import make_bins


@dataclass(frozen=True)
class ValueReadoutConfig:
    """Sizes, what the readout reads, and how far it looks."""

    hidden: int = 128
    num_bins: int = 65
    discount: float = 0.97  # per frame
    trace: float = (
        0.95  # lambda: 0 trusts its own value of the next frame, 1 the rewards of the clip
    )
    latents: bool = False  # read the newest latent beside the backend's features

    def __post_init__(self) -> None:
        if not 0 <= self.discount < 1 or not 0 <= self.trace <= 1:
            got = f"{self.discount} and {self.trace}"
            raise ValueError(f"discount must be in [0, 1) and trace in [0, 1]; got {got}")


@final
class ValueReadout(nn.Module):
    """Two-hot regression of lambda-returns (DreamerV3, Hafner et al. 2023, arXiv:2301.04104).

    The target of this readout's name is the reward, `targets: {value: next.reward}`: the value is that of whoever
    recorded the data. After the last frame of a clip its own value stands for what follows.
    """

    bins: Tensor

    def __init__(self, config: ValueReadoutConfig, parts: Parts) -> None:
        """Bins span what the bounds of the reward allow; without bounds they are symexp-spaced."""
        super().__init__()
        name = parts.name or "value"
        self.config = config
        self.input = FrameInput(parts, f"readouts.{name}", features=True, latents=config.latents)
        self.layers = mlp(self.input.width, config.hidden, config.num_bins)
        bins = make_bins(
            _returns(parts.spec.targets.get(name), config, name), config.num_bins, name
        )
        self.register_buffer("bins", bins, False)

    def read(self, state: WorldState) -> Tensor:
        """The discounted sum of the rewards after the newest frame, (B, 1)."""
        logits = self.layers(self.input.see(state, NEWEST))
        return logits[:, -1].softmax(-1) @ self.bins[:, None]

    def loss(
        self, latents: Tensor, features: Tensor, control: Control, target: Masked
    ) -> dict[str, Tensor]:
        """Cross-entropy (B,) to the lambda-return of each frame; target k is the reward on arriving in frame k."""
        log_probability = self.layers(self.input(features, latents)).log_softmax(-1)  # (B, F, bins)
        values = log_probability.detach().exp() @ self.bins  # (B, F)
        rewards = target.values.reshape(target.mask.shape).to(values)
        config, followed = self.config, target.mask[:, 1:]  # step k leads from frame k to k + 1
        returns = lambda_returns(
            rewards[:, 1:], values, None, config.discount, config.trace, followed
        )
        wanted = two_hot(returns, self.bins)
        errors = -(wanted * log_probability[:, :-1]).sum(-1)
        return {"cross_entropy": mean_where(errors, followed)}


def _returns(
    reward: spaces.Space[object] | None, config: ValueReadoutConfig, name: str
) -> spaces.Space[object] | None:
    if reward is None or not isinstance(reward, spaces.Box):
        return reward
    if reward.low.size != 1:
        raise ConfigError([f"readouts.{name}: a reward is one number; its target is {reward}."])
    reach = 1 / (1 - config.discount)
    low, high = reach * reward.low.item(), reach * reward.high.item()
    return spaces.Box(low, high, (1,))
