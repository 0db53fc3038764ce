"""Dyna (Sutton, 1991): act, learn the world from what happened, learn to act in it, and again: `cosmos-sdk dyna`."""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, final

import numpy as np

from cosmos_sdk.cli.details import fields_of, with_details
from cosmos_sdk.cli.overrides import parse
from cosmos_sdk.config import differences, read_yaml, write_yaml
from cosmos_sdk.data.collect import CollectConfig, collect
from cosmos_sdk.data.lerobot import LeRobotDataset
from cosmos_sdk.errors import ConfigError, TrainingError
from cosmos_sdk.expected import check
from cosmos_sdk.files import replacing
from cosmos_sdk.training.inherit import modules
from cosmos_sdk.training.recipe import TOKENIZER, DataConfig, Recipe, StageConfig, overridden, read
from cosmos_sdk.training.run import WORLD, train
from cosmos_sdk.world import WorldModel
from cosmos_sdk_policies import dream
from cosmos_sdk_policies.dream import DreamConfig, Dreamer
from cosmos_sdk_policies.encoded_starts import EncodedStarts

CONFIG, REPORT = "dyna.yaml", "dyna.csv"
COLUMNS = ("round", "real_frames", "real_return", "real_return_std", "imagined_reward")


@dataclass(frozen=True)
class DynaConfig:
    """What `cosmos-sdk dyna` takes, beside the recipe of the world."""

    config: str = (
        "pendulum"  # recipe of the world: a file or a bundled name; its data are those of round 0
    )
    rounds: int = 3  # after round 0, in which nothing is known yet
    episodes: int = 20  # recorded a round, by the policy of the round before
    steps: int = 200  # of an episode, at most
    noise: float = 0.1  # added to the recorded actions, as a share of half their range
    world_steps: int = 1000  # updates of each of the world's stages in later rounds
    share: float = (
        0.5  # of the clips that are the policy's own, where the recipe mixes datasets by shares
    )
    dream: DreamConfig = field(default_factory=DreamConfig)
    seed: int = 0
    processes: int = 1

    def __post_init__(self) -> None:
        """Refuses counts that make no loop."""
        least = {"rounds": 0, "episodes": 1, "steps": 1, "world_steps": 1, "processes": 0}
        check(
            self,
            **{n: (getattr(self, n) >= at, f"at least {at}") for n, at in least.items()},
            noise=(self.noise >= 0, "0 or more"),
            share=(0 < self.share < 1, "more than 0 and less than 1"),
        )


@dataclass(frozen=True)
class Arguments(DynaConfig):
    """Those, what to change in the recipe, and where to."""

    recipe: dict[str, Any] = field(default_factory=dict[str, Any])
    out: str = "outputs/dyna"

    @property
    def loop(self) -> DynaConfig:
        """What the loop depends on, beside the recipe."""
        return DynaConfig(**{item.name: getattr(self, item.name) for item in fields(DynaConfig)})


@final
class Dyna:
    """One loop in one folder. Every piece of a round is a run that resumes, so the loop does.

    `out/round-K` holds `data`, recorded by the policy before (round 0: as the recipe says), `world`, the run that
    trained the world, and `dream`, the run that trained the policy. Worlds and policies go on from those before.
    """

    def __init__(self, recipe: Recipe, config: DynaConfig, out: Path) -> None:
        """Takes a recipe whose world has what an actor needs.

        Raises:
            ConfigError: nobody says where to act.
            TrainingError: `out` holds another loop.
        """
        self.recipe, self.config, self.out = recipe, config, out
        named = [data.collect for data in recipe.data.values() if "env" in data.collect]
        if not named:
            raise ConfigError(
                [
                    "data: no dataset of the recipe says `collect: {env: ...}`, so there is nowhere to act."
                ]
            )
        self.env = str(named[0]["env"])
        _claim({"loop": asdict(config), "recipe": recipe.to_mapping()}, out)

    def run(self) -> Path:
        """Runs all rounds; returns the folder of the last policy."""
        rows: list[dict[str, float]] = []
        for number in range(self.config.rounds + 1):
            if number:
                self._record(number)
            self._learn(number)
            imagined = self._dream(number)
            rows.append({"round": number, **self._measured(number), "imagined_reward": imagined})
            _write(rows, self.out / REPORT)
        return self._folder(self.config.rounds) / "dream" / dream.POLICY

    def _folder(self, number: int) -> Path:
        return self.out / f"round-{number}"

    def _world(self, number: int) -> Path:
        return self._folder(number) / "world" / WORLD

    def _record(self, number: int) -> None:
        config = self.config
        policy = self._folder(number - 1) / "dream" / dream.POLICY
        options = {"agent": str(policy), "noise": config.noise}
        wanted = CollectConfig(
            self.env,
            str(self._folder(number) / "data"),
            "dream",
            config.episodes,
            config.steps,
            self.recipe.world.spec.frames[1],
            config.seed + number,
            processes=config.processes,
            options=options,
        )
        collect(wanted)

    def _learn(self, number: int) -> None:
        if not (self._world(number) / "config.yaml").is_file():  # which is written last
            train(self._recipe(number), self._folder(number) / "world")

    def _dream(self, number: int) -> float:
        """Trains the policy of a round; returns the mean imagined reward of its last updates."""
        folder, world_folder = self._folder(number) / "dream", self._world(number)
        before = str(self._folder(number - 1) / "dream" / dream.POLICY) if number else None
        config = replace(self.config.dream, world=str(world_folder), init=before)
        if not (folder / dream.POLICY / "config.yaml").is_file():
            world = WorldModel.from_pretrained(world_folder)
            Dreamer(world, self._starts(world, number), config, folder).run()
        return dream.last_figure(folder, "reward")

    def _starts(self, world: WorldModel, number: int) -> EncodedStarts:
        """Dreams begin where anything happened, in whatever round."""
        signals = self.recipe.signals or None
        parts = [
            EncodedStarts.of_dataset(world, folder, columns=signals)
            for folder in self._datasets(number).values()
        ]
        return EncodedStarts.joined(parts)

    def _datasets(self, number: int) -> dict[str, Path]:
        """The folders of all data that a round knows."""
        first = self._folder(0) / "world" / "data"
        known = {
            name: Path(data.folder) if data.folder else first / name
            for name, data in self.recipe.data.items()
        }
        return known | {f"round-{k}": self._folder(k) / "data" for k in range(1, number + 1)}

    def _recipe(self, number: int) -> Recipe:
        """The recipe of a round: later ones go on from the world before, and its tokenizer stays as it is."""
        if number == 0:
            return self.recipe
        before = str(self._world(number - 1))
        data = {name: DataConfig(str(path)) for name, path in self._datasets(number).items()}
        new = [name for name in data if name not in self.recipe.data]
        stages = {
            name: replace(stage, steps=self.config.world_steps, mix=self._mix(stage, new))
            for name, stage in self.recipe.stages.items()
            if stage.train != TOKENIZER
        }
        parts = modules(WorldModel.from_pretrained(before))
        init = dict.fromkeys(parts, before)
        return replace(self.recipe, data=data, stages=stages, init=init)

    def _mix(self, stage: StageConfig, new: list[str]) -> dict[str, float]:
        """Shares of the datasets: none where the recipe gives none, which is by the number of clips."""
        if not stage.mix:
            return {}
        total, share = sum(stage.mix.values()), self.config.share
        old = {name: (1 - share) * weight / total for name, weight in stage.mix.items()}
        return old | dict.fromkeys(new, share / len(new))

    def _measured(self, number: int) -> dict[str, float]:
        """Real frames so far, and the returns of the newest recording."""
        folders = list(self._datasets(number).values())
        frames = sum(len(LeRobotDataset(folder)) for folder in folders)
        newest = LeRobotDataset(folders[-1])
        rewards = newest.column("next.reward").astype(np.float64).ravel()
        totals = [rewards[episode.start : episode.stop].sum() for episode in newest.episodes]
        mean, std = float(np.mean(totals)), float(np.std(totals))
        return {"real_frames": frames, "real_return": mean, "real_return_std": std}


@with_details(lambda _: f"\nkeys:\n{fields_of(Arguments)}")
def run(arguments: list[str]) -> int:
    """Alternates recording, world training and dreaming: `cosmos-sdk dyna config=NAME|FILE [KEY=VALUE ...]`.

    config   the recipe of the world, a file or a bundled name; recipe.KEY=VALUE changes it
    out      folder of the loop (outputs/dyna); out/dyna.csv tells each round; the same command goes on after a kill
    KEY      rounds=3 episodes=20 steps=200 noise=0.1 world_steps=1000 seed=0; of dreaming dream.steps=3000
             dream.agent.horizon=15 dream.agent.guard.penalty=1
    """
    options = parse(Arguments, arguments)
    changes = [word.removeprefix("recipe.") for word in arguments if word.startswith("recipe.")]
    recipe = overridden(read(options.config), changes)
    sys.stdout.write(f"{Dyna(recipe, options.loop, Path(options.out)).run()}\n")
    return 0


def _claim(mine: Mapping[str, Any], out: Path) -> None:
    """Writes the configuration into its folder; only the number of rounds may change later."""
    path = out / CONFIG
    if path.is_file():
        differ = differences(read_yaml(path), mine)
        differ.pop("loop.rounds", None)
        if differ:
            remedy = "Choose another out=<folder>, or delete this one."
            raise TrainingError(f"{out} holds another loop: {', '.join(differ.values())}. {remedy}")
    out.mkdir(parents=True, exist_ok=True)
    with replacing(path) as draft:
        draft.write_text(write_yaml(mine), encoding="utf-8")


def _write(rows: list[dict[str, float]], path: Path) -> None:
    with replacing(path) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        writer: csv.DictWriter[str] = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows({name: f"{value:.6g}" for name, value in row.items()} for row in rows)
