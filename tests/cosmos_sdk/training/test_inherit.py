"""Parts taken over from a finished world."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cosmos_sdk.build import build
from cosmos_sdk.errors import CheckpointError, ConfigError
from cosmos_sdk.training import recipe
from cosmos_sdk.training.defaults import default_recipe
from cosmos_sdk.training.inherit import inherit
from cosmos_sdk.training.run import train
from cosmos_sdk.world import WorldModel

SMALL = [
    "world.spec.frames=[2,16,16]",
    "world.tokenizer.widths=[8,16]",
    "world.tokenizer.mixer_width=16",
    "world.backend.width=32",
    "world.backend.num_layers=2",
    "world.backend.num_heads=1",
    "world.backend.hidden=32",
    "world.backend.pack=1",
    "validation.num_windows=4",
]


def values(folder: Path, *more: str) -> dict:
    return recipe.overridden(default_recipe(folder), [*SMALL, *more]).to_mapping()


def made(folder: Path, seed: int, *more: str) -> WorldModel:
    torch.manual_seed(seed)
    return build(recipe.Recipe.from_mapping(values(folder, *more)).world)


@pytest.fixture
def finished(two_cameras: Path, tmp_path: Path) -> str:
    return str(made(two_cameras, 1).save_pretrained(tmp_path / "finished", dtype="float16"))


def same(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


def test_a_part_is_copied_and_the_others_stay(two_cameras, finished):
    world, untouched = made(two_cameras, 2), made(two_cameras, 2)
    inherit(world, {"tokenizer": finished, "readouts.state": finished})
    source = WorldModel.from_pretrained(finished)
    assert same(world.tokenizer, source.tokenizer)  # pyright: ignore[reportArgumentType]
    assert same(world.readouts["state"], source.readouts["state"])  # pyright: ignore[reportArgumentType]
    assert same(world.backend, untouched.backend)  # pyright: ignore[reportArgumentType]
    assert not same(world.backend, source.backend)  # pyright: ignore[reportArgumentType]


def test_every_wrong_part_is_named_and_nothing_is_copied(two_cameras, finished):
    world, untouched = (made(two_cameras, 2, "world.backend.width=16") for _ in range(2))
    wanted = {"tokenizer": finished, "tokeniser": finished, "backend": finished}
    with pytest.raises(ConfigError) as caught:
        inherit(world, wanted)
    text = str(caught.value)
    assert "init.tokeniser: this world has no part 'tokeniser'. Did you mean 'tokenizer'?" in text
    assert "init.backend: that of" in text
    assert "instead of" in text
    assert same(world, untouched)


def test_a_source_that_is_no_world_is_refused(two_cameras):
    with pytest.raises(CheckpointError):
        inherit(made(two_cameras, 0), {"tokenizer": "nowhere"})


def test_a_run_keeps_the_tokenizer_that_it_was_given(two_cameras, finished, tmp_path):
    plain = values(two_cameras, "stages.one-step.steps=2", "stages.one-step.batch_size=4")
    plain["stages"] = {"one-step": {**plain["stages"]["one-step"], "frames": 6}}
    plain["init"] = {"tokenizer": finished}
    folder = train(recipe.Recipe.from_mapping(plain), tmp_path / "run")
    source, world = WorldModel.from_pretrained(finished), WorldModel.from_pretrained(folder)
    assert same(world.tokenizer, source.tokenizer)  # pyright: ignore[reportArgumentType]
    assert not same(world.backend, source.backend)  # pyright: ignore[reportArgumentType]
    assert finished in (folder / "card.md").read_text()
