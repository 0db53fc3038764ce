"""Check 15: a world is an nn.Module that can be cast, copied, saved and built without memory."""

from __future__ import annotations

import copy
from dataclasses import fields, is_dataclass

import torch
from torch import Tensor

from cosmos_sdk.errors import SamplingError
from cosmos_sdk.testing.conformance import check, demand, identical
from cosmos_sdk.testing.trial import Trial
from cosmos_sdk.world import WorldModel


@check(
    15,
    "Usual cause: one Module registered twice (keep the tokenizer that a backend needs in a tuple), a `sampling` that "
    "is no frozen dataclass, or a wrapper that writes `sampling` through to the inner backend it shares with copies.",
)
def the_world_is_a_module(trial: Trial) -> None:
    """15: no key twice, copies are whole and apart, run-time options are known, a build needs no memory.

    That `world.double()` reaches every part has been seen when the trial was set up.
    """
    world = trial.world
    _no_storage_has_two_keys(world)
    _copies_are_whole_and_apart(trial)
    _run_time_options(trial)
    _builds_on_meta(world)


def _no_storage_has_two_keys(world: WorldModel) -> None:
    seen: dict[int, str] = {}
    for name, tensor in world.state_dict().items():
        if tensor.numel():
            other = seen.setdefault(tensor.data_ptr(), name)
            demand(other == name, f"the state_dict keys {other} and {name} hold one storage.")


def _copies_are_whole_and_apart(trial: Trial) -> None:
    state = trial.states["running"]
    signals = trial.signals(len(state))
    before = trial.step(state, signals)[1]
    twin = copy.deepcopy(trial.world)
    _same_step(twin, trial, signals, before, "of a deep copy")
    for parameter in twin.parameters():
        if parameter.is_floating_point():
            parameter.data.add_(1.0)
    identical(trial.step(state, signals)[1], before, "changes with the weights of a deep copy")


def _same_step(
    world: WorldModel,
    trial: Trial,
    signals: dict[str, Tensor],
    expected: dict[str, Tensor],
    where: str,
) -> None:
    after = world.step(trial.states["running"], signals)[0].tensors()
    identical(after, {name: expected[name] for name in after}, where)


def _run_time_options(trial: Trial) -> None:
    world, options = trial.world, trial.world.backend.sampling
    demand(is_dataclass(options), f"sampling is {options!r}; expected a frozen dataclass.")
    name = "an_option_that_nobody_has"
    try:
        world.using(**{name: 1})
    except SamplingError:
        pass
    else:
        demand(False, f"using({name}=1) was accepted.")
    state = trial.states["running"]
    signals = trial.signals(len(state))
    before = trial.step(state, signals)[1]
    other = world.using(**{field.name: getattr(options, field.name) for field in fields(options)})
    demand(
        world.backend.sampling is options,
        "sampling of the world was replaced by `using`, which returns another.",
    )
    mine, theirs = ([id(p) for p in w.parameters()] for w in (world, other))
    demand(
        mine == theirs, "`using` gives a world with other parameters; expected the same weights."
    )
    _same_step(other, trial, signals, before, "under `using` with the options it has")


def _builds_on_meta(world: WorldModel) -> None:
    """Only a world that came from a configuration can be built again."""
    if world.config is None:
        return
    from cosmos_sdk.build import build

    with torch.device("meta"):
        twin = build(world.config)
    shapes = {name: tuple(tensor.shape) for name, tensor in world.state_dict().items()}
    built = {name: tuple(tensor.shape) for name, tensor in twin.state_dict().items()}
    demand(
        built == shapes,
        f"a build on meta gives other tensors: {sorted(built.items() ^ shapes.items())[:3]}.",
    )
    real = [name for name, tensor in twin.state_dict().items() if tensor.device.type != "meta"]
    demand(
        not real, f"a build on meta allocates {', '.join(real[:3])}; make tensors without device=."
    )
