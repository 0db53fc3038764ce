"""The three parts of the demo. Each measures, writes its video, and returns its section of the report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from cosmos_sdk.results import Result
from cosmos_sdk.training.contact_sheet import contact_sheet
from cosmos_sdk.world import WorldModel
from cosmos_sdk_evaluation import report
from cosmos_sdk_evaluation.modes import modes
from cosmos_sdk_evaluation.open_loop import (
    Imagined,
    OpenLoopConfig,
    Windows,
    imagine,
    open_loop,
    windows,
)
from cosmos_sdk_evaluation.pusht_goals import (
    DEFAULTS,
    Attempt,
    GoalsConfig,
    Task,
    draw_tasks,
    drive,
    summarise,
)
from cosmos_sdk_evaluation.results import gemm_peak
from cosmos_sdk_evaluation.speed import HORIZON, step_rates
from cosmos_sdk_evaluation.statistics import bootstrap

SHOWN = (1, 4, 8, 16, 24, 32)  # horizons in the picture
DECISION, FEWEST = 4.0, 32  # seconds of planning, and samples below which it is no search


class Options(Protocol):
    """The part of the command's arguments that is used here."""

    tasks: int
    windows: int
    planner: str
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


def affordable(world: WorldModel) -> dict[str, Any]:
    """Planner options by which a decision takes a few seconds in this world; none where the usual ones do."""
    frames = HORIZON * DEFAULTS["num_iterations"]  # that a sample costs
    samples = int(DECISION * max(step_rates(world, 64, 4, False)) / frames)
    if samples >= DEFAULTS["num_samples"]:
        return {}
    few = max(FEWEST, samples)
    return {"num_samples": few, "num_elites": max(4, few // 10)}


@torch.no_grad()
def control(world: WorldModel, options: Options, out: Path) -> Part:
    """Closed loop: plan in the learned world, act in the true simulator, look, plan again."""
    config = GoalsConfig(
        n=options.tasks,
        planner=options.planner,
        planner_options=options.planner_options,
        seed=options.seed,
    )
    size = world.spec.frames[1:] if world.spec else (64, 64)
    tasks = draw_tasks(config, size)
    results: list[Result] = []
    driven: list[Attempt] = []
    for row in ("world", "random"):
        progress = drive(world, config, row, tasks)
        attempts = list(tqdm(progress, f"driving Push-T, {row}", total=len(tasks), unit="task"))
        results += summarise(f"goals, {row}", attempts, config)
        driven = driven or attempts
    film = [frame for task, done in zip(tasks, driven, strict=True) for frame in _drive(task, done)]
    report.save_playable(out / "control.mp4", film, 10)
    html = report.section(
        "(b) A planner that thinks in the learned world",
        report.video(out / "control.mp4", "the true simulator driven to each goal"),
        report.figures(results),
        note="Each task shows a goal picture. The planner imagines candidate futures in the learned world, the first "
        "actions of the best drive the true simulator, and the next plan starts from the new real frames. Success: "
        "agent and block within 20 of 512 px and 20 degrees of the goal in 50 steps.",
    )
    return Part(results, html)


def _drive(task: Task, done: Attempt) -> list[NDArray[np.uint8]]:
    goal = task.picture[0].permute(1, 2, 0).contiguous().numpy()
    frames = [report.side_by_side({"true simulator": frame, "goal": goal}) for frame in done.frames]
    return [*frames, *frames[-1:] * 8]  # the end stands still for a moment


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
