"""A page that opens anywhere: figures, plots, pictures and videos inside one HTML file."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosmos_sdk.results import Result
from cosmos_sdk_evaluation.results import interval_of, value_of

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1c2430; }
h1 { font-size: 1.7rem; } h2 { margin-top: 2.2rem; font-size: 1.2rem; } p.note { color: #5a6472; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
td, th { padding: .25rem .9rem .25rem 0; text-align: left; border-bottom: 1px solid #e3e7ec; }
img, video { max-width: 100%; image-rendering: pixelated; border: 1px solid #e3e7ec; } svg { max-width: 100%; }
"""
COLOURS = ("#1f6feb", "#d1242f", "#1a7f37", "#9a6700", "#8250df")


def page(title: str, lead: str, sections: Sequence[str]) -> str:
    """The whole document."""
    head = f"<meta charset='utf-8'><title>{escape(title)}</title><style>{STYLE}</style>"
    body = f"<h1>{escape(title)}</h1><p>{escape(lead)}</p>" + "".join(sections)
    return f"<!doctype html><html lang='en'><head>{head}</head><body>{body}</body></html>\n"


def section(title: str, *parts: str, note: str = "") -> str:
    """A heading, what it means in a sentence, and its parts."""
    words = f"<p class='note'>{escape(note)}</p>" if note else ""
    return f"<h2>{escape(title)}</h2>{words}" + "".join(parts)


def figures(results: Sequence[Result]) -> str:
    """A table of figures."""
    cells = "".join(
        f"<tr><td>{escape(r.name)}</td><td>{escape(value_of(r))}</td>"
        f"<td>{interval_of(r)}</td><td>{r.n}</td></tr>"
        for r in results
    )
    return f"<table><tr><th>figure</th><th>value</th><th>95 % interval</th><th>n</th></tr>{cells}</table>"


def image(picture: NDArray[np.uint8], alt: str) -> str:
    """A picture (h, w, 3) inside the page."""
    import cv2

    _, encoded = cv2.imencode(".png", picture[..., ::-1])
    return f"<img alt='{escape(alt)}' src='data:image/png;base64,{_text(encoded.tobytes())}'>"


def video(path: Path, alt: str) -> str:
    """A video file inside the page."""
    source = f"data:video/mp4;base64,{_text(path.read_bytes())}"
    return f"<video controls loop muted autoplay aria-label='{escape(alt)}' src='{source}'></video>"


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def lines(series: Mapping[str, Sequence[tuple[float, float]]], x_label: str, y_label: str) -> str:
    """A line plot as SVG: name -> points (x, y)."""
    points = [point for values in series.values() for point in values]
    (x0, x1), (y0, y1) = ((min(axis), max(axis)) for axis in zip(*points, strict=True))
    width, height, left, bottom = 560, 300, 60, 40

    def place(x: float, y: float) -> tuple[float, float]:
        across = left + (x - x0) / ((x1 - x0) or 1) * (width - left - 150)
        return across, height - bottom - (y - y0) / ((y1 - y0) or 1) * (height - bottom - 20)

    marks = [f"<line x1='{left}' y1='10' x2='{left}' y2='{height - bottom}' stroke='#aab2bd'/>"]
    for value in np.linspace(y0, y1, 5):
        _, y = place(x0, float(value))
        marks.append(f"<text x='{left - 8}' y='{y + 4:.0f}' text-anchor='end'>{value:.3g}</text>")
        marks.append(
            f"<line x1='{left}' y1='{y:.1f}' x2='{width - 150}' y2='{y:.1f}' stroke='#eef1f4'/>"
        )
    for value in sorted({x for x, _ in points}):
        marks.append(
            f"<text x='{place(value, y0)[0]:.0f}' y='{height - 22}' text-anchor='middle'>{value:g}</text>"
        )
    for number, (name, values) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*value) for value in values))
        marks.append(f"<polyline points='{path}' fill='none' stroke='{colour}' stroke-width='2'/>")
        marks.append(
            f"<text x='{width - 140}' y='{30 + 20 * number}' fill='{colour}'>{escape(name)}</text>"
        )
    marks.append(f"<text x='{left}' y='{height - 4}'>{escape(x_label)}</text>")
    marks.append(
        f"<text x='14' y='{height / 2}' transform='rotate(-90 14 {height / 2})' text-anchor='middle'>"
        f"{escape(y_label)}</text>"
    )
    return f"<svg viewBox='0 0 {width} {height}' width='{width}' font-size='12' role='img'>{''.join(marks)}</svg>"


def curves(results: Sequence[Result], quantity: str = "PSNR", unit: str = "dB") -> str:
    """A plot of the figures that are named `<row> <quantity> @<steps ahead>`; nothing without any."""
    series: dict[str, list[tuple[float, float]]] = {}
    for result in results:
        name, marker, horizon = result.name.partition(f" {quantity} @")
        if marker and math.isfinite(result.value):
            series.setdefault(name, []).append((float(horizon), result.value))
    return lines(series, "steps ahead", f"{quantity}, {unit}") if series else ""


def save_playable(path: Path, frames: Sequence[NDArray[np.uint8]], rate: float) -> None:
    """An mp4 that every browser plays (H.264, 4:2:0) from frames (h, w, 3); recordings use a lossless codec instead."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = (side - side % 2 for side in frames[0].shape[:2])
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=round(rate), options={"crf": "16"})
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        for frame in frames:
            picture = np.ascontiguousarray(frame[:height, :width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def side_by_side(pictures: Mapping[str, NDArray[np.uint8]], scale: int = 4) -> NDArray[np.uint8]:
    """Labelled pictures (h, w, 3) in a row, each pixel `scale` x `scale`."""
    import cv2

    panels: list[NDArray[np.uint8]] = []
    for name, picture in pictures.items():
        large = picture.repeat(scale, 0).repeat(scale, 1)
        panel = np.full((large.shape[0] + 24, large.shape[1] + 8, 3), 255, np.uint8)
        panel[24:, 4:-4] = large
        cv2.putText(
            panel, name, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (28, 36, 48), 1, cv2.LINE_AA
        )
        panels.append(panel)
    return np.concatenate(panels, 1)
