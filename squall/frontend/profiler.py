"""`sq.profile`: where the time of a stretch of program goes, kernel by kernel, and what of it is not kernels."""

from __future__ import annotations

import importlib.util
import json
import os
import threading
from collections.abc import Callable
from typing import Any

from squall.engine.profile import Profile, Row
from squall.engine.roofline import Limits
from squall.frontend.evaluation import flush

# What rows can be sorted by: PyTorch's names, and squall's.
_SORTS: dict[str, Callable[[Average], float]] = {
    "self_cpu_time_total": lambda a: a.self_cpu_time_total,
    "cpu_time_total": lambda a: a.cpu_time_total,
    "cpu_time": lambda a: a.cpu_time,
    "count": lambda a: a.count,
    "flops": lambda a: a.flops,
    "gflops": lambda a: a.gflops or 0.0,
    "gbs": lambda a: a.gbs or 0.0,
    "roofline": lambda a: a.roofline or 0.0,
}
_COLUMNS = ("Name", "Self CPU %", "Self CPU", "CPU total", "CPU time avg", "# of Calls", "GFLOP/s", "GB/s", "of limit")


class Average:
    """One kernel's sums, with PyTorch's names; times in microseconds.

    Attributes:
        key: the kernel's name. count: calls. cpu_time_total, self_cpu_time_total, cpu_time: in all, without what runs
            inside, and of a call. flops: operations of contractions. nbytes: of operands. gflops, gbs: a second, None
            where there are none. roofline: share of the speed that the machine's limits allow, None when unknown.
    """

    __slots__ = ("key", "count", "cpu_time_total", "self_cpu_time_total", "cpu_time", "flops", "nbytes", "gflops",
                 "gbs", "roofline")  # fmt: skip

    def __init__(self, row: Row):
        self.key = f"{row.key} {row.sizes}" if row.sizes else row.key
        self.count, self.flops, self.nbytes = row.calls, row.operations, row.nbytes
        self.cpu_time_total, self.self_cpu_time_total = row.total * 1e6, row.own * 1e6
        self.cpu_time = self.cpu_time_total / max(row.calls, 1)
        seconds = max(row.own, 1e-12)
        self.gflops = row.operations / seconds / 1e9 if row.operations else None
        self.gbs = row.nbytes / seconds / 1e9 if row.nbytes else None
        self.roofline = row.least / seconds if row.least else None

    def __repr__(self) -> str:
        return f"<Average {self.key}: {self.count} calls, {_time(self.self_cpu_time_total)}>"


class Averages(list):
    """Averages of kernels, the most time first; `table` writes them out."""

    def __init__(self, rows: list[Row], limits: Limits | None = None):
        super().__init__(Average(row) for row in rows)
        self._limits = limits

    def _sorted(self, sort_by: str | None, row_limit: int) -> list[Average]:
        if sort_by is not None and sort_by not in _SORTS:
            raise ValueError(f"table: sort_by={sort_by!r} is none of {', '.join(_SORTS)}")
        order = self if sort_by is None else sorted(self, key=_SORTS[sort_by], reverse=True)
        return list(order)[: row_limit if row_limit >= 0 else None]

    def _cells(self, averages: list[Average]) -> list[tuple[str, ...]]:
        whole = sum(a.self_cpu_time_total for a in self) or 1.0
        return [
            (
                a.key,
                f"{100 * a.self_cpu_time_total / whole:.2f}%",
                _time(a.self_cpu_time_total),
                _time(a.cpu_time_total),
                _time(a.cpu_time),
                str(a.count),
                "" if a.gflops is None else f"{a.gflops:.1f}",
                "" if a.gbs is None else f"{a.gbs:.1f}",
                "" if a.roofline is None else f"{100 * a.roofline:.0f}%",
            )
            for a in averages
        ]

    def table(self, sort_by: str | None = None, row_limit: int = 100, max_name_column_width: int = 55) -> str:
        """The averages as text.

        Args:
            sort_by: "self_cpu_time_total" (the order they have), "cpu_time_total", "cpu_time", "count", "flops",
                "gflops", "gbs" or "roofline". row_limit: rows at most; -1 for all. max_name_column_width: characters.

        Returns:
            str: a line for each kernel, and the total.

        Raises:
            ValueError: for an order there is not.

        Example:
            >>> import squall as sq
            >>> with sq.profile(roofline=False) as prof:
            ...     total = (sq.ones(100) * 2).sum().item()
            >>> "# of Calls" in prof.key_averages().table(sort_by="count")
            True
        """
        cells = self._cells(self._sorted(sort_by, row_limit))
        rows = [(_shortened(row[0], max_name_column_width), *row[1:]) for row in cells]
        widths = [max(len(row[i]) for row in (_COLUMNS, *rows)) for i in range(len(_COLUMNS))]
        rule = "  ".join("-" * width for width in widths)
        lines = [rule, _line(_COLUMNS, widths), rule, *(_line(row, widths) for row in rows), rule]
        lines.append(f"Self CPU time total: {_time(sum(a.self_cpu_time_total for a in self))}")
        if self._limits is not None:
            known = self._limits
            lines.append(f"Limits of this machine: {known.operations / 1e9:.0f} GFLOP/s, {known.memory / 1e9:.0f} GB/s "
                         f"from memory, {known.cache / 1e9:.0f} GB/s from the cache")  # fmt: skip
        return "\n".join(lines)

    def rich_table(self, sort_by: str | None = None, row_limit: int = 100) -> Any:
        """The same as a `rich.table.Table`. Raises ImportError without rich, ValueError as `table`."""
        try:
            from rich.table import Table
        except ImportError:
            raise ImportError("rich_table needs rich: pip install rich") from None
        made = Table()
        for i, name in enumerate(_COLUMNS):
            made.add_column(name, justify="right" if i else "left", no_wrap=True, min_width=0 if i else 12)
        for row in self._cells(self._sorted(sort_by, row_limit)):
            made.add_row(*row)
        return made


class profile:
    """Measure what runs inside of a `with` block: kernels, and what else the time goes to.

    What is pending when the block begins is evaluated before; what the block recorded is evaluated at its end. Kernels
    are timed by the native plan runner, on every thread; outside of a profile that costs nothing.

    Args:
        roofline: compare with the machine's limits, which are measured on first use (half a second) and kept on disk.

    Raises:
        SquallError: on entering, when a profile is being taken already: there can be one at a time.

    Example:
        >>> import squall as sq
        >>> x = sq.rand(64, 64)
        >>> with sq.profile() as prof:
        ...     y = (x @ x).relu().sum().item()
        >>> prof.key_averages()[0].count
        1
        >>> print(prof.summary().splitlines()[0])  # doctest: +SKIP
        0.42 ms in all
    """

    def __init__(self, roofline: bool = True):
        self._roofline = roofline
        self._taken: Profile | None = None

    def __enter__(self) -> profile:
        flush()
        self._taken = Profile()
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        assert self._taken is not None
        try:
            if kind is None:
                flush()
        finally:
            self._taken.stop(self._roofline and kind is None)

    def _data(self) -> Profile:
        if self._taken is None:
            raise ValueError("nothing was profiled yet: use `with sq.profile() as prof:`")
        return self._taken

    def key_averages(self, group_by_input_shape: bool = False) -> Averages:
        """Sums by kernel, the most time first.

        Args:
            group_by_input_shape: tell contractions of different sizes (rows x columns x depth) apart.

        Returns:
            Averages: a list with a method `table`.

        Raises:
            ValueError: before anything was profiled.
        """
        taken = self._data()
        return Averages(taken.rows(group_by_input_shape), taken.limits)

    def phases(self) -> dict[str, float]:
        """Seconds of the profiling thread by phase; they add up to the block's wall-clock time."""
        return {name: seconds for name, (seconds, _) in self._data().phases().items()}

    def statistics(self) -> dict[str, Any]:
        """What changed meanwhile: "memory" (bytes and allocations of the pool), "arenas" (bytes of each plan's),
        "kernels" (compiled, read from disk, milliseconds), "caches" (hits and misses), "events lost"."""
        taken = self._data()
        return {"memory": taken.memory, "arenas": taken.arenas, "kernels": taken.kernels, "caches": taken.caches,
                "events lost": taken.lost}  # fmt: skip

    def summary(self, sort_by: str | None = None, row_limit: int = 20) -> str:
        """Phases, kernels, memory and caches as text; `sort_by` and `row_limit` as in `Averages.table`."""
        taken = self._data()
        lines = [f"{_time(taken.seconds * 1e6)} in all"]
        for name, (seconds, _) in sorted(taken.phases().items(), key=lambda item: item[1][0], reverse=True):
            lines.append(f"  {100 * seconds / max(taken.seconds, 1e-12):5.1f}%  {_time(seconds * 1e6):>10}  {name}")
        memory = taken.memory
        arena = f", largest arena {_bytes(taken.arenas[0])}" if taken.arenas else ""
        lines += ["", self.key_averages().table(sort_by, row_limit), "",
                  f"Memory: {_bytes(memory['peak'])} at most{arena}; {memory['allocations from the pool']} allocations "
                  f"from the pool, {memory['allocations from the system']} from the system",
                  f"Kernels: {taken.kernels['compiled']:.0f} compiled in {taken.kernels['compile ms']:.0f} ms, "
                  f"{taken.kernels['packs from disk']:.0f} packs from disk; {taken.kernels['plans compiled']:.0f} new "
                  "plans"]  # fmt: skip
        for name, found in taken.caches.items():
            lines.append(f"Cache {name}: {found['hits']} hits, {found['misses']} misses")
        if taken.lost:
            lines.append(f"{taken.lost} events came after the first {len(taken.spans)} and were not kept")
        return "\n".join(lines)

    def print(self, sort_by: str | None = None, row_limit: int = 20) -> None:
        """Print the summary, its table drawn by rich where that is installed."""
        if importlib.util.find_spec("rich") is None:
            print(self.summary(sort_by, row_limit))
            return
        from rich.console import Console

        averages = self.key_averages()
        plain = averages.table(sort_by, row_limit)
        before, _, after = self.summary(sort_by, row_limit).partition(plain)
        console = Console(highlight=False)
        console.print(before.rstrip(), markup=False)
        console.print(averages.rich_table(sort_by, row_limit))
        console.print("\n".join(plain.splitlines()[-1 if averages._limits is None else -2 :]), markup=False)
        console.print(after.strip(), markup=False)

    def export_chrome_trace(self, path: str | os.PathLike) -> None:
        """Write all spans for `chrome://tracing` or Perfetto; the file appears whole or not at all.

        Args:
            path: of the JSON file.

        Raises:
            ValueError: before anything was profiled. OSError: when the file cannot be written.
        """
        taken = self._data()
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        numbers: dict[int, int] = {}
        events: list[dict[str, Any]] = []
        for span in taken.spans:
            number = numbers.setdefault(span.thread, len(numbers) + 1)
            event: dict[str, Any] = {
                "name": span.name, "cat": span.kind, "ph": "X", "pid": os.getpid(), "tid": number,
                "ts": (span.begin - taken.began) * 1e6, "dur": (span.end - span.begin) * 1e6,
            }  # fmt: skip
            if span.work is not None:
                event["args"] = {"flops": span.work.operations, "bytes": span.work.nbytes, "sizes": span.work.sizes}
            events.append(event)
        for thread, number in numbers.items():
            events.append({"name": "thread_name", "ph": "M", "pid": os.getpid(), "tid": number,
                           "args": {"name": names.get(thread, f"thread {thread}")}})  # fmt: skip
        _write_whole(path, json.dumps({"traceEvents": events, "displayTimeUnit": "ms"}))


def _write_whole(path: str | os.PathLike, text: str) -> None:
    """A file that replaces another at once."""
    new = f"{os.fspath(path)}.{os.getpid()}.{threading.get_ident()}.new"
    try:
        with open(new, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(new, path)
    except BaseException:
        if os.path.exists(new):
            os.unlink(new)
        raise


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    return "  ".join([cells[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(cells[1:], widths[1:]))]).rstrip()


def _shortened(name: str, width: int) -> str:
    return name if len(name) <= width else name[: width - 3] + "..."


def _time(microseconds: float) -> str:
    """Time as PyTorch's tables write it."""
    if microseconds >= 1e6:
        return f"{microseconds / 1e6:.3f}s"
    if microseconds >= 1e3:
        return f"{microseconds / 1e3:.3f}ms"
    return f"{microseconds:.3f}us"


def _bytes(count: float) -> str:
    for unit in ("bytes", "KB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
