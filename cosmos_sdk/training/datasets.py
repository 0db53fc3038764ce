"""From the `data` section of a recipe to footage: records what has to be recorded, decodes it once."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cosmos_sdk.config import typed
from cosmos_sdk.data.clips import ClipDataset
from cosmos_sdk.data.collect import CollectConfig, collect
from cosmos_sdk.data.description import describe
from cosmos_sdk.data.lerobot import LeRobotDataset
from cosmos_sdk.errors import DatasetError
from cosmos_sdk.protocols import TrainableHead
from cosmos_sdk.state import Masked
from cosmos_sdk.training.footage import Footage
from cosmos_sdk.training.recipe import DataConfig, Recipe
from cosmos_sdk.world import WorldModel

Columns = Mapping[str, tuple[NDArray[Any], bool]]


def open_datasets(recipe: Recipe, out: Path) -> dict[str, Footage]:
    """All datasets of a recipe, by name; recordings go to `out/data/<name>`.

    Raises:
        DatasetError: a folder cannot be read, or its cameras do not fit the world.
    """
    return {name: read(_folder(name, config, out), recipe) for name, config in recipe.data.items()}


def read(folder: Path, recipe: Recipe) -> Footage:
    """One dataset, with the columns that it has of those that the recipe names; the split `test` is held out."""
    about = describe(folder)
    views, height, width = recipe.world.spec.frames
    cameras = recipe.cameras or list(about.cameras)
    if len(cameras) != views:
        remedy = f"Choose with cameras=[...] or set world.spec.frames=[{len(cameras)}, {height}, {width}]."
        raise DatasetError(
            f"{folder} has {len(cameras)} cameras ({', '.join(cameras)}); the world has {views}. {remedy}"
        )
    features = LeRobotDataset(folder).features
    signals, targets = (
        {name: column for name, column in (wanted or found).items() if column in features}
        for wanted, found in ((recipe.signals, about.signals), (recipe.targets, about.targets))
    )
    clips = ClipDataset(folder, 1, signals, targets, cameras, (height, width), "all", progress=True)
    bounds = [(episode.start, episode.stop) for episode in clips.dataset.episodes]
    episodes = torch.tensor(bounds, dtype=torch.int64)
    held_out = torch.zeros(len(bounds), dtype=torch.bool)
    if len(bounds) > 1:
        held_out[
            ClipDataset(folder, 1, signals, targets, cameras, (height, width), "test").episodes
        ] = True
    first = episodes[:, 0].numpy()
    return Footage(
        _tensor(clips.frames),
        episodes,
        held_out,
        _masked(clips.signals, first),
        _masked(clips.targets, first),
        collect=about.collect,
    )


def require(world: WorldModel, footage: Mapping[str, Footage]) -> None:
    """Holds the datasets together to what the world learns from, before hours are spent.

    Raises:
        DatasetError: no dataset has the target of a head, or the signal of a conditioner.
    """
    heads = [*world.heads.items(), *world.readouts.items()]
    wanted = {
        "target": {name for name, part in heads if isinstance(part, TrainableHead)},
        "signal": {name for name, part in world.conditioners.items() if part.space is not None},
    }
    held = {
        "target": {name for data in footage.values() for name in data.targets},
        "signal": {name for data in footage.values() for name in data.signals},
    }
    for kind, names in wanted.items():
        if missing := sorted(names - held[kind]):
            have = ", ".join(sorted(held[kind])) or "none"
            remedy = f"Name its column ({kind}s.{missing[0]}=<column>), or take the component out of the world."
            plural = "s" if len(missing) > 1 else ""
            raise DatasetError(
                f"No dataset has the {kind}{plural} {', '.join(missing)}; they have: {have}. {remedy}"
            )


def _folder(name: str, config: DataConfig, out: Path) -> Path:
    folder = Path(config.folder) if config.folder else out / "data" / name
    if config.collect and not (config.folder and folder.is_dir()):
        collect(typed(CollectConfig, {**config.collect, "out": str(folder)}))
    return folder


def _masked(columns: Columns, first: NDArray[np.int64]) -> dict[str, Masked]:
    """Columns as (N, ...) aligned to frames: what led to frame k stands at k, and is masked where an episode begins."""
    aligned: dict[str, Masked] = {}
    for name, (values, transition) in columns.items():
        mask = np.ones(len(values), bool)
        if transition:
            values, mask[first] = np.concatenate((values[:1], values[:-1])), False
        aligned[name] = Masked(torch.as_tensor(values), torch.as_tensor(mask)).zeroed()
    return aligned


def _tensor(frames: NDArray[np.uint8]) -> Tensor:
    with warnings.catch_warnings():
        # frames are only read
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.as_tensor(frames)
