"""The three parts of the demo. Each measures, writes its video, and returns its section of the report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from cosmos_sdk.ledger import Ledger
from cosmos_sdk.results import Result
from cosmos_sdk.state import Masked
from cosmos_sdk.statistics import bootstrap
from cosmos_sdk.training.contact_sheet import contact_sheet
from cosmos_sdk.world import WorldModel
from cosmos_sdk_evaluation import report
from cosmos_sdk_evaluation.goal_rows import (
    GoalsConfig,
    check_world,
    replan_every,
    world_planner,
)
from cosmos_sdk_evaluation.goal_tasks import Attempt, Task, draw_tasks, open_scene, replay
from cosmos_sdk_evaluation.modes import modes
from cosmos_sdk_evaluation.open_loop import (
    Imagined,
    OpenLoopConfig,
    Windows,
    imagine,
    open_loop,
    windows,
)
from cosmos_sdk_evaluation.pusht_goals import driven, outcomes, summarise
from cosmos_sdk_evaluation.results import gemm_peak
from cosmos_sdk_evaluation.speed import HORIZON, step_rates

SHOWN = (1, 4, 8, 16, 24, 32)  # horizons in the picture
DECISION, FEWEST = 4.0, 32  # seconds of planning, and samples below which it is no search


class Options(Protocol):
    """The part of the command's arguments that is used here."""

    tasks: int
    windows: int
    planner: str | None
    planner_options: dict[str, Any]
    seed: int


@dataclass(frozen=True)
class Part:
    """Figures, and how they are shown."""

    results: list[Result]
    html: str


def load(name: str) -> WorldModel:
    """The world, with its default run-time options."""
    return WorldModel.from_pretrained(name)


@torch.no_grad()
def imagination(world: WorldModel, options: Options, out: Path) -> Part:
    """Open loop: the world is shown a few true frames, and then only the actions."""
    first = tuple(modes(world)[0].options.values())  # its number of steps, where there is a choice
    config = OpenLoopConfig(windows=options.windows, num_steps=first, seed=options.seed)
    results = open_loop(world, config).results
    size = world.spec.frames[1:] if world.spec else (64, 64)
    data = windows(OpenLoopConfig(windows=4, seed=options.seed + 1), size, world.backend.context)
    shown = imagine(world, data, data.actions[:, data.context :], config)
    report.save_playable(out / "imagined.mp4", _film(data, shown), 10)
    true, index = data.frames[:, data.context :], [h - 1 for h in SHOWN]
    sheet = contact_sheet(true[:, index], shown.frames[:, index], [f"+{h}" for h in SHOWN])
    html = report.section(
        "(a) Imagined futures",
        report.image(sheet, "true frames above imagined ones at several horizons"),
        report.video(out / "imagined.mp4", "true and imagined futures side by side"),
        report.curves(results),
        report.figures(results),
        note=f"The world sees {data.context} frames of a held-out episode, then only actions. True above imagined.",
    )
    return Part(results, html)


def _film(data: Windows, shown: Imagined) -> list[NDArray[np.uint8]]:
    true = data.frames[:, data.context :]
    return [
        np.concatenate(
            [
                report.side_by_side(
                    {"true": _picture(true[n, k]), "imagined": _picture(shown.frames[n, k])}
                )
                for n in range(2)
            ],
            1,
        )
        for k in range(true.shape[1])
    ]


def _picture(frame: Tensor) -> NDArray[np.uint8]:  # (V, 3, h, w) -> (h, w, 3)
    return frame[0].permute(1, 2, 0).contiguous().numpy()


def affordable(world: WorldModel, options: Options) -> dict[str, Any]:
    """Planner options by which a decision takes a few seconds in this world; none where the usual ones do."""
    config = _goals(options)
    usual = world_planner(world, config)
    samples, iterations = (getattr(usual, name, 1) for name in ("num_samples", "num_iterations"))
    frames = HORIZON * iterations  # that a sample costs
    most = int(DECISION * max(step_rates(world, 64, 4, False)) / frames)
    if most >= samples:
        return {}
    few = max(FEWEST, most)
    return {"num_samples": few, "num_elites": max(4, few // 10)}


def _goals(options: Options) -> GoalsConfig:
    own = {name: getattr(options, name) for name in ("planner", "planner_options", "seed")}
    return GoalsConfig(n=options.tasks, **own)


@torch.no_grad()
def control(world: WorldModel, shown: WorldModel, options: Options, out: Path) -> Part:
    """Closed loop: plan in the learned world, act in the true simulator, look, plan again.

    `world` is planned in, and `shown`, the same with other run-time options, imagines the pictures of the film.
    """
    config = _goals(options)
    check_world(world, config)
    size = world.spec.frames[1:] if world.spec else (64, 64)
    tasks = draw_tasks(config.tasks, config.n, size, config.seed)
    ledger = Ledger(None, {}, ("row", "task"))
    driven_by = {row: driven(world, config, row, tasks, ledger) for row in config.rows}
    results = [
        result
        for row, attempts in driven_by.items()
        for result in summarise(f"goals, {row}", attempts, config.seed)
    ]
    scene = open_scene(config.tasks)
    every = max(replan_every(world, config), shown.backend.chunk)
    pairs = list(zip(tasks, driven_by["world"], strict=True))
    film: list[NDArray[np.uint8]] = []
    for task, done in pairs:
        frames = replay(scene, task, done, size)
        film += _film_of(frames, imagined_beside(shown, frames, done, every), task)
    report.save_playable(out / "control.mp4", film, 10)
    html = report.section(
        "(b) A planner that thinks in the learned world",
        report.video(out / "control.mp4", "the true simulator driven to each goal"),
        report.image(outcomes(scene, tasks, driven_by["world"], size), "each task, to its end"),
        report.figures(results),
        note="Each task shows a goal picture. The planner imagines candidate futures in the learned world, the first "
        "actions of the best drive the true simulator, and the next plan starts from the new real frames. In the "
        f"middle is what the world imagines of these actions since its last look, up to {every} steps before. "
        " Success: agent and block within 20 of 512 px and 20 degrees of the goal in 50 steps. The oracle "
        "plans in the true simulator; random and still do not plan.",
    )
    return Part(results, html)


def imagined_beside(
    world: WorldModel, frames: list[NDArray[np.uint8]], done: Attempt, every: int
) -> list[NDArray[np.uint8]]:
    """What a world imagines beside each true frame (h, w, 3), entered by the true ones each `every` steps anew."""
    context, chunk = world.backend.context, world.backend.chunk
    pictures = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)[None, :, None]
    actions = torch.tensor(done.actions, dtype=torch.float32).view(1, -1, 2)
    seen = [frames[0]]
    for first in range(0, actions.shape[1], every):
        oldest = max(0, first + 1 - context)
        led_to = functional.pad(actions, (0, 0, 1, 0))[:, oldest : first + 1]
        known = torch.arange(oldest, first + 1)[None] > 0  # nothing led to the first frame
        history = {"action": Masked(led_to, known)}
        seed = torch.tensor([first])
        state = world.reset(pictures[:, oldest : first + 1], {}, seed, history)
        coming = actions[:, first : first + every]
        padded = functional.pad(coming, (0, 0, 0, -coming.shape[1] % chunk))
        dreamt: list[Tensor] = []
        for k in range(0, padded.shape[1], chunk):
            state, _ = world.step(state, {"action": padded[:, k : k + chunk]})
            dreamt.append(world.decode(state)[0])
        seen += [_picture(frame) for frame in torch.cat(dreamt)[: coming.shape[1]]]
    return seen


def _film_of(
    frames: list[NDArray[np.uint8]], imagined: list[NDArray[np.uint8]], task: Task
) -> list[NDArray[np.uint8]]:
    goal = _picture(task.picture)
    pictures = [
        report.side_by_side({"true simulator": true, "imagined": dreamt, "goal": goal})
        for true, dreamt in zip(frames, imagined, strict=True)
    ]
    return [*pictures, *pictures[-1:] * 8]  # the end stands still for a moment


def stepping(world: WorldModel) -> Part:
    """Frames per second with decoded pictures on one thread, beside the machine's own peak."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    peak = gemm_peak(torch.float32)
    results = [Result("fp32 GEMM peak, one thread", peak, "GFLOP/s")]
    for rows in (1, 32):
        rates = step_rates(world, rows, 60, decode=True)
        median = float(np.median(rates))
        interval = bootstrap(rates, statistic=np.median)
        results.append(
            Result(f"decoded frames/s, batch {rows}", median, "frames/s", len(rates), interval)
        )
    torch.set_num_threads(threads)
    note = "One thread, one sampling step a frame. `cosmos-sdk bench` measures all settings."
    return Part(results, report.section("(c) Speed", report.figures(results), note=note))
