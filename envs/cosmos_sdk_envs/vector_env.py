"""A learned world as a vector env: one batched forward steps all slots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal, final

import numpy as np
import torch
from gymnasium.error import ResetNeeded
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray
from torch import Tensor

from cosmos_sdk.actions import ActionSpec
from cosmos_sdk.errors import ConfigError
from cosmos_sdk.state import WorldState
from cosmos_sdk.world import WorldModel
from cosmos_sdk_envs import options as given
from cosmos_sdk_envs.controls import Controls
from cosmos_sdk_envs.judge import JUDGING, Judge
from cosmos_sdk_envs.observations import Observation, Observer, sizes_of, to_array, to_images
from cosmos_sdk_envs.rendering import Image, Window, grid, side_by_side
from cosmos_sdk_envs.resets import Resets
from cosmos_sdk_envs.slots import Slots, decode_shown, from_state, look, ordinary
from cosmos_sdk_envs.starts import Starts, find_starts, next_seeds

Bools = NDArray[np.bool_]
Info = dict[str, Any]


@final
class WorldVectorEnv(VectorEnv[Any, Any, NDArray[Any]]):
    """`num_envs` independent episodes in one learned world.

    The future of a slot is a function of its seed and its actions, whatever the other slots do. An env step is one
    predict of the world: of `chunk` frames where the world predicts chunks, its reward the sum up to the end of the
    episode, its observation the frame at that end. Heads named `reward` and `terminated` are the env's reward and end;
    a world without them gives 0 and never ends. Readouts appear in `info` under their names. So does what other heads,
    such as `uncertainty`, say of a step, but not of a reset: in a chunk, the mean over its frames up to the end.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["human", "rgb_array"], "render_fps": 10}

    def __init__(
        self,
        world: WorldModel | str | Path,
        num_envs: int = 1,
        *,
        starts: Starts | str | Path | None = None,
        observation: Literal["pixels", "dict", "state", "features"] = "pixels",
        cameras: Sequence[str] | None = None,
        signal: str = "action",
        action_spec: ActionSpec | None = None,
        max_episode_steps: int | None = None,
        termination: Literal["threshold", "sample"] = "threshold",
        terminates_on_success: bool = False,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: Literal["human", "rgb_array"] | None = None,
        num_steps: int | None = None,
        precision: str | None = None,
        device: str | torch.device | None = None,
    ) -> None:
        """Builds the spaces; nothing is imagined before `reset`.

        Args:
            world: a checkpoint folder, the name of a bundled world, or a world.
            num_envs: B.
            starts: `starts(world, seed (B,)) -> WorldState`, or a file of starting clips; by default the clips beside
                the world's weights. Without any, each `reset` needs `options["frames"]`.
            observation: "pixels": Box (h, w, 3) uint8, a Dict of several cameras; "dict": every camera and readout;
                "state": the readout `state` alone; "features": what the backend knows of the newest frame (W,), which
                the actors of `cosmos-sdk dream` read too. For these two no frame is decoded.
            cameras: one name per view; those of the spec when absent.
            signal: the signal that the agent gives; others stay absent.
            action_spec: bounds, and whether an action outside is clipped or refused; by default the world's own.
            max_episode_steps: after so many steps an episode is truncated.
            termination: a probability of 0.5 ends the episode, or one drawn from the slot's own noise.
            terminates_on_success: the end means success: `info["is_success"]`.
            autoreset_mode: as in Gymnasium.
            render_mode: None, "rgb_array" or "human".
            num_steps: of the sampler, by `world.using`.
            precision: of the sampler, by `world.using`.
            device: where the world goes; "auto" takes an accelerator if there is one.

        Raises:
            ConfigError: an option that does not fit this world.
        """
        begins = find_starts(starts, world)
        self.world = _load(world, device, num_steps=num_steps, precision=precision)
        self.num_envs, self.render_mode = num_envs, render_mode
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.max_episode_steps = max_episode_steps
        self.terminates_on_success = terminates_on_success
        self._check(termination)
        others = tuple(name for name in self.world.heads if name not in JUDGING)
        self._judge = Judge(self.world.backend.chunk, termination == "sample", others)
        self._controls = Controls(self.world, signal, action_spec)
        sizes = sizes_of(self.world, begins, readouts=observation in ("dict", "state"))
        named = self.world.spec.cameras if self.world.spec else ()
        self._observer = Observer(observation, cameras or named, sizes)
        parts = (self._controls, self._observer.cameras, num_envs)
        self._resets = Resets(self.world, begins, *parts)
        rate = self.world.spec.rate if self.world.spec else self.metadata["render_fps"]
        fps = rate / self.world.backend.chunk
        self.metadata = {**self.metadata, "render_fps": fps, "autoreset_mode": self.autoreset_mode}  # pyright: ignore
        self.single_observation_space = self._observer.space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.single_action_space = self._controls.space
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._window = Window("cosmos_sdk", fps) if render_mode == "human" else None
        self._slots: Slots | None = None

    @property
    def state(self) -> WorldState:
        """The state of the world, one row per slot, for a planner to branch (it has to reseed it first).

        Raises:
            ResetNeeded: before the first `reset`.
        """
        slots = self._current()
        if slots.state.seed.is_inference():
            slots = self._slots = replace(slots, state=ordinary(slots.state))
        return slots.state

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> tuple[Observation, Info]:
        """Begins new episodes.

        Args:
            seed: one number (slot i gets seed + i) or one per slot. Without one a slot goes on from the noise of its
                last episode, so that runs repeat that were seeded once.
            options: `frames` ([B,] F, h, w, 3) uint8, with V after F where there are several cameras, or one array per
                camera by name: real observations to go on from, oldest first; `actions` ([B,] F - 1, A), taken between
                them; `start`, once-per-episode signals by name; `reset_mask` (B,) bool, the slots to reset.

        Raises:
            ConfigError: an unknown option, or neither frames nor starts to begin from.
            ShapeError, ActionError: an option of a wrong shape or type. Nothing has changed then.
        """
        chosen = given.check_options(options)
        mask = given.read_mask(chosen.get("reset_mask"), self.num_envs)
        seeds = given.slot_seeds(seed, self.num_envs)
        if self._slots is None and not mask.all():
            raise ResetNeeded(
                "The first reset has to be one of all slots; leave options['reset_mask'] away."
            )
        numbers = [number for number in seeds if number is not None]
        if numbers:
            self._np_random, self._np_random_seed = seeding.np_random(numbers[0])
        with torch.inference_mode():
            state = self._resets.begin(self._drawn(seeds), mask, chosen)
            begun = look(self.world, state, decode=self._observer.needs_frames)
            slots = begun if mask.all() else self._current().put(self._index(mask), begun)
        self._slots = slots
        return self._seen(slots), self._infos(slots, np.zeros(self.num_envs, np.bool_), mask)

    def step(self, actions: Any) -> tuple[Observation, NDArray[Any], Bools, Bools, Info]:
        """Steps every slot at once.

        Args:
            actions: (B, *single_action_space.shape), numpy or torch.

        Raises:
            ActionError: a wrong shape or dtype, NaN, or out of bounds where the action spec refuses that. Nothing has
                changed then.
            ResetNeeded: before the first reset; with autoreset disabled also where an episode is over.
        """
        before = self._current()
        waiting = self._waiting(before)  # this step of theirs is their reset
        signal = self._controls.read(actions, ~waiting)
        with torch.inference_mode():
            state, values = self.world.step(before.state, {self._controls.signal: signal})
            reward, terminated, back = self._judge(values, before.state)
            truncated = self._reached_limit(state)
            if waiting.any():
                state = self._restarted(state, waiting, next_seeds(before.state))
                reward[waiting], back[waiting] = 0.0, 0
                terminated[waiting] = truncated[waiting] = False
            remarks = self._judge.remarks(values, back)
            done = terminated | truncated
            slots = look(self.world, state, done, back, self._observer.needs_frames)
            final: Info = {}
            if self.autoreset_mode is AutoresetMode.SAME_STEP and done.any():
                final = self._final(slots, terminated, remarks)
                slots = self._replaced(slots)
                waiting = (
                    done  # what is told of them is of their next episode, which has not stepped
                )
        self._slots = slots
        success = np.zeros_like(terminated) if final else terminated
        infos = {**self._infos(slots, success, np.ones_like(done)), **final}
        if remarks and not waiting.all():
            infos.update(_masked(remarks, ~waiting))
        return self._seen(slots), reward, terminated, truncated, infos

    def snapshot(self) -> WorldState:
        """All slots mid-episode as one value, which `WorldState.save` writes to a file."""
        return ordinary(self._current().to_state())

    def restore(self, state: WorldState) -> tuple[Observation, Info]:
        """Goes back to a snapshot, or to any state of this world with one row per slot. What follows is what followed.

        Returns:
            The observation of that moment, and its infos.

        Raises:
            ShapeError: a state of another number of rows.
        """
        with torch.inference_mode():
            slots = from_state(self.world, state, self.num_envs, self._observer.needs_frames)
        self._slots = slots
        no = np.zeros(self.num_envs, np.bool_)
        return self._seen(slots), self._infos(slots, no, ~no)

    def render(self) -> tuple[Image, ...] | None:
        """One picture (h, V * w, 3) per slot, cameras side by side; mode "human" shows them as a grid instead."""
        if self.render_mode is None:
            return None
        pictures = self._pictures(self._current())
        if self._window is None:
            return tuple(pictures)
        self._window.show(grid(pictures))
        return None

    def close_extras(self, **kwargs: Any) -> None:
        """Closes the window."""
        if self._window is not None:
            self._window.close()

    def _current(self) -> Slots:
        if self._slots is None:
            raise ResetNeeded("Call reset() first: no episode has begun.")
        return self._slots

    def _waiting(self, slots: Slots) -> Bools:
        if self.autoreset_mode is AutoresetMode.NEXT_STEP:
            return slots.done
        if slots.done.any():
            over = np.flatnonzero(slots.done).tolist()
            raise ResetNeeded(
                f"The episodes of slots {over} are over, and autoreset is disabled. "
                "Call reset(options={'reset_mask': terminated | truncated})."
            )
        return slots.done

    def _drawn(self, seeds: list[int | None]) -> Tensor:
        """Seeds (B,): the given ones; others follow from the slots, or before the first episode from `np_random`."""
        if self._slots is not None:
            drawn = next_seeds(self._slots.state).tolist()
        elif None in seeds:
            drawn = self.np_random.integers(2**62, size=self.num_envs).tolist()
        else:
            drawn = [0] * self.num_envs
        numbers = [new if old is None else old for old, new in zip(seeds, drawn, strict=True)]
        return torch.tensor(numbers, device=self.world.device)

    def _restarted(self, state: WorldState, slots: Bools, seed: Tensor) -> WorldState:
        return state.put(self._index(slots), self._resets.begin(seed, slots))

    def _replaced(self, slots: Slots) -> Slots:
        """The slots whose episode is over, each at the start of its next."""
        state = self._resets.begin(next_seeds(slots.state), slots.done)
        return slots.put(
            self._index(slots.done), look(self.world, state, decode=self._observer.needs_frames)
        )

    def _index(self, slots: Bools) -> Tensor:
        return torch.from_numpy(np.flatnonzero(slots)).to(self.world.device)

    def _reached_limit(self, state: WorldState) -> Bools:
        if self.max_episode_steps is None:
            return np.zeros(self.num_envs, np.bool_)
        return to_array(state.time) >= self.max_episode_steps * self.world.backend.chunk

    def _seen(self, slots: Slots) -> Observation:
        if self._window is not None:
            self.render()
        return self._observer.observe(slots.images, slots.readouts, slots.shown_features)

    def _pictures(self, slots: Slots) -> list[Image]:
        if slots.images is None:
            with torch.inference_mode():
                images = decode_shown(self.world, slots.state, slots.back)
            slots = self._slots = replace(slots, images=images)
        assert slots.images is not None
        return [side_by_side(cameras) for cameras in to_images(slots.images).swapaxes(0, 1)]

    def _infos(self, slots: Slots, success: Bools, told: Bools) -> Info:
        """Readouts (B, *) and success (B,), with Gymnasium's masks of the slots they are told of; zeros elsewhere."""
        infos: Info = {name: to_array(value) for name, value in slots.readouts.items()}
        if self.terminates_on_success:
            infos["is_success"] = success.copy()
        return _masked(infos, told)

    def _final(self, slots: Slots, terminated: Bools, remarks: Info) -> Info:
        """The last observation and info of the episodes that are over, in the form of Gymnasium's same-step reset."""
        observations = self._observer.observe(slots.images, slots.readouts, slots.shown_features)
        final = np.full(self.num_envs, None, object)
        for slot in np.flatnonzero(slots.done).tolist():
            final[slot] = self._observer.slot(observations, slot)
        said = _masked({name: value.copy() for name, value in remarks.items()}, slots.done)
        return {
            "final_obs": final,
            "_final_obs": slots.done.copy(),
            "final_info": {**self._infos(slots, terminated, slots.done), **said},
            "_final_info": slots.done.copy(),
        }

    def _check(self, termination: str) -> None:
        problems: list[str] = []
        choices = {
            "termination": ("threshold", "sample"),
            "render_mode": (None, "human", "rgb_array"),
        }
        for name, value in (("termination", termination), ("render_mode", self.render_mode)):
            if value not in choices[name]:
                problems.append(
                    f"{name}={value!r}: choose from {', '.join(map(str, choices[name]))}."
                )
        if self.num_envs < 1:
            problems.append(f"num_envs={self.num_envs}: expected 1 or more.")
        if self.max_episode_steps is not None and self.max_episode_steps < 1:
            problems.append(
                f"max_episode_steps={self.max_episode_steps}: expected 1 or more, or None."
            )
        if problems:
            raise ConfigError(problems)


def _masked(infos: Info, told: Bools) -> Info:
    """Values (B, *), zeroed where they are not told, with Gymnasium's masks of the slots that they are told of."""
    for value in infos.values():
        value[~told] = 0
    return {**infos, **{f"_{name}": told.copy() for name in infos}}


def _load(
    world: WorldModel | str | Path, device: str | torch.device | None, **sampling: Any
) -> WorldModel:
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if not isinstance(world, WorldModel):
        world = WorldModel.from_pretrained(world, device or "cpu")
    elif device is not None:
        world = world.to(device)
    chosen = {name: value for name, value in sampling.items() if value is not None}
    return world.using(**chosen) if chosen else world
