"""Picture measures: known values, and agreement with kornia's SSIM where it is installed."""

from __future__ import annotations

import pytest
import torch

from cosmos_sdk_evaluation.pixel import psnr, ssim


def test_psnr_of_a_constant_difference_is_exact() -> None:
    a = torch.full((2, 1, 3, 8, 8), 100, dtype=torch.uint8)
    assert psnr(a, a).flatten().tolist() == pytest.approx([60.0] * 2)
    assert psnr(a, a + 10).flatten().tolist() == pytest.approx([28.1308] * 2, abs=1e-3)


def test_ssim_is_one_for_equal_pictures_and_falls_with_noise() -> None:
    a = torch.randint(0, 255, (3, 1, 3, 32, 32), dtype=torch.uint8)
    noise = torch.randint(-40, 40, a.shape)
    noisy = (a.int() + noise).clamp(0, 255).to(torch.uint8)
    assert torch.allclose(ssim(a, a), torch.ones(3, 1))
    assert (ssim(a, noisy) < 0.99).all()


def test_ssim_agrees_with_kornia() -> None:
    metrics = pytest.importorskip("kornia.metrics", reason="kornia is an extra")
    a = torch.randint(0, 255, (2, 3, 40, 40), dtype=torch.uint8)
    b = (a.int() + torch.randint(-30, 30, a.shape)).clamp(0, 255).to(torch.uint8)
    theirs = metrics.ssim(a.float() / 255, b.float() / 255, 11, padding="valid").mean((1, 2, 3))
    assert torch.allclose(ssim(a, b), theirs, atol=1e-3)
