"""What a run reports: one CSV of (stage, step, name, value, seconds), and TensorBoard when it is installed."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cosmos_sdk.errors import WriteError
from cosmos_sdk.files import replacing

HEADER = ("stage", "step", "name", "value", "seconds")


class Log:
    """Appends to `log.csv`. Reopened at a position, it forgets what a killed run wrote beyond it."""

    def __init__(
        self, folder: Path, stages: Mapping[str, int], position: tuple[int, int], tensorboard: bool
    ) -> None:
        """Opens the log of a run.

        Args:
            folder: of the run.
            stages: their names and steps, in order.
            position: (number of the stage, step) from which the run goes on.
            tensorboard: write TensorBoard events too, when it is installed.
        """
        self._path = folder / "log.csv"
        self._offset: dict[str, int] = {}
        total = 0
        for name, steps in stages.items():
            self._offset[name], total = total, total + steps
        names = list(stages)
        reached, current = names[: position[0]], next(iter(names[position[0] :]), None)

        def kept(stage: str, step: int) -> bool:
            return stage in reached or (stage == current and step <= position[1])

        self._keep(kept)
        begun = self._offset[current] + position[1] if current else total
        self._writer = _tensorboard(folder / "tensorboard", begun) if tensorboard else None

    def write(self, stage: str, step: int, values: Mapping[str, float], seconds: float) -> None:
        """One line a value.

        Raises:
            WriteError: the system refused; the last snapshot is whole.
        """
        rows = [
            (stage, step, name, f"{value:.6g}", f"{seconds:.1f}") for name, value in values.items()
        ]
        try:
            with self._path.open("a", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows(rows)
        except OSError as error:
            raise WriteError(self._path, error) from error
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, self._offset[stage] + step)

    def close(self) -> None:
        """Flushes what TensorBoard still holds."""
        if self._writer is not None:
            self._writer.close()

    def _keep(self, wanted: Callable[[str, int], bool]) -> None:
        rows = [row for row in read(self._path) if wanted(row["stage"], int(row["step"]))]
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow(HEADER)
        writer.writerows([row[name] for name in HEADER] for row in rows)
        with replacing(self._path) as draft:
            draft.write_text(text.getvalue(), encoding="utf-8", newline="")


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a log; a last line that a kill cut short is left out."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [row for row in rows if all(row.get(name) for name in HEADER)]


def _tensorboard(folder: Path, begun: int) -> Any:
    if find_spec("tensorboard") is None:
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=begun + 1)
