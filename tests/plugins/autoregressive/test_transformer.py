"""The transformer: its sizes, and that its parts are what they are called."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from cosmos_sdk.config import merge
from cosmos_sdk.errors import UnknownNameError
from cosmos_sdk_autoregressive.config import (
    PRESETS,
    AutoregressiveConfig,
    frame_grid,
    transformer_shape,
)
from cosmos_sdk_autoregressive.estimate import num_parameters
from cosmos_sdk_autoregressive.kv_cache import Recorded
from cosmos_sdk_autoregressive.rotary import Rotary, Yarn, frame_positions
from cosmos_sdk_autoregressive.transformer import (
    Layer,
    RMSNorm,
    Transformer,
    TransformerShape,
    attend,
)

TINY = TransformerShape(11, 24, 2, 4, 2, 16, 6)


def count(shape: TransformerShape) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in Transformer(shape).parameters())


def run(trunk: Transformer, tokens: torch.Tensor, **given: Any) -> torch.Tensor:
    """Logits (B, 6, V) of two frames of a slot and two tokens each."""
    rotation = Rotary(6).table(frame_positions(torch.arange(2), (1, 2)))
    memories = [Recorded() for _ in trunk.layers]
    return trunk.logits(trunk(trunk.embed(tokens), rotation, memories, None, **given))


@pytest.mark.parametrize(("tied", "parameters"), [(False, 4_014_088_192), (True, 3_751_944_192)])
def test_the_4b_layout_of_cosmos_has_its_parameters(tied, parameters):
    shape = transformer_shape(AutoregressiveConfig("4b", tied=tied), 64_000)
    assert (shape.num_layers, shape.width, shape.num_heads, shape.num_kv_heads) == (16, 4096, 32, 8)
    assert count(shape) == num_parameters(shape) == parameters
    assert AutoregressiveConfig("4b").sizes.memory == 12_800 / (40 * 64) - 1


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("cross", [(), ("text",)], ids=["", "cross"])
def test_the_formula_counts_every_preset(preset, cross):
    shape = transformer_shape(AutoregressiveConfig(preset, cross=cross), 1000)
    assert count(shape) == num_parameters(shape)


def test_a_configuration_is_read_from_plain_data_and_written_back():
    values = {
        "preset": "s",
        "memory": 3,
        "yarn": {"scale": 2.0, "axes": ["t", "h"]},
        "grid": [2, 8],
        "cross": ["text"],
    }
    found: list[str] = []
    config = merge(AutoregressiveConfig, values, "backend", found)
    assert config is not None
    assert not found
    assert config.yarn == Yarn(2.0, axes=("t", "h"))
    assert (config.sizes.width, config.sizes.memory, config.sizes.num_kv_heads) == (256, 3, 4)
    assert merge(AutoregressiveConfig, asdict(config), "backend", found) == config


def test_an_unknown_preset_names_the_nearest():
    with pytest.raises(UnknownNameError, match="'4b'"):
        _ = AutoregressiveConfig("4bb").sizes


@pytest.mark.parametrize(
    ("views", "height", "width", "tokens", "grid"),
    [
        (1, 64, 64, 16, (4, 4)),
        (1, 640, 1024, 2560, (40, 64)),
        (2, 64, 64, 32, (8, 4)),
        (1, 64, 64, 7, (1, 7)),
        (2, 8, 8, 3, (1, 3)),
    ],
)
def test_tokens_stand_in_a_grid_of_the_frame(views, height, width, tokens, grid):
    assert frame_grid(views, height, width, tokens) == grid


def test_no_position_sees_what_follows_it():
    trunk = Transformer(TINY).double()
    tokens = torch.randint(0, 11, (2, 6))
    changed = tokens.clone()
    changed[:, 4] = (changed[:, 4] + 1) % 11
    same = run(trunk, tokens) == run(trunk, changed)
    assert same[:, :4].all()
    assert not same[:, 4:].all(2).any()


def test_grouped_queries_are_full_attention_with_repeated_keys():
    q, k, v = torch.randn(2, 4, 5, 6), torch.randn(2, 2, 5, 6), torch.randn(2, 2, 5, 6)
    grouped = attend(q, k, v, None, TINY)
    k, v = k.repeat_interleave(2, 1), v.repeat_interleave(2, 1)
    torch.testing.assert_close(grouped, attend(q, k, v, None, replace(TINY, num_kv_heads=4)))


def test_the_norm_has_a_root_mean_square_of_one():
    x = RMSNorm(8)(5 * torch.randn(3, 8))
    torch.testing.assert_close(x.square().mean(-1), torch.ones(3), atol=1e-4, rtol=0)


def test_normed_queries_and_keys_bound_attention_logits():
    """Without the norm, a hundredfold input would make the attention a choice of one position."""
    trunk = Transformer(TINY).double()
    layer = trunk.layers[0]
    assert isinstance(layer, Layer)
    rotation = Rotary(6).table(frame_positions(torch.arange(2), (1, 2)))
    x = torch.randn(1, 6, 24, dtype=torch.float64)
    small, large = (layer.attention(s * x, rotation, Recorded(), None) for s in (10.0, 1000.0))
    torch.testing.assert_close(large, 100 * small, rtol=1e-3, atol=1e-4)


def test_tied_tables_are_one_and_untied_are_two():
    tied, untied = Transformer(replace(TINY, tied=True)), Transformer(TINY)
    assert tied.unembed is None
    assert untied.unembed is not None
    hidden = torch.randn(3, 24)
    assert torch.equal(tied.logits(hidden), F.linear(hidden, tied.embed.weight))


def test_conditions_reach_every_token_and_hidden_ones_do_not():
    trunk = Transformer(replace(TINY, cross=True)).double()
    tokens, mask = torch.randint(0, 11, (1, 6)), torch.tensor([True, False]).view(1, 1, 1, 2)
    frames = torch.randn(2, 2, 24, dtype=torch.float64)  # two frames of two conditions

    def logits(context: torch.Tensor) -> torch.Tensor:
        conditions = trunk.prepare(context, mask.expand(2, -1, -1, -1))
        return run(trunk, tokens, conditions=conditions)

    seen, unseen = frames.clone(), frames.clone()
    seen[1, 0] += 1
    unseen[1, 1] += 1
    base = logits(frames)
    assert torch.equal(base, logits(unseen))
    same = (base == logits(seen)).all(2)[0]
    assert same.tolist() == [True, True, True, False, False, False]
