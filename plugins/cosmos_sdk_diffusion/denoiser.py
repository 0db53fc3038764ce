"""From a network's output to a clean estimate: preconditioning, and how the two conventions of noise translate.

EDM (Karras et al. 2022, arXiv:2206.00364) writes a noisy sample as x = data + sigma * noise. Flow matching writes
z = (1 - tau) * noise + tau * data. They are one path, scaled: sigma = (1 - tau) / tau and x = z / tau.
Levels broadcast against samples: give sigma or tau a trailing axis of 1 for each axis of the latent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

Network = Callable[[Tensor, Tensor], Tensor]  # (scaled sample, noise embedding input) -> raw output


class Preconditioning(NamedTuple):
    """The four coefficients of EDM, eq. 7: D(x; sigma) = skip * x + out * F(input * x; noise)."""

    skip: Tensor
    out: Tensor
    input: Tensor
    noise: Tensor


def edm_preconditioning(sigma: Tensor, sigma_data: float = 0.5) -> Preconditioning:
    """EDM, table 1: input and target of F have unit variance, and its errors are amplified as little as possible."""
    total = sigma**2 + sigma_data**2
    return Preconditioning(
        skip=sigma_data**2 / total,
        out=sigma * sigma_data / total.sqrt(),
        input=1 / total.sqrt(),
        noise=sigma.log() / 4,
    )


def flow_preconditioning(sigma: Tensor) -> Preconditioning:
    """Rectified flow in the notation of EDM (Cosmos-Predict2): F estimates noise - data at t = sigma / (1 + sigma)."""
    t = sigma / (1 + sigma)
    return Preconditioning(skip=1 - t, out=-t, input=1 - t, noise=t)


def denoise(network: Network, x: Tensor, sigma: Tensor, coefficients: Preconditioning) -> Tensor:
    """The clean estimate D(x; sigma) of EDM, eq. 7, with the coefficients of this sigma."""
    return coefficients.skip * x + coefficients.out * network(
        coefficients.input * x, coefficients.noise
    )


def edm_weight(sigma: Tensor, sigma_data: float = 0.5) -> Tensor:
    """Weight of the squared error of D, 1 / out ** 2 (EDM, table 1): every sigma starts with the same loss."""
    return (sigma**2 + sigma_data**2) / (sigma * sigma_data) ** 2


def interpolate(data: Tensor, noise: Tensor, tau: Tensor) -> Tensor:
    """The sample z at signal level tau: noise at 0, data at 1 (Lipman et al. 2022, arXiv:2210.02747)."""
    return (1 - tau) * noise + tau * data


def velocity_from_data(z: Tensor, data: Tensor, tau: Tensor) -> Tensor:
    """Dz / dtau that leads from z to `data`, tau < 1: (data - z) / (1 - tau)."""
    return (data - z) / (1 - tau)


def data_from_velocity(z: Tensor, velocity: Tensor, tau: Tensor) -> Tensor:
    """Where `velocity` leads at tau = 1: z + (1 - tau) * velocity."""
    return z + (1 - tau) * velocity


def ramp_weight(tau: Tensor) -> Tensor:
    """Weight of the x-prediction loss, 0.9 tau + 0.1 (Dreamer 4, arXiv:2509.24527): more where there is signal."""
    return 0.9 * tau + 0.1


def sigma_from_tau(tau: Tensor) -> Tensor:
    """The EDM noise level of a signal level in (0, 1]."""
    return (1 - tau) / tau


def tau_from_sigma(sigma: Tensor) -> Tensor:
    """The signal level of an EDM noise level."""
    return 1 / (1 + sigma)
