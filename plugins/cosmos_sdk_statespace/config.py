"""What a state-space world is made of, and how it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass
class StateSpaceConfig:
    """Sizes, and weights of the loss. Without hidden layers encoder and transition are linear maps."""

    width: int = 128  # D, of the vector
    chunk: int = 5  # frames, and actions, of one transition
    hidden: int = 384
    num_layers: int = 2  # residual blocks of the transition
    encoder_hidden: int = 512
    encoder_layers: int = 2
    decoder_hidden: int = 256  # 0: a linear map
    cond_width: int = 32  # of the signals of a frame
    stochastic: bool = False  # a transition draws its result from a Gaussian that it learns
    # What keeps the encoder from a constant, which any transition predicts; see `guards`.
    guard: Literal["sigreg", "variance", "none"] = "sigreg"
    guard_weight: float = 1.0
    guard_memory: int = 512  # vectors of the step before, that a guard compares with
    latent_weight: float = 1.0  # of the error of imagined vectors
    decoder_weight: float = 10.0  # of the error of what is decoded, which is small
    decoder_gradient: float = (
        1.0  # share that reaches the vector; 0: nothing is learned from what frames look like
    )
    feature_gradient: float = 1.0  # share of the heads' gradient that reaches the vector

    def __post_init__(self) -> None:
        least = {name: 1 for name in ("width", "chunk", "hidden", "encoder_hidden", "cond_width")}
        least |= {"num_layers": 0, "encoder_layers": 0, "decoder_hidden": 0, "guard_memory": 2}
        for name, bound in least.items():
            if (value := getattr(self, name)) < bound:
                raise ValueError(f"{name} is {value}; expected at least {bound}")


@dataclass(frozen=True)
class StateSpaceSampling:
    """Run-time options."""

    temperature: float = 1.0  # of a stochastic transition; 0 takes its mean
    # False: frames inside a block repeat its last one. A planner that looks at the ends of blocks wants no others.
    inner_frames: bool = True
    # of transition and decoder, where the device has it; the vector itself stays in float32
    precision: Literal["float32", "bfloat16"] = "float32"
