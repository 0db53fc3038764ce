"""The worlds that ship can be made again: their recipes are valid, and describe the weights beside them."""

from __future__ import annotations

import pytest
import torch

from cosmos_sdk.build import build
from cosmos_sdk.checkpoint import from_pretrained
from cosmos_sdk.registry import registry
from cosmos_sdk.training import recipe

LIMIT = 12_000_000  # bytes of a safetensors file inside the package


@pytest.mark.parametrize("name", registry().names("world"))
def test_the_recipe_of_a_bundled_world_describes_its_weights(name: str) -> None:
    made = recipe.load(name, [])
    world = from_pretrained(name)
    with torch.device("meta"):
        again = build(made.world)
    shapes, stored = (
        {key: value.shape for key, value in one.state_dict().items()} for one in (again, world)
    )
    assert shapes == stored
    assert world.config is not None
    assert made.world.spec == world.config.spec


@pytest.mark.parametrize("name", registry().names("world"))
def test_a_bundled_world_is_small_and_has_a_card_and_starts(name: str) -> None:
    folder = registry().world_path(name)
    assert {"card.md", "config.yaml", "recipe.yaml"} <= {path.name for path in folder.iterdir()}
    for file in ("model.safetensors", "starts.safetensors"):
        assert (folder / file).stat().st_size <= LIMIT
