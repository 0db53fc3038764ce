"""The world model: a pure function of an explicit, immutable, batch-first state, its randomness included."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Generic, NoReturn, Self, TypeVar, cast, final

import torch
from torch import Tensor, nn

from cosmos_sdk import control
from cosmos_sdk.config import WorldConfig, merge
from cosmos_sdk.errors import ConfigError, PluginError, SamplingError, ShapeError, did_you_mean
from cosmos_sdk.likelihood import ScoringBackend
from cosmos_sdk.protocols import (
    Backend,
    Batch,
    Conditioner,
    Head,
    Prediction,
    Readout,
    Rollout,
    Spec,
    Tokenizer,
    TrainableBackend,
    TrainableHead,
)
from cosmos_sdk.rng import START, Rng
from cosmos_sdk.state import Control, Masked, Signals, Tensors, WorldState
from cosmos_sdk.unrolling import Late, Unroll, Unrolling, ahead, deferred

Memory = Mapping[str, Tensors]
C = TypeVar("C")


@final
class ComponentDict(nn.Module, Generic[C]):
    """Named components. Those that are Modules are registered; others, a simulator for one, stay plain."""

    def __init__(self, components: Mapping[str, C]) -> None:
        """Takes the components in the order in which they are to be called."""
        super().__init__()
        self._names = tuple(components)
        self._plain = {n: c for n, c in components.items() if not isinstance(c, nn.Module)}
        for name, component in components.items():
            if isinstance(component, nn.Module):
                self.add_module(name, component)

    def __getitem__(self, name: str) -> C:
        return self._plain[name] if name in self._plain else self._modules[name]  # pyright: ignore[reportReturnType]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def items(self) -> list[tuple[str, C]]:
        """The pairs (name, component), in order."""
        return [(name, self[name]) for name in self._names]


@final
class WorldModel(nn.Module):
    """A learned simulator. An nn.Module (parameters, to, state_dict), in eval mode when built. Never subclassed."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        backend: Backend,
        conditioners: Mapping[str, Conditioner],
        heads: Mapping[str, Head],
        readouts: Mapping[str, Readout],
        spec: Spec | None = None,
        config: WorldConfig | None = None,
    ) -> None:
        """Composes the parts; `spec` and `config` are what `build` made them from.

        Raises:
            ConfigError: two components share a name, and so a namespace in `WorldState.memory`.
        """
        super().__init__()
        names = ["backend", "start", *conditioners, *heads, *readouts]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ConfigError(
                [
                    f"the name {name!r} is used by two components; each needs its own"
                    for name in twice
                ]
            )
        self.tokenizer, self.backend = tokenizer, backend
        self.conditioners = ComponentDict(conditioners)
        self.heads, self.readouts = ComponentDict(heads), ComponentDict(readouts)
        self.spec, self.config = spec, config
        self.eval()

    @property
    def device(self) -> torch.device:
        """Where the parameters are; a world without any runs on the CPU."""
        return next((p.device for p in self.parameters()), torch.device("cpu"))

    @property
    def dtype(self) -> torch.dtype:
        """The dtype that floating signals are cast to: that of the parameters, else float32."""
        return next((p.dtype for p in self.parameters() if p.is_floating_point()), torch.float32)

    def reset(
        self, frames: Tensor, start: Signals, seed: Tensor, history: Signals | None = None
    ) -> WorldState:
        """Starts B worlds from real frames.

        Args:
            frames: (B, F, V, 3, h, w) uint8, oldest first; a short history repeats its first frame.
            start: once-per-episode signals, each (B, *start_space.shape).
            seed: (B,) int64; a row's whole future is a function of its seed and its controls.
            history: the signals of the frames, each (B, F, ...); signal k led to frame k.
        """
        expected = self.spec.frames if self.spec else None
        control.check_frames(frames, expected)
        frames = control.repeat_first(frames[:, -self.backend.context :], self.backend.context)
        return self.start(self.tokenizer.encode(frames.to(self.device)), start, seed, history)

    def start(
        self, latents: Tensor, start: Signals, seed: Tensor, history: Signals | None = None
    ) -> WorldState:
        """Starts B worlds from latents (B, n, *latent): cached encodings, or the state of a simulator."""
        if seed.shape != latents.shape[:1]:
            raise ShapeError(
                "seed", tuple(seed.shape), f"one int64 per row: {tuple(latents.shape[:1])}"
            )
        rows, context = latents.shape[0], self.backend.context
        seed = seed.to(latents.device, torch.int64)
        given = control.fill_start(
            self.conditioners.items(), start, rows, latents.device, self.dtype
        )
        memory: dict[str, Tensors] = {
            name: c.start(given[name]) for name, c in self.conditioners.items()
        }
        time = torch.arange(1 - context, 1, device=latents.device).expand(
            rows, -1
        )  # 0 = newest context frame
        padded = control.left_pad(history or {}, context)
        embedded, memory = self._embed(memory, padded, time)
        latents = control.repeat_first(latents, self.backend.window)
        features, own = self.backend.start(
            latents, embedded, Rng(seed, torch.zeros_like(seed), START)
        )
        memory["start"] = {n: m.values for n, m in given.items() if m.values.numel()}
        state = WorldState(
            latents[:, -self.backend.window :],
            features,
            {**memory, "backend": own},
            torch.zeros_like(seed),
            seed,
        )
        return replace(
            state, memory={**state.memory, **{n: h.start(state) for n, h in self.heads.items()}}
        )

    def step(self, state: WorldState, signals: Signals) -> tuple[WorldState, Tensors]:
        """One predict: the next state, and what each head says, (B, chunk, *).

        Args:
            state: of B worlds; it is not changed.
            signals: each (B, chunk, *space.shape); what is not given is masked.

        Raises:
            SignalError, ShapeError: a signal this world does not take, of another shape, or not finite.
        """
        embedded, memory, time = self._signal(state, signals)
        new = self.backend.predict(state, embedded, Rng(state.seed, state.time))
        return self._after(state, embedded, memory, time, new)

    def score(
        self, state: WorldState, signals: Signals, latents: Tensor
    ) -> tuple[WorldState, Tensors, Tensor]:
        """The step to frames that were observed, not imagined: the next state, what heads say, and a likelihood.

        Args:
            state: of B worlds; it is not changed.
            signals: as for `step`.
            latents: of the observed frames, (B, n, *latent), as `tokenizer.encode` gives them.

        Returns:
            The state and the values of `step`, and the log-likelihood (B,) in nats of the latents given all before.

        Raises:
            PluginError: the frames of this backend have no likelihood.
            SignalError, ShapeError: as `step` does.
        """
        backend = self.backend
        if not isinstance(backend, ScoringBackend):
            raise PluginError(
                type(backend).__name__,
                "this backend cannot say how likely a frame is.",
                "It has no method `score`; the backend 'autoregressive' has.",
            )
        embedded, memory, time = self._signal(state, signals)
        new, log_prob = backend.score(state, embedded, latents)
        return *self._after(state, embedded, memory, time, new), log_prob

    def rollout(self, state: WorldState, signals: Signals, keep_latents: bool = False) -> Rollout:
        """Steps through signals (B, K, *), where chunk divides K. Values of heads and readouts come along."""
        chunk = self.backend.chunk
        num_frames = control.num_frames(signals)
        num_steps, rest = divmod(num_frames, chunk)
        if rest or not num_steps:
            multiple = f"a positive multiple of the backend's chunk, {chunk}"
            raise ShapeError("the number of signals", num_frames, multiple)
        unroll: Unroll | None = getattr(self.backend, "unroll", None)
        if unroll is not None and not any(state.memory.get(name) for name in self.heads):
            return self._unrolled(unroll, state, signals, num_frames, keep_latents)
        heard: dict[str, list[Tensor]] = {name: [] for name in (*self.heads, *self.readouts)}
        kept: list[Tensor] = []
        for k in range(num_steps):
            state, values = self.step(
                state, control.frames_of(signals, slice(k * chunk, (k + 1) * chunk))
            )
            observed = {name: value[:, None] for name, value in self.observe(state).items()}
            for name, value in {**values, **observed}.items():
                heard[name].append(value)
            if keep_latents:
                kept.append(state.latents)
        together = {name: torch.cat(values, 1) for name, values in heard.items()}
        return Rollout(state, together, torch.stack(kept, 1) if keep_latents else None)

    def _unrolled(
        self,
        unroll: Unroll,
        state: WorldState,
        signals: Signals,
        num_frames: int,
        keep_latents: bool,
    ) -> Rollout:
        """The rollout by one call of the backend; what comes of it is read late."""
        filled = self._filled(signals, lambda: ahead(state, num_frames))

        def embed(name: str) -> tuple[Masked, Tensors]:
            return self._tokens(name, filled, ahead(state, num_frames), state.memory)

        tokens = Late(filled, embed)
        given = Control(filled, Late(filled, lambda name: tokens[name][0]))
        new = unroll(state, given)
        future = Unrolling(state, given, num_frames, new, self.backend.chunk)
        self._check_features("unroll", new.features, future.lead)
        heads, readouts = self.heads, self.readouts

        def value(name: str) -> Tensor:
            return future.hear(heads[name]) if name in heads else future.observe(readouts[name])

        def memory() -> Memory:
            after = {name: memory for name, (_, memory) in tokens.items()}
            return {**state.memory, **after, "backend": new.memory}

        values = Late((*heads, *readouts), deferred(value))
        return Rollout(future.last(memory), values, future.latents if keep_latents else None)

    def decode(self, state: WorldState, num_frames: int | None = None) -> Tensor:
        """The newest frames, (B, num_frames or chunk, V, 3, h, w) uint8."""
        return self.tokenizer.decode(
            state.latents, self.backend.chunk if num_frames is None else num_frames
        )

    def observe(self, state: WorldState) -> Tensors:
        """What each readout reads off the state, (B, *)."""
        return {name: readout.read(state) for name, readout in self.readouts.items()}

    def loss(self, batch: Batch, rng: Rng) -> Tensors:
        """The losses of backend and heads, tokenizer frozen: "component/term" -> (B,).

        Raises:
            PluginError: the backend has no `loss`.
        """
        backend = self.backend
        if not callable(getattr(backend, "loss", None)):
            raise PluginError(
                type(backend).__name__,
                "this backend cannot be trained.",
                "It has no method `loss`.",
            )
        trainable: TrainableBackend = backend  # pyright: ignore[reportAssignmentType]
        latents = batch.latents
        if latents is None:
            with torch.no_grad():
                latents = self.tokenizer.encode(batch.frames)
        rows, num_frames = batch.valid.shape
        given = control.fill_start(
            self.conditioners.items(), batch.start, rows, latents.device, self.dtype
        )
        memory = {name: c.start(given[name]) for name, c in self.conditioners.items()}
        time = torch.arange(num_frames, device=latents.device) - (backend.context - 1)
        signals = control.restrict(batch.signals, batch.valid)
        embedded, _ = self._embed(memory, signals, time.expand(rows, -1))
        terms, features = trainable.loss(latents, embedded, batch.valid, rng)
        losses = {f"backend/{term}": value for term, value in terms.items()}
        for name, part in (*self.heads.items(), *self.readouts.items()):
            if isinstance(part, TrainableHead) and name in batch.targets:
                target = control.restrict({name: batch.targets[name]}, batch.valid)[name].zeroed()
                own = part.loss(latents, features, embedded, target)
                losses |= {f"{name}/{term}": value for term, value in own.items()}
        return losses

    def using(self, **sampling: Any) -> Self:
        """The same weights under other run-time options: `world.using(num_steps=1)`.

        Raises:
            SamplingError: the backend has no such option, or it takes no such value.
        """
        now = self.backend.sampling
        known = [field.name for field in fields(now)]
        for name in sampling:
            if name not in known:
                choices = ", ".join(known)
                raise SamplingError(
                    f"{type(self.backend).__name__} has no run-time option {name!r}."
                    f"{did_you_mean(name, known)} Options: {choices}."
                )
        problems: list[str] = []
        merge(cast("type[Any]", type(now)), sampling, "using", problems)
        if problems:
            raise SamplingError(" ".join(problems))
        other = copy.copy(self)
        other._modules = dict(self._modules)  # a shallow copy shares this dict with the original
        backend = copy.copy(self.backend)
        if isinstance(backend, nn.Module):  # a wrapper's setter may replace what it wraps
            backend._modules = dict(backend._modules)
        backend.sampling = replace(now, **sampling)
        other.backend = backend
        return other

    def save_pretrained(self, folder: str | Path, **options: Any) -> Path:
        """Writes a checkpoint folder; see `cosmos_sdk.checkpoint.save_pretrained`."""
        from cosmos_sdk.checkpoint import save_pretrained

        return save_pretrained(self, folder, **options)

    @staticmethod
    def from_pretrained(source: str | Path, device: str | torch.device = "cpu") -> WorldModel:
        """Loads a checkpoint folder or a bundled world by its name; see `cosmos_sdk.checkpoint.from_pretrained`."""
        from cosmos_sdk.checkpoint import from_pretrained

        return from_pretrained(source, device)

    def _embed(
        self, memory: Memory, signals: Signals, time: Tensor
    ) -> tuple[Control, dict[str, Tensors]]:
        """Fills in what is missing as masked zeros, embeds, and collects the conditioners' next memories."""
        filled = self._filled(signals, lambda: time)
        cond: dict[str, Masked] = {}
        after: dict[str, Tensors] = {}
        for name in filled:
            cond[name], after[name] = self._tokens(name, filled, time, memory)
        return Control(filled, cond), after

    def _filled(self, signals: Signals, time: Callable[[], Tensor]) -> control.Filled:
        if isinstance(signals, control.Filled):
            return signals
        return control.fill(self.conditioners.items(), signals, time(), self.dtype)

    def _tokens(
        self, name: str, filled: Mapping[str, Masked], time: Tensor, memory: Memory
    ) -> tuple[Masked, Tensors]:
        """The tokens of one signal, and the next memory of its conditioner."""
        conditioner = self.conditioners[name]
        tokens, after = conditioner.embed(filled[name], time, memory.get(name, {}))
        return control.check_tokens(name, conditioner, tokens, time).zeroed(), after

    def _signal(
        self, state: WorldState, signals: Signals
    ) -> tuple[Control, dict[str, Tensors], Tensor]:
        """The control of one predict, the conditioners' next memories, and the times (B, chunk) of its frames."""
        time = ahead(state, self.backend.chunk)
        return *self._embed(state.memory, signals, time), time

    def _after(
        self,
        state: WorldState,
        embedded: Control,
        memory: dict[str, Tensors],
        time: Tensor,
        new: Prediction,
    ) -> tuple[WorldState, Tensors]:
        """The state that a prediction leads to, and what each head says of the way there."""
        self._check(new, state)
        window, latents = self.backend.window, new.latents
        if latents.shape[1] < window:
            latents = torch.cat((state.latents, latents), 1)
        latents = latents[:, -window:]
        memory = {**state.memory, **memory, "backend": new.memory}
        after = WorldState(latents, new.features, memory, time[:, -1], state.seed)
        values: dict[str, Tensor] = {}
        for name, head in self.heads.items():
            values[name], memory[name] = head.read(
                state, embedded, after, state.memory.get(name, {})
            )
        return after, values

    def _check(self, new: Prediction, state: WorldState) -> None:
        """A backend that breaks the contract is named here, not three modules later."""
        self._check_features("predict", new.features, (len(state), self.backend.chunk))
        rows, latent = len(state), state.latents.shape[2:]
        if new.latents.shape[0] != rows or new.latents.shape[2:] != latent:
            self._refuse("predict", f"latents {tuple(new.latents.shape)}", (rows, "n", *latent))

    def _check_features(self, method: str, features: Tensor, lead: tuple[int, ...]) -> None:
        expected = (*lead, self.backend.feature_width)
        if features.shape != expected:
            self._refuse(method, f"features {tuple(features.shape)}", expected)

    def _refuse(self, method: str, got: str, expected: tuple[object, ...]) -> NoReturn:
        remedy = "Run cosmos_sdk.testing.check_backend on it."
        problem = f"{method} returned {got}; expected {expected}."
        raise PluginError(type(self.backend).__name__, problem, remedy)
