"""From a robot that nobody here knows to a world that an agent steps: action space, recording, recipe, environment.

The arm below has two joints and stands for yours; it is any Gymnasium environment that renders `rgb_array`. A robot
whose episodes are a LeRobotDataset v3 folder already starts at `make_recipe`.

    python examples/bring_your_robot.py
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from cosmos_sdk.actions import ActionSpec
from cosmos_sdk.data.collect import CollectConfig, collect
from cosmos_sdk.training.defaults import default_recipe
from cosmos_sdk.training.recipe import Recipe, overridden
from cosmos_sdk.training.run import train

ENV_ID, RATE, LENGTH = "MyLab/Arm-v0", 10.0, 0.22  # the arm spans 0.44 of a picture

# What the numbers mean. The recording knows bounds and rate; names, units and frame are yours to say.
ARM = ActionSpec(
    names=("shoulder", "elbow"),
    low=(-2.0, -3.0),
    high=(2.0, 3.0),
    units=("rad/s", "rad/s"),
    frame="base",
    rate=RATE,
    out_of_bounds="refuse",
)


class Arm(gymnasium.Env[Any, Any]):
    """Two joints, moved by velocities. Observation: both angles, in [-pi, pi]. Reward: how high the hand is."""

    metadata: ClassVar[dict[str, Any]] = {  # pyright: ignore[reportIncompatibleVariableOverride]
        "render_modes": ["rgb_array"],
        "render_fps": int(RATE),
    }

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self.observation_space = spaces.Box(-np.pi, np.pi, (2,), np.float32)
        self.action_space = ARM.space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        super().reset(seed=seed)
        self.angles = self.np_random.uniform(-np.pi, np.pi, 2)
        return self._observe(), {}

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        self.angles = (self.angles + action / RATE + np.pi) % (2 * np.pi) - np.pi
        height = 0.5 - self._joints()[-1, 1]  # y points down
        return self._observe(), float(0.5 + height / (4 * LENGTH)), False, False, {}

    def render(self) -> NDArray[np.uint8]:
        """A white picture, (96, 96, 3), with a dark arm."""
        middles = (np.arange(96) + 0.5) / 96
        pixel = np.stack(np.meshgrid(middles, middles), -1)  # (96, 96, 2): x, y
        picture = np.full((96, 96, 3), 255.0)
        joints = self._joints()
        for begin, end in pairwise(joints):
            along = ((pixel - begin) @ (end - begin) / LENGTH**2).clip(0, 1)[..., None]
            distance = np.linalg.norm(pixel - begin - along * (end - begin), axis=-1)
            picture[distance < 0.03] = (60, 60, 90)
        return picture.astype(np.uint8)

    def _joints(self) -> NDArray[np.float64]:
        """Base, elbow and hand, (3, 2): x and y as shares of the picture."""
        directions = np.cumsum(self.angles)
        steps = LENGTH * np.stack([np.cos(directions), np.sin(directions)], -1)
        return 0.5 + np.concatenate([np.zeros((1, 2)), np.cumsum(steps, 0)])

    def _observe(self) -> NDArray[np.float32]:
        return self.angles.astype(np.float32)


def make_recipe(dataset: Path, steps: int) -> Recipe:
    """What the folder says, with our own account of the action, and budgets in steps."""
    values = default_recipe(dataset)
    values["world"]["spec"]["actions"]["action"] = ARM.to_dict()
    values["stages"] = [
        {"train": "tokenizer", "steps": steps, "batch_size": 16},
        {"train": "world", "steps": steps, "batch_size": 4, "frames": 8},
    ]
    return overridden(values, ["validation.num_windows=4", "world.backend.width=96"])


def main() -> None:
    """Records, trains, steps."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--episodes", type=int, default=40)
    parser.add_argument("--steps", type=int, default=600, help="optimiser steps of each stage")
    parser.add_argument("--out", type=Path, default=Path("outputs/my-arm"))
    parser.add_argument("--smoke", action="store_true", help="two steps of everything, for tests")
    options = parser.parse_args()
    if options.smoke:
        options.episodes, options.steps, options.out = 2, 2, options.out.with_name("smoke")

    gymnasium.register(ENV_ID, lambda **options: Arm(**options))
    length = 12 if options.smoke else 60
    recording = CollectConfig(
        ENV_ID, str(options.out / "data"), episodes=options.episodes, steps=length, processes=1
    )
    dataset = collect(recording)
    folder = train(make_recipe(dataset.root, options.steps), options.out / "run")

    envs = gymnasium.make_vec("cosmos_sdk_envs:CosmosSDK/World-v0", num_envs=2, world=folder)
    envs.reset(seed=0)
    elbows = np.array([[0.0, 1.0], [0.0, -1.0]], np.float32)
    observations, rewards, _, _, infos = envs.step(elbows)
    print(f"{folder}: frames {observations.shape}, rewards {rewards.round(2)}")
    print(f"angles after one step, as the readout sees them: {infos['state'].round(2).tolist()}")


if __name__ == "__main__":
    main()
