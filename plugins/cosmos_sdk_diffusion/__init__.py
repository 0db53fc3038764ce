"""The diffusion backend and the world that ships with the package."""

from __future__ import annotations

from cosmos_sdk.hookspecs import Register, hookimpl


@hookimpl
def register_backends(register: Register) -> None:
    """Latent video, frame by frame."""
    register(
        "diffusion",
        "cosmos_sdk_diffusion.backend:DiffusionBackend",
        "block-causal space-time transformer, 1 to 8 steps a frame",
    )


@hookimpl
def register_worlds(register: Register) -> None:
    """Folders with a recipe, and once trained with weights."""
    register("pusht-diffusion", "cosmos_sdk_diffusion:worlds/pusht-diffusion", "Push-T at 64 x 64")
