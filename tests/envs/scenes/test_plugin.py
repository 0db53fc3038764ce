from __future__ import annotations

import subprocess
import sys

from cosmos_sdk.registry import registry


def test_scenes_are_named_by_their_gymnasium_ids() -> None:
    assert {"gym_pusht/PushT-v0", "CosmosSDK/DiscPusher-v0"} <= set(registry().names("simulator"))
    recorders = set(registry().names("recorder"))
    assert {"pusht-scripted", "pusht-scatter", "disc-scripted"} <= recorders


def in_a_fresh_process(code: str) -> str:
    code = f"import sys; sys.path[:] = {sys.path!r}; {code}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_listing_the_scenes_imports_no_simulator() -> None:
    heavy = "{'torch', 'pygame', 'gym_pusht', 'cosmos_sdk_scenes.disc_pusher'} & set(sys.modules)"
    assert in_a_fresh_process(f"import cosmos_sdk_scenes; print({heavy})") == "set()"


def test_the_prefix_of_the_package_is_enough_for_gymnasium() -> None:
    make = "gymnasium.make('cosmos_sdk_scenes:CosmosSDK/DiscPusher-v0').spec.id"
    assert in_a_fresh_process(f"import gymnasium; print({make})") == "CosmosSDK/DiscPusher-v0"
