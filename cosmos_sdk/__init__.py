"""Learned simulators of the physical world that policies can act in."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("cosmos-world-sdk")
except PackageNotFoundError:  # a source tree that is on the path but not installed
    __version__ = "0.1.0.dev0"

__all__ = ["__version__"]
