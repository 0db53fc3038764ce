"""What the demo shows beside the truth is imagined by the world, from its last look."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cosmos_sdk.state import Masked
from cosmos_sdk_evaluation.demo import Arguments
from cosmos_sdk_evaluation.demo_parts import affordable, imagined_beside
from cosmos_sdk_evaluation.goal_tasks import Attempt
from toys.blocks import blocks_world

pytest.importorskip("gym_pusht", reason="the Push-T simulator is an extra: make pusht")


def test_each_true_frame_has_an_imagined_one_beside_it_from_the_last_look() -> None:
    world, rng = blocks_world(), np.random.default_rng(0)
    frames = [rng.integers(0, 256, (32, 32, 3), np.uint8) for _ in range(8)]
    actions = rng.uniform(-1, 1, (7, 2)).astype(np.float32).tolist()
    shown = imagined_beside(world, frames, Attempt(False, 0.0, [], actions), every=5)
    assert len(shown) == len(frames)
    assert np.array_equal(shown[0], frames[0])
    # the second look, at frame 5, with the action that led to it; two steps are left of a block of five
    seen = torch.from_numpy(np.stack(frames[4:6])).permute(0, 3, 1, 2)[None, :, None]
    given = torch.tensor([actions])
    history = {"action": Masked(given[:, 3:5], torch.ones(1, 2, dtype=torch.bool))}
    coming = torch.nn.functional.pad(given[:, 5:], (0, 0, 0, 3))
    state, _ = world.step(world.reset(seen, {}, torch.tensor([5]), history), {"action": coming})
    true = world.decode(state)[0, :, 0].permute(0, 2, 3, 1).numpy()
    assert np.array_equal(np.stack(shown[6:]), true[:2])


def test_a_world_that_is_quick_enough_is_planned_in_as_usual() -> None:
    options = Arguments(planner_options={"num_samples": 4, "num_elites": 2, "num_iterations": 1})
    assert affordable(blocks_world(), options) == {}
