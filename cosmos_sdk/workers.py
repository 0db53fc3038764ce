"""Work that is shared among processes: results arrive as they are ready, and no process outlives the one that asked."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from threading import Thread
from typing import Any, TypeVar

from cosmos_sdk.errors import ConfigError

Item = TypeVar("Item")
Done = TypeVar("Done")


def spread(
    opens: Callable[[], Callable[[Item], Done]], items: Sequence[Item], processes: int = 1
) -> Iterator[tuple[Item, Done]]:
    """Yields each item with what was made of it.

    Args:
        opens: called once in each process; gives the function of an item. With several processes it is pickled, and
            a script that calls this has to guard its own start by `if __name__ == "__main__"`.
        items: with one process they are done here and in this order, else in any.
        processes: at most; each computes on one thread.

    Raises:
        ConfigError: less than one process, or something that cannot be sent to another one.
    """
    if processes < 1:
        raise ConfigError([f"processes is {processes}; expected at least 1"])
    processes = min(processes, len(items))
    if processes <= 1:
        work = opens() if items else None
        yield from ((item, work(item)) for item in items if work is not None)
        return
    _check_picklable(opens, processes)
    context = multiprocessing.get_context("spawn")  # a fork would inherit threads, and hang
    with ProcessPoolExecutor(processes, context, _open, (opens,)) as pool:
        waiting = {pool.submit(_do, item): item for item in items}
        try:
            for future in as_completed(waiting):
                yield waiting[future], future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _check_picklable(opens: object, processes: int) -> None:
    try:
        pickle.dumps(opens)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        remedy = "Give functions and classes from the top of a module, or processes=1"
        raise ConfigError(
            [f"processes={processes}: cannot be sent to other processes: {error}. {remedy}"]
        ) from error


_work: list[Callable[[Any], Any]] = []  # of this process: one


def _open(opens: Callable[[], Callable[[Any], Any]]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    Thread(target=_end_with_parent, daemon=True).start()
    _work.append(opens())
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


def _do(item: Any) -> Any:
    return _work[0](item)
