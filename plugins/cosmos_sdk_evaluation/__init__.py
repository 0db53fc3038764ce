"""Evaluation: figures of a world on held-out data, closed-loop tasks, benchmarks and the demo."""

from __future__ import annotations

from cosmos_sdk.hookspecs import Register, hookimpl


@hookimpl
def register_tasks(register: Register) -> None:
    """Closed-loop tasks."""
    register("pusht-goals", "cosmos_sdk_evaluation.pusht_goals:pusht_goals")


@hookimpl
def register_metrics(register: Register) -> None:
    """Figures on held-out episodes."""
    register("drift", "cosmos_sdk_evaluation.drift:drift")
    register("open-loop", "cosmos_sdk_evaluation.open_loop:open_loop")
    register("reward", "cosmos_sdk_evaluation.reward_quality:reward_quality")
    register("surprise", "cosmos_sdk_evaluation.surprise:surprise")
    register("tokenizer", "cosmos_sdk_evaluation.tokenizer_quality:tokenizer_quality")
    register("uncertainty", "cosmos_sdk_evaluation.uncertainty:uncertainty")


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
