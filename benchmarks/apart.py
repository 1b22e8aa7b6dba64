"""Contenders in processes of their own, beside the one that measures: they take their turns over a pipe.

That is how one alternating run holds contenders which differ in environment variables that are read once at the start
(a C library that keeps freed memory), and how one that is too slow to wait for can be stopped. The child is pinned to
the same cores as its parent; it times its own samples, so that the pipe costs nothing.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.harness import Program, Settings

# glibc gives no page back to the system: results of many megabytes are not faulted in anew at every call.
KEPT_HEAP = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40), "MALLOC_TOP_PAD_": str(64 << 20)}


class StoppedError(Exception):
    """A child ended or took longer than it may."""


@dataclass(frozen=True)
class Apart:
    """A contender that is built in a process of its own.

    `make` builds the program there; `environment` is added to the variables; an answer may take `seconds`.
    """

    make: Callable[[], Program]
    environment: tuple[tuple[str, str], ...] = ()
    seconds: float = 120.0

    def __call__(self) -> Program:
        """The program, built in this process."""
        return self.make()

    def start(self, case: str, contender: str) -> Remote:
        """The child, with the program built; what failed there is raised here."""
        remote = Remote(case, contender, dict(self.environment), self.seconds)
        remote.ask("build")
        return remote


def kept_heap(make: Callable[[], Program]) -> Apart:
    """The contender in a process whose heap keeps freed memory."""
    return Apart(make, tuple(KEPT_HEAP.items()))


class Remote:
    """The parent's side of a contender: has the methods of `harness.Program`."""

    def __init__(self, case: str, contender: str, environment: dict[str, str], seconds: float) -> None:
        self.seconds = seconds
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.apart", case, contender],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **environment}, bufsize=0,
        )  # fmt: skip

    def ask(self, what: str, *arguments: Any) -> Any:
        """The child's answer; its exceptions are raised here, and one that takes too long is ended."""
        try:
            self.process.stdin.write(json.dumps([what, *arguments]).encode() + b"\n")
            line = self._line()
        except (BrokenPipeError, StoppedError) as error:
            self.process.kill()
            raise StoppedError(str(error) or "the process ended") from None
        kind, value = json.loads(line)
        if kind == "missing":
            raise ModuleNotFoundError(f"No module named {value!r}", name=value)
        if kind == "error":
            raise RuntimeError(value)
        return value

    def _line(self) -> bytes:
        """The next line of the child, without waiting longer than allowed."""
        with selectors.DefaultSelector() as waiting:
            waiting.register(self.process.stdout, selectors.EVENT_READ)
            if not waiting.select(self.seconds):
                raise StoppedError(f"no answer in {self.seconds:.0f} s")
        line = self.process.stdout.readline()
        if not line:
            raise StoppedError(f"the process ended with status {self.process.wait()}")
        return line

    def outputs(self) -> list | None:
        """What the program gives."""
        return self.ask("outputs")

    def calibrate(self, settings: Settings) -> int:
        """Calls of one sample, after warming up."""
        return self.ask("calibrate", asdict(settings))

    def sample(self, calls: int, per_call: int) -> float:
        """Seconds per user call."""
        return self.ask("sample", calls, per_call)

    def close(self) -> None:
        """End the child."""
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


def answer(program: Program, what: str, arguments: list) -> Any:
    """What the child says to a question."""
    from benchmarks.harness import Settings

    if what == "outputs":
        values = program.outputs()
        return None if values is None else [plain(value) for value in values]
    if what == "calibrate":
        return program.calibrate(Settings(**arguments[0]))
    return program.sample(*arguments)


def plain(value: Any) -> Any:
    """Numbers in lists."""
    import numpy as np

    return np.asarray(value, dtype=np.float64).tolist()


def serve(case: str, contender: str) -> None:
    """The child: answer line by line until the parent goes away.

    Libraries may print; the answers have their own pipe.
    """
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    program: Any = None
    for line in sys.stdin:
        what, *arguments = json.loads(line)
        try:
            if what == "build":
                from benchmarks import harness
                from benchmarks.cases import load

                load()
                program, reply = harness.CASES[case].contenders[contender](), ["done", None]
            else:
                reply = ["done", answer(program, what, arguments)]
        except ModuleNotFoundError as error:
            reply = ["missing", (error.name or str(error)).split(".")[0]]
        except Exception as error:  # told to the parent, whose result it is
            reply = ["error", f"{type(error).__name__}: {str(error).strip()[:300]}"]
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


if __name__ == "__main__":
    serve(*sys.argv[1:])
