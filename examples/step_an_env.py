"""Step 64 learned Push-T worlds at once, go back in time, and enter a world from real frames.

Run it as `python examples/step_an_env.py`.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import gymnasium
import numpy as np


def main() -> None:
    """Reads the command line and steps."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--num-envs", type=int, default=64)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--smoke", action="store_true", help="two slots and three steps, for tests")
    arguments = parser.parse_args()
    num_envs, steps = (2, 3) if arguments.smoke else (arguments.num_envs, arguments.steps)

    envs: Any = gymnasium.make_vec("cosmos_sdk_envs:CosmosSDK/PushT-v0", num_envs=num_envs)
    envs.action_space.seed(0)
    observation, info = envs.reset(seed=0)  # slot i has seed i: its future is its own
    print(f"observations {observation.shape}, state readouts {info['state'].shape}")

    rewards, arrived = [], 0
    start = time.perf_counter()
    for _ in range(steps):
        observation, reward, _, _, info = envs.step(envs.action_space.sample())
        rewards.append(reward.mean())
        arrived += int(info["is_success"].sum())
    seconds = time.perf_counter() - start
    print(f"{num_envs * steps / seconds:.0f} frames/s, reward {np.mean(rewards):.2f} a step")
    print(f"{arrived} episodes ended in success")

    # The whole env is one value: the same actions from a snapshot bring the same frames, bit by bit.
    snapshot = envs.snapshot()
    action = envs.action_space.sample()
    first, *_ = envs.step(action)
    envs.restore(snapshot)
    again, *_ = envs.step(action)
    print(f"a restored env repeats itself: {np.array_equal(first, again)}")

    # A real camera enters through the last frames that it saw, (F, h, w, 3) uint8, and the actions between them.
    frames = np.stack([observation[0], again[0]])
    options = {"frames": frames, "actions": action[:1]}
    observation, info = envs.reset(seed=1, options=options)
    print(f"all slots go on from one observation: state {info['state'][0].round(1)}")
    envs.close()


if __name__ == "__main__":
    main()
