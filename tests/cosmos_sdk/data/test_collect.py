from __future__ import annotations

import errno
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import gymnasium
import numpy as np
import pyarrow.parquet as pq
import pytest
from gymnasium import spaces

from cosmos_sdk.cli.collect import run
from cosmos_sdk.cli.overrides import parse
from cosmos_sdk.config import override
from cosmos_sdk.data import publish, shelf
from cosmos_sdk.data.collect import CollectConfig, collect, command_line
from cosmos_sdk.data.description import describe
from cosmos_sdk.data.lerobot import LeRobotDataset
from cosmos_sdk.data.restore import restore
from cosmos_sdk.data.scenes import EnvScene
from cosmos_sdk.errors import ConfigError, DataNotRestorableError, DatasetError, UnknownNameError
from cosmos_sdk.registry import registry

DISC = "CosmosSDK/DiscPusher-v0"
CAMERA = "observation.images.top"


def config(root: Path, **changes: object) -> CollectConfig:
    base = CollectConfig(
        DISC, str(root), "disc-scripted", episodes=6, steps=120, size=32, processes=1
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def assert_same(one: Path, other: Path) -> None:
    """Equal rows and frames; how the episodes are spread over files may differ."""
    a, b = LeRobotDataset(one), LeRobotDataset(other)
    assert len(a.episodes) == len(b.episodes)
    for key in a.features:
        if key != CAMERA:
            np.testing.assert_array_equal(a.column(key), b.column(key), err_msg=key)
    for episode in range(len(a.episodes)):
        np.testing.assert_array_equal(a.frames(CAMERA, episode), b.frames(CAMERA, episode))


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("unbroken") / "disc"
    collect(config(root), progress=False)
    return root


@pytest.mark.parametrize("processes", [1, 2])
def test_a_killed_recording_resumes_to_the_same_dataset(
    tmp_path: Path, unbroken: Path, processes: int
) -> None:
    root = tmp_path / "disc"
    words = f"env={DISC} policy=disc-scripted episodes=6 steps=120 size=32 processes={processes} out={root}"
    code = f"from cosmos_sdk.cli.collect import run; run({words.split()!r})"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while not list(root.glob(".recording/unit-*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (root / "meta/info.json").exists(), "the test has to kill before the end"
    dataset = collect(config(root), progress=False)
    dataset.check()
    assert_same(root, unbroken)
    assert not list((root / ".recording").iterdir())


def test_a_kill_while_publishing_loses_nothing(
    tmp_path: Path, unbroken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "disc"

    def killed(path: Path, values: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(publish, "_write_json", killed)
        with pytest.raises(KeyboardInterrupt):
            collect(config(root), progress=False)
    collect(config(root), progress=False).check()
    assert_same(root, unbroken)


def test_a_full_disk_keeps_what_was_complete(
    tmp_path: Path, unbroken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "disc"
    written: list[Path] = []

    def full(path: Path, *arguments: object) -> None:
        written.append(path)
        if len(written) == 2:
            path.write_bytes(b"half a file")
            raise OSError(errno.ENOSPC, "No space left on device")
        original(path, *arguments)  # type: ignore[arg-type]

    original = shelf.write_video
    with monkeypatch.context() as patch:
        patch.setattr(shelf, "write_video", full)
        with pytest.raises(DatasetError, match=r"No space left.*same command again"):
            collect(config(root), progress=False)
    kept = [path.name for path in (root / ".recording").iterdir()]
    assert kept == ["unit-000000-000004"]
    collect(config(root), progress=False).check()
    assert_same(root, unbroken)


def test_processes_do_not_change_the_recording(tmp_path: Path, unbroken: Path) -> None:
    root = tmp_path / "disc"
    collect(config(root, processes=2), progress=False)
    assert_same(root, unbroken)


def test_a_recording_knows_the_command_that_makes_it_again(unbroken: Path) -> None:
    line = command_line(describe(unbroken).collect, 6)
    words = f"env={DISC} policy=disc-scripted episodes=6 seed=0 steps=120 size=32"
    assert line == f"cosmos-sdk collect {words}"
    again = parse(CollectConfig, [*line.split()[2:], "out=elsewhere"])
    assert (again.fixed, again.episodes) == (config(unbroken).fixed, 6)


def test_more_episodes_extend_a_recording(tmp_path: Path, unbroken: Path) -> None:
    root = tmp_path / "disc"
    collect(config(root, episodes=3), progress=False)
    dataset = collect(config(root), progress=False)
    dataset.check()
    assert_same(root, unbroken)
    assert len(list((root / "data").glob("*/*.parquet"))) == 2
    stats, expected = dataset.stats[CAMERA], LeRobotDataset(unbroken).stats[CAMERA]
    for name, value in expected.items():
        np.testing.assert_allclose(stats[name], value, rtol=1e-9)


def test_a_finished_recording_is_left_alone(unbroken: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in unbroken.rglob("*.*") if path.is_file()}
    collect(config(unbroken), progress=False)
    assert {
        path: path.stat().st_mtime_ns for path in unbroken.rglob("*.*") if path.is_file()
    } == before


def test_another_recording_in_the_folder_is_refused(unbroken: Path) -> None:
    with pytest.raises(DatasetError, match="seed was 0 and is 1"):
        collect(config(unbroken, seed=1), progress=False)


def test_a_strangers_dataset_is_not_touched(stranger: Path) -> None:
    with pytest.raises(DatasetError, match="`collect` did not make"):
        collect(config(stranger), progress=False)


@pytest.mark.parametrize(("episode", "frame"), [(0, 0), (1, 7), (3, 11), (5, 3)])
def test_any_recorded_moment_is_restored(unbroken: Path, episode: int, frame: int) -> None:
    dataset = LeRobotDataset(unbroken)
    simulator = restore(unbroken, episode, frame)
    begin, frames = dataset.episodes[episode].start, dataset.frames(CAMERA, episode)
    for k in range(frame, len(frames) - 1):
        np.testing.assert_array_equal(simulator.render_clean(32, 32), frames[k])
        np.testing.assert_array_equal(
            simulator.observe(), dataset.column("observation.state")[begin + k]
        )
        reward, terminated, info = simulator.step(dataset.column("action.relative")[begin + k])
        assert reward == pytest.approx(dataset.column("next.reward")[begin + k, 0])
        assert terminated == dataset.column("next.terminated")[begin + k, 0]
        np.testing.assert_array_equal(info["action"], dataset.column("action")[begin + k])
    np.testing.assert_array_equal(
        simulator.get_state(), dataset.column("simulator_state")[begin + len(frames) - 1]
    )


def test_an_episode_ends_where_the_scene_does(unbroken: Path) -> None:
    dataset = LeRobotDataset(unbroken)
    done = dataset.column("next.done")[:, 0]
    np.testing.assert_array_equal(
        np.flatnonzero(done), [episode.stop - 1 for episode in dataset.episodes]
    )
    for episode in dataset.episodes:
        terminated = dataset.column("next.terminated")[episode.start : episode.stop, 0]
        assert not terminated[:-2].any()
        assert len(episode) == 121 or terminated[-2]


def test_zero_steps_record_single_pictures(tmp_path: Path) -> None:
    dataset = collect(config(tmp_path / "disc", steps=0, episodes=20), progress=False)
    dataset.check()
    assert [len(episode) for episode in dataset.episodes] == [1] * 20


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_any_environment_is_recorded_though_not_restorable(tmp_path: Path) -> None:
    root = tmp_path / "plain"
    env = "cosmos_sdk_scenes:CosmosSDK/DiscPusher-v0"
    assert (
        run([f"env={env}", f"out={root}", "episodes=2", "steps=5", "size=48", "processes=1"]) == 0
    )
    dataset = LeRobotDataset(root)
    assert dataset.column("action").shape == (12, 2)
    assert dataset.frames(CAMERA, 0).shape == (6, 48, 48, 3)
    assert "simulator_state" not in dataset.features
    with pytest.raises(DataNotRestorableError, match="no registered Simulator"):
        restore(root, 0)


@pytest.mark.parametrize(("size", "names"), [(1, ("observation",)), (0, ())])
def test_an_environment_names_what_it_observes_though_not_in_units(
    size: int, names: tuple[str, ...]
) -> None:
    env = gymnasium.Env()
    env.action_space, env.observation_space = spaces.Discrete(2), spaces.Box(0, 1, (size,))
    assert (EnvScene(env).observation_names, EnvScene(env).observation_units) == (names, ())


def test_unknown_environments_and_policies_write_nothing(tmp_path: Path) -> None:
    root = tmp_path / "none"
    with pytest.raises(DatasetError, match=r"Nowhere-v0.*Simulators: .*DiscPusher"):
        collect(config(root, env="Nowhere-v0"), progress=False)
    with pytest.raises(UnknownNameError, match="Did you mean 'disc-scripted'"):
        collect(config(root, policy="disc-script"), progress=False)
    assert not root.exists()


def test_what_acts_on_observations_is_no_recorder(tmp_path: Path) -> None:
    root = tmp_path / "none"
    with pytest.raises(
        UnknownNameError, match=r"recorder 'Mute'.*disc-scripted, .*mpc, .*pusht-scatter"
    ):
        run([f"env={DISC}", "policy=Mute", f"out={root}"])
    assert not root.exists()


class Mute:
    """Is built without arguments, and does not know the scene."""

    def reset(self) -> None: ...


def mute() -> Mute:
    return Mute()


class ActsByAnAttribute:
    def __init__(self) -> None:
        self.act = lambda scene: np.zeros(2, np.float32)

    def reset(self, rng: np.random.Generator, scene: object) -> None: ...


@pytest.fixture
def own_policies() -> Iterator[None]:
    for policy in (Mute, mute, ActsByAnAttribute):
        registry().add("recorder", policy.__name__, policy)
    yield
    registry.cache_clear()


@pytest.mark.usefixtures("own_policies")
@pytest.mark.parametrize("name", ["Mute", "mute"])
def test_a_recorder_has_to_offer_what_a_recording_calls(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"no reset\(rng, scene\); it has no act\(scene\)"):
        collect(config(tmp_path / "none", policy=name), progress=False)


@pytest.mark.usefixtures("own_policies")
def test_what_is_built_is_judged_and_not_its_class(tmp_path: Path) -> None:
    own = config(tmp_path / "disc", policy="ActsByAnAttribute", episodes=1, steps=2)
    assert len(collect(own, progress=False)) == 3


def test_impossible_counts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="episodes is 0; expected at least 1"):
        run([f"env={DISC}", f"out={tmp_path}", "episodes=0"])


def test_lists_in_parquet_have_the_fixed_length_of_their_feature(unbroken: Path) -> None:
    schema = pq.read_schema(unbroken / "data/chunk-000/file-000.parquet")
    assert str(schema.field("action").type) == "fixed_size_list<element: float>[2]"
    assert str(schema.field("next.reward").type) == "float"
    assert str(schema.field("simulator_state").type) == "fixed_size_list<element: double>[6]"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DatasetError, match="cannot write"):
        collect(config(tmp_path / "file" / "disc"), progress=False)
    shutil.rmtree(tmp_path)


def test_a_recording_that_fails_at_once_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(self: object, *_: object) -> None:
        raise DatasetError("the scene broke")

    with monkeypatch.context() as patch:
        patch.setattr(registry().load("simulator", DISC), "step", breaks)
        with pytest.raises(DatasetError, match="the scene broke"):
            collect(config(tmp_path / "new" / "disc"), progress=False)
        assert not (tmp_path / "new" / "disc").exists()
        (tmp_path / "mine").mkdir()
        with pytest.raises(DatasetError, match="the scene broke"):
            collect(config(tmp_path / "mine"), progress=False)
        assert list((tmp_path / "mine").iterdir()) == []
    other = config(tmp_path / "mine", episodes=1, steps=2, size=16)
    assert len(collect(other, progress=False).episodes) == 1


def test_the_command_of_a_recording_gives_its_options_back() -> None:
    options = {
        "starts": {"angle": [-3.14, 3.14], "speed": [0, float("inf")]},
        "noise": 0.3,
        "flag": True,
        "nothing": None,
        "terms": [{"name": "goal-state", "goal": [1.0, 2.0]}],
    }
    made = CollectConfig(DISC, "out", "exploring", task="push it: now, gently", options=options)
    _, _, *words = shlex.split(command_line(made.fixed, 3))
    given = override({}, words)
    assert given.pop("episodes") == 3
    assert {key: given[key] for key in options} == options
    assert {key: given[key] for key in ("env", "policy")} == {"env": DISC, "policy": "exploring"}


def test_what_describes_a_recording_is_json_also_where_nothing_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(name)

    made = registry().load("simulator", DISC)
    monkeypatch.setattr(made, "observation_high", np.full(4, np.inf, np.float32))
    root = tmp_path / "disc"
    collect(config(root, episodes=1, steps=2, size=16, policy="random"), progress=False)
    about = json.loads((root / "meta/recording.json").read_text(), parse_constant=refuse)
    assert about["observation"]["high"] == [None] * 4
    assert about["observation"]["low"] == made.observation_low.tolist()
