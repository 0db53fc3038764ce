"""The hooks of a plugin: one line each, one kind of component each. `docs/hooks.md` shows every one of them in use.

A hook receives `register` and calls it as often as it likes: `register("diffusion", "my_package.backend:Diffusion")`.
Targets are strings, so that listing what is installed imports neither torch nor the component.
"""

from __future__ import annotations

from typing import Protocol

import pluggy

PROJECT = "cosmos_sdk"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class Register(Protocol):
    """`register(name, target, summary)`; target is `"module:attribute"`, for a world `"package:folder"`."""

    def __call__(self, name: str, target: str, summary: str = "") -> None: ...


@hookspec
def register_backends(register: Register) -> None:
    """Generative cores: factories `(config, parts) -> Backend`."""


@hookspec
def register_conditioners(register: Register) -> None:
    """Control signals: factories `(config, parts) -> Conditioner`."""


@hookspec
def register_tokenizers(register: Register) -> None:
    """Frames to latents and back: factories `(config, parts) -> Tokenizer`."""


@hookspec
def register_heads(register: Register) -> None:
    """Functions of a transition, such as reward: factories `(config, parts) -> Head`."""


@hookspec
def register_readouts(register: Register) -> None:
    """Functions of one state, such as proprioception: factories `(config, parts) -> Readout`."""


@hookspec
def register_planners(register: Register) -> None:
    """Planners: classes whose instances satisfy `Planner`."""


@hookspec
def register_objectives(register: Register) -> None:
    """What planners minimise: classes whose instances satisfy `Objective`."""


@hookspec
def register_priors(register: Register) -> None:
    """Who proposes plans, for planners to choose from or to refine: classes whose instances have `propose`."""


@hookspec
def register_policies(register: Register) -> None:
    """Policies by observation, which evaluations name: callables that return an object with `act(observation)`."""


@hookspec
def register_recorders(register: Register) -> None:
    """Who makes data: factories `()` or `(config, env)` of a `Recorder`, which sees the scene itself."""


@hookspec
def register_tasks(register: Register) -> None:
    """Evaluation tasks: starts, goals and what counts as success."""


@hookspec
def register_metrics(register: Register) -> None:
    """Figures of a world on held-out data."""


@hookspec
def register_simulators(register: Register) -> None:
    """True simulators with exact restore, named by their Gymnasium id: classes that satisfy `Simulator`."""


@hookspec
def register_formats(register: Register) -> None:
    """Importers of foreign data formats."""


@hookspec
def register_commands(register: Register) -> None:
    """Commands of `cosmos-sdk`: callables `(arguments: list[str]) -> int`; the summary is their line in `--help`."""


@hookspec
def register_worlds(register: Register) -> None:
    """World folders inside a package: `register("my-world", "my_package:worlds/my-world")`."""


HOOKS = {
    "backend": "register_backends",
    "conditioner": "register_conditioners",
    "tokenizer": "register_tokenizers",
    "head": "register_heads",
    "readout": "register_readouts",
    "planner": "register_planners",
    "objective": "register_objectives",
    "prior": "register_priors",
    "policy": "register_policies",
    "recorder": "register_recorders",
    "task": "register_tasks",
    "metric": "register_metrics",
    "simulator": "register_simulators",
    "format": "register_formats",
    "command": "register_commands",
    "world": "register_worlds",
}  # kind of component -> its hook
