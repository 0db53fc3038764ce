"""What MuJoCo warns of while it compiles a scene, told by Python's logging."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

LOGGER = logging.getLogger("mujoco")


@contextmanager
def warnings_logged() -> Generator[None]:
    """Hands MuJoCo's warnings to the logger `mujoco`, unless somebody already takes them.

    Left alone it appends them to MUJOCO_LOG.TXT in the working directory; Gymnasium's own half-cheetah, whose XML has a
    deprecated attribute, writes that file whenever it is made.
    """
    mujoco: Any = import_module("mujoco")
    if mujoco.get_mju_user_warning() is not None:
        yield
        return
    mujoco.set_mju_user_warning(LOGGER.warning)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(None)
