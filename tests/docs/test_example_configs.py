"""The recipes of examples/configs: each parses, is valid and builds without memory, tokenizer and all."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from cosmos_sdk.build import build
from cosmos_sdk.protocols import Batch
from cosmos_sdk.rng import TRAINING, Rng
from cosmos_sdk.state import Masked
from cosmos_sdk.training import recipe
from cosmos_sdk.training.recipe import Recipe
from cosmos_sdk.world import WorldModel

FOLDER = Path(__file__).parents[2] / "examples/configs"
CONFIGS = sorted(FOLDER.glob("*.yaml"))
COSMOS = FOLDER / "cosmos-4b.yaml"


def built(path: Path, *overrides: str) -> tuple[Recipe, WorldModel]:
    """The recipe, and its world on the meta device."""
    own = recipe.read(path).get("data")  # a recipe that records its own needs no folder
    found = recipe.load(path, [*([] if own else ["data=somewhere"]), *overrides])
    with torch.device("meta"):
        return found, build(found.world)


def count(module: object) -> int:
    assert isinstance(module, nn.Module)
    return sum(parameter.numel() for parameter in module.parameters())


def transformer(world: WorldModel) -> nn.Module:
    predictor = world.backend.get_submodule("predictor")  # pyright: ignore[reportAttributeAccessIssue]
    return predictor.get_submodule("trunk")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_builds_without_memory(path: Path) -> None:
    found, world = built(path)
    assert {tensor.device.type for tensor in world.state_dict().values()} == {"meta"}
    assert "data" not in found.data or found.data["data"].folder == "somewhere"
    assert next(iter(found.stages.values())).train == "tokenizer"


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_stages_train_clips_that_hold_more_than_a_reset_needs(path: Path) -> None:
    found, world = built(path)
    for stage in found.stages.values():
        assert stage.train == "tokenizer" or stage.frames > world.backend.context


@pytest.mark.parametrize(
    ("tied", "parameters"), [("false", 4_014_088_192), ("true", 3_751_944_192)]
)
def test_the_4b_layout_has_the_parameters_of_the_paper(tied: str, parameters: int) -> None:
    _, world = built(COSMOS, f"world.backend.tied={tied}")
    assert count(transformer(world)) == parameters
    assert count(world.tokenizer) == pytest.approx(105e6, rel=0.1)


def test_clips_of_the_4b_layout_are_12800_tokens() -> None:
    found, world = built(COSMOS)
    clip = torch.zeros(1, found.stages["world"].frames, *_frame(world), dtype=torch.uint8)
    with torch.no_grad():
        tokens = world.tokenizer.encode(clip.to("meta"))
    assert tokens.shape == (1, 5, 40 * 64)
    assert tokens[0].numel() == 12_800
    assert getattr(world.tokenizer, "vocabulary_size", None) == 64_000


def test_the_4b_recipe_trains_at_a_small_size_by_overrides_alone() -> None:
    """The same files and stages: clips of 33 frames, 8 to a latent, with their actions."""
    small = {
        "spec.frames": "[1,16,32]",
        "tokenizer.width": "4",
        "tokenizer.multipliers": "[1,2]",
        "tokenizer.blocks": "1",
        "backend.width": "24",
        "backend.num_layers": "1",
        "backend.hidden": "16",
    }
    words = [f"world.{name}={value}" for name, value in small.items()]
    found = recipe.load(COSMOS, ["data=somewhere", *words])
    world, num_frames = build(found.world), found.stages["world"].frames
    frames = torch.randint(0, 256, (2, num_frames, *_frame(world)), dtype=torch.uint8)
    known = torch.ones(2, num_frames, dtype=torch.bool)
    signals = {"action": Masked(torch.zeros(2, num_frames, 7), known)}
    rng = Rng(torch.arange(2), torch.zeros(2, dtype=torch.int64), TRAINING)
    terms = world.loss(Batch(frames, known, {}, signals, {}), rng)
    assert terms["backend/tokens"].requires_grad
    assert float(terms["backend/tokens"].detach().mean()) == pytest.approx(
        math.log(64_000), rel=0.1
    )
    context = world.backend.context
    state = world.reset(frames[:, :context], {}, torch.arange(2))
    future = world.rollout(state, {"action": torch.zeros(2, num_frames - context, 7)})
    assert world.decode(future.state).shape == (2, 8, *_frame(world))


def test_the_world_for_one_gpu_has_27_million_parameters() -> None:
    _, world = built(FOLDER / "pusht-128.yaml")
    assert count(transformer(world)) == pytest.approx(27e6, rel=0.03)
    assert world.tokenizer.latent_shape == (64,)


def _frame(world: WorldModel) -> tuple[int, int, int, int]:
    assert world.spec is not None
    views, height, width = world.spec.frames
    return views, 3, height, width
