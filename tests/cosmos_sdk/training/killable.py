"""A run in a process of its own, to be killed: `python killable.py OUT`."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from cosmos_sdk.training.trainer import Trainer
from toys.trainable import dot_footage, dot_recipe, dot_world

if __name__ == "__main__":
    torch.set_num_threads(1)
    Trainer(dot_world(), dot_recipe(), {"dots": dot_footage()}, Path(sys.argv[1])).run()
