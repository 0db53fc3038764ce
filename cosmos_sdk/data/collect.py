"""Records episodes of a scene in parallel processes; the same command resumes a recording, and extends one."""

from __future__ import annotations

import json
import math
import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import MISSING, asdict, dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from cosmos_sdk.config import differences
from cosmos_sdk.data.lerobot import INFO, LeRobotDataset
from cosmos_sdk.data.publish import Facts, Unit, replacing
from cosmos_sdk.data.scenes import EnvScene, Recorder, open_recorder, open_scene
from cosmos_sdk.data.shelf import Recording, Shelf
from cosmos_sdk.errors import DatasetError
from cosmos_sdk.simulators import Simulator
from cosmos_sdk.workers import spread

RECORDING = "meta/recording.json"  # beside LeRobot's own files: how this was made, and what its actions mean
UNIT_ROWS = 512  # of short episodes are written together: a kill costs seconds, and a file holds more than one frame
IMAGES = "observation.images."


@dataclass(frozen=True)
class CollectConfig:
    """What `cosmos-sdk collect` takes."""

    env: str  # id of a registered simulator, or of gymnasium.make
    out: str  # folder
    policy: str = "random"
    episodes: int = 100
    steps: int = 300  # at most; 0 records single pictures
    size: int = 64  # px, of the square frames
    seed: int = 0
    camera: str = "top"
    task: str = ""  # in words
    processes: int = 0  # 0: one per core
    options: dict[str, Any] = field(default_factory=dict[str, Any])  # the policy's own

    def __post_init__(self) -> None:
        """Refuses counts that make no recording."""
        for name, least in (
            ("episodes", 1),
            ("steps", 0),
            ("size", 8),
            ("processes", 0),
            ("seed", 0),
        ):
            if (given := getattr(self, name)) < least:
                raise ValueError(f"{name} is {given}; expected at least {least}.")

    @property
    def fixed(self) -> dict[str, Any]:
        """What has to be the same when a recording goes on."""
        own = asdict(self)
        for key in ("out", "episodes", "processes"):
            del own[key]
        return {**own.pop("options"), **own}


def keys() -> list[str]:
    """What `cosmos-sdk collect` takes beside the policy's own options."""
    return [item.name for item in fields(CollectConfig) if item.name != "options"]


def command_line(fixed: Mapping[str, Any], episodes: int) -> str:
    """The command, less `out`, that makes a recording again, from its `CollectConfig.fixed` and number of episodes."""
    usual = {item.name: item.default for item in fields(CollectConfig)}
    words = {"env": fixed["env"], "policy": fixed["policy"]}
    words |= {"episodes": episodes, "seed": fixed["seed"]}
    words |= {key: value for key, value in fixed.items() if value != usual.get(key, MISSING)}
    return shlex.join(
        ["cosmos-sdk", "collect", *(f"{key}={_word(value)}" for key, value in words.items())]
    )


def _word(value: Any) -> str:
    """A value as the command line reads it: text as it is, the rest as YAML in one line."""
    return value if isinstance(value, str) else _yaml(value)


def _yaml(value: Any) -> str:
    if isinstance(value, Mapping):
        inner = cast("Mapping[str, Any]", value)
        return f"{{{', '.join(f'{key}: {_yaml(one)}' for key, one in inner.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_yaml, cast('list[Any]', value)))}]"
    if isinstance(value, float) and math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    return json.dumps(value)


def collect(config: CollectConfig, progress: bool = True) -> LeRobotDataset:
    """Records what is missing of `config.episodes`, publishes it and opens the dataset.

    Episode k depends on `config.seed` and k only, so neither the number of processes nor interruptions change it.

    Raises:
        DatasetError: the folder holds another recording, or cannot be written.
        ConfigError: the policy cannot record.
    """
    root = Path(config.out)
    scene = open_scene(config.env)
    # what cannot record fails before anything is written
    open_recorder(config.policy, config.options, config.env, keys())
    made = [folder for folder in (root, root / "meta") if not folder.exists()]
    shelf = _open_shelf(root, config, scene)
    _claim(root, config, scene, shelf)
    try:
        shelf.tidy()
        done = shelf.publish()
        units = _missing(config, done, shelf.units())
        with tqdm(
            total=config.episodes,
            initial=config.episodes - sum(map(len, units)),
            unit="episode",
            disable=not progress,
        ) as bar:
            for count in _record(config, units):
                bar.update(count)
        shelf.publish()
    finally:
        _withdraw(root, shelf, made)
    return LeRobotDataset(root)


def record_episode(
    scene: Simulator, policy: Recorder, config: CollectConfig, episode: int
) -> Recording:
    """Plays one episode. Row k holds moment k and the action taken there; the last row repeats the action before."""
    seeds = np.random.SeedSequence([config.seed, episode])
    rng = np.random.default_rng(seeds)
    scene.reset(int(rng.integers(2**31)))
    policy.reset(rng, scene)
    rows: list[dict[str, Any]] = []
    frames = [scene.render_clean(config.size, config.size)]
    moment = _moment(scene)
    for _ in range(config.steps):
        action = scene.action_spec.check(policy.act(scene))
        reward, terminated, info = scene.step(action)
        success = bool(info.get("is_success", False))
        rows.append(
            {**moment, **_transition(scene, action, info["action"], reward, terminated, success)}
        )
        frames.append(scene.render_clean(config.size, config.size))
        moment = _moment(scene)
        if terminated or info.get("truncated", False):
            break
    last = rows[-1] if rows else _transition(scene, _idle(scene), _idle(scene), 0.0, False, False)
    rows.append({**last, **moment, **_nothing_follows()})
    columns = {key: np.stack([row[key] for row in rows]) for key in rows[0]}
    return Recording(columns, {f"{IMAGES}{config.camera}": np.stack(frames)})


def _moment(scene: Simulator) -> dict[str, NDArray[Any]]:
    moment = {"observation.state": scene.observe(), "simulator_state": scene.get_state()}
    return {key: value for key, value in moment.items() if value.size}


def _transition(
    scene: Simulator,
    action: NDArray[Any],
    raw: NDArray[Any],
    reward: float,
    terminated: bool,
    success: bool,
) -> dict[str, NDArray[Any]]:
    both = {"action": np.asarray(raw)} | (
        {"action.relative": action} if scene.action_spec.relative else {}
    )
    followed = {
        "next.reward": np.float32(reward),
        "next.terminated": terminated,
        "next.success": success,
    }
    return {
        **both,
        **{key: np.asarray(value) for key, value in followed.items()},
        "next.done": np.asarray(False),
    }


def _nothing_follows() -> dict[str, NDArray[Any]]:
    values = {
        "next.reward": np.float32(0),
        "next.terminated": False,
        "next.success": False,
        "next.done": True,
    }
    return {key: np.asarray(value) for key, value in values.items()}


def _idle(scene: Simulator) -> NDArray[Any]:
    spec = scene.action_spec
    return (
        np.asarray(0)
        if spec.num_actions is not None
        else spec.check(np.zeros(spec.size, np.float32))
    )


def _open_shelf(root: Path, config: CollectConfig, scene: Simulator) -> Shelf:
    names = {"observation.state": scene.observation_names, "simulator_state": scene.state_names}
    names |= dict.fromkeys(("action", "action.relative"), scene.action_spec.names)
    units = {"observation.state": scene.observation_units}
    return Shelf(root, Facts(scene.rate, names, config.task, units))


def _claim(root: Path, config: CollectConfig, scene: Simulator, shelf: Shelf) -> None:
    """Makes sure that the folder holds this recording, or none, and describes it there."""
    path, published = root / RECORDING, (root / INFO).is_file()
    if path.is_file() and (published or shelf.units()):
        before = json.loads(path.read_text())["collect"]
        if changed := differences(before, config.fixed):
            told = ", ".join(changed.values())
            raise DatasetError(
                f"{root} holds another recording: {told}. Choose another folder: out=..."
            )
    elif published:
        raise DatasetError(
            f"{root} holds a dataset that `collect` did not make. Choose another folder: out=..."
        )
    else:
        _describe_recording(path, config, scene)


def _withdraw(root: Path, shelf: Shelf, made: list[Path]) -> None:
    """Where nothing was recorded nothing is left, not even what would have described it, or the folders `made`."""
    if (root / INFO).is_file() or shelf.units():
        return
    shelf.tidy()
    (root / RECORDING).unlink(missing_ok=True)
    for folder in (shelf.folder, *reversed(made)):
        with suppress(OSError):  # it holds something else
            folder.rmdir()


def _describe_recording(path: Path, config: CollectConfig, scene: Simulator) -> None:
    spec = scene.action_spec
    bounds = {"low": _bounds(scene.observation_low), "high": _bounds(scene.observation_high)}
    about = {
        "collect": config.fixed,
        "restorable": not isinstance(scene, EnvScene),
        "actions": {"action.relative" if spec.relative else "action": spec.to_dict()},
        "observation": {"names": list(scene.observation_names), **bounds},
    }
    try:
        with replacing(path) as partial:
            partial.write_text(json.dumps(about, indent=1))
    except OSError as error:
        raise DatasetError(
            f"{path.parent}: cannot write ({error}). Choose another folder: out=..."
        ) from error


def _bounds(values: NDArray[Any]) -> list[float | None]:
    """As JSON can hold them: none where there is no bound."""
    return [value if math.isfinite(value) else None for value in values.tolist()]


def _missing(config: CollectConfig, done: int, units: list[Unit]) -> list[range]:
    """Runs of consecutive episodes that are still to be recorded, a unit each."""
    length = max(1, UNIT_ROWS // (config.steps + 1))
    there = {k for unit in units for k in range(unit.first, unit.first + unit.count)}
    runs: list[range] = []
    first = done
    while first < config.episodes:
        last = first
        while last < min(first + length, config.episodes) and last not in there:
            last += 1
        if last > first:
            runs.append(range(first, last))
        first = max(last, first + 1)
    return runs


def _record(config: CollectConfig, units: list[range]) -> Iterator[int]:
    """Records units, in any order; yields how many episodes each had."""
    processes = config.processes or len(os.sched_getaffinity(0))
    yield from (count for _, count in spread(partial(_open, config), units, processes))


def _open(config: CollectConfig) -> Callable[[range], int]:
    """What records a unit, and opens in each process what every unit needs."""
    scene = open_scene(config.env)
    policy = open_recorder(config.policy, config.options, config.env)
    shelf = _open_shelf(Path(config.out), config, scene)

    def record(unit: range) -> int:
        shelf.put(unit.start, [record_episode(scene, policy, config, k) for k in unit])
        return len(unit)

    return record
