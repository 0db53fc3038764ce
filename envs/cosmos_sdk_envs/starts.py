"""Where episodes begin: callables `starts(world, seed (B,)) -> WorldState` of B rows, a function of the seeds alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Protocol, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cosmos_sdk.errors import CheckpointError, ShapeError
from cosmos_sdk.registry import registry
from cosmos_sdk.rng import ENV, Rng
from cosmos_sdk.state import Masked, WorldState
from cosmos_sdk.world import WorldModel

STARTS_FILE = "starts.safetensors"  # stands beside the weights of a world
_NUMPY_SEEDS = 2**32  # what numpy's older generators take
_BEFORE_RESET = -1  # the time at which a start is drawn: no step of an episode shares its noise


class Scene(Protocol):
    """What is needed of a `Simulator` here."""

    def reset(self, seed: int) -> None: ...
    def get_state(self) -> NDArray[np.float64]: ...  # (S,)
    def render_clean(self, height: int, width: int) -> NDArray[np.uint8]: ...  # (h, w, 3) RGB


class Starts(Protocol):
    """Row b of the result depends on `seed[b]` and on nothing else, so that slots stay independent."""

    def __call__(self, world: WorldModel, seed: Tensor) -> WorldState: ...


def next_seeds(state: WorldState) -> Tensor:
    """The seeds (B,) of the episodes after these: a function of the state, so a saved env resets as it would have."""
    return Rng(state.seed, state.time, ENV).integers()


@final
class ClipStarts:
    """Starts drawn from recorded clips, such as the file that ships beside a bundled world."""

    def __init__(
        self,
        frames: Tensor,
        signals: Mapping[str, Tensor | Masked] | None = None,
        start: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Takes n clips.

        Args:
            frames: (n, F, V, 3, h, w) uint8, oldest first.
            signals: each (n, F, ...); signal k led to frame k.
            start: once-per-episode signals, each (n, ...).
        """
        if frames.ndim != 6 or not len(frames) or frames.dtype != torch.uint8:
            got = f"{tuple(frames.shape)} {frames.dtype}"
            raise ShapeError("frames of the starting clips", got, "(n, F, V, 3, h, w) torch.uint8")
        self.frames, self.signals, self.start = frames, dict(signals or {}), dict(start or {})

    @staticmethod
    def load(path: str | Path) -> ClipStarts:
        """Reads a safetensors file of `frames`, `signals/<name>`, optionally `masks/<name>` and `start/<name>`.

        Raises:
            CheckpointError: the file is missing, damaged, or holds no frames.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            tensors = load_file(path)
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path} cannot be read as starting clips: {error}.") from error
        if "frames" not in tensors:
            raise CheckpointError(
                f"{path} holds {sorted(tensors)}; expected 'frames', (n, F, V, 3, h, w) uint8, among them."
            )
        signals: dict[str, Tensor | Masked] = dict(_group(tensors, "signals/"))
        for name, mask in _group(tensors, "masks/").items():
            signals[name] = Masked(tensors[f"signals/{name}"], mask.bool())
        return ClipStarts(tensors["frames"], signals, _group(tensors, "start/"))

    def __len__(self) -> int:
        return len(self.frames)

    def __call__(self, world: WorldModel, seed: Tensor) -> WorldState:
        """Begins each row with the clip that its seed draws."""
        rng = Rng(seed, torch.full_like(seed, _BEFORE_RESET), ENV)
        index = (rng.integers() % len(self)).to(self.frames.device)
        history = {name: _rows(signal, index) for name, signal in self.signals.items()}
        start = {name: signal[index] for name, signal in self.start.items()}
        return world.reset(self.frames[index], start, seed, history)


@final
class SimulatorStarts:
    """Starts drawn by the reset of a true simulator, one reset per row."""

    def __init__(
        self, simulator: str | Scene, entry: Literal["frames", "state"] = "frames"
    ) -> None:
        """Takes a simulator, or its Gymnasium id in the registry.

        Args:
            simulator: such as "gym_pusht/PushT-v0".
            entry: "frames" renders the first moment, for a learned world of one camera; "state" hands the
                simulator's state over, for a world whose backend is a simulator.
        """
        named = isinstance(simulator, str)
        self.simulator: Scene = registry().load("simulator", simulator)() if named else simulator
        self.entry = entry

    def __call__(self, world: WorldModel, seed: Tensor) -> WorldState:
        """Resets the simulator with each seed."""
        if self.entry == "state":
            latents = np.stack([self._state(number) for number in seed.tolist()])
            return world.start(torch.from_numpy(latents)[:, None], {}, seed)  # (B, 1, S) float64
        if world.spec is None:
            raise ShapeError(
                "the spec of this world", None, "one that tells the size of its frames"
            )
        height, width = world.spec.frames[1:]
        images = np.stack([self._image(number, height, width) for number in seed.tolist()])
        frames = torch.from_numpy(images).permute(0, 3, 1, 2)  # (B, 3, h, w)
        return world.reset(frames[:, None, None], {}, seed)

    def _state(self, seed: int) -> NDArray[np.float64]:
        self.simulator.reset(seed % _NUMPY_SEEDS)
        return self.simulator.get_state()

    def _image(self, seed: int, height: int, width: int) -> NDArray[np.uint8]:
        self.simulator.reset(seed % _NUMPY_SEEDS)
        return self.simulator.render_clean(height, width)


def find_starts(starts: Starts | str | Path | None, world: object) -> Starts | None:
    """The starts of an env: a callable as it is, a file, or by default the clips beside the world's weights.

    Args:
        starts: what the caller gave.
        world: what the caller gave as the world: a folder, a bundled name, or an instance.
    """
    if isinstance(starts, (str, Path)):
        return ClipStarts.load(starts)
    if starts is not None or not isinstance(world, (str, Path)):
        return starts
    folder = Path(world) if Path(world).is_dir() else registry().world_path(str(world))
    bundled = folder / STARTS_FILE
    return ClipStarts.load(bundled) if bundled.is_file() else None


def _group(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def _rows(signal: Tensor | Masked, index: Tensor) -> Tensor | Masked:
    if isinstance(signal, Masked):
        return Masked(signal.values[index], signal.mask[index])
    return signal[index]
