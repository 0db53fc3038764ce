"""A goal picture is a goal latent, once it is encoded: `GoalImage.encode(world, images)`."""

from cosmos_sdk_policies.goal_latent import GoalLatent as GoalImage

__all__ = ["GoalImage"]
