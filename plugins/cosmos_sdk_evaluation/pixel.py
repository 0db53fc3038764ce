"""Picture measures. Frames are uint8 with the pixels in the last axes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB of pictures (..., 3, h, w) uint8, one value per picture (...).

    Equal pictures count 60 dB, so that a scene that stands still does not own the mean.
    """
    error = (a.float() - b.float()).square().flatten(-3).mean(-1)
    return 10 * torch.log10(255.0**2 / error.clamp_min(255.0**2 / 1e6))


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity of pictures (..., 3, h, w) uint8, one value per picture (...).

    Wang et al. 2004, eq. 13, with the usual 11 x 11 Gaussian window of 1.5 px, over the part where the window fits.
    """
    lead = a.shape[:-3]
    x, y = (picture.float().reshape(-1, 1, *picture.shape[-2:]) for picture in (a, b))
    grid = torch.arange(11.0) - 5
    bell = torch.exp(-grid.square() / (2 * 1.5**2))
    bell = bell / bell.sum()
    window = (bell[:, None] * bell)[None, None]

    def blur(picture: Tensor) -> Tensor:
        return F.conv2d(picture, window)

    mean_x, mean_y = blur(x), blur(y)
    var_x, var_y = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2
    cov = blur(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    similarity = (2 * mean_x * mean_y + c1) * (2 * cov + c2)
    similarity = similarity / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
    return similarity.mean((1, 2, 3)).view(*lead, 3).mean(-1)
