"""Training: a recipe is data; a run is a folder, can be killed at any moment, and goes on from its last snapshot."""

from __future__ import annotations
