"""The report is one file that opens anywhere, and its videos play in a browser."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import av
import numpy as np

from cosmos_sdk.results import Result
from cosmos_sdk_evaluation import report


class Tags(HTMLParser):
    """Fails on a tag that is closed but was not open."""

    VOID = ("meta", "img")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """`<line/>` opens nothing."""

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_well_formed_and_refers_to_nothing_outside(tmp_path: Path) -> None:
    frames = [np.full((33, 47, 3), shade, np.uint8) for shade in (0, 120, 255)]
    report.save_playable(tmp_path / "film.mp4", frames, 10)
    parts = [
        report.figures([Result("a < b", 1.5, "dB", 9, (1.0, 2.0), 0)]),
        report.image(frames[1], "a picture"),
        report.video(tmp_path / "film.mp4", "a film"),
        report.lines({"one": [(1, 2.0), (8, 3.0)], "flat": [(1, 1.0), (8, 1.0)]}, "steps", "dB"),
    ]
    text = report.page("Title & more", "Lead.", [report.section("Part", *parts, note="Why.")])
    tags = Tags()
    tags.feed(text)
    assert tags.open == []
    assert "a &lt; b" in text
    assert all(link.startswith("data:") for link in re.findall(r"src='([^']*)'", text))
    assert "http" not in text


def test_a_video_is_what_browsers_play(tmp_path: Path) -> None:
    frames = [np.full((33, 47, 3), shade, np.uint8) for shade in range(0, 200, 20)]
    report.save_playable(tmp_path / "film.mp4", frames, 10)
    with av.open(str(tmp_path / "film.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert sum(1 for _ in container.decode(stream)) == len(frames)


def test_panels_stand_side_by_side_under_their_names() -> None:
    one, two = (np.full((8, 8, 3), shade, np.uint8) for shade in (10, 200))
    panel = report.side_by_side({"true": one, "imagined": two}, scale=2)
    assert panel.shape == (16 + 24, 2 * (16 + 8), 3)
    assert panel[30, 10, 0] == 10
    assert panel[30, 40, 0] == 200
