"""A true simulator as a world: the oracle that learned worlds are compared with, through the same interface."""

from __future__ import annotations

from cosmos_sdk.hookspecs import Register, hookimpl


@hookimpl
def register_tokenizers(register: Register) -> None:
    """Pictures of simulator states."""
    register(
        "simulator",
        "cosmos_sdk_simulator.tokenizer:SimulatorTokenizer",
        "simulator states to pictures",
    )


@hookimpl
def register_conditioners(register: Register) -> None:
    """Actions as the simulator takes them."""
    register(
        "simulator", "cosmos_sdk_simulator.conditioner:SimulatorAction", "the raw action, no tokens"
    )


@hookimpl
def register_backends(register: Register) -> None:
    """The simulator."""
    register("simulator", "cosmos_sdk_simulator.backend:SimulatorBackend", "a true simulator")


@hookimpl
def register_heads(register: Register) -> None:
    """What the simulator said of its last step."""
    register("simulator-reward", "cosmos_sdk_simulator.heads:SimulatorReward", "true reward")
    register(
        "simulator-termination",
        "cosmos_sdk_simulator.heads:SimulatorTermination",
        "true end, 0 or 1",
    )


@hookimpl
def register_readouts(register: Register) -> None:
    """What the simulator shows of its state."""
    register("simulator-state", "cosmos_sdk_simulator.heads:SimulatorState", "true observation")


@hookimpl
def register_simulators(register: Register) -> None:
    """Gymnasium's own environments: one name for all of them (`cosmos_sdk.simulators.OTHERS`)."""
    register(
        "gymnasium/*",
        "cosmos_sdk_simulator.gymnasium_scene:gymnasium_scene",
        "any id of MuJoCo (extra: mujoco) or classic control (extra: classic)",
    )


@hookimpl
def register_recorders(register: Register) -> None:
    """Who records any scene."""
    register(
        "exploring",
        "cosmos_sdk_simulator.exploring:Exploring",
        "smooth random actions from spread starts, for recording",
    )
