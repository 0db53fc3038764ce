"""Images for people: cameras side by side, slots in a grid, and a window."""

from __future__ import annotations

import math
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from cosmos_sdk.errors import MissingPackageError

Image = NDArray[np.uint8]
_WINDOW_WIDTH = 512  # pixels at least: a world of 64x64 would be a stamp


def side_by_side(cameras: Image) -> Image:
    """One picture (h, V * w, 3) of the cameras (V, h, w, 3) of one slot."""
    return np.concatenate(list(cameras), axis=1)


def grid(images: list[Image]) -> Image:
    """One picture of many of the same size, row by row in a nearly square grid; what is left over stays black."""
    columns = math.ceil(math.sqrt(len(images)))
    rows = math.ceil(len(images) / columns)
    height, width, channels = images[0].shape
    picture = np.zeros((rows, height, columns, width, channels), np.uint8)
    for number, image in enumerate(images):
        picture[number // columns, :, number % columns] = image
    return picture.reshape(rows * height, columns * width, channels)


@final
class Window:
    """A window on the screen, opened with the first picture: pygame's, since headless builds of OpenCV have none."""

    def __init__(self, title: str, fps: float) -> None:
        """Opens nothing yet.

        Raises:
            MissingPackageError: pygame is not installed.
        """
        try:
            import pygame
        except ImportError as error:
            raise MissingPackageError(
                "pygame", "render_mode='human'", "pip install pygame"
            ) from error
        self._pygame: Any = pygame
        self._title, self._fps = title, fps
        self._screen: Any = None
        self._clock: Any = None

    def show(self, picture: Image) -> None:
        """Draws one picture (h, w, 3) and waits so long that the world runs at its own rate."""
        pygame = self._pygame
        scale = max(1, -(-_WINDOW_WIDTH // picture.shape[1]))
        size = (picture.shape[1] * scale, picture.shape[0] * scale)
        if self._screen is None:
            pygame.display.init()
            pygame.display.set_caption(self._title)
            self._screen, self._clock = pygame.display.set_mode(size), pygame.time.Clock()
        surface = pygame.surfarray.make_surface(picture.swapaxes(0, 1))
        self._screen.blit(pygame.transform.scale(surface, size), (0, 0))
        pygame.event.pump()
        pygame.display.flip()
        self._clock.tick(self._fps)

    def close(self) -> None:
        """Closes the window; a second call does nothing."""
        if self._screen is not None:
            self._pygame.display.quit()
            self._screen = None
