"""Errors are distances and degrees, for whatever a simulator observes."""

from __future__ import annotations

import math

import pytest
import torch

from cosmos_sdk_evaluation.state_errors import Quantity, quantities


def test_components_are_grouped_by_their_names() -> None:
    names = ("agent_x", "agent_y", "block_x", "block_y", "block_angle", "speed")
    assert quantities(names) == [
        Quantity("agent", (0, 1)),
        Quantity("block", (2, 3)),
        Quantity("block_angle", (4,), "deg", is_angle=True),
        Quantity("speed", (5,)),
    ]


def test_units_say_what_is_an_angle() -> None:
    agent, heading = quantities(("agent_x", "agent_y", "heading"), ("m", "m", "rad"))
    assert (agent.unit, agent.is_angle) == ("m", False)
    assert (heading.unit, heading.is_angle) == ("deg", True)


def test_positions_are_distances_and_angles_go_the_short_way_round() -> None:
    agent, block, angle = quantities(("agent_x", "agent_y", "block_x", "block_y", "block_angle"))
    imagined = torch.tensor([[3.0, 4.0, 0.0, 0.0, 0.1]])
    true = torch.tensor([[0.0, 0.0, 0.0, 5.0, 2 * math.pi - 0.1]])
    assert agent.error(imagined, true).item() == pytest.approx(5)
    assert block.error(imagined, true).item() == pytest.approx(5)
    assert angle.error(imagined, true).item() == pytest.approx(math.degrees(0.2), abs=1e-3)
