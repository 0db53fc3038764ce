"""Judge policies in a learned world and in reality, from the same starts: does the world rank them right?

Reality is the simulator of Push-T, the world is the bundled `pusht-diffusion`, which sees three pictures of each start
and then only imagines. The task is small: the agent has to come within 20 px of a place.

    python examples/evaluate_policies.py
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import cv2
import gymnasium
import numpy as np
from numpy.typing import NDArray

from cosmos_sdk.registry import registry
from cosmos_sdk_policies.evaluation import evaluate_policies
from cosmos_sdk_policies.trial import Start

PICTURE = "evaluate_policies.png"
STILL = np.zeros((2, 2), np.float32)  # two actions before the policy begins: three pictures


class Walk:
    """Takes a share of the way at each step, less where it is shy, and at times somewhere else."""

    def __init__(self, speed: float, noise: float = 0.0) -> None:
        self.speed, self.noise = speed, noise

    def reset(self, seed: int | None = None) -> None:
        """An episode begins."""
        self._rng = np.random.default_rng(seed)

    def aim(self, goal: NDArray[np.float32]) -> None:
        """Where to go, px."""
        self._goal = goal

    def act(self, observation: Any) -> NDArray[np.float32]:
        """A relative action (2,); 1 is 100 px."""
        way = self.speed * (self._goal - observation["state"][:2]) / 100
        way += self._rng.normal(0, self.noise, 2)
        return np.clip(way, -1, 1).astype(np.float32)


POLICIES = {
    "still": Walk(0.0),
    "lost": Walk(0.0, noise=0.8),
    "slow": Walk(0.3),
    "dizzy": Walk(0.7, noise=0.5),
    "quick": Walk(1.0),
}


def reached(observation: Any, start: Start) -> bool:
    """Whether the agent is at the goal of a start."""
    return float(np.linalg.norm(observation["state"][:2] - start.goal)) < 20


def starts(count: int) -> list[Start]:
    """Goals 60 to 140 px away from where Push-T's own reset puts the agent."""
    scene, found = registry().load("simulator", "gym_pusht/PushT-v0")(), []
    for seed in range(count):
        rng = np.random.default_rng(seed)
        scene.reset(seed)
        angle, way = rng.uniform(0, 2 * np.pi), rng.uniform(60, 140)
        goal = scene.observe()[:2] + way * np.array([np.cos(angle), np.sin(angle)])
        options = {"state": scene.get_state()}
        found.append(Start(seed, options=options, actions=STILL, goal=np.clip(goal, 40, 472)))
    return found


def picture(word: str) -> Path:
    """The file that `--out` means: in a folder, one of this program's name."""
    path = Path(word)
    path = path / PICTURE if path.is_dir() or not path.suffix else path
    if not cv2.haveImageWriter(str(path)):
        raise argparse.ArgumentTypeError(f"{path} is no picture; expected .png, .jpg or a folder")
    return path


def main() -> None:
    """Reads the command line, judges, and draws."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--starts", type=int, default=12)
    parser.add_argument(
        "--out", type=picture, default=Path("outputs") / PICTURE, help="a picture, or a folder"
    )
    parser.add_argument("--smoke", action="store_true", help="one start, for tests")
    options = parser.parse_args()
    registry()  # plugins register their environments
    same: dict[str, Any] = {"observation": "dict", "disable_env_checker": True}
    reality = gymnasium.make(
        "CosmosSDK/Simulator-v0", simulator="gym_pusht/PushT-v0", size=64, **same
    )
    world = gymnasium.make("CosmosSDK/World-v0", world="pusht-diffusion", **same)
    drawn = starts(1 if options.smoke else options.starts)
    verdict = evaluate_policies(POLICIES, reality, world, drawn, max_frames=12, reached=reached)
    for policy, real, imagined in zip(verdict.policies, verdict.real, verdict.world, strict=True):
        print(f"{policy:8s} real {real.mean():4.0%}   in the world {imagined.mean():4.0%}")
    for name in ("pearson_correlation", "mean_maximum_rank_violation"):
        value, (low, high) = verdict.statistic(name)
        print(f"{name} {value:.3f} [{low:.3f}, {high:.3f}], {len(drawn)} starts")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(options.out), verdict.picture()[..., ::-1])
    print(f"drawn: {options.out}")


if __name__ == "__main__":
    main()
