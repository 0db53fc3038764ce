"""A recipe: everything that makes a world, as data. One recipe and one number of threads give one set of weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, cast

from cosmos_sdk.config import WorldConfig, flat, merge, override, read_yaml
from cosmos_sdk.errors import ConfigError, UnknownNameError, did_you_mean
from cosmos_sdk.registry import registry

TOKENIZER, WORLD = "tokenizer", "world"


@dataclass(frozen=True)
class DataConfig:
    """A dataset: a LeRobotDataset v3 folder, or how to record it; with both, it is recorded if the folder is absent."""

    folder: str | None = None
    # arguments of `cosmos-sdk collect`, without `out`
    collect: dict[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        if not self.folder and not self.collect:
            raise ValueError("a dataset needs a folder, or `collect`: the arguments that record it")


@dataclass(frozen=True)
class StageConfig:
    """Optimiser steps with one loss and one schedule. Adam's moments and the averages go on between like stages."""

    # "world": backend, conditioners, heads and readouts, on latents that were encoded once
    train: Literal["tokenizer", "world"]
    steps: int
    batch_size: int = 32  # clips
    frames: int = 1  # of a clip
    # dataset -> share; when empty all of them, by the number of their clips
    mix: dict[str, float] = field(default_factory=dict[str, float])
    single: float = 0.0  # share of clips cut to their first frame
    # share of clips drawn from those in which these columns of a target change (none: all columns)
    moving: float = 0.0
    moving_target: str = "state"
    moving_columns: list[int] = field(default_factory=list[int])
    moving_threshold: float = 0.002  # from one frame to the next, of the range of the target
    learning_rate: float = 1e-3
    warmup: int = 100  # steps of linear rise
    # last steps, in which the rate falls to a share of itself; null: all after the warm-up
    decay: int | None = None
    decay_to: float = 0.0
    decay_shape: Literal["cosine", "linear", "sqrt"] = "cosine"  # sqrt: arXiv:2405.18392
    weight_decay: float = 0.01  # of matrices and kernels only
    betas: tuple[float, float] = (0.9, 0.95)
    clip_norm: float = 1.0  # of the gradient; 0: never
    ema: float = 0.999  # of the averaged weights, which are validated and saved; 0: the last ones
    precision: Literal["float32", "bfloat16"] = "float32"  # bfloat16: autocast
    using: dict[str, Any] = field(default_factory=dict[str, Any])  # options of `world.using`
    # of loss terms, such as "backend/mean": 0.5; a term without one counts once
    weights: dict[str, float] = field(default_factory=dict[str, float])
    # parts that do not learn, such as "conditioners.action"
    frozen: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        fits = {
            **{name: getattr(self, name) >= 1 for name in ("steps", "batch_size", "frames")},
            **{name: getattr(self, name) >= 0 for name in ("warmup", "clip_norm", "weight_decay")},
            **{name: 0 <= getattr(self, name) <= 1 for name in ("single", "moving", "decay_to")},
            "learning_rate": self.learning_rate > 0,
            "ema": 0 <= self.ema < 1,
            "mix": not self.mix or (min(self.mix.values()) >= 0 and sum(self.mix.values()) > 0),
        }
        wrong = [name for name, fit in fits.items() if not fit]
        if wrong:
            given = ", ".join(f"{name}={getattr(self, name)}" for name in wrong)
            raise ValueError(f"out of range: {given}")


@dataclass(frozen=True)
class ValidationConfig:
    """Held-out figures of the averaged weights. They choose nothing: the last weights are the result."""

    every: int = 1000  # steps, and at the end of each stage; 0: only there
    data: str | None = None  # the dataset; the first when absent
    num_windows: int = 32
    # frames; those that the episodes are too short for are left out
    horizons: list[int] = field(default_factory=lambda: [1, 8, 16, 32])
    num_rows: int = 8  # windows on the contact sheet
    using: dict[str, Any] = field(default_factory=dict[str, Any])  # options of `world.using`

    def __post_init__(self) -> None:
        if self.every < 0 or self.num_windows < 1 or not self.horizons or min(self.horizons) < 1:
            raise ValueError("every >= 0, num_windows >= 1 and horizons >= 1 are needed")


@dataclass(frozen=True)
class Recipe:
    """`recipe.yaml`. In YAML, `stages` may be a list; a stage without `name` is called after what it trains."""

    data: dict[str, DataConfig]
    world: WorldConfig
    stages: dict[str, StageConfig]
    # signal or target -> column of the datasets; when empty, what each dataset says of itself
    signals: dict[str, str] = field(default_factory=dict[str, str])
    targets: dict[str, str] = field(default_factory=dict[str, str])
    cameras: list[str] | None = None  # all when absent
    # part -> finished world whose weights it starts from: `{tokenizer: pusht-diffusion}`
    init: dict[str, str] = field(default_factory=dict[str, str])
    seed: int = 0
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    checkpoint_every: int = 500
    num_threads: int | None = None  # the same number gives the same bits
    device: str = "auto"
    tensorboard: bool = True  # when installed
    num_starts: int = 128  # starting clips that ship with the world
    store: Literal["float32", "float16", "bfloat16"] = "float32"  # of the finished weights
    licence: str = "unknown"

    def to_mapping(self) -> dict[str, Any]:
        """Plain data, which `from_mapping` reads."""
        plain = {item.name: getattr(self, item.name) for item in fields(self)}
        plain |= {"world": self.world.to_mapping(), "validation": asdict(self.validation)}
        for name in ("data", "stages"):
            plain[name] = {key: _plain(asdict(value)) for key, value in plain[name].items()}
        return plain

    @staticmethod
    def from_mapping(values: Mapping[str, Any]) -> Recipe:
        """Reads plain data.

        Raises:
            ConfigError: lists every problem, of the nested parts too.
        """
        problems: list[str] = []
        recipe = merge(Recipe, normalised(values), "", problems)
        if recipe is not None:
            problems += _inconsistencies(recipe)
        if problems or recipe is None:
            raise ConfigError(problems)
        return recipe


def load(source: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Reads a recipe: a YAML file, a folder that holds `recipe.yaml`, or the name of a bundled world.

    Args:
        source: path or name.
        overrides: `seed=1`, `stages.tokenizer.steps=100`, `data=my_folder`, `world.backend.width=96`.
    """
    return overridden(read(source), overrides)


def read(source: str | Path) -> dict[str, Any]:
    """The plain data of a recipe, not yet checked."""
    return read_yaml(find(source))


def overridden(values: Mapping[str, Any], overrides: Sequence[str]) -> Recipe:
    """A recipe from plain data with `a.b=c` applied.

    Raises:
        ConfigError: every problem; an override may change a stage, and not add one.
    """
    plain = normalised(values)
    stages: Mapping[str, Any] = plain.get("stages") or {}
    names = [text.split(".")[1] for text in overrides if text.startswith("stages.")]
    if unknown := [name for name in names if name not in stages]:
        raise ConfigError(
            [
                f"stages.{name}: there is no such stage.{did_you_mean(name, stages)} Stages: {', '.join(stages)}."
                for name in unknown
            ]
        )
    return Recipe.from_mapping(override(plain, overrides))


def find(source: str | Path) -> Path:
    """The YAML file that a path or a bundled name means."""
    path = Path(source)
    if path.is_file():
        return path
    folder = path
    if not folder.is_dir():
        try:
            folder = registry().world_path(str(source))
        except UnknownNameError as error:
            raise ConfigError(
                [f"config: {str(source)!r} is no file, no folder and no bundled world. {error}"]
            ) from error
    return folder / "recipe.yaml"


def normalised(values: Mapping[str, Any]) -> dict[str, Any]:
    """Short forms written out: a list of stages gets names, a dataset that is a path becomes `{folder: path}`."""
    plain = dict(values)
    stages: Any = plain.get("stages")
    if isinstance(stages, list):
        plain["stages"] = _named(cast("list[Any]", stages))
    data: Any = plain.get("data")
    if isinstance(data, str):
        data = {"data": data}
    if isinstance(data, dict):
        sets = cast("dict[str, Any]", data)
        plain["data"] = {
            name: {"folder": given} if isinstance(given, str) else given
            for name, given in sets.items()
        }
    return plain


def same_computation(a: Recipe, b: Recipe) -> list[str]:
    """The dotted keys in which two recipes differ that change the weights; where and how often to report do not."""
    free = {
        "num_threads",
        "device",
        "tensorboard",
        "checkpoint_every",
        "validation",
        "num_starts",
        "store",
        "licence",
    }
    mine, others = flat(a.to_mapping()), flat(b.to_mapping())
    differ = sorted(key for key in mine.keys() | others.keys() if mine.get(key) != others.get(key))
    return [key for key in differ if key.split(".")[0] not in free]


def _named(stages: Sequence[Any]) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for stage in stages:
        given: dict[str, Any] = dict(stage) if isinstance(stage, dict) else {"train": stage}  # pyright: ignore[reportUnknownArgumentType]
        name = str(given.pop("name", given.get("train", "stage")))
        same = sum(other == name or other.startswith(f"{name}-") for other in named)
        named[f"{name}-{same + 1}" if name in named else name] = given
    return named


def _inconsistencies(recipe: Recipe) -> list[str]:
    """What only shows when the parts are seen together."""
    problems: list[str] = []
    if not recipe.data:
        problems.append("data: a dataset is required; data=<a LeRobot v3 folder>.")
    if not recipe.stages:
        problems.append("stages: at least one is required.")
    named = {f"stages.{name}.mix": list(stage.mix) for name, stage in recipe.stages.items()}
    named["validation.data"] = [recipe.validation.data] if recipe.validation.data else []
    for where, names in named.items():
        for name in names:
            if name not in recipe.data:
                near = did_you_mean(name, recipe.data)
                remedy = (
                    f"Give it (data.{name}=<folder>) or choose among: {', '.join(recipe.data)}."
                )
                problems.append(f"{where}: there is no dataset {name!r}.{near} {remedy}")
    started = [stage.train for stage in recipe.stages.values()]
    if WORLD in started and TOKENIZER in started[started.index(WORLD) :]:
        problems.append(
            "stages: the tokenizer has to be trained before the world; latents are encoded once."
        )
    return problems


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(cast("tuple[Any, ...]", value))
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in cast("dict[str, Any]", value).items()}
    return value
