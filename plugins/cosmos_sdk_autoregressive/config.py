"""Sizes of the autoregressive backend: presets from 64 x 64 worlds to the layouts of Cosmos."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace

from cosmos_sdk.errors import UnknownNameError
from cosmos_sdk_autoregressive.rotary import Yarn
from cosmos_sdk_autoregressive.transformer import TransformerShape


@dataclass(frozen=True)
class Sizes:
    """What a preset settles."""

    width: int
    num_layers: int
    num_heads: int
    hidden: int  # of the gated MLP
    num_kv_heads: int = 0  # fewer than heads: grouped queries; 0: as many
    head_width: int = 64
    tied: bool = False  # one table for input and output
    theta: float = 10_000.0  # of the rotary embedding
    base_rate: float = 10.0  # frames per second at which a frame is one step in time
    absolute: bool = True  # sinusoidal positions beside the rotary ones
    codes: bool = True  # a token's embedding also sees its code, so that near codes are near
    memory: int = 7  # earlier frames that a frame sees: latents, where a tokenizer compresses time
    recent: int = 2  # of them those whose token at the same place a prediction sees at once


def _cosmos(width: int, num_layers: int) -> Sizes:
    """Cosmos, table 13: 5 latent frames of 2,560 tokens are a context of 12,800."""
    return Sizes(width, num_layers, 32, 14336, 8, 128, False, 500_000.0, 24.0, False, False, 4, 0)


PRESETS: dict[str, Sizes] = {
    "xs": Sizes(192, 4, 3, 512),  # 2 M parameters
    "s": Sizes(256, 6, 4, 704),  # 5 M
    "m": Sizes(512, 8, 8, 1408),  # 27 M
    "l": Sizes(768, 12, 12, 2048),  # 86 M
    "4b": _cosmos(4096, 16),
    "12b": _cosmos(5120, 40),
}


@dataclass
class AutoregressiveConfig:
    """Sizes, by preset or one by one, and weights of the loss. A size that is not None overrides the preset's."""

    preset: str = "xs"
    width: int | None = None
    num_layers: int | None = None
    num_heads: int | None = None
    hidden: int | None = None
    num_kv_heads: int | None = None
    head_width: int | None = None
    tied: bool | None = None
    theta: float | None = None
    base_rate: float | None = None
    absolute: bool | None = None
    codes: bool | None = None
    memory: int | None = None
    recent: int | None = None
    yarn: Yarn = field(default_factory=Yarn)
    context: int = 4  # frames that a reset encodes: latents, where a tokenizer compresses time
    grid: tuple[int, int] | None = None  # rows and columns of a frame's tokens; None: by its shape
    cross: tuple[str, ...] = ()  # signals that every layer attends to; others join the action slot
    medusa: int = 0  # heads that draft the tokens after the next
    temperature: float = 1.0  # with which frames are drawn unless a run-time option says otherwise
    z_weight: float = 3e-4  # of the squared log of the partition function
    masked_weight: float = 1.0  # of the term that trains parallel decoding; 0: strict decoding only
    masked_share: float = 0.5  # of the rows, for which that term is computed
    medusa_weight: float = 0.2
    feature_gradient: float = 0.02  # share of the heads' gradient that reaches the transformer

    @property
    def sizes(self) -> Sizes:
        """Every size, the preset's where none is given.

        Raises:
            UnknownNameError: no such preset.
        """
        if self.preset not in PRESETS:
            raise UnknownNameError("preset of the autoregressive backend", self.preset, PRESETS)
        names = [item.name for item in fields(Sizes)]
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        sizes = replace(PRESETS[self.preset], **given)
        return replace(sizes, num_kv_heads=sizes.num_kv_heads or sizes.num_heads)


def transformer_shape(
    config: AutoregressiveConfig, vocabulary: int, num_shared: int = 0
) -> TransformerShape:
    """The transformer of a configuration over a vocabulary, where so many tokens are shared by a clip."""
    sizes = config.sizes
    return TransformerShape(
        vocabulary,
        width=sizes.width,
        num_layers=sizes.num_layers,
        num_heads=sizes.num_heads,
        num_kv_heads=sizes.num_kv_heads,
        hidden=sizes.hidden,
        head_width=sizes.head_width,
        tied=sizes.tied,
        cross=bool(config.cross or num_shared),
        attention_scale=config.yarn.attention_scale,
    )


def problems(config: AutoregressiveConfig, num_tokens: int, stride: int = 1) -> list[str]:
    """What is wrong with a configuration for latents of `num_tokens` tokens, which `stride` frames share."""
    sizes, found = config.sizes, list[str]()
    if stride > 1 and config.context < 2:
        found.append(
            f"backend.context: {config.context}; expected 2 or more, as {stride} frames share a latent, and the first "
            "latent of a clip holds one frame alone."
        )
    if not 1 <= config.context <= sizes.memory:
        found.append(
            f"backend.context: {config.context} frames, where memory={sizes.memory} frames are seen; "
            f"expected 1 to {sizes.memory}, or a larger memory."
        )
    if not 0 <= sizes.recent <= config.context:
        found.append(
            f"backend.recent: {sizes.recent} frames, where a state holds context={config.context}; "
            f"expected 0 to {config.context}."
        )
    if sizes.num_heads % sizes.num_kv_heads:
        found.append(
            f"backend.num_kv_heads: {sizes.num_kv_heads} does not divide num_heads={sizes.num_heads}."
        )
    if not 0 <= config.medusa < num_tokens:
        found.append(
            f"backend.medusa: {config.medusa} heads; a frame of {num_tokens} tokens has use for 0 to {num_tokens - 1}."
        )
    if config.grid is not None and config.grid[0] * config.grid[1] != num_tokens:
        found.append(
            f"backend.grid: {tuple(config.grid)} does not hold the {num_tokens} tokens of a frame."
        )
    if not 0 < config.masked_share <= 1:
        found.append(
            f"backend.masked_share: {config.masked_share}; expected more than 0, at most 1."
        )
    for name, width in (("head_width", sizes.head_width), ("width", sizes.width)):
        if width % 2 or width < 6:
            found.append(f"backend.{name}: {width}; expected an even number from 6 on.")
    return found


def frame_grid(views: int, height: int, width: int, num_tokens: int) -> tuple[int, int]:
    """Rows and columns of a frame's tokens: views below one another, as near to the frame's shape as they divide.

    Four by four for 16 tokens of a square frame. Tokens without such a grid are one row.
    """
    if num_tokens % views:
        return 1, num_tokens
    rows = round((num_tokens / views * height / width) ** 0.5)
    if rows < 1 or (num_tokens // views) % rows:
        return 1, num_tokens
    return views * rows, num_tokens // views // rows
