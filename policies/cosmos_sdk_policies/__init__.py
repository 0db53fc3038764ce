"""Policies and planners that act in learned worlds."""

from __future__ import annotations

from cosmos_sdk.hookspecs import Register, hookimpl


@hookimpl
def register_planners(register: Register) -> None:
    """Classes whose instances satisfy `cosmos_sdk.protocols.Planner`."""
    here = "cosmos_sdk_policies"
    register(
        "random-shooting", f"{here}.random_shooting:RandomShooting", "the best of uniform samples"
    )
    register("cem", f"{here}.cem:CEM", "cross-entropy method")
    register(
        "icem", f"{here}.icem:ICEM", "CEM with coloured noise, kept elites, shrinking population"
    )
    register("mppi", f"{here}.mppi:MPPI", "model-predictive path integral control")
    register("gradient", f"{here}.gradient:Gradient", "Adam through a differentiable world")


@hookimpl
def register_objectives(register: Register) -> None:
    """Classes whose instances satisfy `cosmos_sdk.protocols.Objective`."""
    register("reward", "cosmos_sdk_policies.reward_objective:RewardObjective", "predicted return")
    register(
        "goal-state", "cosmos_sdk_policies.goal_state:GoalState", "distance of a readout to a goal"
    )
    register(
        "goal-image", "cosmos_sdk_policies.goal_image:GoalImage", "latent distance to a goal image"
    )


@hookimpl
def register_policies(register: Register) -> None:
    """Factories of objects with `act`."""
    here = "cosmos_sdk_policies"
    register("random", f"{here}.policy:RandomPolicy", "uniform actions, any environment")
    register("mpc", f"{here}.mpc:MPCPolicy", "plans in a world: (planner, world, objective)")
