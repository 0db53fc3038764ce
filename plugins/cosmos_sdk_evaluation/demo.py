"""`cosmos-sdk demo`: a learned Push-T world imagines, a planner thinks in it, the true simulator is driven by it."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

from cosmos_sdk.cli.overrides import parse


@dataclass
class Arguments:
    """What the command takes."""

    world: str = "pusht-statespace"
    tasks: int = 6
    windows: int = 60
    planner: str | None = None  # that of pusht-goals
    # those of pusht-goals; none: its own, with as few samples as make a decision take some seconds
    planner_options: dict[str, Any] = field(default_factory=dict[str, Any])
    threads: int = 1  # two threads of small products cost more than they gain, and far more beside another process
    seed: int = 0
    out: str = "outputs/demo"


def run(arguments: list[str]) -> int:
    """Shows a learned world: `cosmos-sdk demo [world=pusht-statespace] [tasks=6] [out=outputs/demo]`.

    Writes report.html, imagined.mp4, control.mp4 and results.json: (a) imagined futures beside true ones, (b) a planner
    that thinks in the learned world and drives the true Push-T simulator to goals, (c) speed. No download, no GPU.
    """
    options = parse(Arguments, arguments)
    import torch

    from cosmos_sdk_evaluation import report
    from cosmos_sdk_evaluation.demo_parts import affordable, control, imagination, load, stepping
    from cosmos_sdk_evaluation.modes import quickest
    from cosmos_sdk_evaluation.results import hardware, table, versions, write_results, write_text
    from cosmos_sdk_evaluation.speed import batch_precision

    torch.set_num_threads(options.threads)
    begun, out = perf_counter(), Path(options.out)
    world = load(options.world)
    planning = world.using(**quickest(world).options, precision=batch_precision())
    options.planner_options = options.planner_options or affordable(planning, options)
    parts = [
        imagination(world, options, out),
        control(planning, world, options, out),
        stepping(world),
    ]
    results = [result for part in parts for result in part.results]
    facts = hardware()
    machine = f"{facts['processor']}, {options.threads} thread(s)"
    lead = f"World {options.world}. Figures are held-out, seed {options.seed}, on {machine}."
    facts_table = ", ".join(f"{name} {number}" for name, number in versions().items())
    sections = [
        *(part.html for part in parts),
        report.section("Made with", f"<p>{facts_table}</p>"),
    ]
    write_text(
        out / "report.html", report.page("A policy acting in a learned world", lead, sections)
    )
    write_results(out / "results.json", results, asdict(options))
    sys.stdout.write(f"{table(results)}\n")
    sys.stdout.write(
        f"{perf_counter() - begun:.0f} s. Open {out / 'report.html'}; videos lie beside it.\n"
    )
    return 0
