"""Any MuJoCo environment of Gymnasium, restorable bit for bit and bit-equal to the environment itself.

MuJoCo's integration state (time, qpos, qvel, act, mocap poses, warm start, applied forces, ...) decides the physics.
It does not decide what an environment reports: `mj_step` integrates last, so that body positions, contact forces and
the like lag one substep behind qpos, and rewards and observations are made of them (Ant's forward reward is the
difference of two such positions). So these derived arrays are carried as well. Recomputing them instead would shorten
Ant's measured way by one substep of five.
"""

from __future__ import annotations

import atexit
import os
import weakref
from importlib import import_module
from typing import Any, final

import gymnasium
import numpy as np
from numpy.typing import NDArray

from cosmos_sdk.actions import numbered
from cosmos_sdk.errors import CosmosError
from cosmos_sdk_simulator.gymnasium_scene import GymnasiumScene

# What Gymnasium's environments read of MjData beyond the integration state.
DERIVED = (
    "xpos",
    "xquat",
    "xmat",
    "xipos",
    "site_xpos",
    "subtree_com",
    "cinert",
    "cvel",
    "cfrc_ext",
    "qfrc_actuator",
    "qfrc_constraint",
    "ten_length",
    "ten_velocity",
    "sensordata",
)


DRAWING = (
    "MuJoCo draws with OpenGL: by EGL (MUJOCO_GL=egl; Debian: libegl1, libgl1-mesa-dri), by OSMesa (MUJOCO_GL=osmesa; "
    "libosmesa6), or on a screen (MUJOCO_GL=glfw). What needs no pictures works without."
)


@final
class MujocoScene(GymnasiumScene):
    """One of them, such as "Ant-v5". Shadows and reflections, which cost most of a picture's time, are off."""

    def __init__(self, env_id: str, env: gymnasium.Env[Any, Any]) -> None:
        """As `GymnasiumScene`."""
        inner: Any = env
        self._mujoco: Any = import_module("mujoco")
        self._model, self._data = inner.model, inner.data
        self._what = int(self._mujoco.mjtState.mjSTATE_INTEGRATION)
        self._size = int(self._mujoco.mj_stateSize(self._model, self._what))
        derived = {n: getattr(self._data, n) for n in DERIVED if hasattr(self._data, n)}
        self._derived = list(derived)
        self.inner_names = (
            *numbered("integration", self._size),
            *(name for key, array in derived.items() for name in numbered(key, array.size)),
        )
        self._model.light_castshadow[:] = 0
        self._model.mat_reflectance[:] = 0
        self._draws = False
        super().__init__(env_id, env)

    def _read(self) -> NDArray[np.float64]:
        state = np.empty(self._size)
        self._mujoco.mj_getState(self._model, self._data, state, self._what)
        return np.concatenate(
            [state, *(getattr(self._data, name).ravel() for name in self._derived)]
        )

    def _write(self, inner: NDArray[np.float64]) -> None:
        integration = np.ascontiguousarray(inner[: self._size])
        self._set(integration)
        self._mujoco.mj_forward(self._model, self._data)  # what nobody lists, such as contacts
        self._set(integration)  # it may have moved the warm start
        place = self._size
        for name in self._derived:
            array = getattr(self._data, name)
            array[:] = inner[place : place + array.size].reshape(array.shape)
            place += array.size

    def _set(self, integration: NDArray[np.float64]) -> None:
        self._mujoco.mj_setState(self._model, self._data, integration, self._what)

    def _see(self) -> NDArray[Any]:
        env: Any = self.env
        return env._get_obs()

    def render_clean(self, height: int, width: int) -> NDArray[np.uint8]:
        """Picture (h, w, 3) of the state itself: what is drawn lags no substep.

        Raises:
            CosmosError: this machine cannot draw; says what it lacks.
        """
        if not self._draws:
            self._begin_drawing()
        self._mujoco.mj_forward(self._model, self._data)
        picture = super().render_clean(height, width)
        self._write(self._state[1:])
        return picture

    def _begin_drawing(self) -> None:
        """Opens OpenGL; at the exit it is closed before the EGL module, which was imported by then, ends EGL."""
        if not any(os.environ.get(name) for name in ("MUJOCO_GL", "DISPLAY", "WAYLAND_DISPLAY")):
            os.environ["MUJOCO_GL"] = "egl"  # Gymnasium would try GLFW, which needs a screen
        try:
            self.env.render()
        except (self._mujoco.FatalError, RuntimeError, ImportError, AttributeError) as error:
            raise CosmosError(f"{self.env_id} cannot be drawn: {error}. {DRAWING}") from error
        atexit.register(_close, weakref.ref(self.env))
        self._draws = True


def _close(env: weakref.ref[Any]) -> None:
    if (there := env()) is not None:
        there.close()
