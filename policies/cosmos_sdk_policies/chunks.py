"""Actions in chunks: a policy that decides k at once, in an environment that takes m at once, whatever k and m are."""

from __future__ import annotations

from collections import deque
from typing import Any, Literal, final

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from cosmos_sdk.errors import ActionError, ConfigError
from cosmos_sdk_policies.policy import as_policy, begin


@final
class ActionChunks:
    """A policy whose answers, one action (*shape) or k of them (k, *shape), come out in portions of m.

    It looks at an observation, takes the answer, and hands it out before it looks again. What does not fill a whole
    number of `block` frames at the end of an answer is left away; an answer shorter than a block is filled up. Give
    two environments the same `block`, the larger m of the two, and the policy looks at the same frames in both.
    """

    def __init__(
        self,
        policy: Any,
        shape: tuple[int, ...],
        takes: int | None = None,
        *,
        block: int | None = None,
        execute: int | None = None,
        fill: Literal["hold", "rest"] = "hold",
    ) -> None:
        """See the class.

        Args:
            policy: whatever `as_policy` accepts.
            shape: of one action.
            takes: m, the actions of one step of the environment, (m, *shape); None where a step takes one, (*shape).
            block: frames that are decided at once, a multiple of m; by default m.
            execute: of k actions only so many are used, as in receding-horizon control; by default all.
            fill: what follows the last action of a short answer: itself again, or zeros (for a relative action: stay).

        Raises:
            ConfigError: counts below 1, or a block that is no multiple of m.
        """
        self.policy, self.shape, self.takes = as_policy(policy), tuple(shape), takes
        self.block = (takes or 1) if block is None else block
        self.execute, self.fill = execute, fill
        counts = {"takes": takes, "block": self.block, "execute": execute}
        problems = [
            f"ActionChunks: {name} is {count}; expected at least 1"
            for name, count in counts.items()
            if count is not None and count < 1
        ]
        if not problems and self.block % (takes or 1):
            problems = [f"ActionChunks: block is {block}; expected a multiple of takes = {takes}"]
        if problems:
            raise ConfigError(problems)
        self._waiting: deque[NDArray[Any]] = deque()

    def reset(self, seed: int | None = None) -> None:
        """A new episode: what is left of the last answer is forgotten."""
        self._waiting.clear()
        begin(self.policy, seed)

    def aim(self, goal: Any) -> None:
        """Passes the goal on to a policy that takes one."""
        if hasattr(self.policy, "aim"):
            self.policy.aim(goal)  # pyright: ignore[reportAttributeAccessIssue]

    def act(self, observation: Any) -> Any:
        """The next portion: (*shape), or (m, *shape).

        Raises:
            ActionError: the policy answered with another shape.
        """
        if not self._waiting:
            self._waiting.extend(self._answer(observation))
        if self.takes is None:
            return self._waiting.popleft()
        return np.stack([self._waiting.popleft() for _ in range(self.takes)])

    def _answer(self, observation: Any) -> NDArray[Any]:
        """A whole number of blocks, (n, *shape)."""
        answer = np.asarray(self.policy.act(observation))
        if answer.shape == self.shape:
            answer = answer[None]
        if answer.ndim != 1 + len(self.shape) or answer.shape[1:] != self.shape or not len(answer):
            raise ActionError(
                f"{type(self.policy).__name__} answered with shape {answer.shape}; "
                f"expected {self.shape}, or a chunk (k, *{self.shape})."
            )
        answer = answer[: self.execute]
        whole = len(answer) // self.block * self.block
        if whole:
            return answer[:whole]
        last = answer[-1:] if self.fill == "hold" else np.zeros_like(answer[-1:])
        return np.concatenate([answer, last.repeat(self.block - len(answer), 0)])


def frames_per_step(space: spaces.Space[Any], single: spaces.Space[Any]) -> int | None:
    """The m of an environment whose steps take (m, *shape), one action being (*shape); None where a step takes one.

    Raises:
        ConfigError: the space is neither.
    """
    whole, one = tuple(space.shape or ()), tuple(single.shape or ())
    if whole == one and type(space) is type(single):
        return None
    if len(whole) == len(one) + 1 and whole[1:] == one:
        return whole[0]
    raise ConfigError([f"{space} takes neither one action of {single} nor a chunk of them"])
