"""The loop of recording, learning a world and dreaming in it, small enough to run."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from cosmos_sdk.cli.main import main
from cosmos_sdk.config import write_yaml
from cosmos_sdk.data.lerobot import LeRobotDataset
from cosmos_sdk.errors import ConfigError, TrainingError
from cosmos_sdk.training.recipe import Recipe
from cosmos_sdk.world import WorldModel
from cosmos_sdk_policies.dream_return import DreamReturnConfig, dream_return
from cosmos_sdk_policies.dyna import Dyna, DynaConfig

SMALL = ["episodes=2", "steps=6", "world_steps=2", "dream.steps=2", "dream.batch_size=4"]
SMALL += ["dream.agent.width=8", "dream.agent.depth=1", "dream.agent.horizon=2"]
SMALL += ["dream.tensorboard=false"]


def plain() -> dict[str, Any]:
    """A recipe of the disc pusher: a tokenizer and a state-space world of toy sizes."""
    action = {"names": ["x", "y"], "low": [-1.0, -1.0], "high": [1.0, 1.0], "relative": True}
    targets = {"reward": {"low": [0.0], "high": [1.0]}}
    collected = {"env": "CosmosSDK/DiscPusher-v0", "episodes": 3, "steps": 6, "size": 16}
    stage = {"steps": 2, "batch_size": 4, "warmup": 0}
    return {
        "data": {"first": {"collect": {**collected, "processes": 1}}},
        "world": {
            "spec": {
                "frames": [1, 16, 16],
                "rate": 10.0,
                "actions": {"action": action},
                "targets": targets,
            },
            "tokenizer": {"name": "conv", "widths": [8, 8], "mixer_width": 8, "mixer_blocks": 1},
            "conditioners": {"action": {"name": "action", "width": 4, "hidden": 4}},
            "backend": {
                "name": "statespace",
                "width": 4,
                "chunk": 1,
                "hidden": 8,
                "encoder_hidden": 8,
                "decoder_hidden": 8,
            },
            "heads": {"reward": {"name": "reward", "hidden": 4}},
        },
        "stages": [
            {"train": "tokenizer", **stage},
            {"train": "world", **stage, "frames": 4},
        ],
        "signals": {"action": "action.relative"},
        "targets": {"reward": "next.reward"},
        "validation": {"num_windows": 2, "horizons": [1]},
        "tensorboard": False,
        "num_threads": 1,
    }


def command(folder: Path, rounds: int) -> list[str]:
    recipe = folder / "recipe.yaml"
    recipe.write_text(write_yaml(plain()))
    return ["dyna", f"config={recipe}", f"out={folder / 'loop'}", f"rounds={rounds}", *SMALL]


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A loop of no rounds but the first."""
    folder = tmp_path_factory.mktemp("dyna")
    assert main(command(folder, 0)) == 0
    return folder / "loop"


def test_what_a_policy_earns_is_measured_in_reality_and_in_its_world(loop: Path, tmp_path: Path):
    world = WorldModel.from_pretrained(loop / "round-0/world/world")
    folder = str(tmp_path / "episodes")
    options: dict[str, Any] = {"policy": str(loop / "round-0/dream/policy"), "steps": 4}
    config = DreamReturnConfig(env="CosmosSDK/DiscPusher-v0", episodes=2, folder=folder, **options)
    found = {result.name: result for result in dream_return(world, config).results}
    kept = found["real return after the first pictures"].value
    for way in ("looking again", "never looking again"):
        promised = found[f"imagined return, {way}"].value
        assert found[f"imagined minus real, {way}"].value == pytest.approx(promised - kept)
    assert {result.n for result in found.values()} == {2}
    again = dream_return(world, config)  # from what is on disk
    assert [result.value for result in again.results] == [r.value for r in found.values()]
    with pytest.raises(ConfigError, match="Pendulum-v1 takes Box"):
        dream_return(world, DreamReturnConfig(env="Pendulum-v1", **options))


def test_a_loop_goes_on_and_its_policy_makes_the_next_data(loop: Path):
    weights = loop / "round-0/world/world/model.safetensors"
    before = weights.stat().st_mtime_ns
    assert main(command(loop.parent, 1)) == 0  # a round more of the same loop
    assert weights.stat().st_mtime_ns == before
    rows = list(csv.DictReader((loop / "dyna.csv").read_text().splitlines()))
    assert [row["real_frames"] for row in rows] == ["21", "35"]  # a row more than steps
    assert len(LeRobotDataset(loop / "round-1/data").episodes) == 2
    assert (loop / "round-1/dream/policy/config.yaml").is_file()


def test_a_folder_holds_one_loop_and_a_recipe_says_where_to_act(tmp_path: Path):
    recipe = Recipe.from_mapping(plain())
    Dyna(recipe, DynaConfig(), tmp_path)
    with pytest.raises(TrainingError, match=r"loop\.episodes was 20 and is 7\."):
        Dyna(recipe, DynaConfig(episodes=7), tmp_path)
    nowhere = Recipe.from_mapping({**plain(), "data": {"first": {"folder": "somewhere"}}})
    with pytest.raises(ConfigError, match="nowhere to act"):
        Dyna(nowhere, DynaConfig(), tmp_path / "other")
    with pytest.raises(ConfigError, match="- episodes is 0; expected at least 1"):
        DynaConfig(episodes=0)
