from __future__ import annotations

import subprocess
import sys

from cosmos_sdk.registry import registry


def test_scenes_are_named_by_their_gymnasium_ids() -> None:
    assert {"gym_pusht/PushT-v0", "CosmosSDK/DiscPusher-v0"} <= set(registry().names("simulator"))
    assert {"pusht-scripted", "pusht-scatter", "disc-scripted"} <= set(registry().names("policy"))


def test_listing_the_scenes_imports_no_simulator() -> None:
    code = (
        f"import sys; sys.path[:] = {sys.path!r}; import cosmos_sdk_scenes; "
        "print({'torch', 'pygame', 'gym_pusht', 'gymnasium'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
