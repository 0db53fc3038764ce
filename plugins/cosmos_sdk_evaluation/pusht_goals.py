"""Task `pusht-goals`: reach, within 50 steps, what a held-out trajectory reached in 25.

*field* tasks are drawn as they come (about half do not move the block); in *moved* tasks the block moves at least 20 px
or 20 degrees; *random-policy* goals were reached by uniform actions; *colours* and *sizes* are field tasks with values
that no recording for training has. See `goal_tasks` for the protocol and `goal_rows` for who drives.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from cosmos_sdk.ledger import Ledger, provenance
from cosmos_sdk.results import Measurement, Result
from cosmos_sdk.simulators import Simulator
from cosmos_sdk.statistics import bootstrap, wilson
from cosmos_sdk.workers import spread
from cosmos_sdk.world import WorldModel
from cosmos_sdk_evaluation.goal_rows import (
    GoalsConfig,
    check_world,
    oracle_planner,
    policies,
    replan_every,
    world_planner,
)
from cosmos_sdk_evaluation.goal_tasks import (
    Attempt,
    Task,
    attempt,
    draw_tasks,
    open_scene,
    replay,
)
from cosmos_sdk_evaluation.report import side_by_side

ORACLE_SECONDS = 15  # a task, of a core of 100 GFLOP/s
MANY = 4  # tasks, from which on waiting for the oracle is worth a word


@torch.no_grad()
def pusht_goals(world: WorldModel, config: GoalsConfig) -> Measurement:
    """Success with its Wilson interval, and seconds per decision, for each row."""
    check_world(world, config)
    size = world.spec.frames[1:] if world.spec else (64, 64)
    ledger = Ledger(config.folder, plan_of(world, config), ("row", "task"))
    tasks = draw_tasks(config.tasks, config.n, size, config.seed)
    scene = open_scene(config.tasks)
    if warning := forewarning(config, ledger):
        tqdm.write(warning, file=sys.stderr)
    results: list[Result] = []
    pictures: dict[str, NDArray[np.uint8]] = {}
    for row in config.rows:
        attempts = driven(world, config, row, tasks, ledger)
        label = f"pusht-goals {config.tasks}, {row}"
        results += summarise(label, attempts, config.seed, config.processes)
        pictures[f"{row}: the first tasks, from start to end beside the goal"] = outcomes(
            scene, tasks, attempts, size
        )
    return Measurement(results, pictures)


def forewarning(config: GoalsConfig, ledger: Ledger) -> str:
    """What is said before the oracle drives: it takes far longer than a learned world, and may be left out."""
    left = sum(("oracle", number) not in ledger for number in range(config.n))
    if "oracle" not in config.rows or left < MANY:
        return ""
    others = ",".join(row for row in config.rows if row != "oracle") or "world"
    minutes = max(1, round(left * ORACLE_SECONDS / 60))
    return (
        f"The row `oracle` plans in the true simulator, one state after the other: seconds a decision, about {minutes} "
        f"min for its {left} tasks in one process of one core at its usual options. rows=[{others}] leaves it out, "
        "processes=2 halves it."
    )


def plan_of(world: WorldModel, config: GoalsConfig) -> dict[str, object]:
    """What an attempt depends on, beside its row and its number."""
    same = ("tasks", "objective", "objective_options", "seed")
    planners = {"planner": world_planner(world, config), "oracle": oracle_planner(config)}
    return {
        **{name: getattr(config, name) for name in same},
        **{name: repr(planner) for name, planner in planners.items()},
        "replan_every": replan_every(world, config),
        **provenance(world),
    }


def driven(
    world: WorldModel, config: GoalsConfig, row: str, tasks: Sequence[Task], ledger: Ledger
) -> list[Attempt]:
    """One row's attempts, in the order of the tasks. Those that the ledger holds are not driven again."""
    todo = [number for number in range(len(tasks)) if (row, number) not in ledger]
    progress = tqdm(
        drive(world, config, row, {number: tasks[number] for number in todo}),
        f"{config.tasks} tasks, {row}",
        total=len(tasks),
        initial=len(tasks) - len(todo),
        unit="task",
    )
    for number, done in progress:
        ledger.add((row, number), done.row())
    return [Attempt(**ledger[row, number]) for number in range(len(tasks))]


def drive(
    world: WorldModel, config: GoalsConfig, row: str, tasks: dict[int, Task]
) -> Iterator[tuple[int, Attempt]]:
    """Attempts at tasks by their numbers, as they end; how many processes share them changes nothing in them."""
    opens = partial(Driver, world, config, row)
    for (number, _), done in spread(opens, list(tasks.items()), config.processes):
        yield number, done


class Driver:
    """What a process needs to drive the tasks of a row."""

    def __init__(self, world: WorldModel, config: GoalsConfig, row: str) -> None:
        self.row, self.size = row, world.spec.frames[1:] if world.spec else (64, 64)
        self.scene = open_scene(config.tasks)
        self.policy = policies(world, self.scene, config, self.size)[row]

    @torch.no_grad()
    def __call__(self, item: tuple[int, Task]) -> Attempt:
        number, task = item
        return attempt(self.scene, task, self.policy(task, number), self.size)


def outcomes(
    scene: Simulator,
    tasks: Sequence[Task],
    attempts: Sequence[Attempt],
    size: tuple[int, int],
    count: int = 8,
) -> NDArray[np.uint8]:
    """A line per task: where it began, four moments of the attempt, where it ended, and the goal."""
    lines: list[NDArray[np.uint8]] = []
    for task, done in list(zip(tasks, attempts, strict=True))[:count]:
        frames = replay(scene, task, done, size)
        last = len(frames) - 1
        moments = {f"step {k}": frames[k] for k in np.linspace(0, last, 6).round().astype(int)}
        ended = "reached" if done.success else "not reached"
        goal = task.picture[0].permute(1, 2, 0).contiguous().numpy()
        lines.append(side_by_side({**moments, f"goal, {ended}": goal}, 2))
    width = max(line.shape[1] for line in lines)  # an attempt of few steps has few moments
    padded = [
        np.pad(x, ((0, 0), (0, width - x.shape[1]), (0, 0)), constant_values=255) for x in lines
    ]
    return np.concatenate(padded, 0)


def summarise(
    label: str, attempts: Sequence[Attempt], seed: int, processes: int = 1
) -> list[Result]:
    """Success, and the time of a decision; where several were taken at once, the figure says so."""
    wins, n = sum(a.success for a in attempts), len(attempts)
    low, high = wilson(wins, n)
    results = [Result(f"{label}: success", 100 * wins / n, "%", n, (100 * low, 100 * high), seed)]
    seconds = [second for attempt in attempts for second in attempt.seconds]
    if seconds:
        beside = f", {processes} at once" if processes > 1 else ""
        name = f"{label}: time per decision{beside}"
        mean, interval = float(np.mean(seconds)), bootstrap(seconds, seed)
        results.append(Result(name, mean, "s", len(seconds), interval, seed))
    return results
