"""Judging policies: worlds that are right, worlds wrong in known ways, and evaluations that are interrupted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from cosmos_sdk.errors import ConfigError, ShapeError, UnknownNameError
from cosmos_sdk.registry import registry
from cosmos_sdk_policies.evaluation import evaluate_policies
from cosmos_sdk_policies.policy import RandomPolicy, SB3Policy, identity
from cosmos_sdk_policies.trial import Start, enter_by_state
from cosmos_sdk_policies.verdict import Verdict
from cosmos_sdk_simulator.world import simulator_world
from cosmos_sdk_simulator.world import starts as drawn

DISC = "CosmosSDK/DiscPusher-v0"


class Line(gymnasium.Env):
    """A place on a line, seen as the brightness of a picture; success is beyond 1. A world may get `drag` wrong."""

    render_mode = None

    def __init__(self, drag=0.0, chunk=None, low=-1.0):
        shape = (1,) if chunk is None else (chunk, 1)
        self.action_space = spaces.Box(low, 1, shape, np.float32)
        self.observation_space = spaces.Box(0, 255, (2, 2, 3), np.uint8)
        self.drag, self.resets, self.begun_with = drag, 0, []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.resets += 1
        self.place = self.np_random.uniform(-0.5, 0.5)
        if options and "frames" in options:
            self.begun_with.append((options["frames"], options.get("actions")))
            self.place = float(options["frames"][-1, 0, 0, 0]) / 100 - 1
        self.place = (options or {}).get("place", self.place)
        return self.look(), {}

    def look(self):
        return np.full((2, 2, 3), np.clip(100 * (self.place + 1), 0, 255), np.uint8)

    def step(self, action):
        for value in np.asarray(action).ravel():
            self.place += 0.1 * float(value) * (1 - self.drag)
        done = self.place > 1
        return self.look(), float(self.place), done, False, {"is_success": done}


class Steady:
    """Always the same action; counts its episodes."""

    def __init__(self, speed):
        self.speed, self.episodes = speed, 0

    def reset(self, seed=None):
        self.episodes += 1

    def act(self, observation):
        return np.array([self.speed], np.float32)


def pace(speed):
    return lambda observation: np.array([speed], np.float32)


PACES = {f"pace {speed}": pace(speed) for speed in (0.2, 0.5, 0.8, 1.0)}


def test_a_world_that_is_reality_is_a_perfect_judge():
    verdict = evaluate_policies(PACES, Line(), Line(), 20, max_frames=12)
    means = verdict.real.mean(1)
    assert (np.diff(means) >= 0).all()
    assert 0 < means[2] < 1
    value, interval = verdict.statistic("pearson_correlation")
    assert value > 0.98  # pictures round the place, which may decide a close case
    assert interval[0] > 0.9
    assert verdict.statistic("mean_maximum_rank_violation")[0] < 0.05


def test_a_slow_world_underestimates_all_and_keeps_the_order():
    verdict = evaluate_policies(PACES, Line(), Line(drag=0.2), 20, score="return", max_frames=5)
    assert (verdict.world < verdict.real).all()  # nobody arrives in five frames
    assert verdict.statistic("spearman_correlation")[0] == pytest.approx(1)
    assert verdict.statistic("mean_maximum_rank_violation")[0] == 0


def test_a_world_turned_round_ranks_in_reverse():
    verdict = evaluate_policies(PACES, Line(), Line(drag=2.0), 8, score="return", max_frames=10)
    assert verdict.statistic("spearman_correlation")[0] == pytest.approx(-1)
    means = verdict.real.mean(1)
    worst = np.maximum(means - means.min(), means.max() - means).mean()
    assert verdict.statistic("mean_maximum_rank_violation")[0] == pytest.approx(worst)


def test_the_world_begins_with_what_reality_showed_and_did():
    real, world = Line(), Line()
    played = np.array([[1.0], [-0.5]], np.float32)
    start = Start(3, options={"place": 0.25}, actions=played)
    evaluate_policies({"still": pace(0.0)}, real, world, [start], max_frames=1)
    frames, actions = world.begun_with[0]
    assert frames[:, 0, 0, 0].tolist() == [125, 135, 130]
    np.testing.assert_array_equal(actions, played)


def test_an_oracle_world_entered_by_its_state_judges_without_error():
    """The true simulator as the world, through the same environments as a learned one."""
    registry()  # plugins register their environments
    options = {"observation": "state", "disable_env_checker": True}
    real = gymnasium.make("CosmosSDK/Simulator-v0", simulator=DISC, size=16, **options)
    world = simulator_world(DISC, 16, 16)
    judge = gymnasium.make("CosmosSDK/World-v0", world=world, starts=drawn, **options)

    def push(gain):
        def act(state):
            behind = state[2:4] + 0.12 * (state[2:4] - 0.5) / np.linalg.norm(state[2:4] - 0.5)
            return np.clip(gain * (behind - state[:2]), -1, 1).astype(np.float32)

        return act

    policies = {"random": RandomPolicy(real.action_space), "weak": push(1.0), "strong": push(5.0)}
    verdict = evaluate_policies(
        policies, real, judge, 4, score="return", max_frames=12, enter=enter_by_state
    )
    np.testing.assert_allclose(verdict.world, verdict.real, rtol=1e-6)
    assert verdict.statistic("pearson_correlation")[0] == pytest.approx(1)
    assert verdict.statistic("mean_maximum_rank_violation")[0] == 0


def test_a_stable_baselines3_model_is_judged_and_known_by_its_weights():
    sb3 = pytest.importorskip(
        "stable_baselines3", reason="optional: pip install cosmos-world-sdk[sb3]"
    )
    registry()  # plugins register their environments
    options = {"observation": "state", "disable_env_checker": True}
    real = gymnasium.make("CosmosSDK/Simulator-v0", simulator="Pendulum-v1", **options)
    world = simulator_world("Pendulum-v1", 8, 8)
    judge = gymnasium.make("CosmosSDK/World-v0", world=world, starts=drawn, **options)
    model = sb3.PPO("MlpPolicy", real, n_steps=64, n_epochs=1, device="cpu", seed=0)
    before = identity(model)
    model.learn(64)
    assert len({"", before, identity(model)}) == 3
    assert identity(SB3Policy(model)) == identity(model)
    verdict = evaluate_policies(
        {"ppo": model, "still": lambda state: np.zeros(1, np.float32)},
        real,
        judge,
        2,
        score="return",
        max_frames=10,
        enter=enter_by_state,
    )
    np.testing.assert_allclose(verdict.world, verdict.real, rtol=1e-5)
    assert (verdict.real[0] != verdict.real[1]).all()


def test_a_world_that_steps_chunks_judges_the_same_behaviour():
    """The policy decides three frames at once on both sides."""
    looks = {"real": 0, "world": 0}

    class Spy:
        def act(self, observation):
            looks[side.now] += 1
            return np.array([0.5], np.float32)

    side = SimpleNamespace(now="real")
    world = Line(chunk=3)
    reset = world.reset

    def enter(**options):
        side.now = "world"
        return reset(**options)

    world.reset = enter
    start = Start(0, options={"place": 0.0})
    verdict = evaluate_policies({"spy": Spy()}, Line(), world, [start], max_frames=30)
    assert verdict.real.tolist() == verdict.world.tolist() == [[1.0]]
    assert looks == {"real": 7, "world": 7}


def test_a_block_makes_a_world_that_steps_chunks_and_one_that_does_not_the_same(tmp_path):
    def reached(observation, start):
        return 104 < float(observation[0, 0, 0]) < 126  # passed through within a block of three

    starts = [Start(0, options={"place": 0.0})]
    options = {"max_frames": 9, "reached": reached, "block": 3, "folder": tmp_path}
    policy = Steady(0.9)
    for name, world in {"single": Line(), "chunked": Line(chunk=3)}.items():
        verdict = evaluate_policies({"a": policy}, Line(), world, starts, judge=name, **options)
        assert verdict.real.tolist() == verdict.world.tolist() == [[0.0]]
    assert policy.episodes == 3  # reality once
    with pytest.raises(ConfigError, match="block is 4; expected a multiple of 3"):
        evaluate_policies({"a": policy}, Line(), Line(chunk=3), starts, block=4)


def test_success_may_be_read_off_observations_and_goals_are_told():
    class Aimer:
        def aim(self, goal):
            self.goal = goal

        def act(self, observation):
            return np.array([np.sign(self.goal - float(observation[0, 0, 0]))], np.float32)

    def reached(observation, start):
        return abs(float(observation[0, 0, 0]) - start.goal) < 6

    starts = [Start(k, goal=goal, options={"place": 0.0}) for k, goal in enumerate((60, 100, 150))]
    verdict = evaluate_policies(
        {"a": Aimer()}, Line(), Line(), starts, max_frames=8, reached=reached
    )
    assert verdict.real.tolist() == [[1, 1, 1]]
    verdict = evaluate_policies(
        {"a": Aimer()}, Line(), Line(), starts, max_frames=2, reached=reached
    )
    assert verdict.real.tolist() == [[0, 1, 0]]


def test_an_interrupted_evaluation_goes_on_and_loses_nothing(tmp_path):
    calls = []

    def counted(name, speed, fails_at=None):
        def act(observation):
            calls.append(name)
            if fails_at is not None and len(calls) == fails_at:
                raise KeyboardInterrupt
            return np.array([speed], np.float32)

        return act

    def run(fails_at=None):
        policies = {"a": counted("a", 0.4, fails_at), "b": counted("b", 1.0, fails_at)}
        return evaluate_policies(policies, Line(), Line(), 3, max_frames=5, folder=tmp_path)

    with pytest.raises(KeyboardInterrupt):
        run(fails_at=33)
    kept = (tmp_path / "episodes.jsonl").read_text().splitlines()
    assert len(kept) == 6
    with (tmp_path / "episodes.jsonl").open("a") as file:
        file.write('{"policy": "a", "sta')  # the process died in the middle of a line
    calls.clear()
    again = run()
    assert len(calls) == (12 - 6) * 5
    whole = evaluate_policies(
        PACES | {"a": pace(0.4), "b": pace(1.0)}, Line(), Line(), 3, max_frames=5
    )
    np.testing.assert_array_equal(again.real, whole.real[-2:])
    rows = [json.loads(row) for row in (tmp_path / "episodes.jsonl").read_text().splitlines()]
    assert len(rows) == 12


SCRIPT = """
import sys, time
sys.path.insert(0, {here!r})
import test_evaluation as here
from cosmos_sdk_policies.evaluation import evaluate_policies

class Slow(here.Steady):
    def act(self, observation):
        time.sleep(0.02)
        return super().act(observation)

evaluate_policies({{"a": Slow(0.4), "b": Slow(1.0)}}, here.Line(), here.Line(), 9, max_frames=5, folder={folder!r})
"""


def test_a_killed_evaluation_goes_on_and_plays_no_finished_episode_again(tmp_path):
    rows = tmp_path / "episodes.jsonl"
    script = SCRIPT.format(here=str(Path(__file__).parent), folder=str(tmp_path))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", script], env=environment) as process:
        deadline = time.monotonic() + 60
        while not rows.is_file() or len(rows.read_bytes().splitlines()) < 5:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.kill()
    finished = len([line for line in rows.read_bytes().split(b"\n")[:-1] if line])
    assert 5 <= finished < 36
    policies = {"a": Steady(0.4), "b": Steady(1.0)}
    again = evaluate_policies(policies, Line(), Line(), 9, max_frames=5, folder=tmp_path)
    assert sum(policy.episodes for policy in policies.values()) == 36 - finished
    whole = evaluate_policies(policies, Line(), Line(), 9, max_frames=5)
    np.testing.assert_array_equal(again.real, whole.real)
    np.testing.assert_array_equal(again.world, whole.world)


def test_processes_change_nothing(tmp_path):
    policies = {"a": Steady(0.4), "b": Steady(1.0)}
    alone, shared = (
        evaluate_policies(
            policies,
            Line,
            Line,
            3,
            max_frames=9,
            score="return",
            processes=processes,
            folder=folder,
        )
        for processes, folder in ((1, None), (2, tmp_path))
    )
    np.testing.assert_array_equal(alone.real, shared.real)
    np.testing.assert_array_equal(alone.world, shared.world)
    assert len((tmp_path / "episodes.jsonl").read_text().splitlines()) == 12
    with pytest.raises(ConfigError, match="cannot be sent"):
        evaluate_policies(PACES, Line, Line, 3, max_frames=9, processes=2)


def test_more_policies_and_trained_ones_are_played_and_the_others_are_not(tmp_path):
    def run(**policies):
        for policy in policies.values():
            policy.episodes = 0
        evaluate_policies(policies, Line(), Line(), 2, max_frames=3, folder=tmp_path)
        return [policy.episodes for policy in policies.values()]

    network = torch.nn.Linear(1, 1)
    learner = Steady(0.5)
    learner.network = network  # pyright: ignore[reportAttributeAccessIssue]
    assert run(a=Steady(0.1)) == [4]
    assert run(a=Steady(0.1), learner=learner) == [0, 4]
    assert run(a=Steady(0.1), learner=learner) == [0, 0]
    torch.nn.init.zeros_(network.weight)
    assert run(a=Steady(0.1), learner=learner) == [0, 4]


def test_a_folder_of_another_evaluation_is_refused(tmp_path):
    evaluate_policies({"a": pace(1.0)}, Line(), Line(), 2, max_frames=3, folder=tmp_path)
    with pytest.raises(ConfigError, match="max_frames was 3 and is 4"):
        evaluate_policies({"a": pace(1.0)}, Line(), Line(), 2, max_frames=4, folder=tmp_path)


def test_a_folder_serves_several_worlds_and_plays_reality_once(tmp_path):
    policy = Steady(0.5)
    found = [
        evaluate_policies(
            {"a": policy}, Line(), world, 2, max_frames=3, folder=tmp_path, judge=name
        )
        for name, world in {"one": Line(), "two": Line(drag=0.5), "again": Line()}.items()
    ]
    assert policy.episodes == 2 + 3 * 2
    assert all((verdict.real == found[0].real).all() for verdict in found)
    with pytest.raises(ConfigError, match="block was 1 and is 3"):
        evaluate_policies({"a": policy}, Line(), Line(chunk=3), 2, max_frames=3, folder=tmp_path)


def test_all_that_is_wrong_is_told_at_once():
    class Trained:
        action_space = spaces.Box(-1, 1, (7,))

        def act(self, observation):
            return np.zeros(7)

    wrong: dict[str, Any] = {"max_frames": 0, "score": "wins"}
    with pytest.raises(ConfigError) as caught:
        evaluate_policies({"other": Trained()}, Line(), Line(low=-2.0), [], **wrong)
    told = str(caught.value)
    for part in (
        "starts: there are none",
        "max_frames is 0",
        "'wins'",
        "'other'",
        "bounds have to be",
    ):
        assert part in told
    with pytest.raises(ConfigError, match="policies: there are none"):
        evaluate_policies({}, Line(), Line())


def test_a_world_without_a_reward_is_not_asked_for_returns():
    world = Line()
    world.world = SimpleNamespace(heads={"terminated": None})  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(ConfigError, match=r"has no head 'reward'; its heads: terminated"):
        evaluate_policies(PACES, Line(), world, 2, score="return")
    assert evaluate_policies(PACES, Line(), world, 2, max_frames=2).world.shape == (4, 2)


def test_an_environment_that_says_nothing_of_success_is_asked_for_returns_only():
    class Silent(Line):
        def step(self, action):
            return (*super().step(action)[:4], {})

    with pytest.raises(ConfigError, match=r"no info\['is_success'\]. Give reached="):
        evaluate_policies(PACES, Silent(), Silent(), 2)
    verdict = evaluate_policies(PACES, Silent(), Silent(), 2, max_frames=2, score="return")
    assert (np.diff(verdict.real.mean(1)) > 0).all()


def test_environments_that_show_other_things_are_refused():
    other = Line()
    other.observation_space = spaces.Box(-1, 1, (5,))
    with pytest.raises(ConfigError, match="have to be the same"):
        evaluate_policies(PACES, Line(), other, 2)
    real, world = Line(), Line()
    real.observation_space = spaces.Dict(
        {"top": real.observation_space, "state": other.observation_space}
    )
    world.observation_space = spaces.Dict({"top": world.observation_space})
    with pytest.raises(ConfigError, match=r"lacks \['state'\]"):
        evaluate_policies(PACES, real, world, 2)


def test_a_reality_without_pictures_cannot_begin_a_learned_world():
    blind = Line()
    blind.look = lambda: np.zeros(3, np.float32)  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(ShapeError, match='render_mode="rgb_array"'):
        evaluate_policies({"a": pace(1.0)}, blind, Line(), 1, max_frames=2)


def verdict(tasks=("near", "near", "far", "far")):
    real = np.array([[0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 1, 0]], float)
    world = np.array([[0, 0, 0, 0], [0, 1, 0, 1], [1, 1, 0, 1]], float)
    return Verdict(("random", "weak", "strong"), tasks, "success", real, world)


def test_the_report_has_every_policy_every_task_and_all_tasks_together():
    measured = verdict().measurement(without=["random"])
    values = {result.name: result for result in measured.results}
    assert values["all tasks, strong: real success"].value == 75
    assert values["far, strong: real success"].value == 50
    assert values["near, weak: world success"].n == 2
    assert values["all tasks: pearson_correlation of 3 policies"].n == 4
    assert "all tasks, without random: mean_maximum_rank_violation of 2 policies" in values
    assert len(measured.results) == 3 * (6 + 3 + 3)
    assert set(measured.pictures) == {
        f"{label}: success in reality and in the world" for label in ("all tasks", "near", "far")
    }
    for picture in measured.pictures.values():
        assert picture.dtype == np.uint8
        assert picture.shape[2] == 3
        assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 10


def test_of_one_task_nothing_is_said_twice_and_one_policy_is_not_ranked():
    one = verdict(tasks=("",) * 4)
    assert len(one.measurement().results) == 6 + 3
    assert one.select(without=["random", "weak"]).agreement("all tasks") == []


def test_unknown_names_in_a_verdict_are_refused():
    with pytest.raises(UnknownNameError, match="Did you mean 'near'"):
        verdict().select("nera")
    with pytest.raises(UnknownNameError, match="Did you mean 'random'"):
        verdict().measurement(without=["randm"])
    with pytest.raises(UnknownNameError, match="pearson_correlation"):
        verdict().statistic("kendall")
    with pytest.raises(ConfigError, match="at least one has to be left"):
        verdict().select(without=["random", "weak", "strong"])
