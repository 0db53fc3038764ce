"""Policies: what acts. Ours have `act`; stable-baselines3, LeRobot and plain functions come in through adapters."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any, Protocol, final, runtime_checkable

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from cosmos_sdk.errors import ActionError, CosmosError


@runtime_checkable
class Policy(Protocol):
    """Chooses actions. A policy that remembers also has `reset`, to be called when an episode begins."""

    def act(self, observation: Any) -> Any: ...


@final
class RandomPolicy:
    """Uniform actions, for any environment or simulator. What it observes does not matter."""

    def __init__(self, space: spaces.Space[Any] | None = None) -> None:
        """Takes the action space now, or the scene that has one in `reset`."""
        self._space = space
        self._rng = np.random.default_rng(0)

    def reset(self, rng: np.random.Generator | int | None = None, scene: Any = None) -> None:
        """Starts an episode in `scene`: an environment with an `action_space`, or a simulator with an `action_spec`."""
        self._rng = np.random.default_rng(rng)
        if scene is not None:
            spec = getattr(scene, "action_spec", None)
            self._space = scene.action_space if spec is None else spec.space

    def act(self, observation: Any) -> Any:
        """Uniform within bounds; a space of another kind, or without bounds, is sampled as Gymnasium does."""
        if self._space is None:
            raise ActionError(
                "RandomPolicy knows no action space. Give it one, or call reset(rng, env) first."
            )
        if isinstance(self._space, spaces.Box) and self._space.is_bounded():
            action = self._rng.uniform(self._space.low, self._space.high)
            return np.clip(action.astype(self._space.dtype), self._space.low, self._space.high)
        self._space.seed(int(self._rng.integers(2**31)))
        return self._space.sample()


@final
class FunctionPolicy:
    """A function from observation to action."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function

    def act(self, observation: Any) -> Any:
        """The function's value."""
        return self.function(observation)


@final
class SB3Policy:
    """A stable-baselines3 model, recurrent ones included: `predict(obs, state, episode_start, deterministic)`."""

    def __init__(self, model: Any, deterministic: bool = True) -> None:
        self.model, self.deterministic = model, deterministic
        self.reset()

    def reset(self, seed: int | None = None) -> None:
        """Forgets the recurrent state."""
        self._state: Any = None
        self._begins = True

    def act(self, observation: Any) -> Any:
        """One action for one observation."""
        begins = np.array([self._begins])
        action, self._state = self.model.predict(
            observation, self._state, begins, self.deterministic
        )
        self._begins = False
        return action


@final
class LeRobotPolicy:
    """A LeRobot policy: `select_action(batch)` on float images (1, 3, h, w) in [0, 1] and states (1, P).

    An observation is an image (h, w, 3), which goes under `observation.images.<camera>`; or a mapping, as the
    environments with `observation="dict"` give it: LeRobot's own keys stay, images go under
    `observation.images.<key>`, and `state` under `observation.state`.
    """

    def __init__(
        self,
        policy: Any,
        camera: str = "camera",
        *,
        chunks: bool = False,
        task: str | None = None,
        before: Callable[[Any], Any] | None = None,
        after: Callable[[Any], Any] | None = None,
    ) -> None:
        """See the class.

        Args:
            policy: has `select_action` and `reset`; `chunks` needs its `predict_action_chunk`.
            camera: the name of a single image.
            chunks: answer with whole chunks (k, A), for `ActionChunks`, instead of one action (A,).
            task: what to do, in words, for policies that read it.
            before: the policy's preprocessor: normalisation, tokens, device.
            after: its postprocessor, from its action to the robot's.
        """
        self.policy, self.camera, self.chunks, self.task = policy, camera, chunks, task
        self._before, self._after = before, after

    def reset(self, seed: int | None = None) -> None:
        """Empties the policy's queue of actions."""
        self.policy.reset()

    def act(self, observation: Any) -> NDArray[np.float32]:
        """One action (A,), or a chunk (k, A), for one observation."""
        if not isinstance(observation, Mapping):
            observation = {f"observation.images.{self.camera}": observation}
        batch: dict[str, Any] = {
            _lerobot_key(name, np.asarray(value)): _lerobot(np.asarray(value))
            for name, value in observation.items()
        }
        if self.task is not None:
            batch["task"] = [self.task]
        with torch.no_grad():
            batch = batch if self._before is None else self._before(batch)
            answer = self.policy.predict_action_chunk if self.chunks else self.policy.select_action
            action = answer(batch)
            action = action if self._after is None else self._after(action)
        return action.squeeze(0).float().cpu().numpy()


def as_policy(thing: Any) -> Policy:
    """A policy from anything that acts: `act`, `select_action` (LeRobot), `predict` (stable-baselines3), a function.

    Raises:
        CosmosError: it has none of these.
    """
    if isinstance(thing, Policy):
        return thing
    if hasattr(thing, "select_action"):
        return LeRobotPolicy(thing)
    if hasattr(thing, "predict"):
        return SB3Policy(thing)
    if callable(thing):
        return FunctionPolicy(thing)
    raise CosmosError(
        f"{type(thing).__name__} is no policy. Expected a function, or an object with one of the methods: "
        "act(observation), predict (stable-baselines3), select_action (LeRobot)."
    )


def identity(policy: Any, depth: int = 3) -> str:
    """What tells a policy from another of its name: its own `fingerprint`, or a digest of its weights, or "".

    Weights are those of a torch module, also where a policy keeps it as `policy` (stable-baselines3, LeRobot), `model`
    or `network`.
    """
    told = getattr(policy, "fingerprint", None)
    if isinstance(told, str):
        return told
    if isinstance(policy, torch.nn.Module):
        digest = hashlib.sha256()
        for name, tensor in policy.state_dict().items():
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
        return digest.hexdigest()[:16]
    inner = (
        [getattr(policy, name, None) for name in ("policy", "model", "network")] if depth else []
    )
    return next((found for thing in inner if (found := identity(thing, depth - 1))), "")


def begin(policy: Any, seed: int | None = None) -> None:
    """Tells a policy that an episode begins: `reset(seed)`, or `reset()` where it takes no seed; else nothing."""
    reset = getattr(policy, "reset", None)
    if reset is None:
        return
    try:
        signature(reset).bind(seed)
    except TypeError:
        reset()
    else:
        reset(seed)


def _lerobot_key(name: str, value: NDArray[Any]) -> str:
    if name.startswith("observation."):
        return name
    return f"observation.images.{name}" if value.ndim == 3 else f"observation.{name}"


def _lerobot(value: NDArray[Any]) -> torch.Tensor:
    tensor = torch.from_numpy(np.ascontiguousarray(value))
    if tensor.dtype == torch.uint8:
        tensor = tensor.movedim(-1, -3).float() / 255
    return tensor[None]
