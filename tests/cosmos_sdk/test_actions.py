from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

from cosmos_sdk.actions import ActionSpec, Gripper
from cosmos_sdk.errors import ActionError

NUMBERS = st.floats(-1e4, 1e4, width=32, allow_subnormal=False)
ARM = ActionSpec(
    names=("x", "y", "z", "roll", "pitch", "yaw", "gripper"),
    low=(-0.5, -0.5, 0.0, -3.1, -3.1, -3.1, 0.0),
    high=(0.5, 0.5, 0.8, 3.1, 3.1, 3.1, 0.08),
    units=("m", "m", "m", "rad", "rad", "rad", "m"),
    frame="base",
    rate=30.0,
    gripper=Gripper(6, 1),
)


@st.composite
def specs(draw: st.DrawFn) -> ActionSpec:
    size = draw(st.integers(1, 4))
    pairs = [sorted((draw(NUMBERS), draw(NUMBERS))) for _ in range(size)]
    low, high = (tuple(pair[side] for pair in pairs) for side in (0, 1))
    spec = ActionSpec(tuple("abcd"[:size]), low, high)
    return spec.with_quantiles(low, high) if draw(st.booleans()) else spec


@given(specs(), st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_what_is_normalised_comes_back_bit_for_bit(spec: ActionSpec, shares: list[float]) -> None:
    low, high = np.asarray(spec.low), np.asarray(spec.high)
    action = (low + np.asarray(shares[: spec.size]) * (high - low)).astype(np.float32)
    floor = 2.0**-26 * np.maximum(np.abs(spec.offset), spec.scale)
    action = np.where(np.abs(action) < floor, np.float32(0), action)
    back = spec.denormalise(spec.normalise(action)).astype(np.float32)
    np.testing.assert_array_equal(back, action)


@given(specs())
def test_bounds_become_plus_and_minus_one(spec: ActionSpec) -> None:
    moves = np.asarray(spec.high) > np.asarray(spec.low)
    np.testing.assert_allclose(spec.normalise(spec.high)[moves], 1, rtol=1e-9)
    np.testing.assert_allclose(spec.normalise(spec.low)[moves], -1, rtol=1e-9)


@given(specs())
def test_a_spec_survives_json(spec: ActionSpec) -> None:
    assert ActionSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_gripper_and_discrete_actions_survive_json() -> None:
    for spec in (ARM, ActionSpec(num_actions=5, rate=2.0)):
        assert ActionSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


@given(specs(), st.integers(0, 2**31))
def test_checked_actions_lie_in_the_space(spec: ActionSpec, seed: int) -> None:
    wild = np.random.default_rng(seed).normal(scale=1e5, size=spec.size).astype(np.float32)
    checked = spec.check(wild)
    assert spec.space.contains(checked)
    np.testing.assert_array_equal(spec.check(checked), checked)


def test_a_closed_gripper_comes_back_as_zero() -> None:
    assert ARM.denormalise(ARM.normalise(np.zeros(7)))[6] == 0


def test_quantiles_change_the_normalisation_and_not_the_bounds() -> None:
    spec = ARM.with_quantiles([-0.1] * 7, [0.3] * 7)
    assert spec.normalisation == "quantile"
    assert spec.space == ARM.space
    np.testing.assert_allclose(spec.normalise([0.3] * 7), 1)


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (np.zeros(6, np.float32), r"shape \(6,\); expected \(..., 7\)"),
        (np.zeros(7, np.int64), "dtype int64; expected float32"),
        (np.array(["a"] * 7), "dtype"),
        (np.array([0, 0, np.nan, 0, 0, 0, 0], np.float32), "NaN or infinity in z"),
        (np.array([0, 0, 0, 0, np.inf, 0, 0], np.float32), "NaN or infinity in pitch"),
    ],
)
def test_a_wrong_action_is_named(action: Any, message: str) -> None:
    with pytest.raises(ActionError, match=message):
        ARM.check(action)


def test_out_of_bounds_is_clipped_or_refused_as_declared() -> None:
    action = np.full(7, 0.6, np.float32)
    np.testing.assert_array_equal(ARM.check(action)[:2], np.float32(0.5))
    strict = ActionSpec(ARM.names, ARM.low, ARM.high, out_of_bounds="refuse")
    with pytest.raises(ActionError, match="out of bounds in x, y, gripper"):
        strict.check(action)


def test_discrete_actions_are_whole_numbers_in_range() -> None:
    spec = ActionSpec(num_actions=3)
    assert spec.space == spaces.Discrete(3)
    np.testing.assert_array_equal(spec.check([0, 2]), [0, 2])
    with pytest.raises(ActionError, match=r"expected 0\.\.2"):
        spec.check(3)
    with pytest.raises(ActionError, match="whole number"):
        spec.check(1.5)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"names": ("a", "a"), "low": (0, 0), "high": (1, 1)}, "distinct"),
        ({"names": ("a",), "low": (2,), "high": (1,)}, "low at most high"),
        ({"names": ("a",), "low": (0,), "high": (np.inf,)}, "finite"),
        ({"names": ("a",), "low": (0, 1), "high": (1,)}, "as many bounds"),
        ({"names": ("a",), "low": (0,), "high": (1,), "frame": "moon"}, "choose from world, base"),
        ({"names": ("a",), "low": (0,), "high": (1,), "rate": 0.0}, "rate"),
        ({"num_actions": 0}, "num_actions"),
        ({"names": ("a",), "low": (0,), "high": (1,), "gripper": Gripper(1, 1)}, "gripper"),
    ],
)
def test_an_impossible_spec_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ActionError, match=message):
        ActionSpec(**values)


def test_an_unknown_key_names_the_nearest() -> None:
    with pytest.raises(ActionError, match="Did you mean 'rate'"):
        ActionSpec.from_dict({"ratee": 1.0})


def test_gymnasium_spaces_become_specs() -> None:
    box = ActionSpec.from_space(spaces.Box(-2.0, 3.0, (2,)), 20.0)
    assert box.space == spaces.Box(-2.0, 3.0, (2,))
    assert box.names == ("action_0", "action_1")
    assert ActionSpec.from_space(spaces.Box(-2.0, 3.0, (1,)), 20.0).names == ("action",)
    assert ActionSpec.from_space(spaces.Discrete(4), 5.0).num_actions == 4
    with pytest.raises(ActionError, match="bounded Box"):
        ActionSpec.from_space(spaces.Box(-np.inf, np.inf, (2,)), 1.0)
