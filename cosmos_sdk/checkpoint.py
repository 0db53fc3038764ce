"""A checkpoint is a folder: `config.yaml`, `model.safetensors`, `card.md`. No pickle is ever read.

Every file is written beside its place, flushed to the disk and renamed, `config.yaml` last: a kill at any moment, or a
full disk, leaves the old file or the new one, and a folder without `config.yaml` is no checkpoint.
"""

# pyright: reportUnknownVariableType=false
# safetensors declares PathLike without its parameter.
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from cosmos_sdk.build import build
from cosmos_sdk.config import WorldConfig, read_yaml, write_yaml
from cosmos_sdk.errors import CheckpointError, UnknownNameError
from cosmos_sdk.files import replacing
from cosmos_sdk.registry import registry
from cosmos_sdk.world import WorldModel

FORMAT = 1  # a folder of another number is refused: its reader is another version of this package
CONFIG, WEIGHTS, CARD = "config.yaml", "model.safetensors", "card.md"
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
PICKLE_SUFFIXES = {".pt", ".pth", ".pkl", ".ckpt", ".bin"}
PICKLE_STARTS = (b"\x80", b"PK\x03\x04")  # a bare pickle, and the zip that torch.save writes


def save_pretrained(
    world: WorldModel,
    folder: str | Path,
    *,
    config: WorldConfig | None = None,
    dtype: str = "float32",
    card: str | None = None,
) -> Path:
    """Writes a checkpoint folder; other files in it stay.

    Args:
        world: its parameters and persistent buffers are stored.
        folder: made when absent.
        config: how to build the world again; `world.config` when absent.
        dtype: how floating tensors are stored; 16-bit ones are restored to the dtype of the parameters.
        card: Markdown: data, steps, metrics with seeds, licence. Without it an existing card stays.

    Raises:
        CheckpointError: there is no config, or a weight does not fit the dtype.
        WriteError: the disk is full; the old checkpoint stands.
    """
    config = config or world.config
    if config is None:
        raise CheckpointError(
            "This world was composed by hand and has no config. Pass `config=`, or make it by `build`."
        )
    if dtype not in DTYPES:
        raise CheckpointError(
            f"Weights cannot be stored as {dtype!r}; choose one of {', '.join(DTYPES)}."
        )
    tensors = {
        name: _stored(name, tensor, DTYPES[dtype]) for name, tensor in world.state_dict().items()
    }
    text = write_yaml({"format": FORMAT, **config.to_mapping()})
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / CONFIG).is_file() and (folder / CONFIG).read_text(encoding="utf-8") != text:
        (
            folder / CONFIG
        ).unlink()  # new weights must never stand beside the config of an older world
    with replacing(folder / WEIGHTS) as path:
        save_file(tensors, path)
    if card is not None:
        with replacing(folder / CARD) as path:
            path.write_text(card, encoding="utf-8")
    with replacing(folder / CONFIG) as path:
        path.write_text(text, encoding="utf-8")
    return folder


def from_pretrained(source: str | Path, device: str | torch.device = "cpu") -> WorldModel:
    """Loads a world, offline: a checkpoint folder, or the name of a world that a plugin bundles.

    Raises:
        CheckpointError: no such folder or name; truncated, foreign or of another version; tensors that are missing,
            left over or of another shape.
        ConfigError: the config names components that are not installed, or does not fit them.
    """
    folder = find(source)
    values = read_yaml(folder / CONFIG)
    number = values.pop("format", None)
    if number != FORMAT:
        reason = f"{folder / CONFIG} has format {number!r}; this version of cosmos_sdk reads format {FORMAT}."
        raise CheckpointError(f"{reason} Use the version that wrote it, or train the world again.")
    world = build(WorldConfig.from_mapping(values))
    tensors = read_weights(folder / WEIGHTS)
    _compare(folder / WEIGHTS, world.state_dict(), tensors)
    world.load_state_dict(tensors)
    return world.to(device)


def find(source: str | Path) -> Path:
    """The checkpoint folder that a path or a bundled name means."""
    folder = Path(source)
    if not folder.is_dir():
        try:
            folder = registry().world_path(str(source))
        except UnknownNameError as error:
            raise CheckpointError(
                f"{str(source)!r} is no folder and no bundled world. {error}"
            ) from error
    if not (folder / CONFIG).is_file():
        present = ", ".join(sorted(path.name for path in folder.iterdir())) or "nothing"
        remedy = (
            f"Train it: cosmos-sdk train config={source}."
            if (folder / "recipe.yaml").is_file()
            else ""
        )
        raise CheckpointError(
            f"{folder} is no checkpoint: it has no {CONFIG}, but {present}. {remedy}".rstrip()
        )
    return folder


def read_weights(path: Path) -> dict[str, Tensor]:
    """Reads tensors by name; refuses pickles, whose loading would run the code of whoever wrote them."""
    if not path.is_file():
        pickles = sorted(
            other.name for other in path.parent.iterdir() if other.suffix in PICKLE_SUFFIXES
        )
        refused = (
            f" Pickles are never loaded: {', '.join(pickles)}. Convert them to safetensors."
            if pickles
            else ""
        )
        raise CheckpointError(f"{path} is missing.{refused}")
    with path.open("rb") as file:
        start = file.read(4)
    if start.startswith(PICKLE_STARTS):
        raise CheckpointError(
            f"{path} is a pickle; loading it could run foreign code, so it is refused. Convert it."
        )
    try:
        return load_file(path)
    except SafetensorError as error:
        size = path.stat().st_size
        raise CheckpointError(
            f"{path} ({size} bytes) is truncated or damaged: {error}. Copy it again."
        ) from error


def _stored(name: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """A copy of its own: safetensors refuses two names of one storage."""
    plain = tensor.detach().cpu()
    if not plain.is_floating_point():
        return plain.clone(memory_format=torch.contiguous_format)
    stored = plain.to(dtype, copy=True, memory_format=torch.contiguous_format)
    if plain.isfinite().all() and not stored.isfinite().all():
        raise CheckpointError(
            f"{name} holds values up to {plain.abs().max():g}, beyond {dtype}. Store it as bfloat16."
        )
    return stored


def _compare(path: Path, expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    problems = [f"{name} is missing" for name in expected if name not in found]
    problems += [f"{name} belongs to no component" for name in found if name not in expected]
    problems += [
        f"{name} is {tuple(tensor.shape)}; expected {tuple(expected[name].shape)}"
        for name, tensor in found.items()
        if name in expected and tensor.shape != expected[name].shape
    ]
    if problems:
        shown = "\n".join(f"  - {problem}" for problem in problems[:10])
        rest = f"\n  - and {len(problems) - 10} more" if len(problems) > 10 else ""
        raise CheckpointError(f"{path} does not fit its {CONFIG}:\n{shown}{rest}")
