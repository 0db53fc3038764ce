"""Drawing where there is no screen."""

from __future__ import annotations

import os
import sys

SCREENS = ("DISPLAY", "WAYLAND_DISPLAY")
DRIVERS = ("SDL_VIDEODRIVER", "SDL_AUDIODRIVER")


def draw_in_memory() -> None:
    """Tells SDL, which pygame draws with, that there is neither screen nor sound, where that is so.

    Pictures in memory need none; SDL looks for both all the same, and complains on stderr of not finding them. What
    the user has set stays.
    """
    if sys.platform == "linux" and not any(os.environ.get(name) for name in SCREENS):
        for name in DRIVERS:
            os.environ.setdefault(name, "dummy")
