"""The loop. A step is a function of the recipe, its number and the weights, so that a killed run goes on."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Protocol, final, runtime_checkable

import torch
from torch import Tensor, nn
from tqdm import tqdm

from cosmos_sdk.errors import ConfigError, did_you_mean
from cosmos_sdk.training import latents, optimiser
from cosmos_sdk.training.ema import AveragedWeights
from cosmos_sdk.training.footage import Footage
from cosmos_sdk.training.log import Log
from cosmos_sdk.training.losses import Meter, losses, weighted
from cosmos_sdk.training.recipe import TOKENIZER, Recipe, StageConfig
from cosmos_sdk.training.sampling import Sampler
from cosmos_sdk.training.snapshot import Position, Snapshot
from cosmos_sdk.training.validation import validate_tokenizer, validate_world
from cosmos_sdk.world import WorldModel

REPORT_EVERY = 50  # steps
PREPARE_FRAMES = 512


@runtime_checkable
class Prepares(Protocol):
    """A tokenizer that looks at some frames (n, V, 3, h, w) uint8 before it learns: background, statistics."""

    def prepare(self, frames: Tensor) -> None: ...


@dataclass(frozen=True, eq=False)
class Course:
    """One stage under way."""

    number: int
    name: str
    config: StageConfig
    world: WorldModel  # under the run-time options of the stage; the weights are shared
    parameters: dict[str, nn.Parameter]
    adamw: torch.optim.AdamW
    sampler: Sampler
    meter: Meter

    def update(self, step: int) -> None:
        """One step of the optimiser."""
        batch, rng = self.sampler.batch(step)
        torch.manual_seed(int(rng.seed[0]))  # for dropout and the like # pyright: ignore
        self.world.train()
        if self.config.train != TOKENIZER and isinstance(self.world.tokenizer, nn.Module):
            self.world.tokenizer.eval()
        half = self.config.precision == "bfloat16"
        with torch.autocast(self.world.device.type, torch.bfloat16, enabled=half):
            terms = losses(self.world, self.config, batch, rng)
        total = weighted(terms, self.config.weights)
        self.adamw.zero_grad()
        total.backward()  # pyright: ignore[reportUnknownMemberType]
        limit = self.config.clip_norm or float("inf")
        norm = nn.utils.clip_grad_norm_(self.parameters.values(), limit)
        for group in self.adamw.param_groups:
            group["lr"] = optimiser.learning_rate(self.config, step)
        self.adamw.step()  # pyright: ignore[reportUnknownMemberType]
        self.meter.add({"loss": total, "gradient_norm": norm, **terms})


@final
class Trainer:
    """One run: a world, its data and a folder. Made again over the same folder, it goes on where it was."""

    def __init__(
        self, world: WorldModel, recipe: Recipe, footage: Mapping[str, Footage], out: Path
    ) -> None:
        """Restores the last snapshot of `out`, if there is one.

        Args:
            world: as `build` made it, on the device to train on.
            recipe: how to train it.
            footage: the datasets by name.
            out: folder of the run: snapshot, log, pictures, cache.
        """
        self.world, self.recipe, self.footage, self.out = world, recipe, dict(footage), out
        self.position = Position()
        self._learnable = {name for name, p in world.named_parameters() if p.requires_grad}
        self._moments: dict[str, Tensor] = {}
        self._averages = AveragedWeights()
        out.mkdir(parents=True, exist_ok=True)
        self._restore(Snapshot.read(out))

    def run(self) -> WorldModel:
        """Trains to the end of the last stage; returns the world with its averaged weights, in eval mode."""
        stages = self.recipe.stages
        self._begun = time.monotonic() - self.position.seconds
        log = Log(
            self.out,
            {name: stage.steps for name, stage in stages.items()},
            (self.position.stage, self.position.step),
            self.recipe.tensorboard,
        )
        try:
            for number, name in list(enumerate(stages))[self.position.stage :]:
                course = self._begin(number, name)
                self._loop(course, log)
                self._end(course)
        finally:
            log.close()
        return self.world.eval()

    def _loop(self, course: Course, log: Log) -> None:
        stage, first = course.config, self.position.step
        with tqdm(total=stage.steps, initial=first, desc=course.name, unit="step") as bar:
            for step in range(first, stage.steps):
                course.update(step)
                if stage.ema:
                    self._averages.update(course.parameters, stage.ema)
                self.position = self._reached(course.number, step + 1)
                bar.update()
                self._report(course, log, bar)

    def _report(self, course: Course, log: Log, bar: tqdm[NoReturn]) -> None:
        """What is due after a step: losses, held-out figures, a snapshot."""
        name, step = course.name, self.position.step
        last = step == course.config.steps
        save = last or _due(step, self.recipe.checkpoint_every)
        if save or _due(step, REPORT_EVERY):
            means = course.meter.read()  # raises before a broken state is saved
            shown = {key: f"{value:.4g}" for key, value in means.items()}
            bar.set_postfix(shown, refresh=False)  # pyright: ignore[reportUnknownMemberType]
            means["learning_rate"] = course.adamw.param_groups[0]["lr"]
            log.write(name, step, means, self.position.seconds)
        if last or _due(step, self.recipe.validation.every):
            log.write(name, step, self._validate(course), self.position.seconds)
        if save and not last:
            self._moments = optimiser.moments(course.adamw, course.parameters)
            self._snapshot().write(self.out)

    def _reached(self, stage: int, step: int) -> Position:
        seconds = time.monotonic() - self._begun
        return Position(stage, step, self._averages.num_updates, seconds)

    def _begin(self, number: int, name: str) -> Course:
        """Data, parameters and optimiser of a stage; in the middle of it when the run was interrupted there."""
        stage = self.recipe.stages[name]
        parameters = self._select(name, stage)
        adamw = optimiser.adamw(parameters, stage)
        optimiser.restore(adamw, parameters, self._moments)
        sampler = Sampler(self._prepare(stage), stage, (self.recipe.seed, number))
        return Course(
            number,
            name,
            stage,
            self.world.using(**stage.using),
            parameters,
            adamw,
            sampler,
            Meter(),
        )

    def _end(self, course: Course) -> None:
        """Where the next stage trains something else, the averaged weights replace the last ones for good."""
        self._moments = optimiser.moments(course.adamw, course.parameters)
        following = list(self.recipe.stages.values())[course.number + 1 :]
        if not following or following[0].train != course.config.train:
            self._averages.commit(dict(self.world.named_parameters()))
            self._moments = {}
        self.position = self._reached(course.number + 1, 0)
        self._snapshot().write(self.out)

    def _select(self, name: str, stage: StageConfig) -> dict[str, nn.Parameter]:
        """The parameters that a stage trains, by name; all others need no gradient."""
        named = dict(self.world.named_parameters())
        own = [
            n
            for n in named
            if n in self._learnable and (_part(n) == TOKENIZER) == (stage.train == TOKENIZER)
        ]
        parts = sorted({_part(n) for n in own})
        problems = [
            f"stages.{name}.frozen: this stage trains no part {prefix!r}.{did_you_mean(prefix, parts)}"
            f" Parts: {', '.join(parts)}."
            for prefix in stage.frozen
            if not any(_under(n, prefix) for n in own)
        ]
        chosen = {n: named[n] for n in own if not any(_under(n, prefix) for prefix in stage.frozen)}
        if problems or not chosen:
            raise ConfigError(problems or [f"stages.{name}: nothing is left to train."])
        for n, parameter in named.items():
            parameter.requires_grad_(n in chosen)
        return chosen

    def _prepare(self, stage: StageConfig) -> dict[str, Footage]:
        """The datasets as the stage sees them: pixels for the tokenizer, latents encoded once for the world."""
        device, tokenizer = self.world.device, self.world.tokenizer
        chosen = {name: self.footage[name] for name in stage.mix or self.footage}
        self.world.eval()
        if stage.train == TOKENIZER:
            if isinstance(tokenizer, Prepares) and self.position.step == 0 and not self._moments:
                tokenizer.prepare(_some_frames(next(iter(chosen.values()))).to(device))
            return {name: data.to(device) for name, data in chosen.items()}
        # Where a frame's latent depends on the clip it is in, every batch has to be encoded.
        alone = all(
            latents.codes_frames_alone(tokenizer, data, stage.frames, device)
            for data in chosen.values()
        )
        for name, data in chosen.items():
            if alone:
                chosen[name] = data.with_latents(
                    latents.encode(tokenizer, data, self.out / "cache", name, device)
                )
        return {name: data.to(device) for name, data in chosen.items()}

    def _validate(self, course: Course) -> dict[str, float]:
        """Figures and a picture of the averaged weights."""
        config = self.recipe.validation
        footage = self.footage[config.data or next(iter(self.footage))]
        self.world.eval()
        with self._averages.applied(dict(self.world.named_parameters())):
            if course.config.train == TOKENIZER:
                report = validate_tokenizer(self.world, footage, config, course.config.frames)
            else:
                report = validate_world(self.world, footage, config)
        if report is None:
            tqdm.write("No held-out episode is long enough: nothing is validated.")
            return {}
        report.save_picture(self.out / "pictures" / f"{course.name}-{self.position.step:06d}.png")
        return report.figures

    def _snapshot(self) -> Snapshot:
        groups = {
            "world": self.world.state_dict(),
            "ema": self._averages.shadow,
            "optimiser": self._moments,
        }
        flat = {
            f"{group}/{name}": t for group, tensors in groups.items() for name, t in tensors.items()
        }
        return Snapshot(self.position, flat)

    def _restore(self, snapshot: Snapshot | None) -> None:
        if snapshot is None:
            return
        self.world.load_state_dict(snapshot.group("world"))
        named = dict(self.world.named_parameters())
        shadow = {n: optimiser.laid_out_as(named[n], t) for n, t in snapshot.group("ema").items()}
        self._averages = AveragedWeights(shadow, snapshot.position.num_averaged)
        self._moments, self.position = snapshot.group("optimiser"), snapshot.position


def _part(name: str) -> str:
    """The component that a parameter belongs to: "backend", "heads.reward"."""
    first, _, rest = name.partition(".")
    return (
        f"{first}.{rest.partition('.')[0]}"
        if first in ("conditioners", "heads", "readouts")
        else first
    )


def _under(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(f"{prefix}.")


def _some_frames(footage: Footage) -> Tensor:
    """Frames of training episodes, evenly spaced."""
    index = footage.starts(1, held_out=False)
    return footage.frames[index[:: max(1, len(index) // PREPARE_FRAMES)][:PREPARE_FRAMES]]


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0
