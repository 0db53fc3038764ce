"""`card.md`: how a world was made, so that a stranger can judge it and make it again."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from cosmos_sdk import __version__
from cosmos_sdk.config import write_yaml
from cosmos_sdk.data.collect import command_line
from cosmos_sdk.training import log
from cosmos_sdk.training.footage import Footage
from cosmos_sdk.training.recipe import TOKENIZER, Recipe, StageConfig
from cosmos_sdk.training.validation import SEED
from cosmos_sdk.world import WorldModel


def card(
    world: WorldModel, recipe: Recipe, footage: Mapping[str, Footage], seconds: float, history: Path
) -> str:
    """The text: data, steps, time, hardware, held-out figures with seeds, versions, licence.

    Args:
        world: trained.
        recipe: what made it.
        footage: what it saw.
        seconds: of training.
        history: the log of the run.
    """
    count = sum(parameter.numel() for parameter in world.parameters())
    sections = [
        f"# A world of {count / 1e6:.2f} M parameters",
        f"Licence: {recipe.licence}. Made by `cosmos-sdk train` {__version__}, seed {recipe.seed}; one run.",
        "## Data",
        data_table(recipe, footage),
        "## Training",
        _stages(recipe),
        f"{seconds / 60:.1f} minutes of training and validation on {hardware(world.device)}.",
        "## Held-out figures",
        f"Averaged weights, episodes never trained on, windows and noise of seed {SEED}. PSNR in dB, mean over"
        " pictures; `copy` repeats the last true frame.",
        _figures(history),
        "## Versions",
        f"python {platform.python_version()}, torch {torch.__version__}, numpy {version('numpy')}.",
        "## Recipe",
        f"```yaml\n{write_yaml(_brief(recipe))}```",
    ]
    return "\n\n".join(sections) + "\n"


def data_table(recipe: Recipe, footage: Mapping[str, Footage]) -> str:
    """A row a dataset: how much of it, and the command that records it again where `collect` made it."""
    rows = [
        "| dataset | episodes | held out | frames | made by |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, data in footage.items():
        count, held_out = len(data.episodes), int(data.held_out.sum())
        made = f"the folder `{Path(recipe.data[name].folder or name).name}`, recorded elsewhere"
        if data.collect:
            made = f"`{command_line(data.collect, count)}`".replace("|", "\\|")
        rows.append(f"| {name} | {count} | {held_out} | {len(data.frames)} | {made} |")
    return "\n".join(rows)


def hardware(device: torch.device) -> str:
    """What the training ran on."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{torch.get_num_threads()} thread(s) of {_processor()} ({cores} cores usable)"


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _stages(recipe: Recipe) -> str:
    rows = [
        "| stage | trains | steps | clips x frames | precision |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, stage in recipe.stages.items():
        shape = f"{stage.batch_size} x {stage.frames}"
        rows.append(f"| {name} | {stage.train} | {stage.steps} | {shape} | {stage.precision} |")
    return "\n".join(rows)


def _brief(recipe: Recipe) -> dict[str, Any]:
    """Data and stages of the recipe, without what is at its default."""
    plain = recipe.to_mapping()
    usual = asdict(StageConfig(TOKENIZER, 1))
    stages = {
        name: {
            key: value
            for key, value in stage.items()
            if key in ("train", "steps") or (value != usual[key] and value != list(usual["betas"]))
        }
        for name, stage in plain["stages"].items()
    }
    data = {name: {k: v for k, v in given.items() if v} for name, given in plain["data"].items()}
    taken_over = {"init": recipe.init} if recipe.init else {}
    return {"seed": recipe.seed, "data": data, **taken_over, "stages": stages}


def _figures(history: Path) -> str:
    """The last validation of each stage."""
    latest: dict[tuple[str, str], str] = {}
    for row in log.read(history):
        if row["name"].startswith("validation/"):
            latest[row["stage"], row["name"].removeprefix("validation/")] = row["value"]
    rows = ["| stage | figure | value |", "| --- | --- | --- |"]
    rows += [f"| {stage} | {name} | {value} |" for (stage, name), value in latest.items()]
    return "\n".join(rows)
