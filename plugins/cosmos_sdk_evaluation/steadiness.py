"""Does step 1,000 cost what step 10 does, does memory stay flat, and what does the Gymnasium layer add?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import gymnasium
import numpy as np
import torch
from torch import Tensor

from cosmos_sdk.results import Result
from cosmos_sdk.state import WorldState
from cosmos_sdk.statistics import bootstrap
from cosmos_sdk.world import WorldModel
from cosmos_sdk_evaluation.speed import Options, actions, fresh

PAIRS = 60
YOUNG, OLD = 10, 1000  # steps


@torch.inference_mode()
def steadiness(world: WorldModel, options: Options) -> list[Result]:
    """Interleaved pairs of a step from a state of age 10 and one of age 1,000; then resident memory over a long run."""
    signals = actions(world, 1, world.backend.chunk)
    young = _aged(world, YOUNG, signals)
    old = _aged(world, OLD, signals)
    ratios: list[float] = []
    for pair in range(PAIRS):
        order = (young, old) if pair % 2 else (old, young)
        spent = {id(state): _block(world, state, signals) for state in order}
        ratios.append(spent[id(old)] / spent[id(young)])
    results = [
        Result(
            f"step {OLD:,} / step {YOUNG:,}, median of pairs",
            float(np.median(ratios)),
            "x",
            PAIRS,
            bootstrap(ratios, statistic=np.median),
        )
    ]
    state, early = _aged(world, 100, signals), 0.0
    early = _resident()
    for _ in range(options.long):
        state, _ = world.step(state, signals)
        world.decode(state)
    grown = _resident() - early
    return [
        *results,
        Result(f"resident memory grown over {options.long:,} steps", grown, "MB", options.long),
    ]


def _aged(world: WorldModel, steps: int, signals: dict[str, Tensor]) -> WorldState:
    state = fresh(world, 1)
    for _ in range(steps):
        state, _ = world.step(state, signals)
    return state


def _block(
    world: WorldModel, state: WorldState, signals: dict[str, Tensor], count: int = 10
) -> float:
    start = perf_counter()
    for _ in range(count):
        world.step(state, signals)
    return perf_counter() - start


def _seconds(run: Callable[[], None]) -> float:
    start = perf_counter()
    run()
    return perf_counter() - start


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


@torch.inference_mode()
def environment_overhead(world: WorldModel, options: Options, rows: int = 32) -> list[Result]:
    """Vector env steps against the model's own step, decode and readouts, in turn, at batch 32."""
    env = gymnasium.make_vec(
        "cosmos_sdk_envs:CosmosSDK/World-v0",
        num_envs=rows,
        world=world,
        starts=lambda world, seed: fresh(world, len(seed)).reseed(seed),
    )
    env.reset(seed=0)
    taken = env.action_space.sample()
    state, signals = fresh(world, rows), {"action": torch.from_numpy(np.asarray(taken))[:, None]}

    def own() -> None:
        nonlocal state
        state, _ = world.step(state, signals)
        world.decode(state)
        world.observe(state)

    def layered() -> None:
        env.step(taken)

    layer: list[float] = []
    for pair in range(PAIRS + 5):
        # strictly in turn: either then finds the caches as the other left them
        both, alone = _seconds(layered), _seconds(own)
        if pair >= 5:
            layer.append(both / alone)
    env.close()
    added = 100 * (np.array(layer) - 1)
    return [
        Result(
            f"Gymnasium layer at batch {rows}, median of pairs",
            float(np.median(added)),
            "%",
            PAIRS,
            bootstrap(added, statistic=np.median),
        )
    ]
