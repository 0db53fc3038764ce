from __future__ import annotations

import pytest
import torch

from cosmos_sdk_diffusion import denoiser as d

SIGMAS = torch.logspace(-4, 4, 50, dtype=torch.float64)


@pytest.mark.parametrize("sigma_data", [0.5, 1.0, 3.0])
def test_edm_coefficients_satisfy_their_definitions(sigma_data):
    c, variance = d.edm_preconditioning(SIGMAS, sigma_data), sigma_data**2
    # EDM, appendix B.6: unit variance of the input, of the target, and the smallest out
    torch.testing.assert_close(c.input**2 * (SIGMAS**2 + variance), torch.ones_like(SIGMAS))
    torch.testing.assert_close(c.out**2, (1 - c.skip) ** 2 * variance + c.skip**2 * SIGMAS**2)
    torch.testing.assert_close(d.edm_weight(SIGMAS, sigma_data) * c.out**2, torch.ones_like(SIGMAS))
    best = variance / (variance + SIGMAS**2)
    for other in (best * 0.9, best * 1.1):
        assert ((1 - other) ** 2 * variance + other**2 * SIGMAS**2 > c.out**2).all()


def test_without_noise_the_input_is_the_estimate_and_with_much_noise_the_network_is():
    x, sigma = torch.randn(50, dtype=torch.float64), torch.tensor(1e-9, dtype=torch.float64)
    torch.testing.assert_close(
        d.denoise(lambda x, noise: x * 0 + 1, x, sigma, d.edm_preconditioning(sigma)), x
    )
    c = d.edm_preconditioning(torch.tensor(1e9, dtype=torch.float64))
    torch.testing.assert_close(c.skip, torch.zeros_like(c.skip))
    torch.testing.assert_close(c.out, torch.full_like(c.out, 0.5))


def test_a_perfect_network_gives_the_data_back():
    data, noise = torch.randn(2, 50, dtype=torch.float64)
    for sigma in SIGMAS[::10]:
        x, c = data + sigma * noise, d.edm_preconditioning(sigma)
        perfect = (data - c.skip * x) / c.out
        torch.testing.assert_close(d.denoise(lambda *_, f=perfect: f, x, sigma, c), data)


def test_flow_is_edm_with_other_coefficients():
    data, noise = torch.randn(2, 50, dtype=torch.float64)
    for sigma in SIGMAS[::10]:
        x, c = data + sigma * noise, d.flow_preconditioning(sigma)
        torch.testing.assert_close(d.denoise(lambda *_: noise - data, x, sigma, c), data)
        tau = d.tau_from_sigma(sigma)
        torch.testing.assert_close(
            c.input * x, d.interpolate(data, noise, tau)
        )  # what the network sees is z
        torch.testing.assert_close(c.noise, 1 - tau)


def test_velocity_and_data_convert_both_ways():
    data, noise = torch.randn(2, 7, 1, 3, dtype=torch.float64)
    tau = torch.linspace(0, 0.99, 7, dtype=torch.float64)[:, None, None]
    z = d.interpolate(data, noise, tau)
    velocity = d.velocity_from_data(z, data, tau)
    torch.testing.assert_close(velocity, data - noise)
    torch.testing.assert_close(d.data_from_velocity(z, velocity, tau), data)
    torch.testing.assert_close(d.interpolate(data, noise, torch.ones(1).double()), data)


def test_levels_convert_both_ways():
    torch.testing.assert_close(
        d.sigma_from_tau(d.tau_from_sigma(SIGMAS)), SIGMAS, rtol=1e-9, atol=1e-9
    )


def test_the_ramp_goes_from_a_tenth_to_one():
    torch.testing.assert_close(d.ramp_weight(torch.tensor([0.0, 1.0])), torch.tensor([0.1, 1.0]))
