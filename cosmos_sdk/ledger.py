"""Finished pieces of a long measurement on disk: what was interrupted goes on, and nothing is measured twice."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, final

from cosmos_sdk.config import differences
from cosmos_sdk.errors import ConfigError, WriteError
from cosmos_sdk.files import replacing

if TYPE_CHECKING:
    from cosmos_sdk.world import WorldModel

Key = tuple[str | int, ...]
PLAN, ROWS = "evaluation.json", "episodes.jsonl"


@final
class Ledger:
    """Rows by key; in memory, and, where a folder is given, one line of a file each."""

    def __init__(
        self, folder: str | Path | None, plan: Mapping[str, Any], key: Sequence[str]
    ) -> None:
        """Opens a folder for this plan, and reads what is there.

        Args:
            folder: made if it is not there; None keeps everything in memory.
            plan: what every row depends on. A folder holds the rows of one plan.
            key: the names of what tells one row from another, such as policy and start.

        Raises:
            ConfigError: the folder holds another measurement, or lines that are no rows.
            WriteError: it cannot be written.
        """
        self.rows: dict[Key, dict[str, Any]] = {}
        self._key = tuple(key)
        self._path = None if folder is None else Path(folder) / ROWS
        if self._path is None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WriteError(self._path.parent, error) from error
        self._agree(self._path.with_name(PLAN), json.loads(json.dumps(plan, default=str)))
        self._read(self._path)

    def __contains__(self, key: object) -> bool:
        return key in self.rows

    def __getitem__(self, key: Key) -> dict[str, Any]:
        return self.rows[key]

    def add(self, key: Key, row: Mapping[str, Any]) -> None:
        """Remembers a row of plain data; when this returns, it is on the disk."""
        line = json.dumps(dict(zip(self._key, key, strict=True)) | dict(row))
        self._remember(json.loads(line))
        if self._path is None:
            return
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise WriteError(self._path, error) from error

    def _remember(self, row: dict[str, Any]) -> None:
        self.rows[tuple(row.pop(name) for name in self._key)] = row

    def _agree(self, path: Path, plan: Mapping[str, Any]) -> None:
        if not path.is_file():
            with replacing(path) as draft:
                draft.write_text(json.dumps(plan, indent=1), encoding="utf-8")
            return
        before = json.loads(path.read_text(encoding="utf-8"))
        if changed := _changed(before, plan):
            was, now = ({name: part.get(name) for name in changed} for part in (before, plan))
            told = ", ".join(differences(was, now).values() or changed)
            problem = f"{path.parent} holds another evaluation: {told}; all else agrees."
            raise ConfigError([f"{problem} Choose another folder, or give the same again."])

    def _read(self, path: Path) -> None:
        """Reads whole lines; a torn last one, of a row that was being written, is cut off."""
        if not path.is_file():
            return
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            os.truncate(path, len(whole))
        for number, line in enumerate(whole.decode("utf-8").splitlines(), 1):
            try:
                self._remember(json.loads(line))
            except (ValueError, KeyError, AttributeError, TypeError) as error:
                raise ConfigError([f"{path}, line {number} is no row: {error!r}."]) from error


def provenance(world: WorldModel) -> dict[str, Any]:
    """`fingerprint` and its parts, for a plan: another precision is told from other weights."""
    sampling = world.backend.sampling
    options = asdict(cast("Any", sampling)) if is_dataclass(sampling) else {}
    parts = {"model": _digest(world, repr(world.config))}
    parts |= {f"using.{name}": value for name, value in options.items()}
    return {"world": fingerprint(world), **{f"world.{name}": part for name, part in parts.items()}}


def fingerprint(world: WorldModel) -> str:
    """What no other weights, configuration or run-time options have: a folder must not go on with another world."""
    return _digest(world, repr((world.backend.sampling, world.config)))


def _digest(world: WorldModel, beside: str) -> str:
    """A hash of the weights and of some text."""
    import torch

    digest = hashlib.sha256(beside.encode())
    for name, tensor in world.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:16]


def _changed(before: Mapping[str, Any], plan: Mapping[str, Any]) -> list[str]:
    """The names in which plans differ: of "a" and its parts "a.b" the parts, where they say what changed."""
    parts = [name for name in plan if name.partition(".")[0] in plan and "." in name]
    names = [name for name in {**before, **plan} if before.get(name) != plan.get(name)]
    # a folder from before a part was told knows the whole, which decides
    names = [name for name in names if name in before or name not in parts]
    explained = {name.partition(".")[0] for name in names if name in parts}
    return [name for name in names if name not in explained]
