"""What a planner costs beyond its model: ours, and those of other libraries where they are installed, on one network.

The network is 20 -> 128 -> 128 -> 16: a state of 16 numbers and an action of 4 to the next state, whose sum is the
reward. CEM with 256 samples, horizon 10 and 5 iterations; MPPI with one iteration. The plain loop is what one writes
down who needs CEM for this network and nothing else: no class, no checks, torch's own noise. It runs under `no_grad`,
and once more in inference mode, as our planners do. A backend that unrolls is the fast path of our planners; one that
only steps shows what a world without it pays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from time import perf_counter
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor, nn

from cosmos_sdk.protocols import Prediction, Rollout
from cosmos_sdk.registry import registry
from cosmos_sdk.results import Result
from cosmos_sdk.rng import PLANNER, Rng
from cosmos_sdk.state import Control, Masked, Tensors, WorldState
from cosmos_sdk.statistics import bootstrap
from cosmos_sdk.unrolling import Unrolled
from cosmos_sdk.world import WorldModel

STATE, ACTION, WIDTH = 16, 4, 128
SAMPLES, HORIZON, ITERATIONS, ELITES = 256, 10, 5, 32
PLAIN, ONCE = "plain loop", ", 1 iteration"
Plan = Callable[[], Any]


def network() -> nn.Sequential:
    """20 -> 128 -> 128 -> 16."""
    layers = [nn.Linear(STATE + ACTION, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(WIDTH, STATE)).requires_grad_(False)


@dataclass(frozen=True)
class NoOptions:
    """The network has no run-time options."""


class Stepping(nn.Module):
    """The network as a backend."""

    context = window = chunk = 1
    feature_width, differentiable = 0, True

    def __init__(self, net: nn.Sequential) -> None:
        super().__init__()
        self.net, self.sampling = net, NoOptions()

    def start(self, latents: Tensor, control: Control, rng: Rng) -> tuple[Tensor, Tensors]:
        return latents.new_zeros(len(latents), 1, 0), {}

    def predict(self, state: WorldState, control: Control, rng: Rng) -> Prediction:
        action = control.signals["action"].values[:, 0]
        after = self.net(torch.cat((state.latents[:, -1], action), 1))
        return Prediction(after[:, None], state.features, {})


class Unrolling(Stepping):
    """The same with the fast path."""

    def unroll(self, state: WorldState, control: Control) -> Unrolled:
        net, latent, latents = self.net, state.latents[:, -1], list[Tensor]()
        actions = control.signals["action"].values
        for action in actions.unbind(1):
            latent = net(torch.cat((latent, action), 1))
            latents.append(latent)
        features = latent.new_zeros(*actions.shape[:2], 0)
        return Unrolled(lambda: torch.stack(latents, 1), features, {})


class RawAction:
    """The action, no tokens."""

    start_space, num_tokens, width = None, 0, 1
    space = spaces.Box(-1, 1, (ACTION,), np.float32)

    def start(self, signal: Masked) -> Tensors:
        return {}

    def embed(self, signal: Masked, time: Tensor, memory: Tensors) -> tuple[Masked, Tensors]:
        mask = signal.mask[:, :, None, None].expand(-1, -1, -1, 0)
        return Masked(mask[..., None].float(), mask), memory


class SumOfState:
    """The reward (B, 1)."""

    def start(self, state: WorldState) -> Tensors:
        return {}

    def read(
        self, before: WorldState, control: Control, after: WorldState, memory: Tensors
    ) -> tuple[Tensor, Tensors]:
        return after.latents[:, -1].sum(1, keepdim=True), memory


class NoFrames:
    """States have no pictures."""

    latent_shape = (STATE,)

    def encode(self, frames: Tensor) -> Tensor:
        raise NotImplementedError("this world starts from states")

    def decode(self, latents: Tensor, num_frames: int) -> Tensor:
        raise NotImplementedError("this world has no pictures")


class Return:
    """Cost (B,): minus the sum of rewards."""

    def cost(self, rollout: Rollout, control: Control) -> Tensor:
        return -rollout.values["reward"].sum(1)


@torch.no_grad()
def plain_cem(net: nn.Sequential, begin: Tensor, iterations: int = ITERATIONS) -> Tensor:
    """The first action of CEM, written down once; begin (1, 16)."""
    mean, std = torch.zeros(HORIZON, ACTION), torch.ones(HORIZON, ACTION)
    for _ in range(iterations):
        plans = (mean + std * torch.randn(SAMPLES, HORIZON, ACTION)).clamp(-1, 1)
        state, returns = begin.expand(SAMPLES, -1), torch.zeros(SAMPLES)
        for k in range(HORIZON):
            state = net(torch.cat((state, plans[:, k]), 1))
            returns = returns + state.sum(1)
        elites = plans[returns.topk(ELITES).indices]
        mean, std = elites.mean(0), elites.std(0)
    return mean[0]


def ours(name: str, backend: Stepping, **options: Any) -> Plan:
    """One of our planners on the network."""
    parts = ({"action": RawAction()}, {"reward": SumOfState()}, {})
    world = WorldModel(NoFrames(), backend, *parts)
    zero = torch.zeros(1, dtype=torch.int64)
    state = world.start(torch.zeros(1, 1, STATE), {}, zero)
    size = {"horizon": HORIZON, "action_block": 1, "num_samples": SAMPLES, "num_elites": ELITES}
    planner = registry().load("planner", name)(**size, **options)
    return lambda: planner.plan(world, state, Return(), Rng(zero, zero, PLANNER))


def torchrl_cem(net: nn.Sequential) -> Plan:
    """Torchrl's CEMPlanner on the network."""
    from tensordict import TensorDict  # pyright: ignore[reportMissingImports]
    from torchrl.data import Bounded, Composite, Unbounded  # pyright: ignore[reportMissingImports]
    from torchrl.envs import EnvBase  # pyright: ignore[reportMissingImports]
    from torchrl.modules import CEMPlanner  # pyright: ignore[reportMissingImports]

    class Imagined(EnvBase):
        """The network as torchrl's environment; batch locked off, so that candidates are its batch."""

        def __init__(self) -> None:
            super().__init__(batch_size=[])
            self._batch_locked = False
            self.observation_spec = Composite(state=Unbounded((STATE,)))
            self.action_spec = Bounded(-1, 1, (ACTION,))
            self.reward_spec = Unbounded((1,))

        def _step(self, tensordict: Any) -> Any:
            after = net(torch.cat((tensordict["state"], tensordict["action"]), -1))
            done = torch.zeros(*after.shape[:-1], 1, dtype=torch.bool)
            values = {"state": after, "reward": after.sum(-1, keepdim=True)}
            return TensorDict({**values, "done": done, "terminated": done}, tensordict.shape)

        def _reset(self, tensordict: Any = None, **kwargs: Any) -> Any:
            return TensorDict({"state": torch.zeros(STATE)}, [])

        def _set_seed(self, seed: int | None) -> None: ...

    env = Imagined()
    planner = CEMPlanner(env, HORIZON, ITERATIONS, SAMPLES, ELITES)
    begin = TensorDict({"state": torch.zeros(1, STATE)}, [1])
    return lambda: planner(begin.clone())


def pytorch_mppi(net: nn.Sequential) -> Plan:
    """pytorch-mppi's MPPI, one iteration."""
    from pytorch_mppi import MPPI  # pyright: ignore[reportMissingImports]

    def dynamics(state: Tensor, action: Tensor) -> Tensor:
        return net(torch.cat((state, action), -1))

    def cost(state: Tensor, action: Tensor) -> Tensor:
        return -state.sum(-1)

    low, high = -torch.ones(ACTION), torch.ones(ACTION)
    options = {
        "num_samples": SAMPLES,
        "horizon": HORIZON,
        "lambda_": 0.5,
        "u_min": low,
        "u_max": high,
    }
    planner = MPPI(dynamics, cost, STATE, torch.eye(ACTION), **options)
    return lambda: planner.command(torch.zeros(STATE))


def planning_overhead(repeats: int = 30) -> list[Result]:
    """Milliseconds a plan, every planner in turn `repeats` times, and the ratio to the plain loop of the same turn."""
    torch.manual_seed(0)
    net, begin = network(), torch.zeros(1, STATE)
    unrolling, cem = Unrolling(net), {"num_iterations": ITERATIONS}
    plans: dict[str, Plan] = {
        PLAIN: lambda: plain_cem(net, begin),
        f"{PLAIN} in inference mode": torch.inference_mode()(lambda: plain_cem(net, begin)),
        "cem": ours("cem", unrolling, **cem),
        "cem, a backend that only steps": ours("cem", Stepping(net), **cem),
        f"{PLAIN}{ONCE}": lambda: plain_cem(net, begin, 1),
        f"mppi{ONCE}": ours("mppi", unrolling, num_iterations=1),
    }
    if find_spec("torchrl"):
        plans["torchrl CEMPlanner"] = torchrl_cem(net)
    if find_spec("pytorch_mppi"):
        plans[f"pytorch-mppi MPPI{ONCE}"] = pytorch_mppi(net)
    spent = _in_turn(plans, repeats)
    results: list[Result] = []
    for name, seconds in spent.items():
        plain = spent[f"{PLAIN}{ONCE}" if name.endswith(ONCE) else PLAIN]
        results += _compared(f"planning a network, {name}", np.array(seconds), np.array(plain))
    return results


def _compared(label: str, seconds: NDArray[np.float64], plain: NDArray[np.float64]) -> list[Result]:
    """Milliseconds, and how many times those of the plain loop: in the median turn, and of both at their fastest."""
    n, ratios = len(seconds), seconds / plain

    def median(what: str, values: NDArray[np.float64], unit: str) -> Result:
        interval = bootstrap(values.tolist(), statistic=np.median)
        return Result(what, float(np.median(values)), unit, n, interval)

    best = float(seconds.min() / plain.min())
    return [
        median(label, 1e3 * seconds, "ms"),
        median(f"{label}, of the plain loop", ratios, "x"),
        Result(f"{label}, of the plain loop, both at their fastest", best, "x", n),
    ]


def _in_turn(plans: Mapping[str, Plan], repeats: int) -> dict[str, list[float]]:
    spent: dict[str, list[float]] = {name: [] for name in plans}
    for repeat in range(repeats + 2):  # the first two warm up
        for name, plan in plans.items():
            begin = perf_counter()
            plan()
            if repeat > 1:
                spent[name].append(perf_counter() - begin)
    return spent
