"""What a world has to know about a dataset before it is built, derived from the folder alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from cosmos_sdk.actions import ActionSpec, numbered
from cosmos_sdk.config import BoxConfig, SpecConfig
from cosmos_sdk.data.collect import RECORDING
from cosmos_sdk.data.lerobot import LeRobotDataset
from cosmos_sdk.errors import DatasetError

TARGETS = {"state": "observation.state", "reward": "next.reward", "terminated": "next.terminated"}


@dataclass(frozen=True)
class DatasetDescription:
    """Cameras, action and targets; `signals` and `targets` say which column feeds each."""

    cameras: tuple[str, ...]
    size: tuple[int, int]  # h, w of the first camera as recorded
    rate: float
    action: ActionSpec
    signals: Mapping[str, str]  # {"action": "action.relative"}
    targets: Mapping[str, str]  # {"state": "observation.state", ...}, those that the dataset has
    boxes: Mapping[str, BoxConfig]  # bounds of each target
    # what `cosmos-sdk collect` was told, less `out` and `episodes`; nothing where it did not record this
    collect: Mapping[str, Any] = field(default_factory=dict[str, Any])
    restorable: bool = False

    @property
    def env(self) -> str | None:
        """The environment that it was recorded in, where known."""
        return self.collect.get("env")

    def spec(self, size: tuple[int, int] = (64, 64)) -> SpecConfig:
        """The `spec` section of a world's config, for frames of `size` (h, w)."""
        frames = (len(self.cameras), *size)
        return SpecConfig(
            frames,
            self.rate,
            {"action": self.action.to_dict()},
            {},
            dict(self.boxes),
            [key.removeprefix("observation.images.") for key in self.cameras],
        )


def describe(root: str | Path) -> DatasetDescription:
    """Describes any LeRobotDataset v3 folder with at least one camera and a column `action`.

    A recording of ours knows its ActionSpec and bounds. Of a stranger's, names come from the features and bounds from
    the statistics; actions are normalised by their 1st and 99th percentile where these are known.

    Raises:
        DatasetError: no camera, no action.
    """
    dataset = LeRobotDataset(root)
    path = dataset.root / RECORDING
    about: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    if not dataset.cameras:
        raise DatasetError(
            f"{root}: no camera; expected a feature of dtype video, such as observation.images.top."
        )
    if "action" not in dataset.features:
        raise DatasetError(f"{root}: no feature 'action'; it has {sorted(dataset.features)}.")
    key, action = _action(dataset, about)
    targets = {name: column for name, column in TARGETS.items() if column in dataset.features}
    height, width = dataset.features[dataset.cameras[0]]["shape"][:2]
    return DatasetDescription(
        cameras=dataset.cameras,
        size=(height, width),
        rate=dataset.rate,
        action=action,
        signals={"action": key},
        targets=targets,
        boxes={name: _box(dataset, column, about) for name, column in targets.items()},
        collect=about.get("collect", {}),
        restorable=bool(about.get("restorable", False)),
    )


def _action(dataset: LeRobotDataset, about: Mapping[str, Any]) -> tuple[str, ActionSpec]:
    if about:
        key, values = next(iter(about["actions"].items()))
        return key, ActionSpec.from_dict(values)
    stats = dataset.stats["action"]
    if "int" in dataset.features["action"]["dtype"]:
        return "action", ActionSpec(num_actions=int(stats["max"].max()) + 1, rate=dataset.rate)
    low, high = stats["min"].reshape(-1), stats["max"].reshape(-1)
    names = _names(dataset.features["action"].get("names"), "action", len(low))
    spec = ActionSpec(names, _floats(low), _floats(high), rate=dataset.rate)
    known = "q01" in stats and "q99" in stats
    return "action", spec.with_quantiles(
        _floats(stats["q01"]), _floats(stats["q99"])
    ) if known else spec


def _box(dataset: LeRobotDataset, column: str, about: Mapping[str, Any]) -> BoxConfig:
    feature = dataset.features[column]
    size = int(np.prod(np.asarray(feature["shape"], np.int64)))
    names = list(_names(feature.get("names"), column.rpartition(".")[2], size))
    units = _units(feature.get("units"), size)
    if column == TARGETS["terminated"]:
        return BoxConfig([0.0], [1.0], names, units)
    if column == TARGETS["state"] and about:
        low, high = about["observation"]["low"], about["observation"]["high"]
        bounds = np.array([low, high], np.float64)  # null where there is none
        if np.isfinite(bounds).all():
            return BoxConfig(low, high, names, units)
    low, high = (dataset.stats[column][name].reshape(-1) for name in ("min", "max"))
    if (
        column == TARGETS["reward"]
    ):  # rewards in [0, 1] keep these bounds, whatever this recording happened to reach
        low, high = np.minimum(low, 0.0), np.maximum(high, 1.0)
    high = np.where(high > low, high, low + 1)
    return BoxConfig(list(_floats(low)), list(_floats(high)), names, units)


def _units(given: Any, size: int) -> list[str]:
    """Units of dimensions, which only our own recordings are known to say."""
    units = cast("list[Any]", given) if isinstance(given, list) else []
    return [str(unit) for unit in units] if len(units) == size else []


def _names(given: Any, prefix: str, size: int) -> tuple[str, ...]:
    """Names of dimensions; LeRobot keeps a list, a mapping of lists, or nothing."""
    parts: Any = [given or []]
    if isinstance(given, dict):
        parts = cast("dict[str, Any]", given).values()
    names = tuple(str(name) for part in parts for name in part)
    known = len(set(names)) == len(names) == size
    return names if known else numbered(prefix, size)


def _floats(values: NDArray[Any]) -> tuple[float, ...]:
    return tuple(float(value) for value in values.reshape(-1))
