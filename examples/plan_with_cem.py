"""Plan with CEM, act, look, plan again: a disc is pushed into its goal.

The world here is the true simulator behind the `WorldModel` interface, so nothing has to be trained or downloaded.
Put a learned world in its place, `WorldModel.from_pretrained("pusht-diffusion")`, and the planner does not notice.

    python examples/plan_with_cem.py
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import torch

from cosmos_sdk.registry import registry
from cosmos_sdk.rng import PLANNER, Rng
from cosmos_sdk_policies.cem import CEM
from cosmos_sdk_policies.goal_state import GoalState
from cosmos_sdk_simulator.world import simulator_world

ENV_ID = "CosmosSDK/DiscPusher-v0"
REPLAN_EVERY = 4  # steps executed of each plan


def drive(planner: CEM, seed: int, num_decisions: int) -> bool:
    """Plays one episode in the simulator; prints a line per decision. Returns whether the disc arrived."""
    world = simulator_world(ENV_ID)
    scene = registry().load("simulator", ENV_ID)()
    scene.reset(seed)
    # The state is (agent x, y, block x, y) in metres: the block in the middle, within 5 cm; the agent anywhere
    anywhere = float("inf")
    objective = GoalState(torch.full((4,), 0.5), scale=(anywhere, anywhere, 0.05, 0.05))
    plan = None
    for decision in range(num_decisions):
        state = world.start(
            torch.from_numpy(scene.get_state())[None, None], {}, torch.tensor([seed])
        )
        rng = Rng(torch.tensor([seed]), torch.tensor([decision]), PLANNER)
        plan = planner.plan(world, state, objective, rng, previous=plan)
        for action in plan.actions[0, :REPLAN_EVERY].numpy():
            _, terminated, _ = scene.step(action)
            if terminated:
                print(f"episode {seed}: arrived at decision {decision}")
                return True
        block = ", ".join(f"{number:.2f}" for number in scene.observe()[2:])
        print(
            f"episode {seed}: block at ({block}) m, cost {plan.cost.item():7.2f}, {plan.seconds:.2f} s"
        )
        plan = replace(
            plan, actions=plan.actions[:, REPLAN_EVERY:]
        )  # what is left of it: a warm start
    return False


def main() -> None:
    """Reads the command line and plays."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--episodes", type=int, default=3)
    parser.add_argument("--smoke", action="store_true", help="two quick decisions, for tests")
    options = parser.parse_args()
    planner = CEM(horizon=4, action_block=4, num_samples=64, num_elites=8, num_iterations=4)
    if options.smoke:
        drive(
            replace(planner, num_samples=8, num_elites=2, num_iterations=2), seed=0, num_decisions=2
        )
        return
    arrived = sum(drive(planner, seed, num_decisions=15) for seed in range(options.episodes))
    print(f"{arrived} of {options.episodes} episodes arrived")


if __name__ == "__main__":
    main()
