"""An actor that learned in a world, acting on real pictures: what is seen enters the world, whose features it reads."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from cosmos_sdk.checkpoint import read_weights
from cosmos_sdk.config import read_yaml, typed, write_yaml
from cosmos_sdk.errors import CheckpointError, ConfigError
from cosmos_sdk.files import replacing
from cosmos_sdk.rng import PLANNER, Rng
from cosmos_sdk.simulators import Simulator
from cosmos_sdk.world import WorldModel
from cosmos_sdk_policies.actor_critic import ActorCritic, ActorCriticConfig
from cosmos_sdk_policies.sight import views_of
from cosmos_sdk_policies.suiting import check_scene
from cosmos_sdk_policies.world_sight import Views, WorldSight

FORMAT = "cosmos-sdk/dream-policy/1"
CONFIG, WEIGHTS = "config.yaml", "model.safetensors"


@dataclass(frozen=True)
class SavedPolicy:
    """`config.yaml` of a policy's folder."""

    format: str
    world: str  # the bundled name or folder of the world that it was trained in and sees through
    signal: str
    agent: ActorCriticConfig


def save_policy(agent: ActorCritic, world: str | Path, folder: Path) -> None:
    """Writes weights and configuration, the configuration last."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: t.detach().cpu().contiguous() for name, t in agent.state_dict().items()}
    with replacing(folder / WEIGHTS) as draft:
        save_file(tensors, draft)
    saved = SavedPolicy(FORMAT, str(world), agent.signal_name, agent.config)
    with replacing(folder / CONFIG) as draft:
        draft.write_text(write_yaml(asdict(saved)), encoding="utf-8")


@final
class DreamPolicy:
    """Policy `dream`: one environment's pictures in, its actions out.

    What it sees enters the world, and the actor reads the state. Where the world is acted in by chunks, so is reality:
    the actions of a chunk are given one by one, and everything is seen meanwhile.
    """

    def __init__(
        self,
        agent: ActorCritic | str | Path,
        world: WorldModel | None = None,
        *,
        deterministic: bool = True,
        chunks: bool = False,
        views: Views = views_of,
    ) -> None:
        """See the class.

        Args:
            agent: actor and critic, or the folder that `save_policy` wrote.
            world: that it sees through; by default the one that the folder names.
            deterministic: take the distribution's mode, or draw from it.
            chunks: give whole chunks (chunk, A), for an env that takes them.
            views: takes the frames (V, h, w, 3) out of one observation.

        Raises:
            CheckpointError: the folder is not one of a policy, or its world is missing.
            ConfigError: an agent without its world.
        """
        if not isinstance(agent, ActorCritic):
            world, agent = load_policy(agent, world)
        if world is None:
            raise ConfigError(["DreamPolicy: give the world that the agent sees through."])
        self.world, self.agent = world, agent
        self.deterministic, self.chunks = deterministic, chunks
        self._sight = WorldSight(world, agent.signal_name, views)
        self.reset()

    def reset(self, seed: int | None = None) -> None:
        """An episode begins; `seed` is that of the actions drawn in it."""
        self._seed, self._decisions = torch.tensor([seed or 0]), 0
        self._left: list[Tensor] = []  # of the chunk under way
        self._sight.reset(seed)

    @torch.no_grad()
    def act(self, observation: Any) -> NDArray[Any]:
        """The action (A,), or chunk (chunk, A), for a picture (h, w, 3), pictures (V, h, w, 3) or a mapping of them."""
        self._sight.see(observation)
        self._left = self._left or list(self._decide())
        given = self._left if self.chunks else self._left[:1]
        self._left = self._left[len(given) :]
        self._sight.took(given[-1])
        return (torch.stack(given) if self.chunks else given[0]).cpu().numpy()

    def _decide(self) -> Tensor:
        """The signal (chunk, *shape) for the state of now."""
        agent = self.agent
        policy = agent.actor(agent.reader(self._sight.enter()))
        draw = agent.actor.draws(Rng(self._seed, torch.tensor([self._decisions]), PLANNER), 1)[:, 0]
        self._decisions += 1
        return agent.actor.signal(policy.mode() if self.deterministic else policy.sample(draw))[0]


def load_policy(
    folder: str | Path, world: WorldModel | None = None
) -> tuple[WorldModel, ActorCritic]:
    """Reads what `save_policy` wrote, and the world that it names unless one is given.

    Raises:
        CheckpointError: no such folder, a foreign or damaged one, or weights that fit another world.
    """
    folder = Path(folder)
    if not (folder / CONFIG).is_file():
        raise CheckpointError(
            f"{folder} is no policy: it has no {CONFIG}. `cosmos-sdk dream` writes one into out/policy."
        )
    values = read_yaml(folder / CONFIG)
    if values.get("format") != FORMAT:
        got = values.get("format")
        raise CheckpointError(f"{folder / CONFIG} has format {got!r}; expected {FORMAT!r}.")
    saved = typed(SavedPolicy, values)
    world = world or WorldModel.from_pretrained(saved.world)
    agent = ActorCritic(world, saved.agent, saved.signal)
    try:
        agent.load_state_dict(read_weights(folder / WEIGHTS))
    except RuntimeError as error:
        raise CheckpointError(
            f"{folder / WEIGHTS} does not fit the world {saved.world!r}: {error}"
        ) from error
    return world, agent.to(world.device).eval()


@dataclass(frozen=True)
class DreamRecorderConfig:
    """`cosmos-sdk collect policy=dream agent=outputs/dream/policy noise=0.3`."""

    agent: str  # folder
    deterministic: bool = False
    noise: float = 0.0  # standard deviation added to actions, as a share of half their range


@final
class DreamRecorder:
    """Recorder `dream`: a dream policy drives the scene that is recorded, seeing only its pictures."""

    def __init__(self, config: DreamRecorderConfig, env: str) -> None:
        """Loads the policy, so that what cannot record fails before anything is written."""
        self._config = config
        self._policy = DreamPolicy(config.agent, deterministic=config.deterministic)
        check_scene(self._policy.world, env, self._policy.agent.signal_name)

    def reset(self, rng: Generator, scene: Simulator) -> None:
        """A new episode begins; all its noise is rng's."""
        self._rng = rng
        self._policy.reset(int(rng.integers(2**31)))

    def act(self, scene: Simulator) -> NDArray[Any]:
        """The action for what the scene shows now."""
        height, width = self._policy.world.spec.frames[1:] if self._policy.world.spec else (64, 64)
        action = self._policy.act(scene.render_clean(height, width))
        spec = scene.action_spec
        if not self._config.noise or spec.num_actions is not None:
            return action
        half = (np.asarray(spec.high) - np.asarray(spec.low)) / 2
        noisy = action + self._config.noise * half * self._rng.normal(size=np.shape(action))
        return np.clip(noisy, spec.low, spec.high).astype(np.float32)
