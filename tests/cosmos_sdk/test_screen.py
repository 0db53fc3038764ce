from __future__ import annotations

import os

import pytest

from cosmos_sdk.screen import DRIVERS, SCREENS, draw_in_memory


@pytest.fixture(autouse=True)
def _unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*DRIVERS, *SCREENS):
        monkeypatch.setenv(name, "")  # restored in the end, whatever is done to it
        monkeypatch.delenv(name)
    monkeypatch.setattr("sys.platform", "linux")


def test_without_a_screen_pictures_are_drawn_in_memory() -> None:
    draw_in_memory()
    assert [os.environ[name] for name in DRIVERS] == ["dummy", "dummy"]


def test_a_screen_or_a_choice_of_the_user_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "offscreen")
    draw_in_memory()
    assert os.environ["SDL_VIDEODRIVER"] == "offscreen"
    monkeypatch.delenv("SDL_VIDEODRIVER")
    monkeypatch.setenv("DISPLAY", ":0")
    draw_in_memory()
    assert "SDL_VIDEODRIVER" not in os.environ
