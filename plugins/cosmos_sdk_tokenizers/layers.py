"""Blocks of the convolutional tokenizer, norm-free: there elementwise passes cost more than products."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class ResidualConv(nn.Module):
    """x + conv(relu(conv(relu(x)))) on grids (n, h, w, D); it starts as the identity, and depth costs nothing."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        zero(self.second)

    def forward(self, x: Tensor) -> Tensor:
        # the permutation is a view: the memory is channels-last already
        y = F.relu(x).to(self.first.weight.dtype).permute(0, 3, 1, 2)
        return x + self.second(F.relu(self.first(y))).permute(0, 2, 3, 1).to(x.dtype)


class MixerBlock(nn.Module):
    """MLP-Mixer block (Tolstikhin et al. 2021, arXiv:2105.01601): across tokens, then across channels.

    It makes every latent depend on the whole picture, and every pixel on all latents.
    """

    def __init__(self, num_tokens: int, width: int, hidden: int) -> None:
        super().__init__()
        self.norm_tokens, self.norm_channels = nn.LayerNorm(width), nn.LayerNorm(width)
        self.tokens = nn.Sequential(
            nn.Linear(num_tokens, 4 * num_tokens), nn.GELU(), nn.Linear(4 * num_tokens, num_tokens)
        )
        self.channels = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
        for branch in (self.tokens, self.channels):
            zero(branch[-1])

    def forward(self, x: Tensor) -> Tensor:  # (n, N, D)
        x = x + self.tokens(self.norm_tokens(x).transpose(1, 2)).transpose(1, 2)
        return x + self.channels(self.norm_channels(x))


class CrossAttention(nn.Module):
    """x + what the cells of a grid x (n, h, w, D) find in tokens (n, M, C), by one head; it starts as the identity."""

    def __init__(self, width: int, source: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width, bias=False)
        self.into = nn.Linear(source, 2 * width, bias=False)
        self.out = nn.Linear(width, width)
        zero(self.out)

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        key, value = self.into(tokens).chunk(2, -1)
        query = self.query(self.norm(x)).flatten(1, 2)
        return x + self.out(F.scaled_dot_product_attention(query, key, value)).view_as(x)


def fold(grid: Tensor, factor: int) -> Tensor:
    """Space to depth: (n, h, w, D) to (n, h / factor, w / factor, factor ** 2 * D)."""
    n, height, width, depth = grid.shape
    blocks = grid.view(n, height // factor, factor, width // factor, factor * depth)
    return blocks.transpose(2, 3).reshape(n, height // factor, width // factor, factor**2 * depth)


def unfold(grid: Tensor, factor: int) -> Tensor:
    """Depth to space, the inverse of `fold`."""
    n, height, width, depth = grid.shape
    blocks = grid.reshape(n, height, width, factor, depth // factor).transpose(2, 3)
    return blocks.reshape(n, height * factor, width * factor, depth // factor**2)


def zero(layer: nn.Module) -> None:
    """Weights and bias start at zero, so that the layer adds nothing at first."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
