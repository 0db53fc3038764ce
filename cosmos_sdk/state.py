"""What worlds remember, as a value. B worlds (rows), T latents kept, K signals, V views, N tokens, D width."""

# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false
# safetensors declares PathLike without its parameter.

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import torch
from torch import Tensor

from cosmos_sdk.errors import CheckpointError, ShapeError
from cosmos_sdk.files import replacing

Tensors = Mapping[str, Tensor]  # every value is batch-first
_FIELDS = ("latents", "features", "time", "seed")
_FORMAT = "cosmos-sdk/world-state/1"


@final
@dataclass(frozen=True, eq=False)
class Masked:
    """Values, and where they exist. Absence is a mask: missing signal, padding, dropped or unused token."""

    values: Tensor
    mask: Tensor  # bool, the leading axes of values

    def zeroed(self) -> Masked:
        """The same with zeros where nothing exists; a product with the mask would let a NaN through."""
        if self.is_whole():
            return self
        mask = self.mask.view(*self.mask.shape, *[1] * (self.values.ndim - self.mask.ndim))
        return Masked(torch.where(mask, self.values, torch.zeros_like(self.values)), self.mask)

    def is_whole(self) -> bool:
        """Whether all is known to exist. Only a CPU is asked: another device would have to be waited for."""
        return self.mask.device.type == "cpu" and bool(self.mask.all())


Signals = Mapping[
    str, Tensor | Masked
]  # raw, (B, K, *space.shape); a plain tensor is present everywhere


@final
@dataclass(frozen=True, eq=False)
class Control:
    """The signals of K frames. Every conditioner of the world is present; what was not given is masked."""

    signals: Mapping[str, Masked]  # raw: values (B, K, *space.shape), mask (B, K)
    cond: Mapping[
        str, Masked
    ]  # embedded: values (B, K|1, V|1, N, D), mask (B, K|1, V|1, N); 1 = broadcast


@final
@dataclass(frozen=True, eq=False)
class WorldState:
    """All that B worlds remember, randomness included.

    A step changes no shape. Tensors may be views of one another: never write in place.
    """

    latents: Tensor  # (B, T, *latent), oldest first, any dtype; their decoding ends with the newest frame
    features: Tensor  # (B, chunk, W) of the pass that made the newest frames; W may be 0
    memory: Mapping[
        str, Tensors
    ]  # "backend", each conditioner, each head: private; "start": raw once-per-episode signals
    time: Tensor  # (B,) int64, frames since reset
    seed: Tensor  # (B,) int64

    def __len__(self) -> int:
        return self.seed.shape[0]

    @staticmethod
    def late(make: Callable[[str], Any]) -> WorldState:
        """A state that makes each field, by its name, when it is first read; for who may not look at all of them."""
        state = object.__new__(WorldState)
        state.__dict__["_make"] = make
        return state

    if not TYPE_CHECKING:  # a type checker would believe in any attribute

        def __getattr__(self, name: str) -> Any:
            """Makes a field; asked only for what is not there."""
            make = self.__dict__.get("_make")
            if make is None or name not in WorldState.__dataclass_fields__:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            value = self.__dict__[name] = make(name)
            return value

    def __reduce__(self) -> tuple[Any, ...]:
        return WorldState, (self.latents, self.features, self.memory, self.time, self.seed)

    def map(self, fn: Callable[[Tensor], Tensor]) -> WorldState:
        """Applies `fn` to every tensor: `state.map(torch.clone)`, `state.map(lambda x: x.to(device))`."""
        memory = {c: {k: fn(v) for k, v in named.items()} for c, named in self.memory.items()}
        return WorldState(fn(self.latents), fn(self.features), memory, fn(self.time), fn(self.seed))

    def merge(self, other: WorldState, fn: Callable[[Tensor, Tensor], Tensor]) -> WorldState:
        """Applies `fn` to every pair of tensors of two states of one world.

        Raises:
            ShapeError: the two states do not hold the same tensors.
        """
        mine, others = self.tensors(), other.tensors()
        if mine.keys() != others.keys():
            odd = sorted(mine.keys() ^ others.keys())
            raise ShapeError(
                "the other state", f"one with other tensors ({odd})", "a state of the same world"
            )
        flat = {name: fn(tensor, others[name]) for name, tensor in mine.items()}
        return _unflatten(flat, list(self.memory))

    def rows(self, index: Tensor | slice) -> WorldState:
        """Selects, permutes or repeats rows by an index (n,), a mask (B,) or a slice; the batch axis stays."""
        return self.map(lambda tensor: tensor[index])

    def branch(self, n: int) -> WorldState:
        """Each row n times, (B * n) row-major, with the same seeds: the branches share their noise.

        One row becomes n stride-0 views, which cost nothing; several rows are copied.
        """
        if len(self) == 1:
            return self.map(lambda tensor: tensor.expand(n, *tensor.shape[1:]))
        return self.map(lambda tensor: tensor.repeat_interleave(n, 0))

    def put(self, index: Tensor, other: WorldState) -> WorldState:
        """Rows `index` (n,) replaced by the n rows of `other`: the reset of single slots. Others keep their bits.

        Raises:
            ShapeError: a row of `other` has another shape or dtype than the rows here.
        """
        index = torch.as_tensor(index, device=self.seed.device)
        mine, others = self.tensors(), other.tensors()
        for name in mine.keys() & others.keys():
            got, want = others[name], mine[name]
            if got.shape[1:] != want.shape[1:] or got.dtype != want.dtype:
                expected = f"{tuple(want.shape[1:])} {want.dtype}"
                raise ShapeError(
                    f"a row of {name}", f"{tuple(got.shape[1:])} {got.dtype}", expected
                )
        return self.merge(other, lambda a, b: a.contiguous().index_copy(0, index, b.to(a.device)))

    def reseed(self, seed: Tensor) -> WorldState:
        """Other futures from the same present. A planner must, or it foresees the noise of the environment."""
        if seed.shape != self.seed.shape:
            raise ShapeError("seed", tuple(seed.shape), tuple(self.seed.shape))
        latents, features, time = self.latents, self.features, self.time
        return WorldState(latents, features, self.memory, time, seed.to(self.seed))

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor under a flat name: `latents`, ..., `memory/backend/keys`."""
        flat = {name: getattr(self, name) for name in _FIELDS}
        for component, named in self.memory.items():
            flat |= {f"memory/{component}/{name}": tensor for name, tensor in named.items()}
        return flat

    def save(self, path: str | Path) -> None:
        """Writes one safetensors file, whole or not at all (WriteError)."""
        from safetensors.torch import save_file

        # safetensors refuses tensors that share storage (branched states do): each is written as its own copy
        flat = {
            name: tensor.detach().cpu().clone().contiguous()
            for name, tensor in self.tensors().items()
        }
        metadata = {"format": _FORMAT, "components": json.dumps(list(self.memory))}
        with replacing(Path(path)) as draft:
            save_file(flat, draft, metadata)

    @staticmethod
    def load(path: str | Path) -> WorldState:
        """Reads a state that `save` wrote.

        Raises:
            CheckpointError: the file is missing, damaged or not a world state.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "pt") as file:
                metadata: dict[str, str] = file.metadata() or {}
                names: list[str] = list(file.keys())
                flat: dict[str, Tensor] = {name: file.get_tensor(name) for name in names}
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path} cannot be read as a world state: {error}.") from error
        if metadata.get("format") != _FORMAT:
            raise CheckpointError(
                f"{path} has format {metadata.get('format')!r}; expected {_FORMAT!r}, as WorldState.save writes it."
            )
        return _unflatten(flat, json.loads(metadata["components"]))


def _unflatten(flat: Tensors, components: list[str]) -> WorldState:
    memory: dict[str, dict[str, Tensor]] = {component: {} for component in components}
    for name, tensor in flat.items():
        if name.startswith("memory/"):
            _, component, key = name.split("/", 2)
            memory[component][key] = tensor
    return WorldState(flat["latents"], flat["features"], memory, flat["time"], flat["seed"])
