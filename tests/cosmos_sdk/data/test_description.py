from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from cosmos_sdk.actions import ActionSpec
from cosmos_sdk.data.description import describe
from cosmos_sdk.errors import DatasetError


def test_a_recording_knows_its_action_and_its_bounds(recording: Path) -> None:
    found = describe(recording)
    assert found.signals == {"action": "action.relative"}
    assert (found.action.frame, found.action.relative, found.action.rate) == ("agent", True, 10.0)
    assert found.boxes["state"].high == [1.0] * 4
    assert set(found.targets) == {"state", "reward", "terminated"}
    assert found.restorable
    assert found.env == "CosmosSDK/DiscPusher-v0"


def test_units_of_the_state_are_recorded_and_described(recording: Path, stranger: Path) -> None:
    features = json.loads((recording / "meta/info.json").read_text())["features"]
    assert features["observation.state"]["units"] == ["m", "m", "m", "m"]
    assert describe(recording).boxes["state"].units == ["m", "m", "m", "m"]
    assert "units" not in features["next.reward"]
    assert describe(recording).boxes["reward"].units == []
    assert describe(stranger).boxes["state"].units == []


def test_units_that_fit_no_dimensions_are_not_believed(recording: Path, tmp_path: Path) -> None:
    root = tmp_path / "copy"
    shutil.copytree(recording, root)
    info = json.loads((root / "meta/info.json").read_text())
    info["features"]["observation.state"]["units"] = "metres"
    (root / "meta/info.json").write_text(json.dumps(info))
    assert describe(root).boxes["state"].units == []


def test_a_strangers_folder_says_enough_for_a_world(stranger: Path) -> None:
    found = describe(stranger)
    assert found.cameras == ("observation.images.front", "observation.images.wrist")
    assert (found.size, found.rate) == ((48, 64), 15.0)
    assert found.action.names == (*(f"joint_{k}" for k in range(6)), "gripper")
    assert found.action.normalisation == "quantile"
    assert not found.restorable
    spec = found.spec((32, 32))
    assert (tuple(spec.frames), spec.rate) == ((2, 32, 32), 15.0)
    assert ActionSpec.from_dict(spec.actions["action"]).space.shape == (7,)
    assert set(spec.targets) == {"state"}


def test_one_component_has_the_plain_name_of_its_column(recording: Path, stranger: Path) -> None:
    boxes = describe(recording).boxes
    assert (boxes["reward"].names, boxes["terminated"].names) == (["reward"], ["terminated"])
    info = json.loads((stranger / "meta/info.json").read_text())
    stats = json.loads((stranger / "meta/stats.json").read_text())
    for column in ("action", "observation.state"):
        info["features"][column] |= {"shape": [1], "names": None}
        stats[column] = {name: value[:1] for name, value in stats[column].items()}
    (stranger / "meta/info.json").write_text(json.dumps(info))
    (stranger / "meta/stats.json").write_text(json.dumps(stats))
    found = describe(stranger)
    assert (found.action.names, found.boxes["state"].names) == (("action",), ["state"])


def test_numbered_actions_are_discrete(stranger: Path) -> None:
    info = json.loads((stranger / "meta/info.json").read_text())
    info["features"]["action"] = {"dtype": "int64", "shape": [1], "names": None}
    (stranger / "meta/info.json").write_text(json.dumps(info))
    stats = json.loads((stranger / "meta/stats.json").read_text())
    (stranger / "meta/stats.json").write_text(
        json.dumps({**stats, "action": {"min": [0], "max": [4]}})
    )
    assert describe(stranger).action.num_actions == 5


def test_a_value_that_never_changes_still_has_a_range(stranger: Path) -> None:
    stats = json.loads((stranger / "meta/stats.json").read_text())
    stats["observation.state"]["max"] = stats["observation.state"]["min"]
    (stranger / "meta/stats.json").write_text(json.dumps(stats))
    box = describe(stranger).boxes["state"]
    assert (np.asarray(box.high) > np.asarray(box.low)).all()


@pytest.mark.parametrize(
    ("feature", "message"), [("action", "no feature 'action'"), ("video", "no camera")]
)
def test_what_a_world_cannot_do_without_is_missed(
    stranger: Path, feature: str, message: str
) -> None:
    info = json.loads((stranger / "meta/info.json").read_text())
    kept = {
        key: value
        for key, value in info["features"].items()
        if key != feature and value["dtype"] != feature
    }
    (stranger / "meta/info.json").write_text(json.dumps({**info, "features": kept}))
    with pytest.raises(DatasetError, match=message):
        describe(stranger)


def test_unbounded_observations_take_the_bounds_of_the_recording(
    recording: Path, tmp_path: Path
) -> None:
    root = tmp_path / "copy"
    shutil.copytree(recording, root)
    about = json.loads((root / "meta/recording.json").read_text())
    about["observation"]["high"] = [None] * 4  # JSON has no infinity
    (root / "meta/recording.json").write_text(json.dumps(about))
    box, stats = describe(root).boxes["state"], json.loads((root / "meta/stats.json").read_text())
    assert box.high == stats["observation.state"]["max"]
