"""Two datasets: a recording of ours, and a stranger's LeRobotDataset v3 folder, written with pyarrow and PyAV alone."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cosmos_sdk.data.collect import CollectConfig, collect

CAMERAS = ("observation.images.front", "observation.images.wrist")
LENGTHS = (12, 9, 15)
FPS = 15


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve episodes of the disc pusher, at most 20 steps each."""
    root = tmp_path_factory.mktemp("recording") / "disc"
    config = CollectConfig(
        "CosmosSDK/DiscPusher-v0", str(root), "disc-scripted", episodes=12, steps=20, processes=1
    )
    collect(config, progress=False)
    return root


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    """Two cameras of different size, a 7-D action and a 7-D state, three episodes, 15 frames per second."""
    root = tmp_path / "stranger"
    rng = np.random.default_rng(0)
    total = sum(LENGTHS)
    owner = np.repeat(np.arange(len(LENGTHS)), LENGTHS)
    frame = np.concatenate([np.arange(length) for length in LENGTHS])
    action = rng.normal(size=(total, 7)).astype(np.float32)
    columns = {
        "action": pa.array(action.tolist(), pa.list_(pa.float32())),
        "observation.state": pa.array(action.cumsum(0).tolist(), pa.list_(pa.float32(), 7)),
        "timestamp": pa.array((frame / FPS).astype(np.float32)),
        "frame_index": pa.array(frame),
        "episode_index": pa.array(owner),
        "index": pa.array(np.arange(total)),
        "task_index": pa.array(np.zeros(total, np.int64)),
    }
    (root / "data/chunk-000").mkdir(parents=True)
    pq.write_table(pa.table(columns), root / "data/chunk-000/file-000.parquet")
    for camera, size in zip(CAMERAS, ((48, 64), (32, 32)), strict=True):
        folder = root / "videos" / camera / "chunk-000"
        folder.mkdir(parents=True)
        _film(folder / "file-000.mp4", size, total)
    _write_meta(root, action)
    return root


def _film(path: Path, size: tuple[int, int], total: int) -> None:
    """A bar that is one pixel wider in every frame, so that a frame shows its number."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx264", rate=Fraction(FPS), options={"g": "2", "crf": "10"}
        )
        stream.height, stream.width, stream.pix_fmt = *size, "yuv444p"
        for k in range(total):
            picture = np.zeros((*size, 3), np.uint8)
            picture[:, : 1 + k % size[1]] = 200
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def _write_meta(root: Path, action: np.ndarray) -> None:
    ends = np.cumsum(LENGTHS).tolist()
    episodes: list[dict[str, Any]] = []
    for k, (length, end) in enumerate(zip(LENGTHS, ends, strict=True)):
        row = {"episode_index": k, "tasks": ["stack"], "length": length}
        row |= {"dataset_from_index": end - length, "dataset_to_index": end}
        row |= {"data/chunk_index": 0, "data/file_index": 0}
        for camera in CAMERAS:
            row |= {f"videos/{camera}/chunk_index": 0, f"videos/{camera}/file_index": 0}
            row[f"videos/{camera}/from_timestamp"] = (end - length) / FPS
            row[f"videos/{camera}/to_timestamp"] = end / FPS
        episodes.append(row)
    (root / "meta/episodes/chunk-000").mkdir(parents=True)
    pq.write_table(
        pa.Table.from_pylist(episodes), root / "meta/episodes/chunk-000/file-000.parquet"
    )
    scalar = {"dtype": "int64", "shape": [1], "names": None}
    joints = {"motors": [f"joint_{k}" for k in range(6)] + ["gripper"]}
    features: dict[str, Any] = {
        CAMERAS[0]: {
            "dtype": "video",
            "shape": [48, 64, 3],
            "names": ["height", "width", "channels"],
        },
        CAMERAS[1]: {
            "dtype": "video",
            "shape": [32, 32, 3],
            "names": ["height", "width", "channels"],
        },
        "action": {"dtype": "float32", "shape": [7], "names": joints},
        "observation.state": {"dtype": "float32", "shape": [7], "names": joints},
        "timestamp": {"dtype": "float32", "shape": [1], "names": None},
        **dict.fromkeys(("frame_index", "episode_index", "index", "task_index"), scalar),
    }
    info = {"codebase_version": "v3.0", "fps": FPS, "features": features}
    info |= {"total_episodes": 3, "total_frames": ends[-1], "splits": {"train": "0:3"}}
    (root / "meta/info.json").write_text(json.dumps(info))
    facts = {"min": action.min(0), "max": action.max(0), "q01": np.quantile(action, 0.01, 0)}
    facts |= {"q99": np.quantile(action, 0.99, 0)}
    own = {name: value.tolist() for name, value in facts.items()}
    (root / "meta/stats.json").write_text(json.dumps({"action": own, "observation.state": own}))
