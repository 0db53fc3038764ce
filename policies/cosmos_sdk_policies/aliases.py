"""The names that other libraries give to fields of ours, accepted as keywords: `CEM(n_steps=30, topk=30)`.

An alias means the same in the same unit; what would need arithmetic, such as mbrl-lib's `elite_ratio` or the
covariance `noise_sigma` of pytorch-mppi, has none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import wraps
from typing import Any, TypeVar

from cosmos_sdk.errors import ConfigError

T = TypeVar("T")

ALIASES: Mapping[str, tuple[str, str]] = {
    "planning_horizon": ("horizon", "torchrl, mbrl-lib"),
    "frameskip": ("action_block", "DINO-WM"),
    "num_candidates": ("num_samples", "torchrl"),
    "population_size": ("num_samples", "mbrl-lib"),
    "topk": ("num_elites", "DINO-WM, stable-worldmodel"),
    "top_k": ("num_elites", "torchrl"),
    "n_steps": ("num_iterations", "stable-worldmodel"),
    "opt_steps": ("num_iterations", "DINO-WM"),
    "optim_steps": ("num_iterations", "torchrl"),
    "iterations": ("num_iterations", "TD-MPC2"),
    "var_scale": ("sigma", "DINO-WM, stable-worldmodel"),  # a standard deviation there too
    "max_std": ("sigma", "TD-MPC2"),
    "min_std": ("min_sigma", "TD-MPC2"),
    "lambda_": ("temperature", "pytorch-mppi"),
    "colored_noise_exponent": ("noise_beta", "mbrl-lib"),
    "population_decay_factor": ("population_decay", "mbrl-lib"),
    "n_elite_keep": ("num_kept_elites", "stable-worldmodel"),
    "lr": ("learning_rate", "stable-worldmodel, torch"),
}  # alias -> our field, and whose it is


def accepts_aliases(cls: type[T]) -> type[T]:
    """Class decorator of a dataclass: its constructor takes `ALIASES` of the fields that it has.

    `cls.aliases` maps them to fields, which is how configurations read them too. An alias beside its field, or
    beside another alias of it, is a ConfigError.
    """
    known = {item.name for item in fields(cls)}  # pyright: ignore[reportArgumentType]
    aliases = {alias: name for alias, (name, _) in ALIASES.items() if name in known}
    init: Callable[..., None] = cls.__init__
    positions = [item.name for item in fields(cls)]  # pyright: ignore[reportArgumentType]

    @wraps(init)
    def __init__(self: Any, *args: Any, **given: Any) -> None:
        plain: dict[str, Any] = {}
        means: dict[str, list[str]] = {name: [name] for name in positions[: len(args)]}
        for keyword, value in given.items():
            name = aliases.get(keyword, keyword)
            means.setdefault(name, []).append(keyword)
            plain[name] = value
        for name, words in means.items():
            if len(words) > 1:
                both = " and ".join(map(repr, words))
                problem = f"{cls.__name__}: {both} are names of the same field, {name!r}. Give one of them."
                raise ConfigError([problem])
        init(self, *args, **plain)

    cls.__init__ = __init__
    cls.aliases = aliases  # pyright: ignore[reportAttributeAccessIssue]
    return cls
