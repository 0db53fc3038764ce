"""`cosmos-sdk collect`: records episodes as a LeRobotDataset v3 folder."""

from __future__ import annotations

import sys

from cosmos_sdk.cli.details import components, fields_of, with_details
from cosmos_sdk.config import override, typed


def details(arguments: list[str]) -> str:
    """The recorders, and the options of the one that is named."""
    from cosmos_sdk.data.scenes import RANDOM, options_of

    policy = override({}, arguments).get("policy")
    uniform = (RANDOM, "uniform actions, each held for one step")
    listed = f"\npolicies:\n{components('recorder', [uniform])}"
    if policy is None:
        return f"{listed}\n`cosmos-sdk collect policy=NAME --help` lists the keys of one.\n"
    config = options_of(policy)
    keys = "  none\n" if config is None else fields_of(config)
    return f"{listed}\nkeys of policy={policy}:\n{keys}"


@with_details(details)
def run(arguments: list[str]) -> int:
    """Records episodes of an environment: `cosmos-sdk collect env=ID out=FOLDER [policy=random] [episodes=100] ...`.

    Further keys: steps=300 (at most), size=64 (px), seed=0, camera=top, task="...", processes=0 (one a core).
    Other keys are the policy's own: `policy=mpc planner=icem world=simulator planner_options.num_samples=64`.
    The same command resumes an interrupted recording; with more episodes it extends it.
    """
    from cosmos_sdk.data.collect import CollectConfig, collect, keys

    given = override({}, arguments)
    own = {key: given.pop(key) for key in keys() if key in given}
    dataset = collect(typed(CollectConfig, {**own, "options": given}))
    sys.stdout.write(f"{dataset.root}: {len(dataset.episodes)} episodes, {len(dataset)} rows.\n")
    return 0
