"""Metric `uncertainty`: does a world know which of its imagined steps have drifted from the truth?

A head, such as the entropy of the drawn tokens, says after every imagined step how unsure the world was. Held-out
futures are imagined under true actions, and what the head says is compared with the error that only the truth can tell.
Both may grow with the number of steps, so what that number alone tells stands beside, and rank correlations are also
given among steps that are equally far ahead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from cosmos_sdk.errors import ConfigError, did_you_mean
from cosmos_sdk.registry import registry
from cosmos_sdk.results import Measurement, Result
from cosmos_sdk.statistics import auroc, bootstrap, bootstrap_jointly
from cosmos_sdk.training.contact_sheet import contact_sheet
from cosmos_sdk.world import WorldModel
from cosmos_sdk_evaluation.episodes import check_counts
from cosmos_sdk_evaluation.open_loop import OpenLoopConfig, Windows, observed, windows

Array = NDArray[np.float64]


@dataclass
class UncertaintyConfig:
    """Held-out windows, imagined for the longest of `horizons`."""

    env: str = "gym_pusht/PushT-v0"
    policy: str = "pusht-scripted"
    windows: int = 100
    horizons: tuple[int, ...] = (1, 8, 16, 32)  # at which means are reported; every step counts
    drifted: float = (
        20 / 512
    )  # of the scene's width, the least range of a position: 20 px of Push-T
    head: str = "uncertainty"
    readout: str = "state"
    seed: int = 0
    batch_size: int = 50

    def __post_init__(self) -> None:
        check_counts(self, "windows", "horizons", "batch_size")


@dataclass(frozen=True, eq=False)
class Errors:
    """How far n imagined futures of S steps are off, in one sense; larger is worse."""

    name: str
    values: Array  # (n, S)
    unit: str
    limit: float | None  # above it a step has drifted, whatever others did


@dataclass(frozen=True, eq=False)
class Dream:
    """Imagined futures of n windows, read after each of S steps."""

    frames: Tensor  # (n, S, 1, 3, h, w) uint8, the newest of every step
    said: Array  # (n, S) by the head, the mean over the frames of a step
    read: Tensor | None  # (n, S, P) by the readout


@torch.no_grad()
def uncertainty(world: WorldModel, config: UncertaintyConfig) -> Measurement:
    """AUROC of the head for steps that have drifted, rank correlations with the error, and means by horizon.

    A step has drifted where its error is above the median of all steps, or where a position is off by more than
    `drifted` of the scene.

    Raises:
        ConfigError: the world has no such head.
    """
    if config.head not in world.heads:
        known = ", ".join(world.heads) or "none"
        near = did_you_mean(config.head, world.heads)
        problem = f"head: this world has no head {config.head!r}.{near} It has {known}."
        remedy = "With the backend autoregressive, heads.uncertainty={name: entropy} makes one."
        raise ConfigError([f"{problem} {remedy}"])
    size, chunk = world.spec.frames[1:] if world.spec else (64, 64), world.backend.chunk
    horizons = tuple(-(-h // chunk) * chunk for h in config.horizons)  # whole predicts
    cut = OpenLoopConfig(config.env, config.policy, config.windows, horizons, seed=config.seed)
    data = windows(cut, size, world.backend.context)
    future = slice(data.context + chunk - 1, None, chunk)  # the newest frame of each step
    dream, true = imagine(world, data, config), data.frames[:, future]
    off = (dream.frames.float() - true.float()).square().flatten(2).mean(2).sqrt()
    errors = [Errors("pixel", off.double().numpy(), "of 255", None)]
    if dream.read is not None:
        errors += _state_errors(dream.read, data.observations[:, future], config)
    results = [r for error in errors for r in compare(dream.said, error, config)]
    return Measurement(
        [*results, *_by_horizon(dream.said, errors, horizons, chunk, config)],
        _pictures(dream, true, [h // chunk - 1 for h in horizons], chunk),
    )


def imagine(world: WorldModel, data: Windows, config: UncertaintyConfig) -> Dream:
    """Rolls the world forward from the context of every window under its true actions."""
    parts = [
        _imagine(world, data.rows(slice(first, first + config.batch_size)), config, first)
        for first in range(0, len(data), config.batch_size)
    ]
    read = [part.read for part in parts if part.read is not None]
    said = np.concatenate([part.said for part in parts])
    return Dream(torch.cat([p.frames for p in parts]), said, torch.cat(read) if read else None)


def _imagine(world: WorldModel, data: Windows, config: UncertaintyConfig, first: int) -> Dream:
    context, chunk = data.context, world.backend.chunk
    seed = torch.arange(first, first + len(data)) + 1_000_003 * config.seed
    history = {"action": data.actions[:, :context]}
    state = world.reset(data.frames[:, :context], {}, seed, history)
    frames: list[Tensor] = []
    said: list[Tensor] = []
    read: list[Tensor] = []
    for k in range(context, data.frames.shape[1], chunk):
        state, values = world.step(state, {"action": data.actions[:, k : k + chunk]})
        frames.append(world.decode(state, 1).cpu())
        said.append(values[config.head].double().flatten(1).mean(1).cpu())
        if config.readout in world.readouts:
            read.append(world.observe(state)[config.readout].cpu())
    return Dream(
        torch.cat(frames, 1),
        torch.stack(said, 1).numpy(),
        torch.stack(read, 1) if read else None,
    )


def _state_errors(read: Tensor, true: Tensor, config: UncertaintyConfig) -> list[Errors]:
    """Errors of the positions that the readout reads; the limit is `drifted` of the width of the scene."""
    simulator = registry().load("simulator", config.env)
    ranges = np.subtract(simulator.observation_high, simulator.observation_low)
    positions = [q for q in observed(config.env) if not q.is_angle]
    limit = config.drifted * min((float(ranges[q.columns[0]]) for q in positions), default=0.0)
    return [Errors(q.name, q.error(read, true).double().numpy(), q.unit, limit) for q in positions]


def compare(said: Array, errors: Errors, config: UncertaintyConfig) -> list[Result]:
    """What uncertainty (n, S), its mean since the start, and the number of steps alone tell of errors (n, S)."""
    ahead = np.arange(1.0, said.shape[1] + 1)
    scores = {
        "uncertainty": said,
        "its mean so far": said.cumsum(1) / ahead,
        "steps ahead alone": np.broadcast_to(ahead, said.shape),
    }
    limits = {"above the median": float(np.median(errors.values))}
    if errors.limit is not None:
        limits[f"above {errors.limit:.3g} {errors.unit}".strip()] = errors.limit
    results: list[Result] = []
    for what, limit in limits.items():
        over = errors.values > limit
        drift = f"{errors.name} error {what} ({100 * over.mean():.0f} % of steps)"
        results += [
            _figure(f"{drift}, AUROC by {name}", _auroc, value, over, config)
            for name, value in scores.items()
        ]
    for name, value in list(scores.items())[:2]:
        called = f"{errors.name} error and {name}, Spearman"
        results += [
            _figure(called, _pooled, value, errors.values, config),
            _figure(f"{called} at the same horizon", _stratified, value, errors.values, config),
        ]
    return results


def _figure(
    name: str,
    statistic: Callable[..., float],
    value: Array,
    other: NDArray[Any],
    config: UncertaintyConfig,
) -> Result:
    interval = bootstrap_jointly(statistic, value, other, seed=config.seed)
    return Result(name, statistic(value, other), "", len(value), interval, config.seed)


def _auroc(value: Array, over: NDArray[np.bool_]) -> float:
    return auroc(value.ravel(), over.ravel())


def _pooled(value: Array, error: Array) -> float:
    return float(_correlations(value.reshape(-1, 1), error.reshape(-1, 1))[0])


def _stratified(value: Array, error: Array) -> float:
    """The mean over steps of the correlation (S,) among windows; steps at which nothing varies do not count."""
    found = _correlations(value, error)
    found = found[~np.isnan(found)]
    return float(found.mean()) if found.size else float("nan")


def _correlations(value: Array, error: Array) -> Array:
    """Spearman's rank correlation of each column (S,); NaN where one of the two is constant."""
    a, b = (stats.rankdata(column, axis=0) for column in (value, error))
    a, b = a - a.mean(0), b - b.mean(0)
    scale = np.sqrt((a * a).sum(0) * (b * b).sum(0))
    return np.divide((a * b).sum(0), scale, out=np.full(scale.shape, np.nan), where=scale > 0)


def _by_horizon(
    said: Array,
    errors: list[Errors],
    horizons: tuple[int, ...],
    chunk: int,
    config: UncertaintyConfig,
) -> list[Result]:
    rows: Mapping[str, tuple[Array, str]] = {"mean uncertainty": (said, "")} | {
        f"{e.name} error": (e.values, e.unit) for e in errors
    }
    return [
        Result(
            f"{name} @{h}", float(at.mean()), unit, len(at), bootstrap(at, config.seed), config.seed
        )
        for name, (values, unit) in rows.items()
        for h in horizons
        for at in [values[:, h // chunk - 1]]
    ]


def _pictures(
    dream: Dream, true: Tensor, columns: list[int], chunk: int, count: int = 4
) -> dict[str, NDArray[np.uint8]]:
    """The windows of which the world was least sure, and those of which it was surest."""
    order = np.argsort(-dream.said.mean(1))
    labels = [f"+{chunk * (column + 1)}" for column in columns]
    chosen = {"least sure": order[:count], "surest": order[::-1][:count]}
    return {
        f"Where the world was {name}: true above imagined": contact_sheet(
            true[rows.copy()][:, columns], dream.frames[rows.copy()][:, columns], labels
        )
        for name, rows in chosen.items()
    }
