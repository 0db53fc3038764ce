"""The seven toy worlds: every kind of backend that the contract must carry, untrained and tiny."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from gymnasium import spaces

from cosmos_sdk.protocols import Head, Spec
from cosmos_sdk.world import WorldModel
from toys.autoregressive import Autoregressive
from toys.chunk import Chunk, SingleAction
from toys.conditioners import Action, Camera, Text
from toys.diffusion import Diffusion
from toys.heads import Reward, State, Termination
from toys.pendulum import Pendulum, Renderer, Upright, starts
from toys.statespace import StateSpace
from toys.tokenizers import SIZE, Ids, Patches, TimePatches, Vector

BOX = spaces.Box(-1.0, 1.0, (2,), np.float32)
UNIT = spaces.Box(0.0, 1.0, (), np.float32)


def compose(
    tokenizer: Any, backend: Any, conditioners: dict[str, Any], views: int = 1, width: int = 4
) -> WorldModel:
    """A world of these parts with the toy heads."""
    spaces_of = {n: c.space for n, c in conditioners.items() if c.space is not None}
    spec = Spec((views, SIZE, SIZE), 10.0, spaces_of, {"reward": UNIT, "terminated": UNIT})
    heads: dict[str, Head] = {
        "reward": Reward(backend.feature_width),
        "terminated": Termination(backend.feature_width),
    }
    return WorldModel(tokenizer, backend, conditioners, heads, {"state": State((width,))}, spec)


def diffusion() -> WorldModel:
    """One latent per frame, a KV ring, two sampling steps; action and camera."""
    tokenizer, conditioners = Patches(), {"action": Action(BOX), "camera": Camera()}
    return compose(tokenizer, Diffusion(tokenizer.latent_shape, conditioners), conditioners)


def multiview() -> WorldModel:
    """The same with three views, each with a text of its own."""
    tokenizer, conditioners = Patches(views=3), {"action": Action(BOX), "text": Text(views=3)}
    backend = Diffusion(tokenizer.latent_shape, conditioners, window=2, views=3)
    return compose(tokenizer, backend, conditioners, views=3)


def autoregressive() -> WorldModel:
    """Whole-numbered latents, one token after the other; a discrete action."""
    conditioners = {"action": Action(spaces.Discrete(5))}
    return compose(Ids(), Autoregressive(conditioners), conditioners)


def chunk() -> WorldModel:
    """Twelve frames in three latents a predict."""
    tokenizer, conditioners = TimePatches(), {"action": Action(BOX)}
    return compose(tokenizer, Chunk(tokenizer, conditioners), conditioners, width=6)


def single_action() -> WorldModel:
    """The same, stepped by one action."""
    tokenizer, conditioners = TimePatches(), {"action": Action(BOX)}
    backend = SingleAction(Chunk(tokenizer, conditioners), tokenizer)
    return compose(tokenizer, backend, conditioners, width=6)


def statespace() -> WorldModel:
    """A vector, five controls a frame, an ensemble by rows."""
    tokenizer, conditioners = (
        Vector(),
        {"action": Action(spaces.Box(-1.0, 1.0, (5, 2), np.float32))},
    )
    return compose(tokenizer, StateSpace(5, conditioners), conditioners, width=5)


def pendulum() -> WorldModel:
    """A simulator, which starts from its own states."""
    conditioners = {"action": Action(spaces.Box(-1.0, 1.0, (1,), np.float32))}
    return WorldModel(Renderer(), Pendulum(), conditioners, {"reward": Upright()}, {})


WORLDS: dict[str, Callable[[], WorldModel]] = {
    make.__name__: make
    for make in (diffusion, multiview, autoregressive, chunk, single_action, statespace, pendulum)
}
STARTS = {"pendulum": starts}  # the others start from random frames


def make(name: str, seed: int = 0) -> WorldModel:
    """A toy world whose weights are a function of the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return WORLDS[name]()
