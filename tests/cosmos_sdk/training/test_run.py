"""From a folder to a world, by the command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from cosmos_sdk.cli.main import main
from cosmos_sdk.cli.train import run as command
from cosmos_sdk.config import write_yaml
from cosmos_sdk.data.clips import ClipDataset
from cosmos_sdk.data.collect import CollectConfig, collect
from cosmos_sdk.errors import ConfigError, DatasetError, TrainingError
from cosmos_sdk.state import Masked
from cosmos_sdk.training import datasets, recipe
from cosmos_sdk.training.card import data_table
from cosmos_sdk.training.defaults import default_recipe
from cosmos_sdk.training.run import claim, pick_device
from cosmos_sdk.training.trainer import Course
from cosmos_sdk.world import WorldModel

SMALL = [
    "world.spec.frames=[2,16,16]",
    "world.tokenizer.widths=[8,16]",
    "world.tokenizer.mixer_width=16",
    "world.tokenizer.auxiliary_width=16",
    "world.backend.width=32",
    "world.backend.num_layers=2",
    "world.backend.num_heads=1",
    "world.backend.hidden=32",
    "stages.tokenizer.steps=4",
    "stages.tokenizer.batch_size=4",
    "stages.one-step.steps=4",
    "stages.one-step.batch_size=4",
    "stages.one-step.frames=6",
    "stages.dream.steps=2",
    "stages.dream.batch_size=4",
    "stages.dream.using.unroll=2",
    "world.backend.pack=1",
    "validation.num_windows=4",
    "num_starts=5",
]


def small(folder: Path, *more: str) -> recipe.Recipe:
    return recipe.overridden(default_recipe(folder), [*SMALL, *more])


@pytest.fixture(scope="module")
def trained(two_cameras: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained")
    assert main(["train", f"data={two_cameras}", f"out={out}", *SMALL]) == 0
    return out


def test_any_lerobot_folder_becomes_a_world_of_its_cameras_and_actions(trained: Path) -> None:
    world = WorldModel.from_pretrained(trained / "world")
    assert world.spec is not None
    assert world.spec.frames == (2, 16, 16)
    assert world.spec.spaces["action"].shape == (7,)
    starts = load_file(trained / "world" / "starts.safetensors")
    frames, action = starts["frames"], Masked(starts["signals/action"], starts["masks/action"])
    context = world.backend.context
    assert frames.shape == (5, context, 2, 3, 16, 16)
    assert starts["targets/state"].shape == (5, context, 3)
    state = world.reset(frames, {}, torch.arange(5), {"action": action})
    after, _ = world.step(state, {"action": torch.zeros(5, 1, 7)})
    assert world.decode(after).shape == (5, 1, 2, 3, 16, 16)
    assert world.observe(after)["state"].shape == (5, 3)


def test_the_card_says_how_the_world_was_made(trained: Path) -> None:
    text = (trained / "world" / "card.md").read_text()
    for words in (
        "seed 0",
        "| data | 10 | 1 |",
        "| one-step | world | 4 |",
        "minutes",
        "psnr_1",
        "torch",
        "Licence",
        "steps: 4",
    ):
        assert words in text


def test_the_card_says_how_the_data_were_recorded(trained: Path, tmp_path: Path) -> None:
    strangers = (trained / "world" / "card.md").read_text()
    assert "| the folder `robot`, recorded elsewhere |" in strangers
    env, root = "CosmosSDK/DiscPusher-v0", tmp_path / "discs"
    own = CollectConfig(env, str(root), episodes=2, steps=3, task="this | that", processes=1)
    collect(own, progress=False)
    made = recipe.overridden(default_recipe(root), [])
    table = data_table(made, {"data": datasets.read(root, made)})
    line = f"cosmos-sdk collect env={env} policy=random episodes=2 seed=0 steps=3"
    assert table.endswith(f"| data | 2 | 1 | 8 | `{line} 'task=this \\| that'` |")


def test_the_same_command_again_changes_nothing_and_another_recipe_is_refused(
    trained: Path, two_cameras: Path
) -> None:
    arguments = [f"data={two_cameras}", f"out={trained}", *SMALL]
    weights = trained / "world" / "model.safetensors"
    before = weights.read_bytes()
    assert command(arguments) == 0
    assert weights.read_bytes() == before
    with pytest.raises(TrainingError, match=r"differs in: seed, stages\.one-step\.learning_rate"):
        command([*arguments, "seed=3", "stages.one-step.learning_rate=0.1"])


def test_the_first_party_components_resume_to_the_same_bits(
    trained: Path, two_cameras: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = [f"data={two_cameras}", f"out={tmp_path}", *SMALL, "checkpoint_every=1"]
    update = Course.update
    for number, step in ((0, 2), (1, 3), (2, 1)):
        with monkeypatch.context() as patch:
            patch.setattr(Course, "update", cut_before(update, number, step))
            with pytest.raises(KeyboardInterrupt):
                command(arguments)
    command(arguments)
    unbroken, resumed = (out / "world" / "model.safetensors" for out in (trained, tmp_path))
    assert resumed.read_bytes() == unbroken.read_bytes()


def cut_before(update: Any, number: int, step: int) -> Any:
    def cut(course: Course, at: int) -> None:
        if (course.number, at) == (number, step):
            raise KeyboardInterrupt
        update(course, at)

    return cut


def test_a_recipe_that_never_began_to_train_gives_way(two_cameras: Path, tmp_path: Path) -> None:
    claim(small(two_cameras), tmp_path)
    claim(small(two_cameras, "seed=2"), tmp_path)
    assert recipe.load(tmp_path).seed == 2


def test_columns_are_aligned_as_clips_are(two_cameras: Path) -> None:
    footage = datasets.read(two_cameras, small(two_cameras))
    clips = ClipDataset(two_cameras, 5, size=(16, 16), episodes="train")
    starts = footage.starts(5, held_out=False)
    mine, theirs = footage.clips(starts, 5), clips.batch(starts.numpy())
    assert len(starts) == len(clips)
    assert torch.equal(mine.frames, theirs.frames)
    assert torch.equal(mine.valid, theirs.valid)
    for own, other in ((mine.signals, theirs.signals), (mine.targets, theirs.targets)):
        assert own.keys() == other.keys()
        for name in own:
            a, b = own[name], other[name]
            assert isinstance(a, Masked)
            assert isinstance(b, Masked)
            assert torch.equal(a.mask, b.mask)
            assert torch.equal(a.zeroed().values, b.values)


def test_a_missing_target_is_named_before_anything_is_trained(
    two_cameras: Path, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match=r"target reward; they have: state.*targets\.reward="):
        command([f"data={two_cameras}", f"out={tmp_path}", *SMALL, "world.heads.reward.name=reward",
                 "world.spec.targets.reward={low: [0.0], high: [1.0]}"])  # fmt: skip
    assert not (tmp_path / "training.safetensors").exists()


def test_cameras_have_to_fit_the_world(two_cameras: Path) -> None:
    with pytest.raises(DatasetError, match=r"2 cameras .*the world has 1"):
        datasets.read(two_cameras, small(two_cameras, "world.spec.frames=[1,16,16]"))
    one = small(two_cameras, "world.spec.frames=[1,16,16]", "cameras=[observation.images.wrist]")
    assert datasets.read(two_cameras, one).frames.shape[1:] == (1, 3, 16, 16)


def test_a_recipe_can_say_how_to_record_its_data(two_cameras: Path, tmp_path: Path) -> None:
    collected = {
        "env": "CosmosSDK/DiscPusher-v0",
        "episodes": 2,
        "steps": 3,
        "size": 16,
        "processes": 1,
    }
    values: dict[str, Any] = {
        **small(two_cameras).to_mapping(),
        "data": {"discs": {"collect": collected}},
    }
    values["world"]["spec"]["frames"] = [1, 16, 16]
    footage = datasets.open_datasets(
        recipe.Recipe.from_mapping({**values, "signals": {}, "targets": {}}), tmp_path
    )
    assert np.diff(footage["discs"].episodes.numpy()).tolist() == [[4], [4]]
    assert (tmp_path / "data" / "discs" / "meta" / "info.json").is_file()


def test_a_recipe_file_is_enough(two_cameras: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        write_yaml(
            small(two_cameras, "stages.tokenizer.steps=1", "stages.one-step.steps=1").to_mapping()
        )
    )
    assert command([f"config={path}", f"out={tmp_path / 'out'}", "tensorboard=false"]) == 0
    assert not (tmp_path / "out" / "tensorboard").exists()


def test_tensorboard_gets_the_same_figures(trained: Path) -> None:
    pytest.importorskip("tensorboard", reason="an optional extra")
    assert list((trained / "tensorboard").glob("events.*"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "config or data is required"),
        (["config=nothing"], "no bundled world"),
        (["stages.one-stp.steps=1"], "Did you mean 'one-step'"),
        (["device=tpu9"], "device=auto"),
    ],
)
def test_mistakes_are_answered_before_work_begins(
    two_cameras: Path, tmp_path: Path, arguments: list[str], words: str
) -> None:
    data = (
        [f"data={two_cameras}"]
        if arguments and "=" in arguments[0] and "config" not in arguments[0]
        else []
    )
    with pytest.raises(ConfigError, match=words):
        command([*data, *arguments, f"out={tmp_path}"])


def test_the_device_is_the_cpu_where_there_is_no_other() -> None:
    expected = (
        "cpu"
        if not torch.accelerator.is_available()
        else str(torch.accelerator.current_accelerator())
    )
    assert str(pick_device("auto")) == expected
