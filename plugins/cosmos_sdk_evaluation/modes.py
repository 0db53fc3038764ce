"""The ways in which a world makes a frame, as the run-time options of its backend offer them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from cosmos_sdk.errors import SamplingError
from cosmos_sdk.world import WorldModel

STEPS = (1, 2, 4)  # K, where every frame takes steps
STRICT_AND_STEPS = (0, 1, 4)  # where 0 is the default: token after token


@dataclass(frozen=True)
class Mode:
    """One way, with the options that choose it."""

    name: str = ""  # as figures call it; empty where there is nothing to choose
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])


def modes(world: WorldModel, num_steps: Sequence[int] = ()) -> list[Mode]:
    """One mode for each number of steps that is asked for; without any, those that say most about this world.

    Raises:
        SamplingError: a number was asked for that the world does not take.
    """
    default = option_defaults(world).get("num_steps")
    if default is None and not num_steps:
        return [Mode()]
    strict = default == 0
    usual = STRICT_AND_STEPS if strict else STEPS
    wanted = num_steps or [k for k in usual if accepts(world, num_steps=k)]
    for k in wanted:
        world.using(num_steps=k)
    return [Mode(_name(k, strict), {"num_steps": k}) for k in wanted]


def quickest(world: WorldModel) -> Mode:
    """The mode with the fewest passes, which is what large batches are imagined in."""
    found = modes(world)
    return next((mode for mode in found if mode.options.get("num_steps")), found[0])


def precisions(world: WorldModel, wanted: Sequence[str]) -> list[Mode]:
    """The precisions as modes; one without a name where there is no such option."""
    if "precision" not in option_defaults(world):
        return [Mode()]
    return [Mode(precision, {"precision": precision}) for precision in wanted]


def option_defaults(world: WorldModel) -> dict[str, Any]:
    """The run-time options of a backend, as they are when nobody chooses."""
    return {item.name: item.default for item in fields(world.backend.sampling)}


def accepts(world: WorldModel, **options: Any) -> bool:
    """Whether a world has these options, and weights for them."""
    try:
        world.using(**options)
    except SamplingError:
        return False
    return True


def _name(num_steps: int, strict: bool) -> str:
    if not strict:
        return f"K={num_steps}"
    return f"parallel {num_steps}" if num_steps else "strict"
