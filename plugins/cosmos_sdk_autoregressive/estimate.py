"""What memory a recipe needs, before anything is allocated: `cosmos-sdk estimate config=pusht-autoregressive`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import nn

from cosmos_sdk.build import build
from cosmos_sdk.cli.overrides import parse
from cosmos_sdk.errors import ConfigError, did_you_mean
from cosmos_sdk.training import recipe
from cosmos_sdk.training.recipe import WORLD, Recipe, StageConfig
from cosmos_sdk.world import WorldModel
from cosmos_sdk_autoregressive.backend import AutoregressiveBackend
from cosmos_sdk_autoregressive.transformer import TransformerShape

GIB = 2**30
FULL = 4  # bytes of a float32
LOGITS = 4  # of one frame that are there at once: logits, their distribution, its sums, and sorted


@dataclass
class Arguments:
    """What the command takes."""

    config: str = "pusht-autoregressive"
    rows: int = 1  # worlds that are stepped together
    stage: str | None = None  # of training; the one that needs most when absent
    # anything in the recipe, as for `cosmos-sdk train`
    world: dict[str, Any] = field(default_factory=dict[str, Any])
    stages: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class TrainingMemory:
    """Bytes of a step of the optimiser, part by part."""

    weights: int
    casts: int  # copies of weights in bfloat16, where autocast makes them
    gradients: int
    moments: int  # both of AdamW
    averages: int
    activations: int  # kept for the backward pass

    @property
    def total(self) -> int:
        return sum(getattr(self, item.name) for item in fields(self))


@dataclass(frozen=True)
class InferenceMemory:
    """Bytes of a step of some worlds, part by part; pictures are not decoded in it."""

    weights: int
    casts: int
    states: int  # keys and values in the states before and after the step
    workspace: int  # masks, logits and one layer of the positions that pass together

    @property
    def total(self) -> int:
        return sum(getattr(self, item.name) for item in fields(self))


def training_memory(
    world: WorldModel, stage: StageConfig, recomputed: bool = False
) -> TrainingMemory:
    """That of a stage on latents that were encoded before.

    Counts what autograd keeps with a fused attention kernel. Workspaces of kernels are left out, and the activations of
    conditioners and heads, which are small.

    Args:
        world: may be on the meta device.
        stage: gives batch, clip, precision, averages, and by `using` what is trained.
        recomputed: as if every layer kept its input alone, and the rest of one layer at a time were computed again.
    """
    backend = backend_of(world)
    weights, learning = _count(world), _learning(world, stage)
    half = stage.precision == "bfloat16"
    kept = activations(
        backend.predictor.shape, recomputed, 2 if half else FULL, clips(world, stage)
    )
    return TrainingMemory(
        FULL * weights,
        2 * _count(backend.predictor.trunk) if half else 0,
        FULL * learning,
        2 * FULL * learning,
        FULL * learning if stage.ema else 0,
        kept,
    )


@dataclass(frozen=True)
class Clips:
    """What one step of training looks at."""

    rows: int
    latents: int  # of a clip
    num_tokens: int  # of a latent
    memory: int  # earlier latents that one sees
    recent: int  # of them those whose tokens stand beside a prediction
    strict: (
        int  # passes with gradients; 0 when the transformer is frozen, 2 with an imagined context
    )
    masked: float  # of a pass over holes, the share of rows in it
    medusa: int  # heads that are trained
    attended: int = 0  # tokens beside those of a clip that every layer attends to

    @property
    def length(self) -> int:
        """Positions of a clip."""
        return self.latents * (1 + self.num_tokens)


def clips(world: WorldModel, stage: StageConfig) -> Clips:
    """The clips of a stage, as tokens."""
    backend = backend_of(world)
    config, using = backend.config, stage.using
    unrolled, medusa = bool(using.get("unroll")), bool(using.get("medusa"))
    frozen = _under("backend.predictor.trunk", stage.frozen)
    latents = _latents(world, stage.frames)
    return Clips(
        stage.batch_size,
        latents,
        backend.predictor.layout.num_tokens,
        backend.predictor.layout.memory,
        config.sizes.recent,
        0 if frozen else 1 + unrolled,
        config.masked_share if config.masked_weight and not frozen else 0.0,
        config.medusa if medusa else 0,
        attended(world, latents),
    )


def attended(world: WorldModel, latents: int) -> int:
    """Tokens that every layer attends to beside those of a clip: what it shares, and signals of `cross`."""
    backend = backend_of(world)
    if backend.predictor.nothing is None:
        return 0
    parts = [world.conditioners[name] for name in backend.config.cross]
    framed = [part.space is not None for part in parts]
    counts = (
        p.num_tokens * (backend.chunk if f else 1) for p, f in zip(parts, framed, strict=True)
    )
    return (1 + backend.num_shared + sum(counts)) * (latents if any(framed) else 1)


def activations(shape: TransformerShape, recomputed: bool, size: int, clip: Clips) -> int:
    """Bytes that autograd keeps of clips, with `size` bytes for the numbers that autocast would halve."""
    tokens, positions = clip.rows * clip.latents * clip.num_tokens, clip.rows * clip.length
    alone, keys = FULL * shape.width, shape.num_kv_heads * shape.head_width * size
    logits = tokens * shape.vocabulary * FULL
    drafts = clip.medusa * (2 if clip.recent else 1)  # and what stood in their places
    kept = clip.medusa * logits
    kept += bool(drafts) * (1 + drafts) * positions * shape.width * size
    if not clip.strict:
        return kept
    layer = kept_by_layer(shape, size)
    layers = shape.num_layers * alone + layer if recomputed else shape.num_layers * layer
    passes = clip.strict + clip.masked
    kept += round(passes * positions * (layers + 2 * alone))
    kept += round((passes - 1) * positions * 3 * shape.num_layers * keys)  # those of the first pass
    kept += round(passes * tokens * shape.width * size * (1 + clip.recent))
    kept += round((1 + clip.masked) * logits)
    each = 4 * shape.num_layers * keys + shape.width * size
    kept += round(passes * clip.rows * clip.attended * each)
    beside = clip.strict - 1 + (clip.masked > 0)  # passes whose past is that of the first
    masks = (clip.latents > clip.memory + 1) + 2 * beside
    return kept + masks * clip.length**2 * size


def kept_by_layer(shape: TransformerShape, size: int) -> int:
    """Bytes that autograd keeps for each position of a clip in one layer.

    Of both norms the input and what is normed, in float32; then what each hands on, the fused projection, normed and
    rotated queries and keys, the attention's output by heads and in line, and four of the gated MLP.
    """
    heads, kv_heads = (n * shape.head_width for n in (shape.num_heads, shape.num_kv_heads))
    norms = 2 * (2 * FULL + size) * shape.width
    rest = 4 * (heads + kv_heads + shape.num_heads) + 4 * shape.hidden
    if shape.cross:
        norms += (2 * FULL + size) * shape.width
        rest += 5 * heads
    return norms + rest * size


def inference_memory(world: WorldModel, rows: int, precision: str = "float32") -> InferenceMemory:
    """That of a step of `rows` worlds, strict or in parallel, whichever takes more."""
    backend = backend_of(world)
    layout, shape = backend.predictor.layout, backend.predictor.shape
    held = (layout.memory + 1) * layout.length  # positions behind the tensors of a state
    entries = 2 * shape.num_layers * shape.num_kv_heads * shape.head_width
    at_once = layout.length if backend.predictor.hole is not None else 1 + backend.config.medusa
    per_row = at_once * (LOGITS * shape.vocabulary + 4 * (shape.hidden + shape.width))
    per_row += layout.length * held  # what is seen
    per_row += attended(world, 1) * (entries + shape.width)
    return InferenceMemory(
        FULL * _count(world),
        2 * _count(backend.predictor.trunk) if precision == "bfloat16" else 0,
        2 * FULL * rows * held * entries,
        FULL * rows * per_row,
    )


def num_parameters(shape: TransformerShape) -> int:
    """Parameters of a transformer, norms included."""
    heads, kv_heads = (n * shape.head_width for n in (shape.num_heads, shape.num_kv_heads))
    attention = 2 * shape.width * (heads + kv_heads) + 2 * shape.head_width
    layer = attention + 3 * shape.width * shape.hidden + 2 * shape.width
    if shape.cross:
        layer += attention + shape.width
    tables = (1 if shape.tied else 2) * shape.vocabulary * shape.width
    return shape.num_layers * layer + tables + shape.width


def run(arguments: list[str]) -> int:
    """Says what memory an autoregressive recipe needs: `cosmos-sdk estimate config=examples/configs/cosmos-4b.yaml`.

    usage: cosmos-sdk estimate [config=NAME|FILE] [rows=1] [stage=NAME] [KEY=VALUE ...]

      config  a recipe: a YAML file, or the name of a bundled world (pusht-autoregressive)
      rows    worlds that are stepped together
      stage   of training, one that trains the world; the one that needs most when absent
      KEY     of the recipe: world.backend.preset=m stages.world.batch_size=8
    """
    options = parse(Arguments, arguments)
    changed = [word for word in arguments if word.startswith(("world.", "stages."))]
    found = recipe.overridden(recipe.read(options.config), changed)
    check_backend_of(found)
    with torch.device("meta"):
        world = build(found.world)
    name, stage = stage_of(found, world, options.stage)
    precision = world.using(**found.validation.using).backend.sampling.precision
    sys.stdout.write(f"{options.config}\n{_parameters(world)}\n")
    title = f"training, stage {name}: {stage.batch_size} clips of {stage.frames} frames, {stage.precision}"
    sys.stdout.write(_table(title, training_memory(world, stage)))
    less = training_memory(world, stage, recomputed=True)
    sys.stdout.write(_line("  total, were layers recomputed", less.total))
    title = f"inference: {options.rows} worlds, {precision}"
    sys.stdout.write(_table(title, inference_memory(world, options.rows, precision)))
    return 0


def check_backend_of(found: Recipe) -> None:
    """Raises ConfigError for a recipe of another backend."""
    name = found.world.backend.get("name")
    if name != "autoregressive":
        raise ConfigError(
            [
                f"world.backend.name: {name!r}; this estimate knows the memory of the backend 'autoregressive' alone."
            ]
        )


def stage_of(found: Recipe, world: WorldModel, name: str | None) -> tuple[str, StageConfig]:
    """The stage that is asked for, or that which needs most.

    Raises:
        ConfigError: there is no such stage, or it trains the tokenizer.
    """
    stages = {key: stage for key, stage in found.stages.items() if stage.train == WORLD}
    if not stages:
        raise ConfigError(["stages: none trains the world."])
    if name is None:
        name = max(stages, key=lambda key: training_memory(world, stages[key]).total)
    if name not in stages:
        near = did_you_mean(name, stages)
        raise ConfigError(
            [
                f"stage: {name!r} is no stage that trains the world.{near} Stages: {', '.join(stages)}."
            ]
        )
    return name, stages[name]


def backend_of(world: WorldModel) -> AutoregressiveBackend:
    """The backend, whose parts are counted."""
    assert isinstance(world.backend, AutoregressiveBackend)
    return world.backend


def _latents(world: WorldModel, frames: int) -> int:
    """How many latents the tokenizer makes of a clip: it is asked, on the meta device."""
    assert world.spec is not None
    views, height, width = world.spec.frames
    clip = torch.zeros(1, frames, views, 3, height, width, dtype=torch.uint8, device=world.device)
    with torch.no_grad():
        return world.tokenizer.encode(clip).shape[1]


def _learning(world: WorldModel, stage: StageConfig) -> int:
    """How many numbers a stage trains."""
    fixed = ["tokenizer", *stage.frozen]
    return sum(p.numel() for name, p in world.named_parameters() if not _under(name, fixed))


def _under(name: str, prefixes: Sequence[str]) -> bool:
    return any(f"{name}.".startswith(f"{prefix}.") for prefix in prefixes)


def _count(module: object) -> int:
    return sum(p.numel() for p in module.parameters()) if isinstance(module, nn.Module) else 0


def _parameters(world: WorldModel) -> str:
    parts = {"transformer": _count(backend_of(world).predictor.trunk)}
    parts |= {"tokenizer": _count(world.tokenizer), "all": _count(world)}
    return "parameters: " + ", ".join(f"{name} {count:,}" for name, count in parts.items())


def _table(title: str, memory: TrainingMemory | InferenceMemory) -> str:
    parts = {item.name: getattr(memory, item.name) for item in fields(memory)}
    lines = [_line(f"  {name}", size) for name, size in {**parts, "total": memory.total}.items()]
    return f"{title}\n{''.join(lines)}"


def _line(name: str, size: int) -> str:
    return f"{name:<32}{size / GIB:10.3f} GiB\n"
