"""A plugin: hooks and nothing else, so that finding it imports no torch."""

from __future__ import annotations

from cosmos_sdk.hookspecs import Register, hookimpl


@hookimpl
def register_backends(register: Register) -> None:
    """A generative core."""
    register(
        "residual",
        "cosmos_sdk_plugin_template.residual:Residual",
        "moves the last latent by an MLP",
    )


@hookimpl
def register_conditioners(register: Register) -> None:
    """A control signal."""
    register("change", "cosmos_sdk_plugin_template.change:Change", "a signal, and how it changed")


@hookimpl
def register_worlds(register: Register) -> None:
    """An action space, and the recipe of a world that takes it."""
    register(
        "two-joint-arm", "cosmos_sdk_plugin_template:worlds/two-joint-arm", "an arm of two joints"
    )
