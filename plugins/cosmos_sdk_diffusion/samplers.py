"""Samplers: plain functions from noise to data, given the exact or learned clean estimate `denoise(x, sigma)`.

They solve the probability-flow ODE dx / dsigma = (x - D(x; sigma)) / sigma (Karras et al. 2022, arXiv:2206.00364, eq. 3
with eq. 1) along falling noise levels `sigmas` (n,), and keep the sample in float64 whatever the network computes in.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

Denoise = Callable[
    [Tensor, Tensor], Tensor
]  # sample, level () -> clean estimate of the sample's shape


def karras_schedule(
    num_levels: int, sigma_min: float = 0.002, sigma_max: float = 80.0, rho: float = 7.0
) -> Tensor:
    """Noise levels (num_levels,) float64 from sigma_max down to sigma_min (EDM, eq. 5)."""
    ramp = torch.linspace(0, 1, num_levels, dtype=torch.float64)
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    return (high + ramp * (low - high)) ** rho


def euler(denoise: Denoise, x: Tensor, sigmas: Tensor) -> Tensor:
    """First order: one evaluation a step. A last level of 0 returns the last clean estimate."""
    dtype, x = x.dtype, x.double()
    for sigma, following in pairwise(sigmas.tolist()):
        x = x + (following - sigma) * _slope(denoise, x, sigma, dtype)
    return x.to(dtype)


def heun(denoise: Denoise, x: Tensor, sigmas: Tensor) -> Tensor:
    """Second order (EDM, algorithm 1): two evaluations a step, one for a step to 0."""
    dtype, x = x.dtype, x.double()
    for sigma, following in pairwise(sigmas.tolist()):
        slope = _slope(denoise, x, sigma, dtype)
        ahead = x + (following - sigma) * slope
        if following:
            slope = (slope + _slope(denoise, ahead, following, dtype)) / 2
        x = x + (following - sigma) * slope
    return x.to(dtype)


def ab2(denoise: Denoise, x: Tensor, sigmas: Tensor) -> Tensor:
    """Second order with one evaluation a step: the exponential Adams-Bashforth "2ab" of Cosmos (arXiv:2501.03575).

    In t = -log(sigma) the ODE is dx / dt = D - x. Its linear part is solved exactly and D is extrapolated through
    its last two values (RES, Zhang et al. 2023, arXiv:2308.02157; Hochbruck and Ostermann 2010):
    x' = exp(-h) x + h (phi1(h) D + phi2(h) h / h_last (D - D_last)). The first step is of first order. Levels
    end above 0, and the sample there is denoised once more.
    """
    dtype, x = x.dtype, x.double()
    levels = sigmas.tolist()
    last: tuple[Tensor, float] | None = None
    for sigma, following in pairwise(levels):
        h = math.log(sigma / following)
        clean = _clean(denoise, x, sigma, dtype)
        update = phi1(h) * clean
        if last:
            update = update + phi2(h) * (h / last[1]) * (clean - last[0])
        x, last = math.exp(-h) * x + h * update, (clean, h)
    return _clean(denoise, x, levels[-1], dtype).to(dtype)


def flow_euler(denoise: Denoise, z: Tensor, num_steps: int) -> Tensor:
    """Euler steps d = 1 / num_steps of a flow from noise (tau = 0) to data (tau = 1): z += d (x_hat - z) / (1 - tau).

    `denoise(z, tau)` predicts data. A shortcut model (Frans et al. 2024, arXiv:2410.12557; for data, Dreamer 4,
    arXiv:2509.24527) also wants d, which is constant and so the caller's to bind. The last step returns x_hat.
    """
    dtype, z = z.dtype, z.double()
    for k in range(num_steps):
        z = z + (_clean(denoise, z, k / num_steps, dtype) - z) / (num_steps - k)
    return z.to(dtype)


def phi1(h: float) -> float:
    """(1 - exp(-h)) / h, the weight of a constant over a step of an exponential integrator; h > 0."""
    return -math.expm1(-h) / h


def phi2(h: float) -> float:
    """(exp(-h) - 1 + h) / h ** 2, the weight of a ramp; h > 0."""
    if h < 1e-2:  # below, cancellation costs more than these terms of the series
        return 1 / 2 - h / 6 + h**2 / 24 - h**3 / 120
    return (math.expm1(-h) + h) / h**2


def _clean(denoise: Denoise, x: Tensor, level: float, dtype: torch.dtype) -> Tensor:
    return denoise(x.to(dtype), torch.tensor(level, dtype=dtype, device=x.device)).double()


def _slope(denoise: Denoise, x: Tensor, sigma: float, dtype: torch.dtype) -> Tensor:
    return (x - _clean(denoise, x, sigma, dtype)) / sigma
