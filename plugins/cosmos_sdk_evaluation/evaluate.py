"""`cosmos-sdk evaluate`: a registered metric or task on a world, as a table and a results file."""

from __future__ import annotations

import hashlib
import inspect
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

from cosmos_sdk.config import override, typed
from cosmos_sdk.errors import ConfigError, did_you_mean
from cosmos_sdk.registry import registry
from cosmos_sdk.results import Measurement
from cosmos_sdk_evaluation import report
from cosmos_sdk_evaluation.results import table, write_results, write_text


@dataclass
class Arguments:
    """What every measurement takes; the fields of its own configuration are given beside these."""

    metric: str | None = None
    task: str | None = None
    world: str = "pusht-diffusion"  # a bundled name or a folder
    device: str = "cpu"
    threads: int = 1
    using: dict[str, Any] = field(default_factory=dict[str, Any])  # run-time options of the backend
    out: str = "outputs/evaluate"


def run(arguments: list[str]) -> int:
    """Measures a world: `cosmos-sdk evaluate metric=open-loop world=NAME`, or `task=pusht-goals`.

    `cosmos-sdk plugins kind=metric` lists the metrics, `kind=task` the tasks.
    `using.precision=bfloat16` sets an option of the backend. Other key=value pairs are fields of the metric's or task's
    own configuration, such as n=100 or planner=icem planner_options.num_samples=64. Prints a table with 95 % intervals
    and writes it under out=, as JSON and as a page with pictures. Where episodes are driven, the same command resumes
    what was interrupted; folder= keeps them after the end too.
    """
    common, own = split(override({}, arguments))
    name, measure, config = chosen(common, own)
    lent = lend_folder(name, common, config)
    import torch

    from cosmos_sdk.world import WorldModel

    torch.set_num_threads(common.threads)
    world = WorldModel.from_pretrained(common.world, common.device)
    measured: Measurement = measure(world.using(**common.using), config)
    title = f"{name} of {common.world}"
    sys.stdout.write(f"{title}\n{table(measured.results)}\n")
    path = Path(common.out) / f"{name}-{Path(common.world).name}.json"
    write_results(path, measured.results, {**asdict(common), name: asdict(config)})
    write_text(path.with_suffix(".html"), _page(title, measured))
    if lent is not None:
        shutil.rmtree(lent, ignore_errors=True)
    sys.stdout.write(f"written to {path}; to look at: {path.with_suffix('.html')}\n")
    return 0


def lend_folder(name: str, common: Arguments, config: Any) -> Path | None:
    """A folder for finished episodes, which only this command finds again; None where one is named or none is kept."""
    if getattr(config, "folder", "named") is not None:
        return None
    command = repr((asdict(common), {k: v for k, v in asdict(config).items() if k != "processes"}))
    digest = hashlib.sha256(command.encode()).hexdigest()[:12]
    folder = Path(common.out) / "unfinished" / f"{name}-{digest}"
    config.folder = str(folder)
    return folder


def _page(title: str, measured: Measurement) -> str:
    sections = [
        report.section("Figures", report.curves(measured.results), report.figures(measured.results))
    ]
    sections += [
        report.section(what, report.image(p, what)) for what, p in measured.pictures.items()
    ]
    return report.page(title, " ".join(["cosmos-sdk", *sys.argv[1:]]), sections)


def split(values: dict[str, Any]) -> tuple[Arguments, dict[str, Any]]:
    """The common arguments, and the rest for the measurement itself."""
    common = {item.name for item in fields(Arguments)}
    mine = {key: value for key, value in values.items() if key in common}
    return typed(Arguments, mine), {
        key: value for key, value in values.items() if key not in common
    }


def chosen(common: Arguments, own: dict[str, Any]) -> tuple[str, Callable[..., Measurement], Any]:
    """The one metric or task that was named, with its configuration.

    Raises:
        ConfigError: none or two were named, or a key is unknown.
    """
    named = [
        (kind, name)
        for kind, name in (("metric", common.metric), ("task", common.task))
        if name is not None
    ]
    if len(named) != 1:
        metrics, tasks = (", ".join(registry().names(kind)) for kind in ("metric", "task"))
        raise ConfigError([f"name one metric or one task; metrics: {metrics}; tasks: {tasks}"])
    kind, name = named[0]
    measure = registry().load(kind, name)
    cls = get_type_hints(measure)[list(inspect.signature(measure).parameters)[1]]
    known = [item.name for item in fields(cls)] + [item.name for item in fields(Arguments)]
    unknown = [key for key in own if key not in known]
    if unknown:
        raise ConfigError(
            [
                f"{key}: unknown key.{did_you_mean(key, known)} Keys: {', '.join(known)}."
                for key in unknown
            ]
        )
    return name, measure, typed(cls, own)
