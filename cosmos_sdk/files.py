"""Writing that a kill or a full disk cannot spoil."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from cosmos_sdk.errors import WriteError


@contextmanager
def replacing(path: Path) -> Generator[Path]:
    """Gives a path to write to; it takes the place of `path` when all is on the disk, and vanishes on any failure.

    Raises:
        WriteError: the system refused to write; `path` is what it was.
    """
    from safetensors import SafetensorError  # how its writer reports a full disk

    draft = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield draft
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        umask = os.umask(0)  # the only way to read it is to set it
        os.umask(umask)
        draft.chmod(0o666 & ~umask)  # safetensors writes files that only their owner can read
        draft.replace(path)
    except (OSError, SafetensorError) as error:
        raise WriteError(path, error) from error
    finally:
        draft.unlink(missing_ok=True)
