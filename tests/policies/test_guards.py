"""A world that is wrong where it has no data: what a policy makes of it, and what doubt makes of that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from torch import Tensor

from cosmos_sdk.errors import ConfigError
from cosmos_sdk.protocols import Parts, Spec
from cosmos_sdk.registry import registry
from cosmos_sdk.state import Control, Masked
from cosmos_sdk.world import WorldModel
from cosmos_sdk_heads.disagreement import Disagreement, DisagreementConfig
from cosmos_sdk_policies.actor_critic import ActorCritic, ActorCriticConfig
from cosmos_sdk_policies.dream import DreamConfig, Dreamer
from cosmos_sdk_policies.dream_policy import DreamPolicy
from cosmos_sdk_policies.guards import Guard, GuardedVectorEnv
from cosmos_sdk_policies.sb3 import SB3VecEnv
from toys.line import REACH, anywhere, line_world, moved

registry()
KNOWN = 0.2  # data end here; from here on the truth falls, and the world does not know
PLACE = spaces.Box(-1.0, 1.0, (1,), np.float32)


def truth(place: Tensor) -> Tensor:
    return torch.where(place < KNOWN, place, KNOWN - 4 * (place - KNOWN))


def fitted(before: Tensor, after: Tensor) -> Tensor:
    """What a line through all rewards of the data says everywhere."""
    return after


def doubting_world(steps: int = 150) -> WorldModel:
    """The world above, with an ensemble that has learned where actions lead, from the data."""
    world = line_world({"reward": fitted})
    action: Any = world.conditioners["action"]
    spec = Spec((1, 8, 8), 10.0, {"action": action.space}, {"place": PLACE})
    parts = Parts(spec, "uncertainty", world.tokenizer, {"action": action}, world.backend)
    head = Disagreement(DisagreementConfig("place", hidden=32), parts)
    optimiser = torch.optim.Adam([p for p in head.parameters() if p.requires_grad], 1e-2)
    for _ in range(steps):
        begin = torch.rand(64, 1, 1) * (1 + KNOWN - REACH) - 1
        actions = torch.rand(64, 2, 1) * 2 - 1
        places = torch.cat((begin, moved(begin, actions[:, 1:])), 1)
        mask = torch.ones(64, 2, dtype=torch.bool)
        tokens, _ = action.embed(Masked(actions, mask), torch.zeros(64, 2), {})
        control = Control({"action": Masked(actions, mask)}, {"action": tokens})
        loss = head.loss(places, places, control, Masked(places, mask))["squared"].mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    heads = {"reward": world.heads["reward"], "uncertainty": head}
    return WorldModel(world.tokenizer, world.backend, {"action": action}, heads, {}, spec)


def walked(world: WorldModel, agent: ActorCritic, steps: int = 10) -> tuple[float, float]:
    """The imagined and the real return of one walk from the left."""
    policy, at = DreamPolicy(agent, world), torch.tensor([[-0.5]])
    imagined = real = 0.0
    for _ in range(steps):
        picture = world.tokenizer.decode(at[:, None], 1)[0, 0, 0].movedim(0, -1).numpy()
        before, at = at, moved(at, torch.from_numpy(policy.act(picture))[None])
        imagined, real = imagined + fitted(before, at).item(), real + truth(at).item()
    return imagined, real


def learned(world: WorldModel, guard: Guard, out: Path) -> ActorCritic:
    sizes: dict[str, Any] = {"width": 32, "depth": 1, "horizon": 5, "discount": 0.9}
    agent = ActorCriticConfig(**sizes, guard=guard)
    options: dict[str, Any] = {"learning_rate": 1e-2, "tensorboard": False}
    config = DreamConfig("line", steps=60, batch_size=64, **options, agent=agent)
    return Dreamer(world, anywhere, config, out).run()


def test_an_ensemble_agrees_where_there_was_data_and_nowhere_else():
    world = doubting_world()
    state = world.start(torch.tensor([[[-0.5]], [[0.0]], [[0.8]]]), {}, torch.arange(3))
    said = world.step(state, {"action": torch.zeros(3, 1, 1)})[1]["uncertainty"][:, 0]
    assert said[:2].max() < 0.3 * said[2]


def test_a_penalty_lowers_the_gap_between_imagined_and_real_return(tmp_path: Path):
    world = doubting_world()
    free, guarded = Guard(), Guard(penalty=40.0)
    dreamt, real = walked(world, learned(world, free, tmp_path / "free"))
    assert dreamt > 4
    assert real < -10  # the policy goes where the world is wrong
    careful, kept = walked(world, learned(world, guarded, tmp_path / "guarded"))
    assert abs(careful - kept) < 0.2 * (dreamt - real)
    assert kept > real


def test_a_dream_ends_before_the_first_step_beyond_the_limit():
    world = line_world({"reward": fitted, "uncertainty": lambda before, after: after.abs()})
    config = ActorCriticConfig(width=8, depth=1, horizon=3, discount=0.5, guard=Guard(limit=0.6))
    agent = ActorCritic(world, config)
    state = world.start(torch.tensor([[[0.3]], [[-0.1]]]), {}, torch.arange(2))

    class Ahead:
        """Noise that makes every action go right."""

        def normal(self, *shape: int) -> Tensor:
            return torch.full((2, *shape), 9.0)

    dream = agent.imagine(world, state, Ahead())  # pyright: ignore[reportArgumentType]
    assert dream.believed.tolist() == [[True, False, False], [True, True, False]]
    assert dream.weights.tolist() == [[1, 0, 0], [1, 0.5, 0]]


def test_a_guard_of_a_world_that_never_doubts_is_an_error():
    with pytest.raises(ConfigError, match="no head 'uncertainty'"):
        ActorCritic(line_world({"reward": fitted}), ActorCriticConfig(guard=Guard(penalty=1.0)))
    with pytest.raises(ValueError, match="expected 0 or more"):
        Guard(penalty=-1.0)


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.DISABLED])
def test_a_vector_env_pays_for_doubt_in_every_step_the_last_included(mode: AutoresetMode):
    env = SB3VecEnv(GuardedVectorEnv(make(mode), Guard(penalty=0.5)))
    env.seed(0)
    env.reset()
    dones = np.zeros(2, bool)
    for _ in range(3):
        _, rewards, dones, infos = env.step(np.ones((2, 1)))
        for reward, info in zip(rewards, infos, strict=True):
            paid = info["unpenalised_reward"] - 0.5 * info["uncertainty"]
            assert reward == pytest.approx(paid, abs=1e-6)
    assert dones.all()


def test_an_imagined_episode_is_cut_where_doubt_passes_the_limit():
    env = SB3VecEnv(GuardedVectorEnv(make(AutoresetMode.DISABLED, 99), Guard(limit=0.9)))
    env.seed(1)
    env.reset()
    lengths = [0, 0]
    for _ in range(9):
        _, _, dones, infos = env.step(np.ones((2, 1)))
        for slot in np.flatnonzero(dones):
            assert infos[slot]["uncertainty"] > 0.9
            assert infos[slot]["TimeLimit.truncated"]
            lengths[slot] += 1
    assert min(lengths) >= 1
    with pytest.raises(ConfigError, match="autoreset_mode='Disabled'"):
        GuardedVectorEnv(make(AutoresetMode.SAME_STEP), Guard(limit=0.9))


def make(mode: AutoresetMode, steps: int = 3) -> Any:
    world = line_world({"reward": fitted, "uncertainty": lambda before, after: after.abs()})
    return gymnasium.make_vec(
        "CosmosSDK/World-v0",
        num_envs=2,
        vectorization_mode="vector_entry_point",
        world=world,
        starts=anywhere,
        observation="features",
        max_episode_steps=steps,
        autoreset_mode=mode,
    )
