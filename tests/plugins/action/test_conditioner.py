from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces

from cosmos_sdk.control import fill
from cosmos_sdk.errors import ConfigError
from cosmos_sdk.protocols import Parts, Spec
from cosmos_sdk.state import Masked
from cosmos_sdk.testing import check_conditioner
from cosmos_sdk_action.conditioner import ActionConditioner, ActionConditionerConfig

TIME = torch.arange(1, 4).expand(2, 3)
SPACES = {
    "action": spaces.Box(np.array([-1, 0], np.float32), np.array([1, 10], np.float32)),
    "block": spaces.Box(-1, 1, (5, 2)),
    "free": spaces.Box(-np.inf, np.inf, (3,)),
    "keys": spaces.Discrete(4, start=2),
}


def conditioner(name: str, **config: int) -> ActionConditioner:
    torch.manual_seed(0)
    parts = Parts(Spec((1, 8, 8), 10.0, SPACES), name=name)
    return ActionConditioner(ActionConditionerConfig(**config), parts)


def embed(component: ActionConditioner, values: torch.Tensor) -> Masked:
    present = Masked(values, torch.ones(values.shape[:2], dtype=torch.bool))
    return component.embed(present, TIME, {})[0]


@pytest.mark.parametrize("name", SPACES)
def test_every_action_meets_the_contract(name):
    check_conditioner(conditioner(name, width=8, hidden=8))


@pytest.mark.parametrize("name", SPACES)
def test_every_action_becomes_one_token_a_frame(name):
    component = conditioner(name, width=16)
    values = torch.tensor(np.array([[SPACES[name].sample() for _ in range(3)] for _ in range(2)]))
    tokens = embed(component, values)
    assert tokens.values.shape == (2, 3, 1, 1, 16)
    assert tokens.mask.shape == (2, 3, 1, 1)
    assert tokens.mask.all()
    assert torch.isfinite(tokens.values).all()


def test_bounds_scale_the_action():
    component = conditioner("action")
    wide = ActionConditioner(
        ActionConditionerConfig(),
        Parts(Spec((1, 8, 8), 10.0, {"action": spaces.Box(-1, 1, (2,))})),
    )
    wide.load_state_dict(component.state_dict())
    unit = torch.rand(2, 3, 2) * 2 - 1
    scaled = torch.stack((unit[..., 0], (unit[..., 1] + 1) * 5), -1)
    torch.testing.assert_close(embed(component, scaled).values, embed(wide, unit).values)


def test_huge_actions_without_bounds_stay_moderate():
    component = conditioner("free")
    small, huge = (embed(component, torch.full((2, 3, 3), v)).values for v in (1e2, 1e8))
    assert huge.abs().max() < 10 * small.abs().max()


def test_different_keys_give_different_tokens():
    component = conditioner("keys")
    tokens = embed(component, torch.tensor([[2, 3, 4], [5, 3, 2]])).values[:, :, 0, 0]
    torch.testing.assert_close(tokens[0, 0], tokens[1, 2])
    assert len(torch.unique(tokens.flatten(0, 1), dim=0)) == 4


@pytest.mark.parametrize("name", SPACES)
def test_an_absent_action_is_a_masked_token_whatever_it_holds(name):
    component = conditioner(name)
    shape = (2, 3, *(SPACES[name].shape or ()))
    mask = torch.tensor([[True, False, True], [False, False, False]])
    good = torch.full(shape, 3, dtype=torch.int64) if name == "keys" else torch.full(shape, 0.3)
    bad = good.clone()
    bad[~mask] = -999 if name == "keys" else float("nan")
    a, b = (component.embed(Masked(values, mask), TIME, {})[0] for values in (good, bad))
    assert torch.equal(a.values, b.values)
    assert torch.equal(a.mask[:, :, 0, 0], mask)


def test_two_embodiments_are_two_conditioners_masked_where_they_do_not_apply():
    pair = [("action", conditioner("action", width=8)), ("keys", conditioner("keys", width=24))]
    arm_row = torch.tensor([[True] * 3, [False] * 3])
    signals = {
        "action": Masked(torch.rand(2, 3, 2), arm_row),
        "keys": Masked(torch.full((2, 3), 4), ~arm_row),
    }
    filled = fill(pair, signals, TIME, torch.float32)
    tokens = {name: part.embed(filled[name], TIME, {})[0] for name, part in pair}
    assert torch.equal(tokens["action"].mask[:, :, 0, 0], arm_row)
    assert torch.equal(tokens["keys"].mask[:, :, 0, 0], ~arm_row)
    assert tokens["keys"].values.shape[-1] == 24


def test_gradients_reach_the_action():
    component = conditioner("action").double()
    action = torch.rand(2, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a: embed(component, a).values, (action,))


def test_a_component_that_never_moves_does_no_harm():
    parts = Parts(
        Spec((1, 8, 8), 10.0, {"action": spaces.Box(np.zeros(2, "f"), np.array([0, 1], "f"))})
    )
    tokens = embed(ActionConditioner(ActionConditionerConfig(), parts), torch.zeros(2, 3, 2))
    assert torch.isfinite(tokens.values).all()


def test_gradients_are_finite_without_bounds():
    action = torch.zeros(2, 3, 3, requires_grad=True)
    embed(conditioner("free"), action).values.sum().backward()
    assert action.grad is not None
    assert torch.isfinite(action.grad).all()
    assert (action.grad != 0).any()


def test_an_unknown_action_names_the_nearest():
    with pytest.raises(ConfigError, match="Did you mean 'action'"):
        conditioner("actions")


def test_a_space_that_is_no_action_is_refused():
    parts = Parts(Spec((1, 8, 8), 10.0, {"text": spaces.Text(5)}), name="text")
    with pytest.raises(ConfigError, match="Box or Discrete"):
        ActionConditioner(ActionConditionerConfig(), parts)
