"""Frames per second of stepping, and what planning costs in seconds and memory."""

from __future__ import annotations

import resource
from collections.abc import Sequence
from time import perf_counter
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from cosmos_sdk.registry import registry
from cosmos_sdk.results import Result
from cosmos_sdk.rng import PLANNER, Rng
from cosmos_sdk.state import WorldState
from cosmos_sdk.statistics import bootstrap
from cosmos_sdk.world import WorldModel
from cosmos_sdk_evaluation.modes import modes, option_defaults, precisions, quickest
from cosmos_sdk_evaluation.results import gemm_peak

HORIZON = 25  # steps of a plan: 5 blocks of 5
DECISION = {"horizon": 5, "action_block": 5, "num_samples": 300, "num_elites": 30}
ITERATIONS = 30


class Options(Protocol):
    """The part of the command's arguments that is used here."""

    precision: tuple[str, ...]
    num_steps: tuple[int, ...]
    batch_sizes: tuple[int, ...]
    steps: int
    long: int


def fresh(world: WorldModel, rows: int, seed: int = 0) -> WorldState:
    """States of `rows` worlds, from grey pictures: the cost of a step does not depend on what is seen."""
    views, height, width = world.spec.frames if world.spec else (1, 64, 64)
    frames = torch.full((rows, 1, views, 3, height, width), 200, dtype=torch.uint8)
    return world.reset(frames, {}, torch.arange(rows) + seed)


def actions(world: WorldModel, rows: int, count: int, seed: int = 0) -> dict[str, Tensor]:
    """Uniform actions (rows, count, A) for the signal `action`."""
    shape = world.conditioners["action"].space.shape or ()  # pyright: ignore[reportOptionalMemberAccess]
    generator = torch.Generator().manual_seed(seed)
    return {"action": torch.rand(rows, count, *shape, generator=generator) * 2 - 1}


def batch_precision() -> str:
    """What large batches should be imagined in here: bfloat16 where this machine multiplies it faster."""
    gain = gemm_peak(torch.bfloat16, 512) / gemm_peak(torch.float32, 512)
    return "bfloat16" if gain > 1.5 else "float32"


def frames_per_second(world: WorldModel, options: Options) -> list[Result]:
    """Every setting, decoded and latent-only, beside the GEMM peak that was measured just before it."""
    results: list[Result] = []
    for precision in precisions(world, options.precision):
        for mode in modes(world, options.num_steps):
            model = world.using(**mode.options, **precision.options)
            for rows in options.batch_sizes:
                peak = gemm_peak(torch.float32)
                for decode in (True, False):
                    rates = step_rates(model, rows, options.steps, decode)
                    what = "decoded" if decode else "latents"
                    name = _joined(" ", mode.name, precision.name, f"batch {rows}", what)
                    median = float(np.median(rates))
                    interval = bootstrap(rates, statistic=np.median)
                    results.append(Result(name, median, "frames/s", len(rates), interval))
                    if decode:
                        scaled = 100 * median / peak
                        results.append(
                            Result(
                                f"{name}, on a core of 100 GFLOP/s", scaled, "frames/s", len(rates)
                            )
                        )
    return results


@torch.inference_mode()
def step_rates(
    world: WorldModel, rows: int, steps: int, decode: bool, warmup: int = 8
) -> list[float]:
    """Frames per second of each of some repeats of consecutive steps."""
    chunk, repeats = world.backend.chunk, 6
    state, signals = fresh(world, rows), actions(world, rows, chunk)
    per_repeat = max(2, steps // (repeats * max(1, rows // 8)))
    rates: list[float] = []
    for repeat in range(repeats + 1):
        count = warmup if repeat == 0 else per_repeat
        start = perf_counter()
        for _ in range(count):
            state, _ = world.step(state, signals)
            if decode:
                world.decode(state)
        if repeat:
            rates.append(count * rows * chunk / (perf_counter() - start))
    return rates


@torch.inference_mode()
def planning(world: WorldModel, options: Options) -> list[Result]:
    """Rolling 300 and 8 x 300 candidates through a plan of 25 steps: seconds, and the growth of peak memory."""
    results: list[Result] = []
    mode = quickest(world)
    said = "" if mode.name == "K=1" else mode.name  # one step a frame goes without saying
    for precision in precisions(world, options.precision):
        model = world.using(**mode.options, **precision.options)
        for worlds in (1, 8):
            seconds, memory = _candidates(model, worlds, 300)
            size = f"planning, {worlds} x 300 candidates x {HORIZON} steps"
            name = _joined(", ", size, said, precision.name)
            results.append(Result(f"{name}: time", min(seconds), "s", len(seconds)))
            results.append(Result(f"{name}: memory", memory, "MB"))
    return results


@torch.no_grad()
def decisions(world: WorldModel, options: Options, repeats: int = 5) -> list[Result]:
    """A full-size decision by CEM for a goal state: seconds, here and scaled to a core of 100 GFLOP/s in float32.

    Of worlds that unroll and read a state; others would take minutes, or have no such goal. Frames inside a block are
    left out where the backend offers that, as goal reaching does. The peak is measured in turn with the decisions.
    """
    if not hasattr(world.backend, "unroll") or "state" not in world.readouts:
        return []
    choices = {"inner_frames": False} if "inner_frames" in option_defaults(world) else {}
    state, zero = fresh(world, 1), torch.zeros(1, dtype=torch.int64)
    objective = registry().load("objective", "goal-state")(world.observe(state)["state"][0])
    planner = registry().load("planner", "cem")(**DECISION, num_iterations=ITERATIONS)
    results: list[Result] = []
    for precision in precisions(world, options.precision):
        model, seconds, peaks = world.using(**choices, **precision.options), list[float](), []
        for _ in range(repeats + 1):  # the first warms up
            peaks.append(gemm_peak(torch.float32))
            plan = planner.plan(model, state, objective, Rng(zero, zero, PLANNER))
            seconds.append(plan.seconds)
        size = f"{DECISION['num_samples']} samples x 5 blocks x {ITERATIONS} iterations"
        name = _joined(", ", f"a decision, {size}", precision.name)
        scaled = [s * p / 100 for s, p in zip(seconds, peaks, strict=True)]
        for label, values in ((name, seconds), (f"{name}, on a core of 100 GFLOP/s", scaled)):
            interval = bootstrap(values[1:], statistic=np.median)
            results.append(Result(label, float(np.median(values[1:])), "s", repeats, interval))
    return results


def _candidates(world: WorldModel, worlds: int, candidates: int) -> tuple[Sequence[float], float]:
    """As planners do it: state by state, each branched into views of one prefix."""
    states = fresh(world, worlds)
    signals = actions(world, candidates, HORIZON)
    before, seconds = _peak_memory(), []
    for _ in range(2 if worlds == 1 else 1):
        start = perf_counter()
        for row in range(worlds):
            world.rollout(states.rows(slice(row, row + 1)).branch(candidates), signals)
        seconds.append(perf_counter() - start)
    return seconds, _peak_memory() - before


def _joined(separator: str, *words: str) -> str:
    return separator.join(word for word in words if word)


def _peak_memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # MB; Linux counts in KiB
