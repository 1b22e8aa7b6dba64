"""The worker processes of a DataLoader, seen from its own process: orders out, batches in, in order."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import time
from collections.abc import Iterator
from multiprocessing import connection as connections
from typing import Any

import squall as sq
from squall.data import transport
from squall.data.fetch import Fetcher
from squall.data.worker import Work, main, mix

GRACE = 5.0  # seconds a worker gets to end by itself, and again after it was asked to


class WorkerError(RuntimeError):
    """A worker process ended, or failed with an exception that cannot be brought here."""


class _Worker:
    """One process, its socket, and what it was asked for and has not answered."""

    def __init__(self, process: Any, channel: Any) -> None:
        self.process, self.channel = process, channel
        self.waiting = 0
        self.finished = False  # an iterable data set has no more for it


class Pool:
    """Starts workers and gives their batches in order.

    Args:
        count: how many. fetcher: makes batches; goes to each worker. start: `worker_init_fn`. context: a start method
            ("fork", "spawn", "forkserver"), a multiprocessing context, or None for the system's default.
        prefetch: batches that each worker is asked for ahead. timeout: seconds to wait for a batch; 0 for ever.
    """

    def __init__(self, count: int, fetcher: Fetcher, start: Any, context: Any, prefetch: int, timeout: float) -> None:
        self.prefetch, self.timeout = prefetch, timeout
        self.workers: list[_Worker] = []
        self._done: dict[int, Any] = {}
        self._owner = os.getpid()
        sq.flush()  # a forked worker would otherwise compute again what is pending
        if context is None or isinstance(context, str):
            context = multiprocessing.get_context(context)
        forks = context.get_start_method() == "fork"
        try:
            for number in range(count):
                mine, theirs = context.Pipe(duplex=True)
                others = [mine, *(worker.channel for worker in self.workers)] if forks else []
                work = Work(number, count, os.getpid(), fetcher, start)
                process = context.Process(
                    target=main, args=(work, theirs, others), daemon=True, name=f"squall-loader-{number}"
                )
                process.start()
                theirs.close()
                self.workers.append(_Worker(process, mine))
        except BaseException:
            self.close()
            raise

    # ------------------------------------------------------------ an epoch
    def epoch(self, batches: Iterator[Any] | None, seed: int, per_batch: bool, first: int = 0) -> Iterator[Any]:
        """The batches of one epoch, in order.

        Args:
            batches: the indices of each; None for an iterable data set, which says itself when it ends. seed: of the
                epoch. per_batch: seed each batch by its number, so that the number of workers changes nothing.
            first: the number of the first batch.
        """
        self._begin(seed)
        asked = given = 0
        source = self._orders(batches, seed, per_batch, first)
        owners: list[_Worker] = []
        turn = 0
        while True:
            while asked - given < self.prefetch * len(self.workers):
                worker, turn = self._next_worker(turn)
                if worker is None:
                    break
                order = next(source, None)
                if order is None:
                    break
                self._send(worker, ("batch", asked, order))
                owners.append(worker)
                asked += 1
            if given == asked:
                return
            kind, value = self._wait_for(given, owners[given])
            given += 1
            if kind == "batch":
                yield value()

    def _orders(self, batches: Iterator[Any] | None, seed: int, per_batch: bool, first: int) -> Iterator[Any]:
        number = first
        while True:
            indices = None
            if batches is not None:
                try:
                    indices = next(batches)
                except StopIteration:
                    return
            yield indices, mix(seed, number) if per_batch else None
            number += 1

    def _next_worker(self, turn: int) -> tuple[_Worker | None, int]:
        for step in range(len(self.workers)):
            worker = self.workers[(turn + step) % len(self.workers)]
            if not worker.finished:
                return worker, (turn + step + 1) % len(self.workers)
        return None, turn

    def _begin(self, seed: int) -> None:
        """Wait for what an unfinished epoch left over, then start the next one."""
        self._done.clear()
        for worker in self.workers:
            while worker.waiting:
                self._receive(worker)
        self._done.clear()
        for worker in self.workers:
            worker.finished = False
            self._send(worker, ("epoch", -1, seed))
        for worker in self.workers:
            while worker.waiting:
                self._receive(worker)
            found = self._done.pop(-1)
            if found[0] == "failed":
                self._fail(worker, found[1])

    # ------------------------------------------------------------ messages
    def _send(self, worker: _Worker, order: Any) -> None:
        try:
            worker.channel.send(order)
        except OSError:
            self._lost(worker)
        worker.waiting += 1

    def _wait_for(self, number: int, owner: _Worker) -> tuple[str, Any]:
        limit = time.monotonic() + self.timeout if self.timeout else None
        while number not in self._done:
            left = None if limit is None else max(0.0, limit - time.monotonic())
            ready = connections.wait([worker.channel for worker in self.workers if worker.waiting], left)
            if not ready:
                self.close()
                raise RuntimeError(f"DataLoader timed out after {self.timeout} seconds")
            for worker in self.workers:
                if worker.channel in ready:
                    self._receive(worker)
        kind, value = self._done.pop(number)
        if kind == "end":
            owner.finished = True
        elif kind == "failed":
            self._fail(owner, value)
        return kind, value

    def _receive(self, worker: _Worker) -> None:
        try:
            (kind, number), value = transport.receive(worker.channel)
        except (EOFError, OSError):
            self._lost(worker)
        worker.waiting -= 1
        if kind == "end":
            worker.finished = True
        self._done[number] = (kind, value)

    def _lost(self, worker: _Worker) -> None:
        """Say why a worker is gone."""
        worker.process.join(GRACE)
        code, number = worker.process.exitcode, self.workers.index(worker)
        how = "still running, but not answering" if code is None else f"exit code {code}"
        if code is not None and code < 0:
            how = f"killed by signal {signal.Signals(-code).name}"
        self.close()
        raise WorkerError(f"DataLoader worker {number} (pid {worker.process.pid}) exited unexpectedly: {how}") from None

    def _fail(self, worker: _Worker, value: Any) -> None:
        """Raise what a worker raised."""
        body, name, text = value()
        number = self.workers.index(worker)
        self.close()
        note = f"in DataLoader worker {number}:\n{text}"
        if body is None:
            raise WorkerError(f"{name} {note}")
        error = pickle.loads(body)
        error.add_note(note)
        raise error

    # ------------------------------------------------------------ the end
    def close(self) -> None:
        """End the workers: by asking, then by signals. In a fork's child, only forget them."""
        workers, self.workers = self.workers, []
        for worker in workers:
            if self._owner == os.getpid():
                try:
                    worker.channel.send(None)
                except OSError:
                    pass
            worker.channel.close()
        if self._owner != os.getpid():
            return
        limit = time.monotonic() + GRACE
        for worker in workers:
            worker.process.join(max(0.0, limit - time.monotonic()) if worker.waiting == 0 else 0.2)
            for end in (worker.process.terminate, worker.process.kill):
                if worker.process.exitcode is None:
                    end()
                    worker.process.join(GRACE)

    def __del__(self) -> None:
        try:
            self.close()
        except Exception:
            pass  # the interpreter ends: the workers notice that by themselves
