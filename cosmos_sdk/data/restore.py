"""Any moment of a recording, put back into its true simulator."""

from __future__ import annotations

from pathlib import Path

from cosmos_sdk.data.description import describe
from cosmos_sdk.data.lerobot import LeRobotDataset
from cosmos_sdk.data.scenes import open_scene
from cosmos_sdk.errors import DataNotRestorableError, DatasetError
from cosmos_sdk.simulators import Simulator


def restore(root: str | Path, episode: int, frame: int = 0) -> Simulator:
    """The simulator in the state of a recorded moment; the recorded actions then give the recorded future, bit for bit.

    Raises:
        DataNotRestorableError: the recording has no simulator states.
        DatasetError: no such episode or frame.
    """
    dataset, description = LeRobotDataset(root), describe(root)
    if not description.restorable or description.env is None:
        reason = f"{description.env or 'its environment'} has no registered Simulator"
        raise DataNotRestorableError(
            f"{root} holds no simulator states: when it was recorded, {reason}."
        )
    if not 0 <= episode < len(dataset.episodes) or not 0 <= frame < len(dataset.episodes[episode]):
        raise DatasetError(
            f"{root}: no frame {frame} of episode {episode}; it has {len(dataset.episodes)} episodes."
        )
    scene = open_scene(description.env)
    scene.set_state(dataset.column("simulator_state")[dataset.episodes[episode].start + frame])
    return scene
