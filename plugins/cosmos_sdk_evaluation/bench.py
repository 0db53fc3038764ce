"""`cosmos-sdk bench`: how fast a world steps and plans here, as figures beside this machine's own GEMM peak."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

import numpy as np

from cosmos_sdk.cli.overrides import parse
from cosmos_sdk.errors import ConfigError, did_you_mean
from cosmos_sdk.results import Result
from cosmos_sdk.statistics import bootstrap
from cosmos_sdk_evaluation.results import gemm_peak, hardware, table, write_results

PARTS = ("speed", "planning", "planners", "steadiness", "environment", "decoding", "start-up")


@dataclass
class Arguments:
    """What the command takes."""

    world: str = "pusht-diffusion"
    device: str = "cpu"
    threads: int = 1
    precision: tuple[str, ...] = ("float32", "bfloat16")
    # passes per frame that `speed` compares, 0 being token after token; empty: those that the world is made for
    num_steps: tuple[int, ...] = ()
    batch_sizes: tuple[int, ...] = (1, 32, 64)
    only: tuple[str, ...] = PARTS
    steps: int = 60  # timed steps of each setting
    long: int = 10_000  # steps of the memory check
    out: str = "outputs/bench/results.json"


def run(arguments: list[str]) -> int:
    """Measures speed: `cosmos-sdk bench [world=pusht-diffusion] [only=[speed,planning]] [threads=1]`.

    Prints frames/s for each batch size, number of passes and precision with and without decoding, seconds and memory of
    planning, what planners cost beyond a plain loop (beside those of torchrl and pytorch-mppi if installed), step 1,000
    against step 10, memory over 10,000 steps, what the Gymnasium layer adds, what the Medusa heads of a world save, and
    start-up times.
    """
    options = parse(Arguments, arguments)
    check(options)
    import torch

    from cosmos_sdk.world import WorldModel
    from cosmos_sdk_evaluation import decoding, planning_overhead, speed, steadiness

    torch.set_num_threads(options.threads)
    world = WorldModel.from_pretrained(options.world, options.device)
    peak = gemm_peak(torch.float32)
    results = [Result("fp32 GEMM peak, at the start", peak, "GFLOP/s")]
    parts = {
        "speed": lambda: speed.frames_per_second(world, options),
        "planning": lambda: [
            *speed.planning(world, options),
            *speed.decisions(world, options),
        ],
        "planners": planning_overhead.planning_overhead,
        "steadiness": lambda: steadiness.steadiness(world, options),
        "environment": lambda: steadiness.environment_overhead(world, options),
        "decoding": lambda: decoding.decoding(world, options),
        "start-up": start_up,
    }
    for name in options.only:
        results += parts[name]()
    results.append(Result("fp32 GEMM peak, at the end", gemm_peak(torch.float32), "GFLOP/s"))
    facts = hardware()
    sys.stdout.write(
        f"{options.world} on {facts['processor']}, {options.threads} thread(s), load {facts['load_average']}\n"
    )
    sys.stdout.write(table(results) + "\n")
    write_results(Path(options.out), results, asdict(options))
    sys.stdout.write(f"written to {options.out}\n")
    return 0


def check(options: Arguments) -> None:
    """Refuses what would only fail after minutes.

    Raises:
        ConfigError: a part that does not exist.
    """
    problems = [
        f"only: {name!r} is no part.{did_you_mean(name, PARTS)} Parts: {', '.join(PARTS)}."
        for name in options.only
        if name not in PARTS
    ]
    if problems:
        raise ConfigError(problems)


def start_up(repeats: int = 5) -> list[Result]:
    """Seconds of `import cosmos_sdk.world` beyond torch's own, and of `cosmos-sdk --help`; fresh processes in turn."""
    programs = {"torch": "import torch", "sdk": "import torch, cosmos_sdk.world"}
    spent: dict[str, list[float]] = {name: [] for name in (*programs, "help")}
    for _ in range(repeats):
        for name, program in programs.items():
            spent[name].append(_seconds([sys.executable, "-c", program]))
        command = "import sys; from cosmos_sdk.cli.main import main; sys.exit(main(['--help']))"
        spent["help"].append(_seconds([sys.executable, "-c", command]))
    beyond = [sdk - torch for sdk, torch in zip(spent["sdk"], spent["torch"], strict=True)]
    return [
        Result(
            "import of the SDK beyond torch",
            sorted(beyond)[repeats // 2],
            "s",
            repeats,
            bootstrap(beyond, statistic=np.median),
        ),
        Result(
            "cosmos-sdk --help",
            sorted(spent["help"])[repeats // 2],
            "s",
            repeats,
            bootstrap(spent["help"], statistic=np.median),
        ),
    ]


def _seconds(command: list[str]) -> float:
    start = perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return perf_counter() - start
