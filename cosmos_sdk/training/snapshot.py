"""The whole state of a run in one file: weights, averages, Adam's moments, position. Whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from cosmos_sdk.errors import CheckpointError
from cosmos_sdk.files import replacing

FORMAT = "cosmos-sdk/training/1"
FILE = "training.safetensors"


@dataclass(frozen=True)
class Position:
    """Where a run stands. Data and noise are functions of (seed, stage, step): no generator has to be kept."""

    stage: int = 0
    step: int = 0  # updates made in this stage
    num_averaged: int = 0  # updates of the averaged weights
    seconds: float = 0.0  # of training so far, over all interruptions


@dataclass(frozen=True, eq=False)
class Snapshot:
    """What `write` stores. `tensors` holds groups: "world/...", "ema/...", "optimiser/..."."""

    position: Position
    tensors: Mapping[str, Tensor]

    def group(self, name: str) -> dict[str, Tensor]:
        """The tensors of one group, without its prefix."""
        return {
            key.removeprefix(f"{name}/"): t
            for key, t in self.tensors.items()
            if key.startswith(f"{name}/")
        }

    def write(self, folder: Path) -> None:
        """Takes the place of the snapshot in `folder`.

        Raises:
            WriteError: the system refused; the earlier snapshot is unchanged.
        """
        # one file, so that one rename replaces everything; copies, because safetensors refuses shared storage
        flat = {name: t.detach().cpu().clone().contiguous() for name, t in self.tensors.items()}
        metadata = {"format": FORMAT, "position": json.dumps(asdict(self.position))}
        with replacing(folder / FILE) as path:
            path.write_bytes(save(flat, metadata))

    @staticmethod
    def read(folder: Path) -> Snapshot | None:
        """The snapshot of a folder, or None when a run has not written one yet."""
        path = folder / FILE
        if not path.is_file():
            return None
        try:
            with safe_open(path, "pt") as file:  # pyright: ignore[reportUnknownVariableType]
                metadata = cast("dict[str, str]", file.metadata() or {})  # pyright: ignore
                tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 # pyright: ignore
        except (SafetensorError, OSError) as error:
            raise CheckpointError(
                f"{path} is damaged: {error}. Delete it to train from the beginning."
            ) from error
        if metadata.get("format") != FORMAT:
            raise CheckpointError(
                f"{path} has format {metadata.get('format')!r}; expected {FORMAT!r}."
            )
        return Snapshot(Position(**json.loads(metadata["position"])), tensors)
