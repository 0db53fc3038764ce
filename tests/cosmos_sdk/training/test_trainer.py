"""The loop: what it trains, when, and that nothing but its recipe decides the weights."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import cv2
import pytest
import torch
from torch import Tensor

from cosmos_sdk.errors import (
    ConfigError,
    PluginError,
    SamplingError,
    TrainingError,
    WriteError,
)
from cosmos_sdk.training import log
from cosmos_sdk.training.recipe import Recipe
from cosmos_sdk.training.snapshot import FILE, Snapshot
from cosmos_sdk.training.trainer import Course, Trainer
from cosmos_sdk.world import WorldModel
from toys.trainable import DotTokenizer, dot_footage, dot_recipe, dot_world, without_held_out

KILLABLE = Path(__file__).with_name("killable.py")


def trainer(out: Path, recipe: Recipe | None = None, world: WorldModel | None = None) -> Trainer:
    return Trainer(world or dot_world(), recipe or dot_recipe(), {"dots": dot_footage()}, out)


def weights(world: WorldModel) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in world.state_dict().items()}


def assert_equal(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> None:
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("unbroken")
    trainer(out).run()
    return out


class Cut(Exception):
    """Stands for a loss of power."""


def cut_at(monkeypatch: pytest.MonkeyPatch, stage: int, step: int) -> None:
    update = Course.update

    def failing(course: Course, at: int) -> None:
        if (course.number, at) == (stage, step):
            raise Cut
        update(course, at)

    monkeypatch.setattr(Course, "update", failing)


@pytest.mark.parametrize(("stage", "step"), [(0, 3), (0, 20), (1, 0), (1, 13), (2, 9)])
def test_a_run_cut_anywhere_ends_with_the_weights_of_an_unbroken_one(
    unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: int, step: int
) -> None:
    with monkeypatch.context() as patch:
        cut_at(patch, stage, step)
        with pytest.raises(Cut):
            trainer(tmp_path).run()
    begun = (tmp_path / FILE).is_file()
    trainer(tmp_path, world=dot_world(seed=int(begun))).run()  # a snapshot holds all weights
    whole, resumed = Snapshot.read(unbroken), Snapshot.read(tmp_path)
    assert whole is not None
    assert resumed is not None
    assert_equal(dict(whole.tensors), dict(resumed.tensors))


def test_a_killed_process_resumes_to_the_same_bits(unbroken: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error", str(KILLABLE), str(tmp_path)]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (tmp_path / FILE).is_file() and time.monotonic() < deadline:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    left = Snapshot.read(tmp_path)
    assert left is not None
    assert left.position.stage < len(dot_recipe().stages)  # it was killed on the way
    subprocess.run(command, env=environment, check=True, capture_output=True)
    whole, resumed = Snapshot.read(unbroken), Snapshot.read(tmp_path)
    assert whole is not None
    assert resumed is not None
    assert_equal(dict(whole.tensors), dict(resumed.tensors))


def test_a_finished_run_has_nothing_left_to_do(unbroken: Path) -> None:
    before = (unbroken / FILE).stat().st_mtime_ns
    again = trainer(unbroken)
    assert again.position.stage == 3
    assert_equal(weights(again.run()), weights(trainer(unbroken).world))
    assert (unbroken / FILE).stat().st_mtime_ns == before


def test_the_tokenizer_is_prepared_once_and_frozen_while_the_world_learns(tmp_path: Path) -> None:
    recipe = dot_recipe()
    first = {
        name: stage for name, stage in recipe.to_mapping()["stages"].items() if name == "tokenizer"
    }
    only = trainer(tmp_path / "a", Recipe.from_mapping({**recipe.to_mapping(), "stages": first}))
    after_first = weights(only.run())
    world = trainer(tmp_path / "b").run()
    after_all = weights(world)
    for name, tensor in after_first.items():
        assert torch.equal(after_all[name], tensor) == name.startswith("tokenizer."), name
    assert world.tokenizer.prepared == 1  # pyright: ignore[reportAttributeAccessIssue]
    assert not world.training


def test_the_result_is_the_average_of_the_weights(tmp_path: Path) -> None:
    last = trainer(tmp_path / "last", dot_recipe(stages=stages(ema=0.0))).run()
    averaged = trainer(tmp_path / "averaged", dot_recipe(stages=stages(ema=0.9))).run()
    assert not torch.equal(
        last.state_dict()["tokenizer.encoder.weight"],
        averaged.state_dict()["tokenizer.encoder.weight"],
    )


def stages(**more: object) -> list[dict[str, object]]:
    return [{"train": "tokenizer", "steps": 6, "frames": 2, "batch_size": 4, "warmup": 0, **more}]


def test_losses_and_held_out_figures_are_logged_once_each(unbroken: Path) -> None:
    rows = log.read(unbroken / "log.csv")
    keys = [(row["stage"], row["step"], row["name"]) for row in rows]
    assert len(set(keys)) == len(keys)
    names = {row["name"] for row in rows if row["stage"] == "world"}
    assert {"loss", "backend/step", "state/place", "learning_rate", "gradient_norm"} <= names
    assert {
        "validation/psnr_1",
        "validation/psnr_3",
        "validation/copy_psnr_1",
        "validation/backend/step",
    } <= names


def test_training_lowers_the_loss_and_the_held_out_error(tmp_path: Path) -> None:
    recipe = dot_recipe(
        stages=[
            {
                "train": "tokenizer",
                "steps": 300,
                "frames": 2,
                "batch_size": 16,
                "learning_rate": 0.01,
            }
        ]
    )
    footage = dot_footage(num_episodes=60)
    Trainer(dot_world(), recipe, {"dots": footage}, tmp_path).run()
    psnr = [
        float(row["value"])
        for row in log.read(tmp_path / "log.csv")
        if row["name"] == "validation/psnr"
    ]
    assert psnr[-1] > psnr[0] + 3


def test_stages_run_under_their_own_options(tmp_path: Path) -> None:
    plain = dot_recipe().to_mapping()
    plain["stages"]["world-2"]["using"] = {"scal": 2.0}
    with pytest.raises(SamplingError, match="scale"):
        trainer(tmp_path, Recipe.from_mapping(plain)).run()


def test_frozen_parts_keep_their_bits(tmp_path: Path) -> None:
    world = [
        {"train": "world", "steps": 5, "frames": 4, "batch_size": 4, "frozen": ["readouts.state"]}
    ]
    before = weights(dot_world())
    after = weights(trainer(tmp_path, dot_recipe(stages=world)).run())
    assert torch.equal(before["readouts.state.layer.weight"], after["readouts.state.layer.weight"])
    assert not torch.equal(before["backend.layer.1.weight"], after["backend.layer.1.weight"])


def test_a_frozen_part_is_validated_by_its_average_too(tmp_path: Path) -> None:
    """The average is what is saved at the end, not the last weights of the stage before."""
    world = {"train": "world", "steps": 6, "frames": 4, "batch_size": 4, "learning_rate": 0.05}
    alone = {**world, "name": "readout", "frozen": ["backend"]}
    trainer(tmp_path, dot_recipe(stages=[{**world, "name": "world"}, alone])).run()
    loss = {
        row["stage"]: row["value"]
        for row in log.read(tmp_path / "log.csv")
        if row["name"].startswith("validation/backend/")
    }
    assert loss["readout"] == loss["world"]


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("frozen", ["readout.state"], "Did you mean 'readouts.state'"),
        ("weights", {"backend/stp": 0.5}, "Did you mean 'backend/step'"),
        ("moving_target", "pose", "targets: state"),
    ],
)
def test_a_name_that_does_not_exist_is_answered_with_those_that_do(
    tmp_path: Path, option: str, value: object, words: str
) -> None:
    stage = {"train": "world", "steps": 5, "frames": 4, "moving": 0.5, option: value}
    with pytest.raises(ConfigError, match=words):
        trainer(tmp_path, dot_recipe(stages=[stage])).run()


def test_a_loss_that_is_not_finite_stops_the_run_before_it_is_saved(tmp_path: Path) -> None:
    recipe = dot_recipe(stages=stages(learning_rate=1e30, clip_norm=0), checkpoint_every=2)
    with pytest.raises(TrainingError, match="learning_rate"):
        trainer(tmp_path, recipe).run()
    left = Snapshot.read(tmp_path)
    assert left is None or all(torch.isfinite(t).all() for t in left.tensors.values())


def test_a_full_disk_keeps_the_earlier_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if FILE in path.name and (tmp_path / FILE).is_file():
            written(path, data[:100])
            raise OSError(28, "No space left on device")
        return written(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(WriteError, match="No space left on device"):
            trainer(tmp_path).run()
    kept = Snapshot.read(tmp_path)
    assert kept is not None
    assert kept.position.step == 7
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_a_tokenizer_without_a_loss_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = dot_world()
    monkeypatch.delattr(type(world.tokenizer), "loss")
    with pytest.raises(PluginError, match="drop its stage"):
        trainer(tmp_path, world=world).run()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_log_on_a_full_disk_says_so(tmp_path: Path) -> None:
    history = log.Log(tmp_path, {"world": 5}, (0, 0), tensorboard=False)
    (tmp_path / "log.csv").unlink()
    (tmp_path / "log.csv").symlink_to("/dev/full")
    with pytest.raises(WriteError, match="No space left on device"):
        history.write("world", 1, {"loss": 1.0}, 0.0)


def test_a_reopened_log_forgets_what_lies_beyond_the_snapshot(tmp_path: Path) -> None:
    stages = {"a": 5, "b": 5}
    history = log.Log(tmp_path, stages, (0, 0), tensorboard=False)
    for stage, step in (("a", 2), ("a", 5), ("b", 1), ("b", 3)):
        history.write(stage, step, {"loss": 1.0}, 0.0)
    with (tmp_path / "log.csv").open("a") as file:
        file.write("b,4,lo")  # a kill in the middle of a line
    log.Log(tmp_path, stages, (1, 1), tensorboard=False).write("b", 2, {"loss": 2.0}, 0.0)
    assert [(row["stage"], row["step"]) for row in log.read(tmp_path / "log.csv")] == [
        ("a", "2"), ("a", "5"), ("b", "1"), ("b", "2"),
    ]  # fmt: skip


def test_data_without_held_out_episodes_trains_without_figures(tmp_path: Path) -> None:
    footage = {"dots": without_held_out(dot_footage())}
    Trainer(dot_world(), dot_recipe(), footage, tmp_path).run()
    assert not [
        row for row in log.read(tmp_path / "log.csv") if row["name"].startswith("validation")
    ]


def test_latents_that_depend_on_their_clip_are_not_cached(
    unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(list((unbroken / "cache").glob("dots-*.npy"))) == 1
    alone = DotTokenizer.encode
    monkeypatch.setattr(DotTokenizer, "encode", lambda self, frames: alone(self, frames).cumsum(1))
    trainer(tmp_path).run()
    assert not (tmp_path / "cache").exists()


def test_bfloat16_stages_train_float32_weights(tmp_path: Path) -> None:
    recipe = dot_recipe(stages=stages(precision="bfloat16"))
    world = trainer(tmp_path, recipe).run()
    assert {p.dtype for p in world.parameters()} == {torch.float32}


def test_contact_sheets_are_pictures(unbroken: Path) -> None:
    paths = sorted((unbroken / "pictures").iterdir())
    assert [path.name for path in paths][-2:] == ["world-000020.png", "world-2-000010.png"]
    sheet = cv2.imread(str(paths[-1]))
    assert sheet is not None
    assert sheet.shape[2] == 3
