"""The convolutional tokenizer with discrete latents."""

from __future__ import annotations

import pytest
import torch

from cosmos_sdk.build import config_class
from cosmos_sdk.config import merge
from cosmos_sdk.errors import ConfigError, ShapeError, VocabularyError
from cosmos_sdk.protocols import Parts
from cosmos_sdk.registry import registry
from cosmos_sdk.state import Masked, Tensors
from cosmos_sdk.testing import ConformanceError, check_tokenizer
from cosmos_sdk_tokenizers.conv import ConvTokenizer, ConvTokenizerConfig
from cosmos_sdk_tokenizers.discrete import DiscreteTokenizer, DiscreteTokenizerConfig, discrete_conv
from cosmos_sdk_tokenizers.fsq import FSQ
from toys.clips import clips, rng, shaken, spec


def small(views: int = 1, height: int = 16, width: int = 24, **config) -> DiscreteTokenizer:
    sizes = {"widths": (8,), "mixer_width": 16, "mixer_blocks": 1, "auxiliary_width": 16}
    sizes = {**sizes, "levels": (4, 3, 5), **config}
    return discrete_conv(DiscreteTokenizerConfig(**sizes), Parts(spec(views, height, width)))


def coder_of(tokenizer: DiscreteTokenizer) -> ConvTokenizer:
    assert isinstance(tokenizer.coder, ConvTokenizer)
    return tokenizer.coder


def test_the_tokenizer_meets_the_contract():
    check_tokenizer(shaken(small(2)), (2, 16, 24))


def test_latents_are_indices_into_the_vocabulary():
    tokenizer = shaken(small(2, levels=(32, 31, 32)))
    latents = tokenizer.encode(clips(2, 3, 2, 16, 24))
    assert latents.dtype == torch.int64
    assert latents.shape == (2, 3, *tokenizer.latent_shape) == (2, 3, 12)
    assert tokenizer.vocabulary_size == 31_744
    assert 0 <= int(latents.min()) <= int(latents.max()) < 31_744
    assert len(latents.unique()) > 5


def test_codes_of_latents_are_bounded_and_in_the_dtype_of_the_weights():
    tokenizer = small().double()
    codes = tokenizer.codes(torch.arange(60).view(2, 5, 6))
    assert codes.shape == (2, 5, 6, 3)
    assert codes.dtype == torch.float64
    assert codes.abs().max() == 1


def test_the_decoder_sees_in_training_what_it_will_see_of_the_indices():
    tokenizer = shaken(small())
    frames = clips(2, 3, 1, 16, 24)
    trained = coder_of(tokenizer).encode(frames)
    assert torch.equal(tokenizer.codes(tokenizer.encode(frames)), trained)


@pytest.mark.parametrize("levels", [(8, 5, 5, 5), (8, 8, 8, 5, 5, 5), (2,) * 10])
def test_the_default_geometry_has_16_tokens_at_64_pixels(levels):
    tokenizer = small(height=64, width=64, levels=levels, widths=(8, 8))
    assert tokenizer.latent_shape == (16,)
    assert DiscreteTokenizerConfig().stride == 16


def test_usage_is_that_of_its_own_vocabulary():
    assert small().usage(torch.arange(15).view(1, 3, 5)).share == 15 / 60


def test_a_token_outside_the_vocabulary_is_refused_on_decoding():
    tokenizer = small()
    latents = torch.zeros(1, 1, 6, dtype=torch.int64)
    latents[0, 0, 3] = 60
    with pytest.raises(VocabularyError, match="token 60 is not in the vocabulary of 60"):
        tokenizer.decode(latents, 1)


def test_more_frames_than_latents_are_refused():
    tokenizer = small()
    latents = torch.zeros(1, 3, *tokenizer.latent_shape, dtype=torch.int64)
    with pytest.raises(ShapeError, match="num_frames is 4; expected 0 to 3"):
        tokenizer.decode(latents, 4)


def test_a_size_that_the_stride_does_not_divide_is_refused_with_the_stride():
    with pytest.raises(ConfigError, match="stride 8"):
        small(height=20)


def test_a_few_steps_learn_a_picture_and_its_state():
    tokenizer = small(levels=(8, 5, 5, 5)).train()
    frames = clips(8, 1, 1, 16, 24)
    tokenizer.prepare(frames[:, 0])
    assert bool(coder_of(tokenizer).prepared)
    valid = torch.ones(8, 1, dtype=torch.bool)
    target = {"state": Masked(torch.rand(8, 1, 3), valid)}
    optimiser = torch.optim.Adam(tokenizer.parameters(), 3e-3)
    seen: list[float] = []
    terms: Tensors = {}
    for _ in range(60):
        terms = tokenizer.loss(frames, valid, target, rng(8))
        loss = torch.stack([term.mean() for term in terms.values()]).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        seen.append(float(loss.detach()))
    assert set(terms) == {"reconstruction", "state"}
    assert seen[-1] < 0.7 * seen[0]


def test_the_encoder_learns_through_the_rounding():
    tokenizer = shaken(small())
    valid = torch.ones(2, 1, dtype=torch.bool)
    terms = tokenizer.loss(clips(2, 1, 1, 16, 24), valid, {}, rng(2))
    terms["reconstruction"].sum().backward()
    gradients = [p.grad for p in coder_of(tokenizer).encoder.parameters()]
    assert all(g is not None and float(g.abs().sum()) > 0 for g in gradients)


def test_bfloat16_decoding_differs_by_rounding_only():
    tokenizer = small().eval()
    latents = tokenizer.encode(clips(2, 3, 1, 16, 24))
    exact = tokenizer.decode(latents, 3).int()
    coder_of(tokenizer).config.precision = "bfloat16"
    assert (tokenizer.decode(latents, 3).int() - exact).abs().max() <= 2


def test_it_has_the_weights_of_the_continuous_tokenizer_and_no_more():
    inner = ConvTokenizerConfig(channels=4, auxiliary=())
    continuous = ConvTokenizer(inner, Parts(spec(1, 64, 64)))
    discrete = discrete_conv(DiscreteTokenizerConfig(auxiliary=()), Parts(spec(1, 64, 64)))
    names = {name.removeprefix("coder."): p.shape for name, p in discrete.state_dict().items()}
    assert names == {name: p.shape for name, p in continuous.state_dict().items()}


class Rounds(torch.nn.Module):
    """The planted defect: a bottleneck that rounds, and so passes no gradient."""

    def __init__(self, fsq: FSQ) -> None:
        super().__init__()
        self.fsq = fsq

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return self.fsq.codes(self.fsq.indices(self.fsq(z)), z.dtype)


def test_a_bottleneck_without_the_straight_through_gradient_is_caught():
    tokenizer = shaken(small())
    coder_of(tokenizer).encoder.bottleneck = Rounds(tokenizer.fsq)
    with pytest.raises(ConformanceError, match=r"no gradient reaches coder\.encoder"):
        check_tokenizer(tokenizer, (1, 16, 24))


@pytest.mark.parametrize("name", ["conv", "discrete", "compressive", "cosmos"])
def test_the_tokenizers_are_registered_with_a_config(name):
    config = config_class(registry().load("tokenizer", name))
    assert config is not None
    problems: list[str] = []
    assert merge(config, {}, "tokenizer", problems) == config()
    assert not problems


def test_a_world_file_gives_levels_and_may_not_give_channels():
    problems: list[str] = []
    config = merge(DiscreteTokenizerConfig, {"levels": [8, 8, 8]}, "tokenizer", problems)
    assert config is not None
    assert tuple(config.levels) == (8, 8, 8)
    merge(DiscreteTokenizerConfig, {"channels": 8}, "tokenizer", problems)
    assert "channels" in problems[0]
