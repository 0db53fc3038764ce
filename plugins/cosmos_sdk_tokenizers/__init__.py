"""Tokenizers: frames to few continuous latents and back."""

from __future__ import annotations

from cosmos_sdk.hookspecs import Register, hookimpl


@hookimpl
def register_tokenizers(register: Register) -> None:
    """What codes frames."""
    register("conv", "cosmos_sdk_tokenizers.conv:ConvTokenizer", "16 tokens for a 64 x 64 frame")
