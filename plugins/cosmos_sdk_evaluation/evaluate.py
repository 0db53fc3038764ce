"""`cosmos-sdk evaluate`: a registered metric or task on a world, as a table and a results file."""

from __future__ import annotations

import hashlib
import inspect
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

from cosmos_sdk.cli.details import components, fields_of, with_details
from cosmos_sdk.config import override, typed
from cosmos_sdk.errors import ConfigError, did_you_mean
from cosmos_sdk.registry import registry
from cosmos_sdk.results import Measurement
from cosmos_sdk_evaluation import report
from cosmos_sdk_evaluation.destination import destination
from cosmos_sdk_evaluation.results import table, write_results, write_text

KINDS = ("metric", "task")


@dataclass
class Arguments:
    """What every measurement takes; the fields of its own configuration are given beside these."""

    metric: str | None = None
    task: str | None = None
    world: str = "pusht-diffusion"  # a bundled name or a folder
    device: str = "cpu"  # auto: an accelerator if there is one
    threads: int = 1
    using: dict[str, Any] = field(default_factory=dict[str, Any])  # run-time options of the backend
    out: str = "outputs/evaluate"


def details(arguments: list[str]) -> str:
    """The metrics and tasks, or the keys of the one that is named."""
    common, _ = split(override({}, arguments))
    if (common.metric is None) == (common.task is None):
        listed = f"\nmetrics:\n{components('metric')}\ntasks:\n{components('task')}"
        return f"{listed}\n`cosmos-sdk evaluate task=NAME --help` lists the keys of one.\n"
    kind, name = named(common)
    _, config = found(kind, name)
    about = inspect.getdoc(config) or ""
    return f"\nkeys of {kind}={name}: {about}\n{fields_of(config)}\nkeys of all:\n{fields_of(Arguments)}"


@with_details(details)
def run(arguments: list[str]) -> int:
    """Measures a world: `cosmos-sdk evaluate metric=open-loop world=NAME`, or `task=pusht-goals`.

    `using.precision=bfloat16` sets an option of the backend. Other key=value pairs are fields of the metric's or task's
    own configuration, such as n=100 or planner=icem planner_options.num_samples=64. Prints a table with 95 % intervals
    and writes it under out=, as JSON and as a page with pictures, under a name that tells what was asked beyond the
    defaults. Where episodes are driven, the same command resumes what was interrupted; folder= keeps them after the end
    too.
    """
    common, own = split(override({}, arguments))
    name, measure, config = chosen(common, own)
    lent = lend_folder(name, common, config)
    import torch

    from cosmos_sdk.training.run import pick_device
    from cosmos_sdk.world import WorldModel

    torch.set_num_threads(common.threads)
    world = WorldModel.from_pretrained(common.world, pick_device(common.device))
    measured: Measurement = measure(world.using(**common.using), config)
    title = f"{name} of {common.world}"
    sys.stdout.write(f"{title}\n{table(measured.results)}\n")
    if lent is not None:
        config.folder = None  # the lent one is nobody's business
    told = {**asdict(common), name: asdict(config)}
    path = destination(Path(common.out), [name, Path(common.world).name], common, config, told)
    replaced = path.is_file()
    write_results(path, measured.results, told)
    write_text(path.with_suffix(".html"), _page(title, measured))
    if lent is not None:
        _give_back(lent)
    again = ", in place of what the same command wrote before" if replaced else ""
    sys.stdout.write(f"written to {path}{again}; to look at: {path.with_suffix('.html')}\n")
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


def _give_back(lent: Path) -> None:
    """Removes a lent folder, and the one of all lent folders after the last."""
    shutil.rmtree(lent, ignore_errors=True)
    with suppress(OSError):  # others are unfinished
        lent.parent.rmdir()


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


def named(common: Arguments) -> tuple[str, str]:
    """The kind and name of what is to be measured.

    Raises:
        ConfigError: none or two were named.
    """
    given = [(kind, getattr(common, kind)) for kind in KINDS if getattr(common, kind) is not None]
    if len(given) != 1:
        metrics, tasks = (", ".join(registry().names(kind)) for kind in KINDS)
        raise ConfigError([f"name one metric or one task; metrics: {metrics}; tasks: {tasks}"])
    return given[0]


def found(kind: str, name: str) -> tuple[Callable[..., Measurement], Any]:
    """What measures, and the class of its configuration."""
    measure = registry().load(kind, name)
    return measure, get_type_hints(measure)[list(inspect.signature(measure).parameters)[1]]


def chosen(common: Arguments, own: dict[str, Any]) -> tuple[str, Callable[..., Measurement], Any]:
    """The one metric or task that was named, with its configuration.

    Raises:
        ConfigError: none or two were named, or a key is unknown.
    """
    kind, name = named(common)
    measure, cls = found(kind, name)
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
