"""Many predicts in one call: the fast path of planners, for backends that have one.

An objective reads little of a future: a readout, perhaps, and not the reward. So a future that was unrolled is read
late: a head or readout is asked when somebody asks for its value, and states make what it looks at.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# torch declares no type for unflatten.
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ParamSpec, Protocol, TypeVar, final

import torch
from torch import Tensor

from cosmos_sdk.protocols import Head, Readout
from cosmos_sdk.state import Control, Masked, Tensors, WorldState

T = TypeVar("T")
P = ParamSpec("P")


@dataclass(frozen=True, eq=False)
class Unrolled:
    """What S = K / chunk predicts in a row add to a state."""

    latents: Callable[[], Tensor]  # gives (B, S n, *latent); called once if somebody looks at them
    features: Tensor  # (B, K, W), or (B, S, chunk, W): a view, where frames of a chunk are alike
    memory: Tensors  # the backend's, after the last predict


class UnrollingBackend(Protocol):
    """A backend that also predicts K frames at once, as `predict` would one chunk after the other.

    What it draws for a predict comes from `Rng(state.seed, time before that predict)`. The control is that of all K
    frames, embedded at once; a signal that it does not read in `control.cond` is not embedded. `world.rollout` unrolls
    where no head has a memory.
    """

    def unroll(self, state: WorldState, control: Control) -> Unrolled: ...


Unroll = Callable[[WorldState, Control], Unrolled]


@final
class Unrolling:
    """An unrolled future, read by heads and readouts all at once: the states before and after each predict as rows.

    These B S states hold no memory but the once-per-episode signals. Nothing that is made here refers back to a state
    or value that refers to it: what nobody needs any longer is freed at once, not when Python looks for cycles.
    """

    def __init__(
        self, state: WorldState, control: Control, num_frames: int, new: Unrolled, chunk: int
    ) -> None:
        """Takes the state at first, and the control (B, K, ...) of the frames."""
        self._state, self._control, self._num_frames, self._new = state, control, num_frames, new
        self._chunk, self._steps = chunk, num_frames // chunk
        self._latents: Tensor | None = None

    @property
    def lead(self) -> tuple[int, ...]:
        """The axes that features begin with, (B, K) or (B, S, chunk)."""
        by_chunks = self._new.features.ndim == 4
        frames = (self._steps, self._chunk) if by_chunks else (self._num_frames,)
        return len(self._state), *frames

    def hear(self, head: Head) -> Tensor:
        """What a head says of every frame, (B, K, *)."""
        before, after = WorldState.late(self._before), WorldState.late(self._after)
        value, _ = head.read(before, self._folded(), after, {})  # (B S, chunk, *)
        return value.reshape(-1, self._num_frames, *value.shape[2:])

    def observe(self, readout: Readout) -> Tensor:
        """What a readout reads after every predict, (B, S, *)."""
        return readout.read(WorldState.late(self._after)).unflatten(0, (-1, self._steps))

    def last(self, memory: Callable[[], Mapping[str, Tensors]]) -> WorldState:
        """The last state, with its memory."""

        def make(field: str) -> Any:
            match field:
                case "latents":
                    return self.latents[:, -1]
                case "features":
                    return self._features[:, -1]
                case "memory":
                    return memory()
                case "time":
                    return self._state.time + self._num_frames
                case _:
                    return self._state.seed

        return WorldState.late(deferred(make))

    @property
    def latents(self) -> Tensor:
        """The windows after each predict, (B, S, T, *latent)."""
        if self._latents is None:
            self._latents = self._windows()
        return self._latents

    def _windows(self) -> Tensor:
        first, made = self._state.latents, self._new.latents()
        window, count = first.shape[1], made.shape[1] // self._steps  # T, n
        if count == window:  # every predict fills it
            return made.reshape(len(made), self._steps, window, *made.shape[2:])
        history = torch.cat((first, made), 1)[:, count:]
        return history.unfold(1, window, count).movedim(-1, 2)

    @property
    def _features(self) -> Tensor:
        """(B, S, chunk, W)."""
        features = self._new.features
        return features if features.ndim == 4 else features.unflatten(1, (self._steps, self._chunk))

    def _after(self, field: str) -> Any:
        """A field of the states after each predict."""
        match field:
            case "latents":
                return self.latents.flatten(0, 1)
            case "features":
                return self._features.flatten(0, 1)
            case "memory":
                return self._start()
            case "time":
                return self._times()
            case _:
                return self._repeated(self._state.seed)

    def _before(self, field: str) -> Any:
        """A field of the states before each predict."""
        match field:
            case "latents":
                return _shifted(self._state.latents, self.latents)
            case "features":
                return _shifted(self._state.features, self._features)
            case "time":
                return self._times() - self._chunk
            case _:
                return self._after(field)

    def _times(self) -> Tensor:
        """Of the newest frame after each predict, (B S,)."""
        return ahead(self._state, self._num_frames)[:, self._chunk - 1 :: self._chunk].flatten()

    def _start(self) -> Mapping[str, Tensors]:
        given = self._state.memory.get("start", {})
        return {"start": {name: self._repeated(value) for name, value in given.items()}}

    def _folded(self) -> Control:
        """The control of each predict, (B S, chunk, ...)."""
        given = self._control
        signals = Late(given.signals, lambda name: self._fold(given.signals[name]))
        return Control(signals, Late(given.cond, lambda name: self._fold(given.cond[name])))

    def _fold(self, given: Masked) -> Masked:
        values, mask = given.values, given.mask
        if mask.shape[1] != self._num_frames:  # broadcast over frames
            return Masked(self._repeated(values), self._repeated(mask))
        lead = (len(mask) * self._steps, self._chunk)
        return Masked(
            values.reshape(*lead, *values.shape[2:]), mask.reshape(*lead, *mask.shape[2:])
        )

    def _repeated(self, given: Tensor) -> Tensor:
        """Each row as often as there are predicts, (B S, ...)."""
        return given[:, None].expand(-1, self._steps, *given.shape[1:]).flatten(0, 1)


def ahead(state: WorldState, num_frames: int) -> Tensor:
    """The times (B, num_frames) of the next frames."""
    return state.time[:, None] + torch.arange(1, num_frames + 1, device=state.time.device)


def _shifted(first: Tensor, later: Tensor) -> Tensor:
    """What was before each predict, (B S, ...), from (B, ...) at first and (B, S, ...) after each."""
    return torch.cat((first[:, None], later[:, :-1]), 1).flatten(0, 1)


@final
class Late(Mapping[str, T]):
    """Values by name, each made when it is first asked for: a dict in all else, and pickled or copied as one."""

    def __init__(self, names: Iterable[str], make: Callable[[str], T]) -> None:
        self._names, self._make = tuple(names), make
        self._made: dict[str, T] = {}

    def __getitem__(self, name: str) -> T:
        if name not in self._made:
            if name not in self._names:
                raise KeyError(name)
            self._made[name] = self._make(name)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self)}; made: {', '.join(self._made) or 'none'})"

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)


def deferred(make: Callable[P, T]) -> Callable[P, T]:
    """The same, to be called later as if it were now: with gradients, without, or in inference mode."""
    inference, gradients = torch.is_inference_mode_enabled(), torch.is_grad_enabled()

    def later(*args: P.args, **kwargs: P.kwargs) -> T:
        if inference == torch.is_inference_mode_enabled() and gradients == torch.is_grad_enabled():
            return make(*args, **kwargs)
        with torch.inference_mode(inference), torch.set_grad_enabled(gradients):
            return make(*args, **kwargs)

    return later
