"""Train a policy inside a learned world, and see what it earns in reality.

Two ways, from the same world: an actor-critic that learns from dreams, and PPO of stable-baselines3 on the world as a
vector environment. Neither sees the real pendulum while it learns; both act on its pictures in the end.

    python examples/train_inside.py                  # dreams
    python examples/train_inside.py --algorithm ppo  # needs the extra sb3
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from cosmos_sdk.registry import registry
from cosmos_sdk.simulators import open_simulator
from cosmos_sdk.world import WorldModel
from cosmos_sdk_policies.actor_critic import ActorCriticConfig
from cosmos_sdk_policies.dream import DreamConfig, Dreamer
from cosmos_sdk_policies.dream_policy import DreamPolicy
from cosmos_sdk_policies.encoded_starts import EncodedStarts
from cosmos_sdk_policies.policy import Policy, SB3Policy, begin
from cosmos_sdk_policies.world_sight import FeaturePolicy


@dataclass(frozen=True)
class Sizes:
    """How much is spent."""

    updates: int = 600
    batch_size: int = 64
    ppo_steps: int = 100_000
    num_envs: int = 16
    episodes: int = 10
    steps: int = 200


def dream(world: WorldModel, name: str, sizes: Sizes, out: Path) -> Policy:
    """An actor that learned from imagined steps after real frames."""
    agent = ActorCriticConfig(width=128, discount=0.98)
    config = DreamConfig(name, steps=sizes.updates, batch_size=sizes.batch_size, agent=agent)
    starts = EncodedStarts.of_world(world, name)  # the real clips beside the weights
    return DreamPolicy(Dreamer(world, starts, config, out).run(), world)


def ppo(world: WorldModel, name: str, sizes: Sizes) -> Policy:
    """PPO on what the world's backend knows of a frame, its features: no picture is decoded while it learns."""
    from stable_baselines3 import PPO

    from cosmos_sdk_policies.sb3 import SB3VecEnv

    registry()  # plugins register their environments
    envs = gymnasium.make_vec(
        "CosmosSDK/World-v0",
        num_envs=sizes.num_envs,
        vectorization_mode="vector_entry_point",
        world=world,
        starts=EncodedStarts.of_world(world, name),
        observation="features",
        max_episode_steps=100,
        autoreset_mode="SameStep",
    )
    options: Any = {
        "n_steps": 64,
        "batch_size": 16 * sizes.num_envs,
        "gamma": 0.95,
        "device": "cpu",
        "seed": 0,
    }
    model = PPO("MlpPolicy", SB3VecEnv(envs), learning_rate=1e-3, use_sde=True, **options)
    model.learn(sizes.ppo_steps)
    return FeaturePolicy(SB3Policy(model), world)


def real_return(policy: Policy, env: str, size: int, seed: int, steps: int) -> float:
    """What one real episode earns; the policy sees pictures only."""
    scene = open_simulator(env)
    scene.reset(seed)
    begin(policy, seed)
    total = 0.0
    for _ in range(steps):
        action = scene.action_spec.check(policy.act(scene.render_clean(size, size)))
        reward, terminated, info = scene.step(action)
        total += reward
        if terminated or info.get("truncated", False):
            break
    return total


def main() -> None:
    """Reads the command line, trains and measures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--world", default="pendulum", help="a bundled name or a folder")
    parser.add_argument("--env", default="Pendulum-v1", help="the reality of that world")
    parser.add_argument("--algorithm", choices=("dream", "ppo"), default="dream")
    parser.add_argument("--out", type=Path, default=Path("outputs/train_inside"))
    parser.add_argument("--smoke", action="store_true", help="a few updates, for tests")
    options = parser.parse_args()
    sizes = Sizes(updates=2, batch_size=4, ppo_steps=8, num_envs=2, episodes=1, steps=3)
    sizes = sizes if options.smoke else Sizes()
    world = WorldModel.from_pretrained(options.world)
    if options.algorithm == "dream":
        policy = dream(world, options.world, sizes, options.out)
    else:
        policy = ppo(world, options.world, sizes)
    size = world.spec.frames[1] if world.spec else 64
    returns = [
        real_return(policy, options.env, size, seed, sizes.steps) for seed in range(sizes.episodes)
    ]
    print(f"mean return over {len(returns)} real episodes: {np.mean(returns):.0f}")


if __name__ == "__main__":
    main()
