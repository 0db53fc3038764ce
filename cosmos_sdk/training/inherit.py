"""Parts that a run takes over from a finished world: a tokenizer that several worlds share, for one."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from cosmos_sdk.errors import ConfigError, did_you_mean
from cosmos_sdk.world import WorldModel

GROUPS = ("conditioners", "heads", "readouts")


def inherit(world: WorldModel, sources: Mapping[str, str]) -> None:
    """Copies the weights of parts into a world that was just built.

    Args:
        world: what receives them, in place.
        sources: part -> bundled name or folder of a world: `{"tokenizer": "pusht-diffusion"}`.

    Raises:
        ConfigError: one of the worlds has no such part, or theirs differ in shape. Then nothing is copied.
        CheckpointError: a source is no readable world.
    """
    problems: list[str] = []
    copies: list[tuple[nn.Module, Mapping[str, Tensor]]] = []
    for part, source in sources.items():
        given = WorldModel.from_pretrained(source)
        own, theirs = modules(world).get(part), modules(given).get(part)
        if own is None or theirs is None:
            whose, there = ("this world", world) if own is None else (source, given)
            known = modules(there)
            problems.append(
                f"init.{part}: {whose} has no part {part!r}.{did_you_mean(part, known)}"
                f" Parts: {', '.join(known)}."
            )
        elif differ := _differences(own.state_dict(), theirs.state_dict()):
            problems.append(
                f"init.{part}: that of {source} is another one; {differ}. Take its config over, or train the part."
            )
        else:
            copies.append((own, theirs.state_dict()))
    if problems:
        raise ConfigError(problems)
    for own, weights in copies:
        own.load_state_dict(weights)


def modules(world: WorldModel) -> dict[str, nn.Module]:
    """The parts of a world that hold weights: "tokenizer", "backend", "heads.reward"."""
    found: dict[str, object] = {"tokenizer": world.tokenizer, "backend": world.backend}
    for group in GROUPS:
        found |= {f"{group}.{name}": part for name, part in getattr(world, group).items()}
    return {name: part for name, part in found.items() if isinstance(part, nn.Module)}


def _differences(own: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> str:
    """The first tensors that do not fit, in words; empty when all do."""
    mine = {name: tuple(tensor.shape) for name, tensor in own.items()}
    others = {name: tuple(tensor.shape) for name, tensor in theirs.items()}
    wrong = sorted(n for n in mine.keys() | others.keys() if mine.get(n) != others.get(n))
    shown = [f"{n} {others.get(n, 'absent')} instead of {mine.get(n, 'absent')}" for n in wrong[:3]]
    rest = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
    return ", ".join(shown) + rest
