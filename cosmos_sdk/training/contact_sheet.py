"""A picture that says more than a figure: true frames above imagined ones, one column a horizon."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from torch import Tensor

from cosmos_sdk.files import replacing

MARGIN, BAND = 34, 14  # pixels: for the names of rows, for the names of columns
SCALE = 2  # every pixel of a frame is shown as SCALE x SCALE


def contact_sheet(
    true: Tensor,
    imagined: Tensor,
    columns: Sequence[str],
    rows: tuple[str, str] = ("true", "model"),
) -> np.ndarray:
    """Arranges N windows at H horizons.

    Args:
        true: (N, H, V, 3, h, w) uint8.
        imagined: the same shape.
        columns: H labels.
        rows: labels of the two lines of a window.

    Returns:
        (height, width, 3) uint8 RGB; the views of a frame stand side by side.
    """
    if true.shape != imagined.shape or len(columns) != true.shape[1]:
        raise ValueError(
            f"frames {tuple(true.shape)} and {tuple(imagined.shape)} do not fit {len(columns)} labels"
        )
    lines = [line for pair in zip(_lines(true), _lines(imagined), strict=True) for line in pair]
    body = np.concatenate(lines, 0)
    sheet = np.full((body.shape[0] + BAND, body.shape[1] + MARGIN, 3), 255, np.uint8)
    sheet[BAND:, MARGIN:] = body
    height, width = lines[0].shape[0], body.shape[1] // len(columns)
    for k, label in enumerate(columns):
        _write(sheet, label, MARGIN + k * width + 2, BAND - 4)
    for k in range(len(lines)):
        _write(sheet, rows[k % 2], 1, BAND + k * height + height // 2)
        if k % 2 == 0:
            sheet[BAND + k * height] = 0  # a line between windows
    return sheet


def save_png(picture: np.ndarray, path: Path) -> None:
    """Writes (h, w, 3) uint8 RGB, whole or not at all."""
    _, encoded = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    with replacing(path) as draft:
        draft.write_bytes(encoded.tobytes())


def _lines(frames: Tensor) -> list[np.ndarray]:  # (N, H, V, 3, h, w) -> N x (h, H * V * w, 3)
    num, horizons, views, _, height, width = frames.shape
    flat = (
        frames.cpu()
        .permute(0, 4, 1, 2, 5, 3)
        .reshape(num, height, horizons * views * width, 3)
        .numpy()
    )
    return [line.repeat(SCALE, 0).repeat(SCALE, 1) for line in flat]


def _write(sheet: np.ndarray, text: str, x: int, y: int) -> None:
    cv2.putText(sheet, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.32, (0, 0, 0), 1, cv2.LINE_AA)
