"""A worker process of a DataLoader: makes batches until it is told to stop, or the process that started it is gone."""

from __future__ import annotations

import os
import pickle
import random
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import squall as sq
from squall.data import transport
from squall.data.fetch import Fetcher
from squall.runtime.native import set_num_threads

_MASK = (1 << 63) - 1


@dataclass(frozen=True)
class WorkerInfo:
    """What a worker process knows about itself.

    Attributes:
        id: its number. num_workers: how many there are. seed: of its random numbers in this epoch. dataset: its copy.
    """

    id: int
    num_workers: int
    seed: int
    dataset: Any


_info: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """In a worker of a DataLoader, which one it is; None in any other process.

    An IterableDataset asks, so that each worker gives its own share.

    Example:
        >>> get_worker_info() is None
        True
    """
    return _info


@dataclass
class Work:
    """What a worker is started with.

    Attributes:
        number, count: which worker of how many. parent: the process id it lives for. fetcher: makes batches. start:
            called with the number first.
    """

    number: int
    count: int
    parent: int
    fetcher: Fetcher
    start: Callable[[int], Any] | None


def mix(seed: int, number: int) -> int:
    """A seed from a seed and a number, far from those of other numbers."""
    value = (seed + 0x9E3779B97F4A7C15 * (number + 1)) & ((1 << 64) - 1)
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & ((1 << 64) - 1)
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & ((1 << 64) - 1)
    return (value ^ (value >> 31)) & _MASK


def seed_everything(seed: int) -> None:
    """Start squall's, Python's and, where it is loaded, NumPy's random numbers from a seed."""
    sq.manual_seed(seed)
    random.seed(seed)
    numbers = sys.modules.get("numpy.random")
    if numbers is not None:
        numbers.seed(seed & 0xFFFFFFFF)


def _die_with(parent: int) -> None:
    """End this process when another one ends, however it does."""
    if hasattr(os, "pidfd_open"):
        try:
            descriptor = os.pidfd_open(parent)
        except ProcessLookupError:
            os._exit(1)
        except OSError:
            pass
        else:
            select.select([descriptor], [], [])
            os._exit(1)
    while True:  # systems without such descriptors
        try:
            os.kill(parent, 0)
        except ProcessLookupError:
            os._exit(1)
        except OSError:
            pass
        time.sleep(1.0)


def failure(error: BaseException) -> tuple[bytes | None, str, str]:
    """An exception for another process: itself where it can be pickled, its type's name, and its traceback."""
    text = "".join(traceback.format_exception(error))
    try:
        body = pickle.dumps(error)
        if type(pickle.loads(body)) is not type(error):
            body = None
    except Exception:
        body = None
    return body, type(error).__name__, text


def main(work: Work, connection: Any, others: list[Any]) -> None:
    """The life of a worker.

    Args:
        connection: where its orders come from and its batches go. others: connections of the parent that a fork
            copied here and that are not this worker's.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the parent, which then ends its workers
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for other in others:
        other.close()
    threading.Thread(target=_die_with, args=(work.parent,), daemon=True).start()
    set_num_threads(1)
    try:
        while True:
            order = connection.recv()
            if order is None:
                return
            kind, number, detail = order
            try:
                head, value = _carry_out(work, kind, number, detail)
            except Exception as error:
                head, value = ("failed", number), failure(error)
            _answer(connection, head, value, number)
    except (EOFError, OSError):
        return  # the parent is gone or has closed its end
    finally:
        connection.close()


def _answer(connection: Any, head: tuple, value: Any, number: int) -> None:
    """Send what was made; a batch that cannot be pickled is a failure like any other."""
    try:
        transport.send(connection, head, value)
    except OSError:
        raise
    except Exception as error:
        transport.send(connection, ("failed", number), failure(error))


def _carry_out(work: Work, kind: str, number: int, detail: Any) -> tuple[tuple, Any]:
    """Begin an epoch ("epoch", its number, seed) or make a batch ("batch", its number, indices)."""
    global _info
    if kind == "epoch":
        seed = mix(detail, work.number)
        first = _info is None
        _info = WorkerInfo(work.number, work.count, seed, work.fetcher.dataset)
        seed_everything(seed)
        if first and work.start is not None:
            work.start(work.number)
        work.fetcher.begin()
        return ("ready", number), None
    indices, seed = detail
    if seed is not None:
        seed_everything(seed)
    try:
        return ("batch", number), work.fetcher.fetch(indices)
    except StopIteration:
        return ("end", number), None
