"""The compressive tokenizer: many tokens for the first frame, few for every other, each latent complete."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cosmos_sdk.errors import ConfigError, ShapeError, VocabularyError
from cosmos_sdk.protocols import Parts
from cosmos_sdk.state import Masked, Tensors
from cosmos_sdk.testing import check_tokenizer
from cosmos_sdk_tokenizers.compressive import (
    CompressiveTokenizer,
    CompressiveTokenizerConfig,
    compressive,
)
from cosmos_sdk_tokenizers.discrete import DiscreteTokenizer
from cosmos_sdk_tokenizers.layers import CrossAttention
from toys.clips import clips, greys, rng, shaken, spec


def small(views: int = 1, height: int = 16, width: int = 32, **config) -> DiscreteTokenizer:
    sizes = {
        "widths": (8, 8),
        "context_widths": (8,),
        "mixer_width": 16,
        "mixer_blocks": 1,
        "auxiliary_width": 16,
        "levels": (4, 3, 5),
    }
    parts = Parts(spec(views, height, width))
    return compressive(CompressiveTokenizerConfig(**{**sizes, **config}), parts)


def coder_of(tokenizer: DiscreteTokenizer) -> CompressiveTokenizer:
    assert isinstance(tokenizer.coder, CompressiveTokenizer)
    return tokenizer.coder


@pytest.mark.parametrize("context_frames", [1, 2])
def test_the_tokenizer_meets_the_contract(context_frames):
    check_tokenizer(shaken(small(2, context_frames=context_frames)), (2, 16, 32), context=5)


def test_the_default_has_64_tokens_of_context_and_4_a_frame():
    with torch.device("meta"):
        tokenizer = compressive(CompressiveTokenizerConfig(), Parts(spec(1, 64, 64)))
    assert tokenizer.num_context_tokens == 64
    assert tokenizer.latent_shape == (68,)
    assert tokenizer.vocabulary_size == 15_360


@torch.no_grad()
def test_the_context_is_the_first_frame_and_every_latent_has_it():
    tokenizer, frames = shaken(small(2)), clips(2, 4, 2, 16, 32)
    latents, rich = tokenizer.encode(frames), tokenizer.num_context_tokens
    assert rich == 16
    assert latents.shape == (2, 4, 20)
    assert torch.equal(latents[:, :, :rich], latents[:, :1, :rich].expand(-1, 4, -1))
    other = frames.clone()
    other[:, 1:] = 255 - other[:, 1:]
    assert torch.equal(tokenizer.encode(other)[:, :, :rich], latents[:, :, :rich])


@torch.no_grad()
def test_the_encoder_of_changes_sees_the_context():
    fine = (2049, 2049)  # any difference shows, whatever the weights
    tokenizer, frames = shaken(small(levels=fine)), clips(4, 2, 1, 16, 32)
    other = frames.clone()
    other[:, 0] = 255 - other[:, 0]
    rich = tokenizer.num_context_tokens
    before, after = (tokenizer.encode(x)[:, 1, rich:] for x in (frames, other))
    assert not torch.equal(before, after)  # though frame 1 is the same


def context_matters(tokenizer: DiscreteTokenizer) -> bool:
    """Whether the same changes make another picture after another beginning."""
    rich = tokenizer.num_context_tokens
    latents = torch.randint(0, tokenizer.vocabulary_size, (4, 1, *tokenizer.latent_shape))
    other = latents.clone()
    other[:, :, :rich] = (latents[:, :, :rich] + 7) % tokenizer.vocabulary_size
    return not torch.equal(tokenizer.decode(latents, 1), tokenizer.decode(other, 1))


@torch.no_grad()
def test_the_decoder_of_changes_sees_the_context():
    tokenizer = shaken(small())
    assert context_matters(tokenizer)
    coder_of(tokenizer).decoder.look = nn.ModuleList()  # the planted defect
    assert not context_matters(tokenizer)


@torch.no_grad()
def test_a_latent_decodes_by_itself_when_the_window_has_moved_on():
    tokenizer = shaken(small())
    latents = tokenizer.encode(clips(2, 4, 1, 16, 32))
    assert torch.equal(tokenizer.decode(latents[:, 3:], 1), tokenizer.decode(latents, 4)[:, 3:])


def test_looking_at_the_context_starts_as_the_identity():
    look, grid = CrossAttention(8, 16), torch.randn(2, 3, 5, 8)
    assert torch.equal(look(grid, torch.randn(2, 7, 16)), grid)


@pytest.mark.parametrize("context_frames", [1, 2])
@torch.no_grad()
def test_views_are_coded_alone(context_frames):
    tokenizer = shaken(small(2, context_frames=context_frames))
    frames = clips(1, 2, 2, 16, 32)
    other = frames.clone()
    other[:, :, 1] = 255 - other[:, :, 1]
    made = [tokenizer.decode(tokenizer.encode(x), 2) for x in (frames, other)]
    assert torch.equal(made[0][:, :, 0], made[1][:, :, 0])
    assert not torch.equal(made[0][:, :, 1], made[1][:, :, 1])


def test_a_clip_shorter_than_the_context_repeats_its_last_frame():
    tokenizer, frames = shaken(small(context_frames=3)), clips(1, 1, 1, 16, 32)
    longer = frames.expand(-1, 3, -1, -1, -1, -1)
    assert torch.equal(tokenizer.encode(frames), tokenizer.encode(longer)[:, :1])


def learn(tokenizer: DiscreteTokenizer) -> tuple[Tensors, float]:
    """The last terms of training on four clips, and the error of guessing their second frame from the first."""
    frames = greys([[60, 20], [60, 120], [200, 20], [200, 120]], 16, 32)
    valid = torch.ones(4, 2, dtype=torch.bool)
    tokenizer.train().prepare(frames.flatten(0, 1))
    target = {"state": Masked(torch.rand(4, 2, 3), valid)}
    optimiser = torch.optim.Adam(tokenizer.parameters(), 3e-3)
    terms: Tensors = {}
    for _ in range(60):
        terms = tokenizer.loss(frames, valid, target, rng(4))
        optimiser.zero_grad()
        torch.stack([term.mean() for term in terms.values()]).sum().backward()
        optimiser.step()
    context = coder_of(tokenizer).context
    pixels = context.patches(frames[:, 1])
    middle = torch.full_like(pixels, 70 / 255)
    return terms, float(context.distance(middle, pixels).mean()) / 2


def test_a_few_steps_learn_clips_and_their_state():
    terms, guessed = learn(small(levels=(8, 5, 5, 5)))
    assert set(terms) == {"context", "reconstruction", "state"}
    assert float(terms["reconstruction"].detach().mean()) < 0.5 * guessed
    assert float(terms["context"].detach().mean()) < 0.5 * guessed


class Mute(nn.Module):
    """The planted defect: codes that are the same whatever was seen."""

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return 0 * z


def test_codes_of_changes_that_tell_nothing_leave_a_guess():
    tokenizer = small(levels=(8, 5, 5, 5))
    coder_of(tokenizer).encoder.bottleneck = Mute()
    terms, guessed = learn(tokenizer)
    assert float(terms["reconstruction"].detach().mean()) > 0.999 * guessed


def test_padding_within_the_context_adds_nothing():
    tokenizer = shaken(small(context_frames=2))
    frames, valid = clips(2, 4, 1, 16, 32), torch.ones(2, 4, dtype=torch.bool)
    valid[1, 1:] = False
    before = tokenizer.loss(frames, valid, {}, rng(2))
    frames[1, 1:] = 255 - frames[1, 1:]
    after = tokenizer.loss(frames, valid, {}, rng(2))
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_a_token_outside_the_vocabulary_is_refused():
    tokenizer = small()
    with pytest.raises(VocabularyError, match="token -1"):
        tokenizer.decode(torch.full((1, 1, 10), -1), 1)


def test_more_frames_than_latents_are_refused():
    tokenizer = small()
    latents = torch.zeros(1, 3, *tokenizer.latent_shape, dtype=torch.int64)
    with pytest.raises(ShapeError, match="num_frames is 4; expected 0 to 3"):
        tokenizer.decode(latents, 4)


@pytest.mark.parametrize("config", [{"context_frames": 0}, {"widths": ()}])
def test_no_context_and_no_stage_are_refused(config):
    with pytest.raises(ConfigError, match="at least one of each"):
        small(**config)


@pytest.mark.parametrize("config", [{}, {"widths": (8,), "context_widths": (8, 8)}])
def test_a_size_that_a_stride_does_not_divide_is_refused_with_the_stride(config):
    with pytest.raises(ConfigError, match="stride 16"):
        small(height=24, **config)
