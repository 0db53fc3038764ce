"""Folders to train on: episodes of two small cameras and a 7-D action, as a stranger records them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cosmos_sdk.data.publish import Facts
from cosmos_sdk.data.shelf import Recording, Shelf

CAMERAS = ("observation.images.front", "observation.images.wrist")


@pytest.fixture(scope="session")
def two_cameras(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten episodes of 7 to 16 frames of 16 x 16 pixels; no reward."""
    root = tmp_path_factory.mktemp("two_cameras") / "robot"
    rng = np.random.default_rng(0)
    shelf = Shelf(root, Facts(15.0, {"action": [f"joint_{k}" for k in range(7)]}))
    shelf.put(0, [recording(rng, 7 + k) for k in range(10)])
    shelf.publish()
    return root


def recording(rng: np.random.Generator, length: int) -> Recording:
    action = rng.uniform(-1, 1, (length, 7)).astype(np.float32)
    state = np.cumsum(action, 0)[:, :3]
    shade = np.clip(128 + 20 * state, 0, 255).astype(np.uint8)
    frames = {
        name: np.ascontiguousarray(np.broadcast_to(shade[:, None, None], (length, 16, 16, 3)))
        for name in CAMERAS
    }
    return Recording({"action": action, "observation.state": state.astype(np.float32)}, frames)
