"""Evaluation: figures of a world on held-out data, closed-loop tasks, benchmarks and the demo."""

from __future__ import annotations

from cosmos_sdk.hookspecs import Register, hookimpl


@hookimpl
def register_tasks(register: Register) -> None:
    """Closed-loop tasks."""
    register(
        "pusht-goals",
        "cosmos_sdk_evaluation.pusht_goals:pusht_goals",
        "reach goals on Push-T within 50 steps, beside the oracle, random actions and none",
    )


@hookimpl
def register_metrics(register: Register) -> None:
    """Figures on held-out episodes."""
    here = "cosmos_sdk_evaluation"
    register("drift", f"{here}.drift:drift", "what a long dream forgets")
    register("open-loop", f"{here}.open_loop:open_loop", "imagined futures beside the true ones")
    register(
        "reward",
        f"{here}.reward_quality:reward_quality",
        "imagined rewards and returns beside true",
    )
    register(
        "surprise", f"{here}.surprise:surprise", "whether likelihood tells true futures from wrong"
    )
    register(
        "tokenizer",
        f"{here}.tokenizer_quality:tokenizer_quality",
        "what is left of a frame in tokens",
    )
    register(
        "uncertainty",
        f"{here}.uncertainty:uncertainty",
        "whether a head knows when the world is wrong",
    )


@hookimpl
def register_commands(register: Register) -> None:
    """The commands that measure and show."""
    register(
        "bench",
        "cosmos_sdk_evaluation.bench:run",
        "Measure speed: frames/s, planning, steadiness, overhead.",
    )
    register(
        "demo",
        "cosmos_sdk_evaluation.demo:run",
        "Show a learned world: imagine, plan in it, drive Push-T.",
    )
    register(
        "evaluate",
        "cosmos_sdk_evaluation.evaluate:run",
        "Measure a world on held-out data or on a task.",
    )
