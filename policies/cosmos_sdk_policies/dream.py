"""Training in imagination: a run that can be killed and goes on, and `cosmos-sdk dream`."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import final

import torch
from torch import Tensor, nn
from tqdm import tqdm

from cosmos_sdk.cli.details import fields_of, with_details
from cosmos_sdk.cli.overrides import parse
from cosmos_sdk.config import differences, read_yaml, typed, write_yaml
from cosmos_sdk.errors import ConfigError, TrainingError
from cosmos_sdk.expected import check
from cosmos_sdk.files import replacing
from cosmos_sdk.rng import PLANNER, TRAINING, Rng
from cosmos_sdk.state import WorldState
from cosmos_sdk.training import optimiser
from cosmos_sdk.training.log import Log, read
from cosmos_sdk.training.losses import Meter
from cosmos_sdk.training.run import pick_device
from cosmos_sdk.training.snapshot import FILE, Position, Snapshot
from cosmos_sdk.world import WorldModel
from cosmos_sdk_policies.actor_critic import ActorCritic, ActorCriticConfig
from cosmos_sdk_policies.dream_policy import load_policy, save_policy
from cosmos_sdk_policies.encoded_starts import EncodedStarts
from cosmos_sdk_policies.learning_curve import learning_curve

Starts = Callable[[WorldModel, Tensor], WorldState]
CONFIG, POLICY, STAGE = "dream.yaml", "policy", "dream"
FREE = ("checkpoint_every", "tensorboard")  # may change while a run is interrupted
REPORT_EVERY = 50  # updates
PREPARE_STATES = 2048


@dataclass(frozen=True)
class DreamConfig:
    """What `cosmos-sdk dream` takes."""

    world: str = "pendulum"  # a bundled name or a folder
    data: str | None = (
        None  # a dataset whose frames dreams begin at; else the clips beside the world
    )
    num_starts: int = 10_000  # of those frames, at most
    init: str | None = None  # folder of a policy to go on from
    steps: int = 3000  # updates
    batch_size: int = 256  # dreams an update
    learning_rate: float = 1e-3
    learning_rate_end: float = 0.1  # share of it that is left at the end, along a cosine
    clip_norm: float = 10.0  # of the gradient of the actor, and of the critic
    seed: int = 0
    signal: str = "action"
    agent: ActorCriticConfig = field(default_factory=ActorCriticConfig)
    checkpoint_every: int = 500
    tensorboard: bool = True

    def __post_init__(self) -> None:
        """Refuses counts below 1, and rates of nothing."""
        least = ("steps", "batch_size", "num_starts", "checkpoint_every")
        rates = ("learning_rate", "clip_norm")
        check(
            self,
            **{name: (getattr(self, name) >= 1, "at least 1") for name in least},
            **{name: (getattr(self, name) > 0, "more than 0") for name in rates},
        )


@dataclass(frozen=True)
class Arguments(DreamConfig):
    """Those, where to compute, and where to."""

    device: str = "auto"
    out: str = "outputs/dream"

    @property
    def config(self) -> DreamConfig:
        """What the run depends on."""
        return DreamConfig(**{item.name: getattr(self, item.name) for item in fields(DreamConfig)})


@final
class Dreamer:
    """One run in one folder. Made again over the same folder, it goes on where it was."""

    def __init__(self, world: WorldModel, starts: Starts, config: DreamConfig, out: Path) -> None:
        """Builds actor and critic, or restores them.

        Args:
            world: to dream in; it is not changed.
            starts: first states of B dreams from seeds (B,).
            config: how to train.
            out: folder of the run: snapshot, log, picture, policy.

        Raises:
            ConfigError: the world lacks what an actor needs.
            TrainingError: `out` holds a run of another configuration.
        """
        _claim(config, out)
        self.world, self.starts, self.config, self.out = world, starts, config, out
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.agent = ActorCritic(world, config.agent, config.signal).to(world.device)
        self.position = Position()
        self._learnable = {n: p for n, p in self.agent.named_parameters() if p.requires_grad}
        self._adamw = torch.optim.AdamW(
            self._learnable.values(), config.learning_rate, eps=1e-8, weight_decay=0.0, fused=True
        )
        self._restore()

    def run(self) -> ActorCritic:
        """Trains to the last step and saves the policy; returns actor and critic."""
        config, first = self.config, self.position.step
        begun = time.monotonic() - self.position.seconds
        log = Log(self.out, {STAGE: config.steps}, (0, first), config.tensorboard)
        meter = Meter()
        bar = tqdm(total=config.steps, initial=first, desc=STAGE, unit="step")
        with bar, frozen(self.world):
            for step in range(first, config.steps):
                meter.add(self.update(step))
                self.position = Position(0, step + 1, 0, time.monotonic() - begun)
                bar.update()
                self._report(meter, log, bar)
        log.close()
        save_policy(self.agent, config.world, self.out / POLICY)
        return self.agent.eval()

    def update(self, step: int) -> dict[str, Tensor]:
        """One step of the optimiser: dream, judge, learn. A function of the weights and the step's number."""
        rows = torch.arange(self.config.batch_size) + (self.config.seed << 32)
        seed = Rng(rows, torch.full_like(rows, step), TRAINING).integers().to(self.world.device)
        with torch.no_grad():
            state = self.starts(self.world, seed)
            if not len(state):
                raise ConfigError(["starts: no state to dream from; give at least one real clip."])
        rng = Rng(seed, torch.zeros_like(seed), PLANNER)
        dream = self.agent.imagine(self.world, state, rng)
        actor_loss, critic_loss, figures = self.agent.losses(dream)
        self._descend({"actor": actor_loss, "critic": critic_loss}, step)
        self.agent.follow()
        return figures

    def _descend(self, losses: dict[str, Tensor], step: int) -> None:
        """Each loss moves the network of its name only."""
        for name, loss in losses.items():
            network: nn.Module = getattr(self.agent, name)
            own = list(network.parameters())
            for parameter, gradient in zip(own, torch.autograd.grad(loss, own), strict=True):
                parameter.grad = gradient
            nn.utils.clip_grad_norm_(own, self.config.clip_norm)
        self._adamw.param_groups[0]["lr"] = _rate(self.config, step)
        self._adamw.step()  # pyright: ignore[reportUnknownMemberType]

    def _report(self, meter: Meter, log: Log, bar: tqdm[None]) -> None:
        step = self.position.step
        last = step == self.config.steps
        save = last or step % self.config.checkpoint_every == 0
        if not save and step % REPORT_EVERY:
            return
        means = meter.read()  # raises before a broken state is saved
        bar.set_postfix({k: f"{v:.4g}" for k, v in means.items()}, refresh=False)  # pyright: ignore
        log.write(STAGE, step, means, self.position.seconds)
        if save:
            self._snapshot().write(self.out)
            learning_curve(self.out / "log.csv", self.out / "pictures" / "learning_curve.png")

    def _snapshot(self) -> Snapshot:
        groups = {
            "agent": self.agent.state_dict(),
            "optimiser": optimiser.moments(self._adamw, self._learnable),
        }
        flat = {f"{group}/{n}": t for group, held in groups.items() for n, t in held.items()}
        return Snapshot(self.position, flat)

    def _restore(self) -> None:
        snapshot = Snapshot.read(self.out)
        if snapshot is None:
            seed = torch.arange(PREPARE_STATES) + (self.config.seed << 32)
            if self.config.init is not None:
                _, before = load_policy(self.config.init, self.world)
                self.agent.load_state_dict(before.state_dict())
                return
            with torch.no_grad():
                self.agent.reader.prepare(self.starts(self.world, seed.to(self.world.device)))
            return
        self.agent.load_state_dict(snapshot.group("agent"))
        optimiser.restore(self._adamw, self._learnable, snapshot.group("optimiser"))
        self.position = snapshot.position


@contextmanager
def frozen(world: WorldModel) -> Generator[None]:
    """The world's weights need no gradient meanwhile: what flows through them is for the actor."""
    learnable = [p for p in world.parameters() if p.requires_grad]
    world.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learnable:
            parameter.requires_grad_()


@with_details(lambda _: f"\nkeys:\n{fields_of(Arguments)}")
def run(arguments: list[str]) -> int:
    """Trains a policy inside a world: `cosmos-sdk dream world=NAME|FOLDER [data=FOLDER] [out=FOLDER] [KEY=VALUE ...]`.

    world  a bundled name or a folder of a world with a head `reward`
    data   a LeRobotDataset whose frames dreams begin at; by default the clips beside the world's weights
    out    folder of the run (outputs/dream); the policy is out/policy; the same command goes on after a kill,
           and with more steps from the end
    KEY    steps=3000 batch_size=256 learning_rate=1e-3 seed=0; of the method agent.horizon=15 agent.discount=0.997
           agent.gradient=reinforce; against exploiting the world agent.guard.penalty=1 agent.guard.limit=0.2
           device=auto is an accelerator if there is one, else the CPU
    """
    options = parse(Arguments, arguments)
    config, out = options.config, Path(options.out)
    world = WorldModel.from_pretrained(config.world, pick_device(options.device))
    Dreamer(world, starts_of(world, config), config, out).run()
    sys.stdout.write(f"{out / POLICY}\n")
    return 0


def starts_of(world: WorldModel, config: DreamConfig) -> EncodedStarts:
    """Where the dreams of a configuration begin."""
    if config.data is None:
        return EncodedStarts.of_world(world, config.world)
    return EncodedStarts.of_dataset(world, config.data, config.num_starts)


def last_figure(out: Path, name: str) -> float:
    """The last value of a figure in the log of a run; NaN where it was never written."""
    values = [float(row["value"]) for row in read(out / "log.csv") if row["name"] == name]
    return values[-1] if values else float("nan")


def _claim(config: DreamConfig, out: Path) -> None:
    """Writes the configuration into its folder, unless another one has begun to train there.

    More steps are no other configuration: the run goes on from where it is.
    """
    path, mine = out / CONFIG, asdict(config)
    if path.is_file() and (out / FILE).is_file():
        there = typed(DreamConfig, read_yaml(path))
        free = (*FREE, "steps") if config.steps > there.steps else FREE
        changed = differences(asdict(there), mine)
        if told := [words for key, words in changed.items() if key not in free]:
            remedy = "Choose another out=<folder>, or delete this one; only `steps` may grow."
            raise TrainingError(
                f"{out} holds the run of another configuration: {', '.join(told)}. {remedy}"
            )
    out.mkdir(parents=True, exist_ok=True)
    with replacing(path) as draft:
        draft.write_text(write_yaml(mine), encoding="utf-8")


def _rate(config: DreamConfig, step: int) -> float:
    """A cosine from the learning rate to its end."""
    half = (1 + math.cos(math.pi * step / config.steps)) / 2
    left = config.learning_rate_end
    return config.learning_rate * (left + (1 - left) * half)
