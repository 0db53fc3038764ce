"""Errors of observed states in words a person uses: positions by distance, angles the short way round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Quantity:
    """Some columns of an observation that are one thing, such as the block's position."""

    name: str
    columns: tuple[int, ...]
    unit: str = ""  # of the error
    is_angle: bool = False  # radians; its error is given in degrees

    def error(self, imagined: Tensor, true: Tensor) -> Tensor:
        """The errors (...) of observations (..., P)."""
        difference = imagined[..., list(self.columns)] - true[..., list(self.columns)]
        if self.is_angle:
            turn = torch.remainder(difference[..., 0] + torch.pi, 2 * torch.pi) - torch.pi
            return torch.rad2deg(turn.abs())
        return difference.norm(dim=-1)


def quantities(names: Sequence[str], units: Sequence[str] = ()) -> list[Quantity]:
    """Groups components by their names: `agent_x`, `agent_y` are the position `agent`.

    What is in radians, or is called `*_angle` where no units are known, is an angle.
    """
    groups: dict[str, list[int]] = {}
    for column, name in enumerate(names):
        stem, _, axis = name.rpartition("_")
        groups.setdefault(stem if axis in ("x", "y", "z") and stem else name, []).append(column)
    found: list[Quantity] = []
    for name, columns in groups.items():
        unit = units[columns[0]] if units else ""
        is_angle = unit == "rad" if units else name.endswith("angle")
        found.append(Quantity(name, tuple(columns), "deg" if is_angle else unit, is_angle))
    return found
