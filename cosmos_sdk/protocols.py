"""The contract. B worlds (rows), T latents kept, F frames, K signals, V views, N tokens, D width, h w pixels.

Roles are Protocols: a class satisfies one by having its members, without importing this module. Their
attributes are read-only properties, so that a plain attribute of a narrower type satisfies them too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from gymnasium.spaces import Space
from torch import Tensor

from cosmos_sdk.rng import Rng
from cosmos_sdk.state import Control, Masked, Signals, Tensors, WorldState

if TYPE_CHECKING:
    from cosmos_sdk.world import WorldModel


class Tokenizer(Protocol):
    """Frames (B, F, V, 3, h, w) uint8 <-> latents (B, T, *latent); views and compression of time are its business."""

    @property
    def latent_shape(self) -> tuple[int, ...]: ...
    def encode(self, frames: Tensor) -> Tensor: ...
    def decode(
        self, latents: Tensor, num_frames: int
    ) -> Tensor: ...  # the last num_frames; earlier latents are context


class Conditioner(Protocol):
    """One control signal. Signal k belongs to the frame it leads to. Reference pose, prompt tokens live in memory."""

    @property
    def start_space(self) -> Space[Any] | None: ...  # given once per episode
    @property
    def space(
        self,
    ) -> Space[Any] | None: ...  # given per frame; a block of 5 controls per frame is Box(5, A)
    @property
    def num_tokens(self) -> int: ...  # N
    @property
    def width(self) -> int: ...  # D, its own; the backend projects
    def start(self, signal: Masked) -> Tensors: ...  # (B, *start_space.shape), mask (B,)
    # signal (B, K, *space.shape), time (B, K) frames since reset (0 = newest context frame) -> tokens, next memory
    def embed(self, signal: Masked, time: Tensor, memory: Tensors) -> tuple[Masked, Tensors]: ...


@dataclass(frozen=True, eq=False)
class Prediction:
    """What one predict adds to a state."""

    latents: Tensor  # (B, n, *latent), n >= 1: appended; the world keeps the last T
    features: Tensor  # (B, chunk, W)
    memory: Tensors  # the backend's next memory


class Backend(Protocol):
    """Predicts. Holds weights and run-time options, never episode state; draws randomness from rng only."""

    @property
    def context(
        self,
    ) -> int: ...  # frames that reset encodes; shorter histories repeat their first frame
    @property
    def window(self) -> int: ...  # T
    @property
    def chunk(self) -> int: ...  # frames made, and signals per name consumed, by one predict
    @property
    def feature_width(self) -> int: ...  # W
    @property
    def differentiable(
        self,
    ) -> bool: ...  # true gradients from latents to control; declared, cannot be measured

    sampling: Any  # frozen dataclass: num_steps, temperature, guidance (one scale per signal)

    def start(
        self, latents: Tensor, control: Control, rng: Rng
    ) -> tuple[Tensor, Tensors]: ...  # features, memory
    def predict(self, state: WorldState, control: Control, rng: Rng) -> Prediction: ...


class Head(Protocol):
    """A function of a transition: reward, termination probability. Returns (B, chunk, *) and its next memory."""

    def start(self, state: WorldState) -> Tensors: ...
    def read(
        self, before: WorldState, control: Control, after: WorldState, memory: Tensors
    ) -> tuple[Tensor, Tensors]: ...


class Readout(Protocol):
    """A function of one state, so it exists at reset too: proprioception, success, value."""

    def read(self, state: WorldState) -> Tensor: ...  # (B, *)


@dataclass(frozen=True, eq=False)
class Batch:
    """Training sequences. Embodiments are named conditioners, masked where they do not apply."""

    frames: Tensor  # (B, F, V, 3, h, w) uint8
    valid: Tensor  # (B, F) bool, padding on the right
    start: Signals
    signals: (
        Signals  # (B, F, ...); the action of frame 0 is masked unless the clip knows what led to it
    )
    targets: Mapping[str, Masked]  # per head or readout, (B, F, ...)
    latents: Tensor | None = None  # (B, T, *latent): encoded before; then frames may be empty


class TrainableTokenizer(Tokenizer, Protocol):
    """A tokenizer that learns. Targets (B, F, ...), such as the state, are auxiliary; an absent one adds nothing."""

    def loss(
        self, frames: Tensor, valid: Tensor, targets: Mapping[str, Masked], rng: Rng
    ) -> Tensors: ...  # term -> (B,)


class TrainableBackend(Backend, Protocol):
    """A backend that learns; returns its terms per row and the features (B, F, W) that heads train on."""

    def loss(
        self, latents: Tensor, control: Control, valid: Tensor, rng: Rng
    ) -> tuple[Tensors, Tensor]: ...


@runtime_checkable
class TrainableHead(Protocol):
    """Beside Head or Readout: learns from latents (B, F, *latent) or features (B, F, W); masked targets add none."""

    def loss(
        self, latents: Tensor, features: Tensor, control: Control, target: Masked
    ) -> Tensors: ...


@dataclass(frozen=True, eq=False)
class Rollout:
    """An imagined future of K frames. Where a backend unrolls, its parts are made when they are first read."""

    state: WorldState  # the last; intermediate ones would keep K caches alive
    values: Tensors  # head -> (B, K, *); readout -> (B, K / chunk, *), read after every predict
    latents: Tensor | None  # (B, K / chunk, T, *latent) when asked for


class Objective(Protocol):
    """What a planner minimises: composes by weighted sum; per-row goals are its own, (B, ...).

    Planners imagine row by row. An objective with per-row goals also has `rows(index)`, a slice or a tensor as in
    `WorldState.rows`, which selects them; one that needs `Rollout.latents` says so by an attribute `needs_latents`.
    `control.cond` is empty: read `control.signals`.
    """

    def cost(self, rollout: Rollout, control: Control) -> Tensor: ...  # (B,)


@dataclass(frozen=True, eq=False)
class PlanResult:
    """A plan, and how it was found."""

    actions: Tensor  # (B, K, *space.shape), chunk divides K
    cost: Tensor  # (B,)
    trace: Tensor  # (B, iterations) best cost so far
    seconds: float


class Planner(Protocol):
    """Finds controls of low cost in an imagined future; must `reseed` first, or it foresees the environment's noise.

    `given`: signals fixed for the plan (prompt, camera path). `previous`: the caller's last plan, for a warm start,
    cleared per row at reset. `deadline`: seconds.
    """

    def plan(
        self,
        world: WorldModel,
        state: WorldState,
        objective: Objective,
        rng: Rng,
        given: Signals = ...,
        previous: PlanResult | None = None,
        deadline: float | None = None,
    ) -> PlanResult: ...


@dataclass(frozen=True)
class Spec:
    """Known before anything is built: from the dataset or the ActionSpec."""

    frames: tuple[int, int, int]  # V, h, w
    rate: float  # frames per second
    spaces: Mapping[str, Space[Any]]  # raw signals
    targets: Mapping[str, Space[Any]] = field(default_factory=dict[str, Space[Any]])
    cameras: tuple[str, ...] = ()  # one name per view; empty: camera_0, camera_1, ...


@dataclass(frozen=True)
class Parts:
    """What stands while a world is built: tokenizer, conditioners, backend, heads, in this order."""

    spec: Spec
    name: str = (
        ""  # the key under which the new component stands: a conditioner's signal, a head's target
    )
    tokenizer: Tokenizer | None = None
    conditioners: Mapping[str, Conditioner] = field(default_factory=dict[str, Conditioner])
    backend: Backend | None = None


# register_backends(register): register("mine", "my_pkg.mine:Mine"), a class or function; its config class is the
# annotation of its first parameter
Factory = Callable[[Any, Parts], Any]
