"""The autoregressive backend, the head that reads its uncertainty, and the world that ships with the package."""

from __future__ import annotations

from cosmos_sdk.hookspecs import Register, hookimpl


@hookimpl
def register_backends(register: Register) -> None:
    """Discrete tokens, one after the other or in parallel."""
    register(
        "autoregressive",
        "cosmos_sdk_autoregressive.backend:AutoregressiveBackend",
        "decoder-only transformer over discrete tokens, with likelihoods",
    )


@hookimpl
def register_heads(register: Register) -> None:
    """What the backend knows of its own doubt."""
    register(
        "entropy",
        "cosmos_sdk_autoregressive.uncertainty:EntropyHead",
        "mean entropy of a frame's tokens, in nats",
    )


@hookimpl
def register_commands(register: Register) -> None:
    """Before a larger preset is trained."""
    register(
        "estimate",
        "cosmos_sdk_autoregressive.estimate:run",
        "the memory that training and inference of an autoregressive world need",
    )


@hookimpl
def register_worlds(register: Register) -> None:
    """Folders with a recipe, and once trained with weights."""
    register(
        "pusht-autoregressive",
        "cosmos_sdk_autoregressive:worlds/pusht-autoregressive",
        "Push-T at 64 x 64, as 16 discrete tokens a frame",
    )
