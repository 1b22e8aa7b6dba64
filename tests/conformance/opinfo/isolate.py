"""Operators run in forked children, so that a crash or a hang costs one operator and not the run."""

import os
import pickle
import select
import signal
import time
from collections.abc import Iterator

from tests.conformance.opinfo import checks, errors
from tests.conformance.opinfo.checks import Record, describe, new_record
from tests.conformance.opinfo.convert import Target
from tests.conformance.opinfo.options import Options

HEADER = 4  # bytes that hold the length of a pickled record


def one_op(op, dtype, target: Target, options: Options) -> Record:
    """One operator's record: of a dtype, or of what must raise."""
    check = errors.one_op if dtype == errors.ERROR else checks.one_op
    return check(op, dtype, target, options)


def records(ops: list, dtype, target: Target, options: Options) -> Iterator[Record]:
    """Every operator's record, in order."""
    if not options.isolate:
        for op in ops:
            yield one_op(op, dtype, target, options)
        return
    target.warm()
    at = 0
    while at < len(ops):
        done = 0
        for record in forked(ops[at : at + options.chunk], dtype, target, options):
            done += 1
            yield record
        at += done


def forked(ops: list, dtype, target: Target, options: Options) -> Iterator[Record]:
    """Records of operators run in one child; after a crash or a hang the last record says so."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        run_child(writer, ops, dtype, target, options)
    os.close(writer)
    done, late, buffer = 0, False, b""
    end = time.monotonic() + options.timeout
    while done < len(ops):
        left = end - time.monotonic()
        if left <= 0 or not select.select([reader], [], [], left)[0]:
            os.kill(child, signal.SIGKILL)
            late = True
            break
        data = os.read(reader, 1 << 16)
        if not data:
            break
        buffer += data
        while (packed := next_message(buffer)) is not None:
            buffer = buffer[HEADER + len(packed) :]
            done, end = done + 1, time.monotonic() + options.timeout
            yield pickle.loads(packed)
    os.close(reader)
    _, status = os.waitpid(child, 0)
    if done < len(ops):
        reason = "timeout" if late else f"crash, wait status {status}"
        yield new_record(ops[done], dtype, present=True, tried=1, error=reason)


def next_message(buffer: bytes) -> bytes | None:
    """The first complete message in a buffer."""
    size = int.from_bytes(buffer[:HEADER], "little")
    if len(buffer) < HEADER or len(buffer) < HEADER + size:
        return None
    return buffer[HEADER : HEADER + size]


def run_child(writer: int, ops: list, dtype, target: Target, options: Options) -> None:
    """Send every operator's record through the pipe, and end the process."""
    for op in ops:
        try:
            record = one_op(op, dtype, target, options)
        except BaseException as error:  # nothing may return into the parent's code from here
            record = new_record(op, dtype, present=True, tried=1, error="harness: " + describe(error))
        message = pickle.dumps(record)
        message = len(message).to_bytes(HEADER, "little") + message
        while message:
            message = message[os.write(writer, message) :]
    os._exit(0)
