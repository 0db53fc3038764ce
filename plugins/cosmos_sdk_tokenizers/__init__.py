"""Tokenizers: frames to few latents, continuous or discrete, and back."""

from __future__ import annotations

from cosmos_sdk.hookspecs import Register, hookimpl


@hookimpl
def register_tokenizers(register: Register) -> None:
    """What codes frames."""
    register("conv", "cosmos_sdk_tokenizers.conv:ConvTokenizer", "16 tokens for a 64 x 64 frame")
    register(
        "discrete",
        "cosmos_sdk_tokenizers.discrete:discrete_conv",
        "16 whole numbers for a 64 x 64 frame, by finite scalar quantisation",
    )
    register(
        "compressive",
        "cosmos_sdk_tokenizers.compressive:compressive",
        "64 whole numbers for the first 64 x 64 frame, and 4 for each",
    )
    register(
        "cosmos",
        "cosmos_sdk_tokenizers.cosmos:cosmos",
        "causal video tokenizer in the shape of NVIDIA Cosmos, 4x8x8 to 8x16x16, continuous or discrete",
    )
