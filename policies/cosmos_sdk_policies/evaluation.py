"""Policies judged twice, in reality and in an imagined world, from the same starts: does the world rank them right?

Whether a world model may judge policies is an empirical question with one answer per world and set of policies. No
policy should be planned in the world that judges it: a planner finds the world's errors, and is praised for them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from cosmos_sdk.ledger import Ledger
from cosmos_sdk.workers import spread
from cosmos_sdk_policies.matching import check
from cosmos_sdk_policies.policy import identity
from cosmos_sdk_policies.trial import (
    Enter,
    Makes,
    Reached,
    Score,
    Start,
    Trial,
    Trials,
    enter_by_pictures,
)
from cosmos_sdk_policies.verdict import Verdict

KEY = ("policy", "identity", "start", "side")
SIDES = ("real", "world")
Piece = tuple[str, int, str]  # policy, number of the start, side


def evaluate_policies(
    policies: Mapping[str, Any],
    real_env: Makes,
    world_env: Makes,
    starts: Sequence[Start] | int = 50,
    *,
    score: Score = "success",
    max_frames: int = 100,
    reached: Reached | None = None,
    block: int | None = None,
    enter: Enter = enter_by_pictures,
    folder: str | Path | None = None,
    judge: str = "world",
    processes: int = 1,
    seed: int = 0,
    progress: bool = False,
) -> Verdict:
    """Runs every policy from every start, once in reality and once in the world.

    The world begins with the pictures that reality showed, and the actions between them. Both environments have to
    give the same kind of observation; a world that steps m frames at once is fine (see `ActionChunks`): a policy then
    decides m frames at once in reality too, so that both sides judge the same behaviour.

    Args:
        policies: by name, whatever `as_policy` accepts; one with `reset(seed)` or `aim(goal)` is told of each episode.
        real_env: such as `gymnasium.make("CosmosSDK/Simulator-v0", simulator=..., observation="dict")`, or a function
            without arguments that makes it.
        world_env: such as `gymnasium.make("CosmosSDK/World-v0", world=..., observation="dict")`, or likewise.
        starts: where to begin; a number n stands for the seeds `seed`, ..., `seed + n - 1`.
        score: what ranks policies: "success" (a rate) or "return" (the undiscounted sum of rewards).
        max_frames: of one episode, on both sides.
        reached: success by what is observed when a block ends; by default `info["is_success"]` decides, at any frame.
        block: frames that a policy decides at once, a multiple of those that the world steps; by default these.
        enter: how the world gets where reality is.
        folder: keeps finished episodes, so that the same call goes on after an interruption, and a call with more
            policies plays the new ones only; none keeps nothing. A policy that was trained again is played again:
            `policy.identity` tells.
        judge: what tells this world from others in the folder, such as its fingerprint: a folder may serve several
            worlds, and reality is played once.
        processes: that play at the same time; more than one need functions that make environments.
        seed: of the starts that a number stands for, and of the bootstrap.
        progress: shows a bar.

    Raises:
        ConfigError: no policies or starts, environments or policies of different action spaces, a score that the world
            cannot give, a folder that holds another evaluation, or something that no process can be sent.
    """
    begins = [Start(seed + k) for k in range(starts)] if isinstance(starts, int) else list(starts)
    trials = Trials(
        dict(policies), real_env, world_env, begins, score, max_frames, reached, enter, block
    )
    check(trials)
    identities = {name: identity(policy) for name, policy in policies.items()}

    def key(piece: Piece) -> tuple[str | int, ...]:
        name, number, side = piece
        return (name, identities[name], number, "real" if side == "real" else judge)

    ledger = Ledger(folder, _plan(trials), KEY)
    # reality first: it serves every world that is judged from the same folder
    pieces = [(name, k, side) for side in SIDES for k in range(len(begins)) for name in policies]
    todo = [piece for piece in pieces if key(piece) not in ledger]
    opens = (lambda: trials.play) if processes == 1 else partial(_open, trials)
    bar = tqdm(
        spread(opens, todo, processes),
        total=len(pieces),
        initial=len(pieces) - len(todo),
        unit="episode",
        disable=not progress,
    )
    for piece, trial in bar:
        ledger.add(key(piece), asdict(trial))

    def outcomes(side: str) -> Any:
        rows = [[key((name, k, side)) for k in range(len(begins))] for name in policies]
        return np.array([[Trial(**ledger[place]).worth(score) for place in row] for row in rows])

    tasks = tuple(start.task for start in begins)
    return Verdict(tuple(policies), tasks, score, outcomes("real"), outcomes("world"), seed)


def _open(trials: Trials) -> Callable[[Piece], Trial]:
    """In a process of its own, to which plugins have to register their environments."""
    from cosmos_sdk.registry import registry

    registry()
    return trials.play


def _plan(trials: Trials) -> dict[str, Any]:
    """What an episode depends on, beside its policy, its number, and its world."""
    digest = hashlib.sha256()
    for start in trials.starts:
        digest.update(f"{start.seed} {start.task}".encode())
        for part in (*start.options.values(), start.actions, start.goal):
            digest.update(b"-" if part is None else np.ascontiguousarray(part).tobytes())
    return {
        "starts": f"{len(trials.starts)}, {digest.hexdigest()[:16]}",
        "score": trials.score,
        "max_frames": trials.max_frames,
        "block": trials.frames,
        "observation": str(trials.envs[0].observation_space),
    }
