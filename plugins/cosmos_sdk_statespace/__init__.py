"""The state-space backend, and the world for planning that ships with the package."""

from __future__ import annotations

from cosmos_sdk.hookspecs import Register, hookimpl


@hookimpl
def register_backends(register: Register) -> None:
    """A small vector, a block of actions at a time."""
    register(
        "statespace",
        "cosmos_sdk_statespace.backend:StateSpaceBackend",
        "compact vector latent, one pass for a block of actions; for planners",
    )


@hookimpl
def register_worlds(register: Register) -> None:
    """Folders with a recipe, and once trained with weights."""
    register(
        "pusht-statespace",
        "cosmos_sdk_statespace:worlds/pusht-statespace",
        "Push-T at 64 x 64, for planning",
    )
    register(
        "pendulum",
        "cosmos_sdk_statespace:worlds/pendulum",
        "Pendulum-v1 at 64 x 64, to train policies in",
    )
