"""Against the exact denoiser of a Gaussian N(mean, diag(deviation ** 2)), whose flow is known in closed form."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from cosmos_sdk_diffusion import samplers

MEAN = torch.tensor([1.0, -2.0, 0.3], dtype=torch.float64)
DEVIATION = torch.tensor([0.5, 1.5, 0.1], dtype=torch.float64)
LOW, HIGH = 0.02, 20.0


def denoise(x: Tensor, sigma: Tensor) -> Tensor:
    """E[data | x] of x = data + sigma * noise."""
    return MEAN.to(x) + (x - MEAN.to(x)) * DEVIATION.to(x) ** 2 / (DEVIATION.to(x) ** 2 + sigma**2)


def flow_denoise(z: Tensor, tau: Tensor) -> Tensor:
    """E[data | z] of z = (1 - tau) * noise + tau * data."""
    gain = tau * DEVIATION**2 / (tau**2 * DEVIATION**2 + (1 - tau) ** 2)
    return MEAN + gain * (z - tau * MEAN)


def flown(x: Tensor, start: float, end: float) -> Tensor:
    """The exact solution at noise level `end` from `x` at `start`."""
    return MEAN + (x - MEAN) * ((DEVIATION**2 + end**2) / (DEVIATION**2 + start**2)).sqrt()


def noise(count: int = 16) -> Tensor:
    return torch.randn(count, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def error(sampler, num_steps: int) -> float:
    x = MEAN + HIGH * noise()
    exact = flown(x, HIGH, LOW)
    if sampler is samplers.ab2:
        exact = denoise(exact, torch.tensor(LOW))  # it ends with a clean estimate
    sampled = sampler(denoise, x, samplers.karras_schedule(num_steps + 1, LOW, HIGH))
    return (sampled - exact).abs().max().item()


@pytest.mark.parametrize(
    ("sampler", "order"), [(samplers.euler, 1), (samplers.heun, 2), (samplers.ab2, 2)]
)
def test_halving_the_steps_shows_the_order(sampler, order):
    errors = [error(sampler, n) for n in (128, 256, 512, 1024)]
    orders = [math.log2(coarse / fine) for coarse, fine in itertools.pairwise(errors)]
    assert abs(orders[-1] - order) < 0.1, orders


def test_the_flow_sampler_is_of_first_order():
    z = noise()
    exact = MEAN + DEVIATION * z
    errors = [
        (samplers.flow_euler(flow_denoise, z, n) - exact).abs().max() for n in (128, 256, 512)
    ]
    assert abs(math.log2(errors[1] / errors[2]) - 1) < 0.1


@pytest.mark.parametrize("sampler", [samplers.heun, samplers.ab2])
def test_samples_have_the_mean_and_deviation_of_the_data(sampler):
    sigmas = samplers.karras_schedule(35, LOW / 10)
    sampled = sampler(denoise, 80 * noise(4000), sigmas)
    torch.testing.assert_close(sampled.mean(0), MEAN, rtol=0, atol=0.06)
    torch.testing.assert_close(sampled.std(0), DEVIATION, rtol=0.05, atol=0)


def test_second_order_beats_first_at_equal_cost():
    assert error(samplers.ab2, 32) < error(samplers.euler, 32) / 2
    assert error(samplers.heun, 16) < error(samplers.euler, 32) / 2


def test_a_step_to_zero_noise_returns_the_clean_estimate():
    x, sigmas = noise(), torch.tensor([0.7, 0.0], dtype=torch.float64)
    for sampler in (samplers.euler, samplers.heun):
        torch.testing.assert_close(sampler(denoise, x, sigmas), denoise(x, sigmas[0]))


def test_one_flow_step_is_one_prediction():
    torch.testing.assert_close(
        samplers.flow_euler(flow_denoise, noise(), 1), flow_denoise(noise(), torch.tensor(0.0))
    )


def test_heun_costs_two_evaluations_a_step_and_ab2_one():
    counts = {}
    for sampler in (samplers.euler, samplers.heun, samplers.ab2):
        calls: list[float] = []

        def counted(x: Tensor, sigma: Tensor, calls: list[float] = calls) -> Tensor:
            calls.append(sigma.item())
            return denoise(x, sigma)

        sampler(counted, noise(), samplers.karras_schedule(5))
        counts[sampler.__name__] = len(calls)
    assert counts == {"euler": 4, "heun": 8, "ab2": 5}


def test_the_schedule_falls_between_its_ends():
    sigmas = samplers.karras_schedule(35)
    assert sigmas[0].item() == pytest.approx(80)
    assert sigmas[-1].item() == pytest.approx(0.002)
    assert (sigmas.diff() < 0).all()
    assert samplers.karras_schedule(1).tolist() == pytest.approx([80])


def test_the_network_sees_and_the_caller_gets_the_given_dtype():
    seen = set()

    def half(x: Tensor, sigma: Tensor) -> Tensor:
        seen.update((x.dtype, sigma.dtype))
        return denoise(x, sigma)

    sigmas = F.pad(samplers.karras_schedule(4), (0, 1))
    assert samplers.heun(half, noise().float(), sigmas).dtype == torch.float32
    assert seen == {torch.float32}


@pytest.mark.parametrize("h", [1e-6, 9e-3, 1.1e-2, 0.5, 3.0])
def test_phi_functions_are_their_integrals(h):
    u = torch.linspace(0, 1, 20001, dtype=torch.float64)
    kernel = torch.exp(-h * (1 - u))
    assert samplers.phi1(h) == pytest.approx(torch.trapezoid(kernel, u).item(), rel=1e-8)
    assert samplers.phi2(h) == pytest.approx(torch.trapezoid(kernel * u, u).item(), rel=1e-8)
