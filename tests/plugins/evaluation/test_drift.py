"""Drift is told apart from standing still: dreams that keep, lose or multiply what they showed."""

from __future__ import annotations

import pytest
import torch

from cosmos_sdk_evaluation.drift import DriftConfig, background, compare, covered
from cosmos_sdk_evaluation.open_loop import OpenLoopConfig, windows

SHORT = DriftConfig(horizons=(1, 3))


def scene(area: int) -> torch.Tensor:
    """One window of three frames in which a dark block covers `area` of 64 pixels."""
    frames = torch.full((1, 3, 1, 3, 64), 200, dtype=torch.uint8)
    frames[..., :area] = 100
    return frames.view(1, 3, 1, 3, 8, 8)


EMPTY = scene(0)[0, 0]


def test_the_area_counts_pixels_that_differ_from_the_empty_scene() -> None:
    frames = EMPTY.expand(2, 1, 3, 8, 8).clone()
    frames[1, 0, 0, :2, :3] = 100
    frames[1, 0, 2, 7, 7] = 180  # less than a tenth: noise
    assert covered(frames, EMPTY).tolist() == [0, 6]


@pytest.mark.parametrize(("area", "share", "kept"), [(20, 1, 100), (10, 0.5, 100), (4, 0.2, 0)])
def test_a_block_that_fades_is_missed(area: int, share: float, kept: float) -> None:
    found = {r.name: r for r in compare(scene(area), scene(20), EMPTY, SHORT)}
    assert found["area of movable things, imagined / true @3"].value == pytest.approx(share)
    assert found["dreams that keep at least half of that area @3"].value == kept
    assert (found["world PSNR @3"].value > found["empty scene PSNR @3"].value) == (area > 0)


def test_the_background_holds_nothing_that_moves() -> None:
    pytest.importorskip("gym_pusht", reason="the Push-T simulator is an extra: make pusht")
    data = windows(OpenLoopConfig(windows=12, horizons=(40,)), (64, 64), 4)
    empty = background(data)
    blue = (empty[0, 2].int() - empty[0, 0].int()) > 100  # the agent is blue
    assert not blue.any()
    assert covered(data.frames[:, 0], empty).min() > 60  # agent and block cover more than that
