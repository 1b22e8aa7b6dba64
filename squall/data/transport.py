"""How a batch comes from a worker process: pickled, with the memory of its arrays shared instead of copied.

The pickle and the arrays are written to anonymous memory, whose file descriptor goes through the socket; the receiver
maps it, and its Tensors lie in it. Nothing has a name, so nothing is left behind when a process is killed.
"""

from __future__ import annotations

import io
import mmap
import os
import pickle
import socket
import struct
import tempfile
from typing import Any

import squall as sq
from squall.base.dtypes import dtype_named, numpy_dtype
from squall.frontend.arrays import computed
from squall.frontend.core import wrap

INLINE = 1 << 13  # bytes that go through the socket itself: small enough that a worker never waits for a reader
_ALIGNMENT = 64


class _Pickler(pickle.Pickler):
    """Tensors by the memory they have."""

    def reducer_override(self, value: Any) -> Any:
        if not isinstance(value, sq.Tensor):
            return NotImplemented
        import numpy

        array = numpy.ascontiguousarray(value.detach_array())
        # pickle knows no buffers of foreign element types such as bfloat16, so bytes are what is shared
        raw = array.reshape(-1).view(numpy.uint8) if array.size else numpy.zeros(0, numpy.uint8)
        return _tensor, (raw, tuple(array.shape), value.dtype.name, value.requires_grad)


def _tensor(raw: Any, shape: tuple[int, ...], dtype: str, requires_grad: bool) -> Any:
    tensor = wrap(computed(raw.view(numpy_dtype(dtype_named(dtype))).reshape(shape)))
    return tensor.requires_grad_() if requires_grad else tensor


def pack(value: Any) -> tuple[bytes, list[Any]]:
    """A pickle, and the buffers that belong to it."""
    buffers: list[pickle.PickleBuffer] = []
    out = io.BytesIO()
    _Pickler(out, 5, buffer_callback=buffers.append).dump(value)
    return out.getvalue(), [buffer.raw() for buffer in buffers]


def _anonymous(size: int) -> int:
    """A descriptor of memory without a name."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("squall batch", getattr(os, "MFD_CLOEXEC", 0))
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, size)
    return descriptor


def send(connection: Any, head: tuple, value: Any) -> None:
    """Send a small tuple and a value.

    Raises:
        OSError: when nobody is there to read it. PicklingError and the like: for a value that cannot be pickled; then
            nothing was sent.
    """
    body, buffers = pack(value)
    places, at = [], len(body)
    for buffer in buffers:
        at += -at % _ALIGNMENT
        places.append((at, buffer.nbytes))
        at += buffer.nbytes
    if at <= INLINE and len(places) <= 64:
        whole = bytearray(at)
        _fill(whole, body, buffers, places)
        connection.send_bytes(pickle.dumps((head, len(body), places, None)) + whole)
        return
    table = struct.pack(f"<{2 * len(places)}Q", *(n for place in places for n in place))
    size = at + len(table)
    descriptor = _anonymous(size)
    try:
        with mmap.mmap(descriptor, size) as memory:
            _fill(memory, body, buffers, places)
            memory[at:] = table
        connection.send_bytes(pickle.dumps((head, len(body), (at, len(places)), size)))
        with socket.socket(fileno=os.dup(connection.fileno())) as channel:
            socket.send_fds(channel, [b"m"], [descriptor])
    finally:
        os.close(descriptor)


def _fill(memory: Any, body: bytes, buffers: list[Any], places: list[tuple[int, int]]) -> None:
    memory[: len(body)] = body
    for (start, size), buffer in zip(places, buffers, strict=True):
        memory[start : start + size] = buffer


def receive(connection: Any) -> tuple[tuple, Any]:
    """What `send` sent: the tuple, and a function that makes the value.

    Raises:
        EOFError, OSError: when the other side is gone.
    """
    data = connection.recv_bytes()
    stream = io.BytesIO(data)
    head, length, places, size = pickle.load(stream)
    if size is None:
        memory: Any = bytearray(data[stream.tell() :])
    else:
        with socket.socket(fileno=os.dup(connection.fileno())) as channel:
            _, descriptors, _, _ = socket.recv_fds(channel, 1, 1)
        if not descriptors:
            raise EOFError
        try:
            memory = mmap.mmap(descriptors[0], size)
        finally:
            os.close(descriptors[0])
        at, count = places
        numbers = struct.unpack_from(f"<{2 * count}Q", memory, at)
        places = list(zip(numbers[::2], numbers[1::2], strict=True))
    window = memoryview(memory)
    return head, lambda: pickle.loads(window[:length], buffers=[window[a : a + n] for a, n in places])
