"""WorldState is a value: no operation changes its input, and a saved state comes back bit for bit."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from cosmos_sdk.errors import CheckpointError, ShapeError, WriteError
from cosmos_sdk.state import Masked, WorldState


def state_of(seeds: list[int]) -> WorldState:
    """A state whose every entry names its row."""
    seed = torch.tensor(seeds)
    value = seed.float()
    memory = {
        "backend": {
            "keys": value.view(-1, 1, 1).expand(-1, 4, 2).contiguous(),
            "count": seed.clone(),
        },
        "camera": {},
    }
    return WorldState(
        value.view(-1, 1, 1).repeat(1, 3, 5),
        value.view(-1, 1, 1),
        memory,
        torch.zeros_like(seed),
        seed,
    )


def assert_same(a: WorldState, b: WorldState) -> None:
    assert a.tensors().keys() == b.tensors().keys()
    for name, tensor in a.tensors().items():
        assert torch.equal(tensor, b.tensors()[name]), name


def test_branching_one_row_costs_no_memory_and_copies_nothing() -> None:
    state = state_of([7])
    branched = state.branch(300)
    assert len(branched) == 300
    assert branched.latents.data_ptr() == state.latents.data_ptr()
    assert branched.latents.stride(0) == 0


def test_branches_of_several_rows_stand_row_major() -> None:
    assert state_of([1, 2]).branch(3).seed.tolist() == [1, 1, 1, 2, 2, 2]


def test_putting_its_own_rows_back_is_the_identity() -> None:
    state = state_of([1, 2, 3])
    index = torch.tensor([2, 0])
    assert_same(state.put(index, state.rows(index)), state)


@pytest.mark.parametrize(
    "source", [state_of([1, 2, 3]), state_of([1]).branch(3)], ids=["copied", "views"]
)
def test_putting_a_slot_leaves_the_input_and_the_other_rows_alone(source: WorldState) -> None:
    before = source.map(torch.clone)
    after = source.put(torch.tensor([1]), state_of([9]))
    assert_same(source, before)
    assert after.seed.tolist() == [int(source.seed[0]), 9, int(source.seed[2])]
    assert_same(after.rows(torch.tensor([0, 2])), source.rows(torch.tensor([0, 2])))


def test_putting_a_row_of_another_shape_names_the_tensor() -> None:
    other = state_of([9])
    wrong = WorldState(other.latents[:, :2], other.features, other.memory, other.time, other.seed)
    with pytest.raises(ShapeError, match="latents"):
        state_of([1, 2]).put(torch.tensor([0]), wrong)


def test_merging_states_of_different_worlds_is_refused() -> None:
    other = state_of([9])
    wrong = WorldState(other.latents, other.features, {"backend": {}}, other.time, other.seed)
    with pytest.raises(ShapeError, match="memory/backend/count"):
        state_of([1]).merge(wrong, lambda a, b: a + b)


def test_rows_take_an_index_a_mask_and_a_slice() -> None:
    state = state_of([4, 5, 6])
    assert state.rows(torch.tensor([2, 2, 0])).seed.tolist() == [6, 6, 4]
    assert state.rows(torch.tensor([True, False, True])).seed.tolist() == [4, 6]
    assert state.rows(slice(1, 2)).seed.tolist() == [5]


def test_reseeding_changes_the_future_only() -> None:
    state = state_of([1, 2])
    other = state.reseed(torch.tensor([8, 9]))
    assert other.seed.tolist() == [8, 9]
    assert state.seed.tolist() == [1, 2]
    assert other.latents is state.latents
    with pytest.raises(ShapeError):
        state.reseed(torch.tensor([1]))


@pytest.mark.parametrize(
    "source", [state_of([1, 2]), state_of([3]).branch(4)], ids=["plain", "branched"]
)
def test_a_saved_state_comes_back_bit_for_bit_with_its_empty_components(
    source: WorldState, tmp_path: Path
) -> None:
    source.save(tmp_path / "state.safetensors")
    loaded = WorldState.load(tmp_path / "state.safetensors")
    assert_same(loaded, source)
    assert loaded.memory["camera"] == {}


def test_a_failed_save_keeps_the_file_that_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.safetensors"
    state_of([1]).save(path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(WriteError, match=r"No space.*unchanged"):
        state_of([2]).save(path)
    assert WorldState.load(path).seed.tolist() == [1]
    assert [file.name for file in tmp_path.iterdir()] == ["state.safetensors"]


def test_a_damaged_or_foreign_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    state_of([1]).save(path)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(CheckpointError, match="cannot be read"):
        WorldState.load(path)
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="format"):
        WorldState.load(path)
    with pytest.raises(CheckpointError, match="cannot be read"):
        WorldState.load(tmp_path / "absent")


def test_zeroing_a_masked_value_removes_nan() -> None:
    masked = Masked(torch.tensor([[1.0, 2.0], [float("nan"), 4.0]]), torch.tensor([True, False]))
    assert masked.zeroed().values.tolist() == [[1.0, 2.0], [0.0, 0.0]]


def test_a_late_state_makes_a_field_when_it_is_looked_at_and_once() -> None:
    state, made = state_of([1, 2]), list[str]()

    def make(name: str) -> Any:
        made.append(name)
        return getattr(state, name)

    late = WorldState.late(make)
    assert isinstance(late, WorldState)
    assert len(late) == 2
    assert torch.equal(late.features, late.features)
    assert made == ["seed", "features"]
    assert_same(late, state)
    assert sorted(made) == ["features", "latents", "memory", "seed", "time"]
    for copied in (late.rows(slice(None)), copy.deepcopy(late), pickle.loads(pickle.dumps(late))):
        assert_same(copied, state)
    assert not hasattr(late, "latent")
