"""Pictures for people."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from cosmos_sdk.errors import MissingPackageError
from cosmos_sdk_envs.env import WorldEnv
from cosmos_sdk_envs.rendering import Window, grid
from cosmos_sdk_envs.vector_env import WorldVectorEnv


def test_every_slot_has_its_picture_with_cameras_side_by_side(dot_world, starts):
    envs = WorldVectorEnv(dot_world(views=2), 3, starts=starts, render_mode="rgb_array")
    observation, _ = envs.reset(seed=0)
    pictures = envs.render()
    assert pictures is not None
    assert len(pictures) == 3
    sides = np.concatenate((observation["camera_0"][2], observation["camera_1"][2]), 1)
    assert np.array_equal(pictures[2], sides)


def test_a_grid_shows_every_picture_in_reading_order():
    pictures = [np.full((2, 3, 3), number, np.uint8) for number in (1, 2, 3)]
    whole = grid(pictures)
    assert whole.shape == (4, 6, 3)
    assert [whole[0, 0, 0], whole[0, 5, 0], whole[3, 0, 0], whole[3, 5, 0]] == [1, 2, 3, 0]


def test_a_window_opens_shows_and_closes(dot_world, starts, monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    shown = []
    monkeypatch.setattr(Window, "show", lambda self, picture: shown.append(picture.shape))
    envs = WorldVectorEnv(dot_world(), 3, starts=starts, render_mode="human")
    envs.reset(seed=0)
    envs.step(np.zeros((3, 2), np.float32))
    assert shown == [(80, 80, 3)] * 2, "a window follows by itself"
    assert envs.render() is None
    envs.close()


def test_the_window_is_as_large_as_a_person_needs(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    import pygame

    window = Window("test", 1000.0)
    window.show(np.full((40, 40, 3), 9, np.uint8))
    assert pygame.display.get_surface().get_size() == (520, 520)
    window.close()
    window.close()


def test_a_missing_pygame_names_the_command(dot_world, starts, monkeypatch):
    monkeypatch.setitem(sys.modules, "pygame", None)
    with pytest.raises(MissingPackageError, match="pip install pygame"):
        WorldEnv(dot_world(), starts=starts, render_mode="human")


def test_without_a_render_mode_nothing_is_drawn(dot_world, starts):
    env = WorldEnv(dot_world(), starts=starts)
    env.reset(seed=0)
    assert env.render() is None
