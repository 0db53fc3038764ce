"""The command line. This package is also the core's own plugin: it registers the commands that need no other."""

from __future__ import annotations

from cosmos_sdk.hookspecs import Register, hookimpl


@hookimpl
def register_commands(register: Register) -> None:
    """The commands of the core."""
    register(
        "collect", "cosmos_sdk.cli.collect:run", "Record episodes of an environment as a dataset."
    )
    register(
        "plugins", "cosmos_sdk.cli.plugins:run", "List every component, its plugin and version."
    )
    register(
        "train", "cosmos_sdk.cli.train:run", "Train a world: tokenizer, then dynamics and heads."
    )
