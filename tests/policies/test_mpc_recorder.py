"""Expert data: `cosmos-sdk collect policy=mpc planner=... world=simulator`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cosmos_sdk.cli.collect import run
from cosmos_sdk.data.collect import CollectConfig, collect, command_line
from cosmos_sdk.errors import ConfigError, UnknownNameError
from cosmos_sdk.registry import registry
from cosmos_sdk.testing.small_worlds import point_world
from cosmos_sdk.world import WorldModel
from cosmos_sdk_policies.mpc_recorder import MPCRecorder, MPCRecorderConfig

DISC = "CosmosSDK/DiscPusher-v0"
OWN = {
    "planner": "icem",
    "world": "simulator",
    "planner_options": {"horizon": 4, "num_samples": 48, "num_elites": 6, "num_iterations": 2},
}


def config(root: Path, **changes) -> CollectConfig:
    values = {
        "policy": "mpc",
        "episodes": 2,
        "steps": 25,
        "size": 16,
        "processes": 1,
        "options": OWN,
    }
    return CollectConfig(DISC, str(root), **{**values, **changes})


def returns(dataset) -> np.ndarray:
    rewards = np.asarray(dataset.column("next.reward"), np.float64).ravel()
    episodes = np.asarray(dataset.column("episode_index")).ravel()
    return np.array([rewards[episodes == k].sum() for k in np.unique(episodes)])


def test_mpc_is_a_recorder():
    assert registry().load("recorder", "mpc") is MPCRecorder
    assert {"mpc", "disc-scripted", "pusht-scripted"} <= set(registry().names("recorder"))


def test_planning_in_the_simulator_earns_more_than_chance(tmp_path: Path):
    expert = collect(config(tmp_path / "expert"), progress=False)
    chance = collect(config(tmp_path / "chance", policy="random", options={}), progress=False)
    assert returns(expert).mean() > returns(chance).mean()


def test_a_recording_goes_on_and_repeats(tmp_path: Path):
    short = {"steps": 6, "episodes": 1}
    collect(config(tmp_path / "a", **short), progress=False)
    longer = collect(config(tmp_path / "a", steps=6, episodes=2), progress=False)
    at_once = collect(config(tmp_path / "b", steps=6, episodes=2), progress=False)
    for name in ("action", "simulator_state"):
        assert np.array_equal(longer.column(name), at_once.column(name))


def test_the_recording_says_how_it_was_made(tmp_path: Path):
    collect(config(tmp_path, steps=3, episodes=1), progress=False)
    fixed = json.loads((tmp_path / "meta/recording.json").read_text())["collect"]
    assert fixed["planner"] == "icem"
    assert "planner_options" in command_line(fixed, 1)
    other = {**OWN, "planner": "cem"}
    with pytest.raises(Exception, match="planner was 'icem' and is 'cem'"):
        collect(config(tmp_path, steps=3, episodes=1, options=other), progress=False)


def test_the_command_takes_the_options_of_the_policy(tmp_path: Path):
    words = [
        "planner=cem",
        "planner_options.topk=4",
        "planner_options.num_samples=8",
        "world=simulator",
    ]
    words += ["planner_options.n_steps=1", "planner_options.horizon=2"]
    assert (
        run(
            [
                f"env={DISC}",
                f"out={tmp_path / 'x'}",
                "policy=mpc",
                "episodes=1",
                "steps=2",
                "size=16",
                "processes=1",
                *words,
            ]
        )
        == 0
    )


def test_objectives_compose_in_options(tmp_path: Path):
    """Away from the disc, into the corner: the planner goes where it is told and not where the reward is."""
    inf = float("inf")
    terms = [
        {"name": "goal-state", "goal": [0.1, 0.9, 0.0, 0.0], "scale": [0.1, 0.1, inf, inf]},
        {"name": "action-penalty", "weight": 1e-3},
    ]
    own = {**OWN, "objective": "weighted-sum", "objective_options": {"terms": terms}}
    dataset = collect(config(tmp_path, episodes=1, steps=12, options=own), progress=False)
    agent = np.asarray(dataset.column("observation.state"))[:, :2]
    away = np.linalg.norm(agent - [0.1, 0.9], axis=1)
    assert away[-1] < 0.1 < away[0]


def test_what_does_not_fit_writes_nothing(tmp_path: Path):
    root = tmp_path / "none"
    with pytest.raises(ConfigError, match=r"planer: unknown key.*Did you mean 'planner'"):
        collect(config(root, options={"planer": "cem"}), progress=False)
    with pytest.raises(ConfigError, match=r"epsiodes: unknown key.*'episodes'"):
        collect(config(root, policy="random", options={"epsiodes": 3}), progress=False)
    with pytest.raises(UnknownNameError, match="'gem'"):
        collect(config(root, options={"planner": "gem"}), progress=False)
    few = config(root, options={"planner_options": {"num_samples": 8}})
    with pytest.raises(ConfigError, match="num_elites is 30"):
        collect(few, progress=False)
    goal = config(root, options={**OWN, "objective": "goal-state"})
    with pytest.raises(ConfigError, match=r"objective_options\.goal: a value is required"):
        collect(goal, progress=False)
    goal = {"objective": "goal-state", "objective_options": {"goal": [0.1, 0.9]}}
    names = "agent_x, agent_y, block_x, block_y"
    with pytest.raises(
        ConfigError, match=f"goal has 2 numbers; the readout 'state' has 4: {names}"
    ):
        collect(config(root, options={**OWN, **goal}), progress=False)
    with pytest.raises(UnknownNameError, match="Did you mean 'simulator'"):
        collect(config(root, options={"world": "simulatr"}), progress=False)
    own = {"planner": "categorical-cem"}
    with pytest.raises(ConfigError, match=r"CategoricalCEM does not fit .*'cem', 'icem'"):
        collect(config(root, options=own), progress=False)
    own = {"planner": "gradient"}
    with pytest.raises(
        ConfigError, match=r"Gradient needs gradients, and Sim\w+ passes none.*'cem'"
    ):
        collect(config(root, options=own), progress=False)
    assert not root.exists()


def test_a_world_of_other_actions_is_refused_before_anything_is_planned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    world = point_world(keys=True)
    monkeypatch.setattr(WorldModel, "from_pretrained", lambda *_: world)
    with pytest.raises(ConfigError, match=r"world: it takes action: .*DiscPusher-v0 takes Box"):
        MPCRecorder(MPCRecorderConfig("random-shooting", world=str(tmp_path)), DISC)
