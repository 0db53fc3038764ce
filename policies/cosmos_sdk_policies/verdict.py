"""What an evaluation of policies says: scores on both sides, how well they agree, and a picture of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from cosmos_sdk.errors import ConfigError, UnknownNameError
from cosmos_sdk.results import Measurement, Result
from cosmos_sdk.statistics import Interval, bootstrap, wilson
from cosmos_sdk_policies.ranking import STATISTICS, interval
from cosmos_sdk_policies.scatter import Point, scatter
from cosmos_sdk_policies.trial import Score

Outcomes = NDArray[np.float64]  # (P, N), one number per policy and start


@final
@dataclass(frozen=True, eq=False)
class Verdict:
    """P policies from N starts, in reality and in a world. Success counts 0 or 1."""

    policies: tuple[str, ...]  # (P,)
    tasks: tuple[str, ...]  # (N,) the task of each start
    score: Score
    real: Outcomes
    world: Outcomes
    seed: int = 0  # of the bootstrap

    def select(self, task: str | None = None, without: Sequence[str] = ()) -> Verdict:
        """The same for the starts of one task, or without some policies.

        Raises:
            UnknownNameError: no such task or policy.
            ConfigError: no policy would be left.
        """
        if task is not None and task not in self.tasks:
            raise UnknownNameError("task of this evaluation", task, set(self.tasks))
        for name in without:
            if name not in self.policies:
                raise UnknownNameError("policy of this evaluation", name, self.policies)
        rows = [k for k, name in enumerate(self.policies) if name not in without]
        columns = [k for k, name in enumerate(self.tasks) if task in (None, name)]
        if not rows:
            raise ConfigError(["without names every policy; at least one has to be left"])
        real, world = (side[np.ix_(rows, columns)] for side in (self.real, self.world))
        names = tuple(self.policies[k] for k in rows)
        return Verdict(
            names, tuple(self.tasks[k] for k in columns), self.score, real, world, self.seed
        )

    def statistic(self, name: str) -> tuple[float, Interval]:
        """One of the statistics of the policies' mean scores, and its 95 % interval over starts."""
        if name not in STATISTICS:
            raise UnknownNameError("statistic", name, STATISTICS)
        value = STATISTICS[name](self.world.mean(1), self.real.mean(1))
        return value, interval(STATISTICS[name], self.world, self.real, self.seed)

    def mean_interval(self, outcomes: NDArray[np.float64]) -> Interval:
        """The 95 % interval of one policy's score on one side, from outcomes (N,): Wilson's or bootstrap."""
        if self.score == "success":
            return wilson(int(outcomes.sum()), len(outcomes))
        return bootstrap(outcomes, self.seed)

    def measurement(self, without: Sequence[str] = ()) -> Measurement:
        """Scores, statistics and scatter plots: of all starts together, and of each task where there are several.

        Args:
            without: policies that make ranking easy, such as a random one: the statistics are told without them too.
        """
        several = len(set(self.tasks)) > 1
        results: list[Result] = []
        pictures: dict[str, NDArray[np.uint8]] = {}
        for task in (None, *(sorted(set(self.tasks)) if several else ())):
            part, label = self.select(task), "all tasks" if task is None else task
            results += part.scores(label) + part.agreement(label)
            if without:
                rest = ", ".join(without)
                results += part.select(without=without).agreement(f"{label}, without {rest}")
            pictures[f"{label}: {self.score} in reality and in the world"] = part.picture()
        return Measurement(results, pictures)

    def scores(self, label: str) -> list[Result]:
        """The mean score of each policy on each side."""
        unit, scale = ("%", 100.0) if self.score == "success" else ("", 1.0)
        found: list[Result] = []
        for k, policy in enumerate(self.policies):
            for side, outcomes in (("real", self.real[k]), ("world", self.world[k])):
                low, high = self.mean_interval(outcomes)
                name = f"{label}, {policy}: {side} {self.score}"
                interval = (scale * low, scale * high)
                mean = scale * float(outcomes.mean())
                found.append(Result(name, mean, unit, len(outcomes), interval, self.seed))
        return found

    def agreement(self, label: str) -> list[Result]:
        """The statistics; nothing for a single policy, which has no rank."""
        if len(self.policies) < 2:
            return []
        found: list[Result] = []
        for name in STATISTICS:
            value, interval = self.statistic(name)
            title = f"{label}: {name} of {len(self.policies)} policies"
            found.append(Result(title, value, "", len(self.tasks), interval, self.seed))
        return found

    def picture(self) -> NDArray[np.uint8]:
        """Reality across, the world upwards, with the intervals of both."""
        points = [
            Point(
                name,
                (float(self.real[k].mean()), float(self.world[k].mean())),
                (self.mean_interval(self.real[k]), self.mean_interval(self.world[k])),
            )
            for k, name in enumerate(self.policies)
        ]
        limits = (0.0, 1.0) if self.score == "success" else None
        return scatter(points, f"real {self.score}", f"{self.score} in the world", limits)
