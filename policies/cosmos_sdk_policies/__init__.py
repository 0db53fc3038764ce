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
    register(
        "predictive-sampling",
        f"{here}.predictive_sampling:PredictiveSampling",
        "the best of noisy copies of the last plan",
    )
    register(
        "categorical-cem", f"{here}.categorical_cem:CategoricalCEM", "CEM over discrete actions"
    )
    register(
        "mixture-cem", f"{here}.mixture_cem:MixtureCEM", "CEM from several places, and from a prior"
    )
    register("best-of-n", f"{here}.best_of_n:BestOfN", "a policy proposes, the world judges")
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
    register("goal-latent", "cosmos_sdk_policies.goal_latent:GoalLatent", "distance of latents")
    here = "cosmos_sdk_policies.objectives"
    register("action-penalty", f"{here}:ActionPenalty", "size and change of the actions")
    register("uncertainty-penalty", f"{here}:UncertaintyPenalty", "what a head doubts")
    register("weighted-sum", f"{here}:WeightedSum", "other objectives, weighted")


@hookimpl
def register_priors(register: Register) -> None:
    """Classes whose instances satisfy `cosmos_sdk_policies.proposals.Prior`."""
    here = "cosmos_sdk_policies.proposals"
    register("goal", f"{here}:GoalPrior", "what recordings did on the way to a goal")
    register("policy", f"{here}:ImaginedPolicy", "a policy of single actions, asked in imagination")


@hookimpl
def register_policies(register: Register) -> None:
    """Factories of objects with `act`."""
    here = "cosmos_sdk_policies"
    register("random", f"{here}.policy:RandomPolicy", "uniform actions, any environment")
    register("mpc", f"{here}.mpc:MPCPolicy", "plans in a world: (planner, world, objective)")
    register(
        "dream", f"{here}.dream_policy:DreamPolicy", "learned in a world: (folder, world=None)"
    )


@hookimpl
def register_recorders(register: Register) -> None:
    """Who makes data."""
    register(
        "mpc",
        "cosmos_sdk_policies.mpc_recorder:MPCRecorder",
        "plans in the true simulator, or in a world",
    )
    register(
        "dream",
        "cosmos_sdk_policies.dream_policy:DreamRecorder",
        "an actor that learned in a world, from pictures",
    )


@hookimpl
def register_tasks(register: Register) -> None:
    """Measurements of policies."""
    register(
        "pusht-ranking",
        "cosmos_sdk_policies.pusht_ranking:pusht_ranking",
        "how well a world ranks policies",
    )
    register(
        "dream-return",
        "cosmos_sdk_policies.dream_return:dream_return",
        "what a policy that learned in a world earns there and in reality",
    )


@hookimpl
def register_commands(register: Register) -> None:
    """Training inside worlds."""
    here = "cosmos_sdk_policies"
    register("dream", f"{here}.dream:run", "Train a policy inside a learned world.")
    register("dyna", f"{here}.dyna:run", "Alternate recording, world training and dreaming.")
