"""Actor and critic on a line whose best place is known."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor

from cosmos_sdk.errors import ConfigError, DatasetError, NotFiniteError, TrainingError
from cosmos_sdk.rng import PLANNER, Rng
from cosmos_sdk.world import WorldModel
from cosmos_sdk_policies.actor_critic import ActorCritic, ActorCriticConfig
from cosmos_sdk_policies.dream import DreamConfig, Dreamer
from cosmos_sdk_policies.dream_policy import DreamPolicy
from cosmos_sdk_policies.encoded_starts import EncodedStarts
from cosmos_sdk_policies.return_scale import ReturnScale
from toys.line import anywhere, line_world, moved
from toys.pendulum import Pendulum
from toys.worlds import make

BEST = 0.5


def nearness(before: Tensor, after: Tensor) -> Tensor:
    return -(after - BEST).square()


def small(**changes: object) -> ActorCriticConfig:
    sizes = {"width": 32, "depth": 1, "horizon": 5, "discount": 0.9}
    return ActorCriticConfig(**{**sizes, **changes})  # pyright: ignore[reportArgumentType]


def config(
    steps: int = 40, agent: ActorCriticConfig | None = None, **changes: object
) -> DreamConfig:
    options = {"world": "line", "steps": steps, "batch_size": 64, "learning_rate": 1e-2}
    options |= {"tensorboard": False, **changes}
    return DreamConfig(**options, agent=agent or small())  # pyright: ignore[reportArgumentType]


def walk(world: WorldModel, policy: DreamPolicy, place: float, steps: int = 10) -> float:
    """Where a policy that sees pictures goes."""
    at = torch.tensor([[place]])
    for _ in range(steps):
        picture = world.tokenizer.decode(at[:, None], 1)[0, 0, 0].movedim(0, -1).numpy()
        action = np.asarray(policy.act(picture)).reshape(1, 1).astype(np.float32)
        at = moved(at, torch.from_numpy(action - policy.agent.actor.discrete))
    return at.item()


def test_the_scale_follows_the_bulk_of_returns_and_never_enlarges_them():
    bulk = torch.linspace(0, 100, 1000)
    with_outlier = torch.cat((bulk, torch.tensor([1e9])))
    assert ReturnScale().update(with_outlier).item() == pytest.approx(90, rel=0.01)
    assert ReturnScale().update(bulk / 1000).item() == 1.0


@pytest.mark.parametrize(
    ("gradient", "discrete"), [("world", False), ("reinforce", False), ("reinforce", True)]
)
def test_a_policy_learns_in_dreams_what_is_best_and_acts_on_pictures(
    gradient: str, discrete: bool, tmp_path: Path
):
    world = line_world({"reward": nearness}, discrete)
    agent = Dreamer(
        world, anywhere, config(80 if discrete else 60, small(gradient=gradient)), tmp_path
    ).run()
    for place in (-0.9, 0.95):
        found = walk(world, DreamPolicy(agent, world), place)
        assert found == pytest.approx(BEST, abs=0.26 if discrete else 0.1)  # a choice moves 0.25
    assert (tmp_path / "pictures" / "learning_curve.png").is_file()  # of two reports


def test_a_critic_learns_the_discounted_sum_of_rewards(tmp_path: Path):
    world = line_world({"reward": lambda before, after: torch.ones_like(after)})
    agent = Dreamer(
        world, anywhere, config(80, small(discount=0.5, critic_decay=0.5)), tmp_path
    ).run()
    value = agent.value(agent.reader(anywhere(world, torch.arange(8)))).mean().item()
    assert value == pytest.approx(2, rel=0.15)  # 1 / (1 - 0.5)


def test_an_end_is_worth_what_is_lost_after_it():
    ends = line_world({"reward": nearness, "terminated": lambda before, after: 0.5 + 0 * after})
    agent = ActorCritic(ends, small())
    seed = torch.arange(4)
    dream = agent.imagine(ends, anywhere(ends, seed), Rng(seed, 0 * seed, PLANNER))
    assert dream.weights[0].tolist() == pytest.approx([0.45**k for k in range(5)])


def test_a_chunk_is_acted_at_once_and_its_rewards_are_added():
    world = make("chunk")
    agent = ActorCritic(world, small(horizon=2, gradient="reinforce"))
    frames = torch.randint(0, 255, (3, 1, 1, 3, 8, 8), dtype=torch.uint8)
    seed = torch.arange(3)
    dream = agent.imagine(world, world.reset(frames, {}, seed), Rng(seed, 0 * seed, PLANNER))
    assert dream.actions.shape == (3, 2, 12 * 2)
    assert dream.rewards.shape == (3, 2)


def test_dreaming_changes_nothing_in_the_world(tmp_path: Path):
    world = line_world({"reward": nearness})
    before = {name: tensor.clone() for name, tensor in world.state_dict().items()}
    Dreamer(world, anywhere, config(3), tmp_path).run()
    assert all(torch.equal(before[name], tensor) for name, tensor in world.state_dict().items())
    assert all(parameter.requires_grad for parameter in world.parameters())


def test_an_interrupted_run_ends_where_a_whole_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    world = line_world({"reward": nearness})
    whole = Dreamer(world, anywhere, config(6, checkpoint_every=3), tmp_path / "whole").run()
    cut = Dreamer(world, anywhere, config(6, checkpoint_every=3), tmp_path / "cut")
    update = cut.update

    def fails_late(step: int) -> dict[str, Tensor]:
        if step == 4:
            raise KeyboardInterrupt
        return update(step)

    monkeypatch.setattr(cut, "update", fails_late)
    with pytest.raises(KeyboardInterrupt):
        cut.run()
    resumed = Dreamer(world, anywhere, config(6, checkpoint_every=3), tmp_path / "cut")
    assert resumed.position.step == 3
    for name, tensor in resumed.run().state_dict().items():
        assert torch.equal(tensor, whole.state_dict()[name]), name


def test_a_folder_holds_one_run(tmp_path: Path):
    world = line_world({"reward": nearness})
    Dreamer(world, anywhere, config(2), tmp_path).run()
    with pytest.raises(TrainingError, match=r"agent\.horizon was \d and is 9"):
        Dreamer(world, anywhere, config(2, small(horizon=9)), tmp_path)
    with pytest.raises(TrainingError, match="steps was 2 and is 1"):
        Dreamer(world, anywhere, config(1), tmp_path)


def test_a_finished_run_goes_on_with_more_steps(tmp_path: Path):
    world = line_world({"reward": nearness})
    before = Dreamer(world, anywhere, config(2), tmp_path).run()
    more = Dreamer(world, anywhere, config(4), tmp_path)
    assert more.position.step == 2
    for name, tensor in before.state_dict().items():
        assert torch.equal(more.agent.state_dict()[name], tensor), name
    more.run()
    assert more.position.step == 4


def test_what_a_world_lacks_for_learning_in_it_is_said_at_once():
    world = line_world({})
    with pytest.raises(ConfigError) as caught:
        ActorCritic(world, small(gradient="world"), "actoin")
    assert "no head 'reward'" in str(caught.value)
    assert "Did you mean 'action'?" in str(caught.value)
    unbounded = line_world({"reward": nearness})
    unbounded.conditioners["action"].space = spaces.Box(-math.inf, math.inf, (1,))  # pyright: ignore
    with pytest.raises(ConfigError, match="bounded Box or Discrete"):
        ActorCritic(unbounded, small())
    stiff = make("pendulum")
    assert isinstance(stiff.backend, Pendulum)
    with pytest.raises(ConfigError, match="passes no gradients; set gradient=reinforce"):
        ActorCritic(stiff, small(gradient="world"))
    with pytest.raises(ConfigError, match=r"no features; set reads=\[latents\]"):
        ActorCritic(stiff, small(gradient="reinforce"))


def test_rewards_that_are_no_numbers_stop_a_dream():
    world = line_world({"reward": lambda before, after: after / 0})
    agent, seed = ActorCritic(world, small()), torch.arange(2)
    with pytest.raises(NotFiniteError, match="imagined rewards"):
        agent.imagine(world, anywhere(world, seed), Rng(seed, 0 * seed, PLANNER))


def test_dreams_begin_at_real_frames():
    with pytest.raises(DatasetError, match="no clip to start from"):
        EncodedStarts(torch.zeros(0, 1, 1), {})


@pytest.mark.parametrize(
    "wrong", [{"horizon": 0}, {"discount": 1.0}, {"num_bins": 10}, {"reads": ()}]
)
def test_impossible_options_are_refused(wrong: dict[str, object]):
    with pytest.raises(ConfigError, match=f"^.*\n  - {next(iter(wrong))} is .*; expected "):
        small(**wrong)
