"""`cosmos-sdk train`: makes a world from data, and goes on where it was killed."""

from __future__ import annotations

import sys
from pathlib import Path

from cosmos_sdk.errors import ConfigError, did_you_mean

OUT = "outputs/train"


def run(arguments: list[str]) -> int:
    """Trains a world: tokenizer, then dynamics and heads.

    usage: cosmos-sdk train [config=NAME|FILE] [data=FOLDER] [out=FOLDER] [KEY=VALUE ...]

      config  a recipe: a YAML file, or the name of a bundled world, such as pusht-diffusion;
              without it a recipe is derived from the cameras, actions and columns of `data`
      data    a LeRobotDataset v3 folder; data.NAME=FOLDER for one of several
      out     folder of the run (outputs/train); the world is out/world; the same command goes on after a kill
      KEY     anything in the recipe: seed=1 device=cuda stages.tokenizer.steps=100 world.backend.preset=m
    """
    from cosmos_sdk.training import recipe
    from cosmos_sdk.training.defaults import default_recipe
    from cosmos_sdk.training.run import train

    given = {key: value for key, _, value in (word.partition("=") for word in arguments)}
    source, data = given.get("config"), given.get("data")
    overrides = [word for word in arguments if word.partition("=")[0] not in ("config", "out")]
    if source is None and data is None:
        near = "".join(did_you_mean(key, ("config", "data")) for key in given)
        problem = (
            "config or data is required: config=<name or file>, or data=<a LeRobot v3 folder>."
        )
        raise ConfigError([problem + near])
    values = recipe.read(source) if source is not None else default_recipe(str(data))
    made = recipe.overridden(values, overrides)
    folder = train(made, Path(given.get("out", OUT)))
    sys.stdout.write(f"{folder}\n")
    return 0
