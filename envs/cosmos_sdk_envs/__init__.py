"""Learned worlds as Gymnasium environments. Importing this registers their ids, and imports no torch."""

from __future__ import annotations

from cosmos_sdk_envs.registration import register_envs

register_envs()
