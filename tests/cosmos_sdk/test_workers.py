"""Work shared among processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cosmos_sdk.errors import ConfigError
from cosmos_sdk.workers import spread


def square():
    here = os.getpid()
    return lambda number: (number * number, here)


def fail():
    def work(number):
        raise ValueError(f"no square of {number}")

    return work


@pytest.mark.parametrize("processes", [1, 2])
def test_every_item_is_done_once(processes):
    done = dict(spread(square, range(5), processes))
    assert {item: value for item, (value, _) in done.items()} == {k: k * k for k in range(5)}
    elsewhere = {process for _, process in done.values()} - {os.getpid()}
    assert 1 <= len(elsewhere) <= 2 if processes == 2 else not elsewhere


def test_one_process_keeps_the_order_and_opens_nothing_for_no_items():
    assert [item for item, _ in spread(square, (3, 1, 2))] == [3, 1, 2]
    assert list(spread(fail, ())) == []


def test_what_fails_elsewhere_fails_here():
    with pytest.raises(ValueError, match="no square of"):
        list(spread(fail, (1, 2), 2))


def test_what_cannot_be_sent_is_refused_with_the_remedy():
    with pytest.raises(ConfigError, match=r"cannot be sent .* from the top of a module"):
        list(spread(lambda: square(), (1, 2), 2))
    with pytest.raises(ConfigError, match="processes is 0; expected at least 1"):
        list(spread(square, (1,), 0))


def test_nothing_outlives_a_parent_that_is_killed(tmp_path: Path):
    script = tmp_path / "long.py"
    script.write_text(
        "import os, pathlib, sys, time\n"
        "from cosmos_sdk.workers import spread\n"
        "def opens():\n"
        "    pathlib.Path(sys.argv[1], str(os.getpid())).touch()\n"
        "    return time.sleep\n"
        "if __name__ == '__main__':\n"
        "    list(spread(opens, (60, 61), 2))\n"
    )
    pids = tmp_path / "pids"
    pids.mkdir()
    with subprocess.Popen([sys.executable, str(script), str(pids)]) as parent:
        deadline = time.monotonic() + 30
        while len(list(pids.iterdir())) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        children = [int(path.name) for path in pids.iterdir()]
        parent.send_signal(signal.SIGKILL)
    assert len(children) == 2
    while any(map(_runs, children)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(_runs, children))


def _runs(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")")[1].split()[0]
    except FileNotFoundError:
        return False
