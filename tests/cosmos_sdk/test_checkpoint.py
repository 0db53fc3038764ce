from __future__ import annotations

import errno
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from cosmos_sdk import build as building
from cosmos_sdk import checkpoint
from cosmos_sdk.build import build
from cosmos_sdk.checkpoint import CONFIG, WEIGHTS
from cosmos_sdk.config import WorldConfig, read_yaml, write_yaml
from cosmos_sdk.errors import CheckpointError, ConfigError, WriteError
from cosmos_sdk.world import WorldModel
from toys.factories import toy_data, toy_registry


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "registry", toy_registry)


@pytest.fixture
def world() -> WorldModel:
    return build(WorldConfig.from_mapping(toy_data()))


@pytest.fixture
def folder(world: WorldModel, tmp_path: Path) -> Path:
    return world.save_pretrained(tmp_path / "world", card="# A toy\n")


def same(one: WorldModel, other: WorldModel) -> bool:
    ours, theirs = one.state_dict(), other.state_dict()
    return list(ours) == list(theirs) and all(
        torch.equal(ours[name], theirs[name]) for name in ours
    )


def test_a_saved_world_comes_back_bit_equal(world: WorldModel, folder: Path) -> None:
    loaded = WorldModel.from_pretrained(folder)

    assert same(world, loaded)
    assert loaded.config == world.config
    assert not loaded.training
    assert sorted(path.name for path in folder.iterdir()) == ["card.md", CONFIG, WEIGHTS]


def test_16_bit_weights_are_restored_to_32(world: WorldModel, tmp_path: Path) -> None:
    folder = world.save_pretrained(tmp_path, dtype="float16")

    loaded = WorldModel.from_pretrained(folder)

    assert load_file(folder / WEIGHTS)["backend.layer.weight"].dtype == torch.float16
    assert loaded.state_dict()["backend.calls"].item() == 70_001  # integers are stored as they are
    for name, tensor in loaded.state_dict().items():
        assert tensor.dtype == world.state_dict()[name].dtype
        torch.testing.assert_close(tensor, world.state_dict()[name], rtol=1e-3, atol=1e-4)


def test_a_weight_beyond_float16_is_refused_and_nothing_is_written(
    world: WorldModel, tmp_path: Path
) -> None:
    world.get_parameter("backend.layer.bias").data.fill_(1e5)

    with pytest.raises(
        CheckpointError, match=r"backend\.layer\.bias holds values up to 100000.*bfloat16"
    ):
        world.save_pretrained(tmp_path / "world", dtype="float16")
    assert not (tmp_path / "world").exists()


def test_parameters_that_share_storage_are_saved(world: WorldModel, tmp_path: Path) -> None:
    tied = world.get_parameter("backend.layer.weight")
    world.get_submodule("heads.reward.layer").weight = torch.nn.Parameter(tied.data[:1, :3])

    assert same(world, WorldModel.from_pretrained(world.save_pretrained(tmp_path)))


def test_an_unknown_dtype_and_a_world_without_config_are_refused(
    world: WorldModel, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="'int8'; choose one of float32, float16, bfloat16"):
        world.save_pretrained(tmp_path, dtype="int8")
    world.config = None
    with pytest.raises(CheckpointError, match="has no config"):
        world.save_pretrained(tmp_path)


@pytest.mark.parametrize("size", [0, 4, 100, -1])
def test_a_truncated_file_is_named(folder: Path, size: int) -> None:
    content = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(content[:size])

    with pytest.raises(CheckpointError, match=r"model\.safetensors .* is truncated or damaged"):
        WorldModel.from_pretrained(folder)


def test_tensors_that_are_missing_left_over_or_of_another_shape_are_listed_together(
    folder: Path,
) -> None:
    tensors = load_file(folder / WEIGHTS)
    tensors["stranger"] = tensors.pop("tokenizer.scale")
    tensors["backend.layer.weight"] = torch.zeros(7)
    save_file(tensors, folder / WEIGHTS)

    with pytest.raises(CheckpointError) as caught:
        WorldModel.from_pretrained(folder)

    assert "tokenizer.scale is missing" in str(caught.value)
    assert "stranger belongs to no component" in str(caught.value)
    assert "backend.layer.weight is (7,); expected (3, 4)" in str(caught.value)


@pytest.mark.parametrize("start", [pickle.dumps([1, 2]), b"PK\x03\x04 the zip of torch.save"])
def test_a_pickle_in_the_place_of_the_weights_is_refused(folder: Path, start: bytes) -> None:
    (folder / WEIGHTS).write_bytes(start)

    with pytest.raises(CheckpointError, match=r"is a pickle; .* refused"):
        WorldModel.from_pretrained(folder)


def test_a_folder_with_a_foreign_pickle_is_refused(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "pytorch_model.bin")

    with pytest.raises(
        CheckpointError, match=r"missing\. Pickles are never loaded: pytorch_model\.bin"
    ):
        WorldModel.from_pretrained(folder)


@pytest.mark.parametrize("number", [None, 0, 2, "1.5"])
def test_another_format_is_refused(folder: Path, number: object) -> None:
    values = read_yaml(folder / CONFIG) | {"format": number}
    (folder / CONFIG).write_text(write_yaml(values))

    with pytest.raises(CheckpointError, match=r"reads format 1.*version that wrote it"):
        WorldModel.from_pretrained(folder)


def test_a_folder_without_config_says_what_it_has(folder: Path) -> None:
    (folder / CONFIG).unlink()

    with pytest.raises(CheckpointError, match=r"no config\.yaml, but card\.md, model\.safetensors"):
        WorldModel.from_pretrained(folder)


def test_a_recipe_that_was_not_trained_says_how(folder: Path) -> None:
    (folder / CONFIG).rename(folder / "recipe.yaml")

    with pytest.raises(CheckpointError, match="Train it: cosmos-sdk train config="):
        WorldModel.from_pretrained(folder)


def test_an_unknown_bundled_name_is_a_checkpoint_error() -> None:
    with pytest.raises(CheckpointError, match="'pusht-difusion' is no folder and no bundled world"):
        WorldModel.from_pretrained("pusht-difusion")


def test_a_config_that_names_an_absent_component_is_a_config_error(folder: Path) -> None:
    values = read_yaml(folder / CONFIG)
    values["backend"]["name"] = "absent"
    (folder / CONFIG).write_text(write_yaml(values))

    with pytest.raises(ConfigError, match="Unknown backend 'absent'"):
        WorldModel.from_pretrained(folder)


def test_a_full_disk_leaves_the_old_checkpoint(
    world: WorldModel, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = build(WorldConfig.from_mapping(toy_data()))

    def full(tensors: object, path: Path) -> None:
        path.write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(WriteError, match=r"No space left on device.*unchanged"):
        other.save_pretrained(folder)

    assert sorted(path.name for path in folder.iterdir()) == ["card.md", CONFIG, WEIGHTS]
    assert same(world, WorldModel.from_pretrained(folder))


def test_a_kill_between_two_files_never_mixes_two_worlds(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = toy_data()
    data["backend"]["window"] = 7
    other = build(WorldConfig.from_mapping(data))
    write, written = Path.write_text, list[Path]()

    def killed(path: Path, *args: str, **kwargs: str) -> int:
        if CONFIG in path.name:
            raise KeyboardInterrupt
        written.append(path)
        return write(path, *args, **kwargs)

    monkeypatch.setattr(Path, "write_text", killed)
    with pytest.raises(KeyboardInterrupt):
        other.save_pretrained(folder, card="# Another\n")

    assert written
    with pytest.raises(CheckpointError, match="is no checkpoint"):
        WorldModel.from_pretrained(folder)


def test_other_files_of_the_folder_and_an_old_card_stay(world: WorldModel, folder: Path) -> None:
    (folder / "starts.safetensors").write_bytes(b"starts")

    world.save_pretrained(folder)

    assert (folder / "starts.safetensors").read_bytes() == b"starts"
    assert (folder / "card.md").read_text() == "# A toy\n"
