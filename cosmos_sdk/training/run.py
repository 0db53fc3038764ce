"""From a recipe to a world folder: data, training, card, starting clips. Runs again where it was killed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from cosmos_sdk.build import build
from cosmos_sdk.config import read_yaml, write_yaml
from cosmos_sdk.errors import ConfigError, TrainingError
from cosmos_sdk.files import replacing
from cosmos_sdk.state import Masked
from cosmos_sdk.training.card import card
from cosmos_sdk.training.datasets import open_datasets, require
from cosmos_sdk.training.footage import Footage
from cosmos_sdk.training.inherit import inherit
from cosmos_sdk.training.recipe import Recipe, same_computation
from cosmos_sdk.training.snapshot import FILE
from cosmos_sdk.training.trainer import Trainer
from cosmos_sdk.training.validation import SEED
from cosmos_sdk.world import WorldModel

RECIPE, WORLD, STARTS = "recipe.yaml", "world", "starts.safetensors"


def train(recipe: Recipe, out: Path) -> Path:
    """Makes a world, or goes on making it.

    Args:
        recipe: what to do.
        out: folder of the run.

    Returns:
        The folder of the finished world, `out/world`.

    Raises:
        TrainingError: `out` holds the run of another recipe.
        ConfigError, DatasetError: before anything is trained.
    """
    claim(recipe, out)
    if recipe.num_threads:
        torch.set_num_threads(recipe.num_threads)
    device = pick_device(recipe.device)
    torch.manual_seed(recipe.seed)  # pyright: ignore[reportUnknownMemberType]
    world = build(recipe.world)
    inherit(world, recipe.init)
    world = world.to(device)
    footage = open_datasets(recipe, out)
    require(world, footage)
    trainer = Trainer(world, recipe, footage, out)
    world = trainer.run()
    return finish(world, recipe, footage, trainer.position.seconds, out)


def claim(recipe: Recipe, out: Path) -> None:
    """Writes the recipe into its folder, unless another one has begun to train there."""
    path = out / RECIPE
    if path.is_file() and (out / FILE).is_file():
        differ = same_computation(recipe, Recipe.from_mapping(read_yaml(path)))
        if differ:
            remedy = "Choose another out=<folder>, or delete this one."
            raise TrainingError(
                f"{out} holds the run of another recipe; it differs in: {', '.join(differ)}. {remedy}"
            )
    out.mkdir(parents=True, exist_ok=True)
    with replacing(path) as draft:
        draft.write_text(write_yaml(recipe.to_mapping()), encoding="utf-8")


def pick_device(name: str) -> torch.device:
    """`auto` is the first accelerator that torch sees, else the CPU.

    Raises:
        ConfigError: no such device here.
    """
    if name == "auto":
        found = (
            torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        )
        return found or torch.device("cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            [f"device: {name!r} cannot be used here ({error}). Use device=auto or device=cpu."]
        ) from error


def finish(
    world: WorldModel, recipe: Recipe, footage: Mapping[str, Footage], seconds: float, out: Path
) -> Path:
    """Writes the world folder: weights, config, card, recipe and starting clips."""
    folder = out / WORLD
    folder.mkdir(parents=True, exist_ok=True)
    data = footage[recipe.validation.data or next(iter(footage))]
    with replacing(folder / STARTS) as draft:
        draft.write_bytes(save(starting_clips(data, world.backend.context, recipe.num_starts)))
    with replacing(folder / RECIPE) as draft:
        draft.write_text(write_yaml(recipe.to_mapping()), encoding="utf-8")
    text = card(world, recipe, footage, seconds, out / "log.csv")
    world.save_pretrained(folder, dtype=recipe.store, card=text)
    return folder


def starting_clips(footage: Footage, context: int, count: int) -> dict[str, Tensor]:
    """Held-out clips of F = `context` frames, from which environments begin.

    Returns:
        `frames` (n, F, V, 3, h, w) uint8; `signals/<name>` (n, F, ...) and their `masks/<name>` (n, F), where signal k
        led to frame k; `targets/<name>` (n, F, ...).
    """
    starts = footage.starts(context, held_out=True, whole=True)
    if not len(starts):
        starts = footage.starts(context, held_out=False)
    order = np.random.default_rng(SEED).permutation(len(starts))[:count]
    batch = footage.clips(starts[np.sort(order)], context)
    tensors = {"frames": batch.frames}
    signals = {name: m for name, m in batch.signals.items() if isinstance(m, Masked)}
    tensors |= {f"signals/{name}": m.values for name, m in signals.items()}
    tensors |= {f"masks/{name}": m.mask for name, m in signals.items()}
    tensors |= {f"targets/{name}": m.values for name, m in batch.targets.items()}
    return {name: tensor.contiguous() for name, tensor in tensors.items()}
