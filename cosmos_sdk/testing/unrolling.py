"""Check 11, for backends that unroll: one call for many predicts gives what the predicts give one by one."""

from __future__ import annotations

import torch
from torch import Tensor

from cosmos_sdk import control
from cosmos_sdk.state import Signals, WorldState
from cosmos_sdk.testing.conformance import check, close
from cosmos_sdk.testing.trial import Trial

_PREDICTS = 3


@check(
    11,
    "Usual cause: noise that `unroll` does not draw from Rng(state.seed, time before each predict), signals of another "
    "block, tokens of a conditioner that differ when more frames are embedded at once, or a head that looks at latents "
    "and says `reads_latents = False`.",
)
def unrolling_is_stepping(trial: Trial) -> None:
    """11: latents, values and the last state of an unrolled rollout are those of steps."""
    world = trial.world
    if not hasattr(world.backend, "unroll"):
        return
    for name, state in trial.states.items():
        signals = trial.signals(len(state), _PREDICTS)
        if not signals:
            return
        future = world.rollout(state, signals, keep_latents=True)
        assert future.latents is not None
        got = {**future.state.tensors(), "kept latents": future.latents, **future.values}
        close(got, _stepped(trial, state, signals), f"of {_PREDICTS} predicts from a {name} state")


def _stepped(trial: Trial, state: WorldState, signals: Signals) -> dict[str, Tensor]:
    chunk = trial.world.backend.chunk
    parts: dict[str, list[Tensor]] = {"kept latents": []}
    for k in range(_PREDICTS):
        part = control.frames_of(signals, slice(k * chunk, (k + 1) * chunk))
        state, values = trial.world.step(state, part)
        seen = {name: value[:, None] for name, value in trial.world.observe(state).items()}
        for name, value in {**values, **seen}.items():
            parts.setdefault(name, []).append(value)
        parts["kept latents"].append(state.latents[:, None])
    return {**state.tensors(), **{name: torch.cat(values, 1) for name, values in parts.items()}}
