from __future__ import annotations

import json
import shutil
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cosmos_sdk.data.lerobot import LeRobotDataset
from cosmos_sdk.errors import DatasetError

DATA = "data/chunk-000/file-000.parquet"
FRONT, WRIST = "observation.images.front", "observation.images.wrist"


def test_a_strangers_folder_is_read(stranger: Path) -> None:
    dataset = LeRobotDataset(stranger)
    dataset.check()
    assert dataset.cameras == (FRONT, WRIST)
    assert [len(episode) for episode in dataset.episodes] == [12, 9, 15]
    assert dataset.column("action").shape == (36, 7)
    frames = dataset.frames(FRONT, 1)
    assert frames.shape == (9, 48, 64, 3)
    widths = (frames[:, 24, :, 0] > 100).sum(-1)
    np.testing.assert_array_equal(widths, np.arange(13, 22))  # frames 12 to 20 of the file


def test_what_we_write_others_read(recording: Path) -> None:
    """Without a line of ours: pyarrow for the rows, PyAV for the frames, the time stamps to match them."""
    info = json.loads((recording / "meta/info.json").read_text())
    rows = pq.read_table(recording / DATA)
    episodes = pq.read_table(recording / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    assert info["codebase_version"] == "v3.0"
    assert info["total_frames"] == len(rows) == episodes[-1]["dataset_to_index"]
    assert set(info["features"]) - {"observation.images.top"} == set(rows.column_names)
    assert rows.column("index").to_pylist() == list(range(len(rows)))
    with av.open(
        str(recording / "videos/observation.images.top/chunk-000/file-000.mp4")
    ) as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert len(times) == len(rows)
    for episode in episodes:
        begin, end = episode["dataset_from_index"], episode["dataset_to_index"]
        assert times[begin] == pytest.approx(
            episode["videos/observation.images.top/from_timestamp"]
        )
        own = rows.slice(begin, end - begin)
        assert set(own.column("episode_index").to_pylist()) == {episode["episode_index"]}
        assert own.column("frame_index")[0].as_py() == 0
    state = np.stack(rows.column("observation.state").to_numpy())
    stats = json.loads((recording / "meta/stats.json").read_text())["observation.state"]
    np.testing.assert_allclose(stats["mean"], state.mean(0, dtype=np.float64), rtol=1e-9)
    np.testing.assert_allclose(stats["std"], state.astype(np.float64).std(0), rtol=1e-9)
    assert stats["min"] == state.min(0).tolist()


def test_tasks_carry_the_index_that_pandas_expects(recording: Path) -> None:
    schema = pq.read_schema(recording / "meta/tasks.parquet")
    assert json.loads(schema.metadata[b"pandas"])["index_columns"] == ["task"]


def test_a_truncated_video_names_the_episode(stranger: Path) -> None:
    video = stranger / "videos" / WRIST / "chunk-000/file-000.mp4"
    data = video.read_bytes()
    video.write_bytes(data[: len(data) // 2])
    with pytest.raises(DatasetError, match=rf"episode 0: {WRIST} has 0 of 12 frames.*truncated"):
        LeRobotDataset(stranger).check()


def test_a_video_that_ends_early_names_the_episode_and_the_frames(stranger: Path) -> None:
    video = stranger / "videos" / FRONT / "chunk-000/file-000.mp4"
    short = video.with_name("short.mp4")
    with av.open(str(video)) as source, av.open(str(short), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for k, packet in enumerate(source.demux(source.streams.video[0])):
            if k < 16 and packet.size:
                packet.stream = stream
                target.mux(packet)
    short.replace(video)
    with pytest.raises(DatasetError, match=rf"episode 1: {FRONT} has \d of 9 frames"):
        LeRobotDataset(stranger).check()


def test_a_missing_column_names_the_episodes(stranger: Path) -> None:
    table = pq.read_table(stranger / DATA)
    pq.write_table(table.drop_columns("action"), stranger / DATA)
    with pytest.raises(DatasetError, match=r"episodes 0 to 2: .* has no column 'action'"):
        LeRobotDataset(stranger).check()


def test_a_gap_in_time_stamps_names_the_episode(stranger: Path) -> None:
    table = pq.read_table(stranger / DATA)
    times = table.column("timestamp").to_numpy().copy()
    times[12 + 5 : 12 + 9] += 0.2
    index = table.column_names.index("timestamp")
    pq.write_table(table.set_column(index, "timestamp", pa.array(times)), stranger / DATA)
    with pytest.raises(
        DatasetError, match=r"episode 1: time stamps jump from 0\.267 s to 0\.533 s at frame 5"
    ):
        LeRobotDataset(stranger).check()


def test_rows_that_belong_to_nobody_name_the_episode(stranger: Path) -> None:
    table = pq.read_table(stranger / DATA)
    owner = table.column("episode_index").to_numpy().copy()
    owner[22] = 0
    index = table.column_names.index("episode_index")
    pq.write_table(table.set_column(index, "episode_index", pa.array(owner)), stranger / DATA)
    with pytest.raises(DatasetError, match="episode 2: its rows"):
        LeRobotDataset(stranger).check()


def test_a_damaged_parquet_file_names_the_episodes(stranger: Path) -> None:
    data = (stranger / DATA).read_bytes()
    (stranger / DATA).write_bytes(data[: len(data) // 2])
    with pytest.raises(DatasetError, match=r"episodes 0 to 2: .* is damaged"):
        LeRobotDataset(stranger).check()


def test_a_missing_file_names_the_episodes(stranger: Path) -> None:
    (stranger / DATA).unlink()
    with pytest.raises(DatasetError, match=r"episodes 0 to 2: .* is missing"):
        LeRobotDataset(stranger).check()


def test_a_folder_without_info_is_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"meta/info\.json is missing"):
        LeRobotDataset(tmp_path)


def test_other_versions_name_the_converter(stranger: Path) -> None:
    info = json.loads((stranger / "meta/info.json").read_text())
    (stranger / "meta/info.json").write_text(json.dumps({**info, "codebase_version": "v2.1"}))
    with pytest.raises(DatasetError, match=r"version v2\.1; expected v3\. Convert"):
        LeRobotDataset(stranger)


def test_an_unknown_feature_names_the_nearest(stranger: Path) -> None:
    with pytest.raises(DatasetError, match="Did you mean 'action'"):
        LeRobotDataset(stranger).column("actions")


def test_episodes_that_are_not_listed_are_missed(stranger: Path) -> None:
    shutil.rmtree(stranger / "meta/episodes")
    with pytest.raises(DatasetError, match="0 of 3 episodes are listed"):
        LeRobotDataset(stranger)
