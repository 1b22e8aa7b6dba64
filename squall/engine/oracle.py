"""Evaluation by the NumPy oracle: `SQUALL_BACKEND=numpy`. Slow and plain; what everything else is compared with."""

from __future__ import annotations

from typing import Any

from squall.base.dim import evaluate as evaluate_size
from squall.base.dtypes import numpy_dtype
from squall.engine.overwriting import settled
from squall.ir.interpret import evaluate
from squall.ir.node import Node
from squall.ir.op import ops
from squall.ir.plan import Request
from squall.runtime.buffer import Buffer


def array_of(node: Node) -> Any:
    """A NumPy view of a computed node's memory (zero copy; the block stays alive through the array's base)."""
    import numpy

    dtype = numpy_dtype(node.dtype)
    buffer = settled(node)
    shape = tuple(node.shape)
    strides = None if buffer.strides is None else tuple(s * dtype.itemsize for s in buffer.strides)
    return numpy.asarray(_Window(buffer, shape, strides, dtype.itemsize)).view(dtype)


class _Window:
    """Exposes memory through NumPy's array interface as raw bytes of the right width."""

    def __init__(self, buffer: Buffer, shape: tuple, strides: tuple | None, width: int):
        self.buffer = buffer
        kind = {1: "|u1", 2: "<u2", 4: "<u4", 8: "<u8", 16: "<c16"}[width]
        self.__array_interface__ = {"shape": shape, "typestr": kind, "data": (buffer.pointer, False),
                                    "strides": strides, "version": 3}


def buffer_of(array: Any, dtype: Any = None) -> Buffer:
    """A buffer over an array's memory (row-major copies are made by the caller)."""
    import numpy

    array = numpy.asarray(array)
    item = array.dtype.itemsize
    strides = None if array.flags.c_contiguous else tuple(s // item for s in array.strides)
    return Buffer(array, array.__array_interface__["data"][0], strides)


def run(roots: list[Node]) -> list[Buffer]:
    """The values of Nodes by `ir.interpret`, in fresh row-major buffers."""
    import numpy

    values = evaluate(roots, _read)
    out = []
    for root, value in zip(roots, values, strict=True):
        fresh = numpy.array(value, dtype=numpy_dtype(root.dtype), order="C", copy=True)
        out.append(buffer_of(fresh))
    return out



def bindings(request: Request, buffers: list[Buffer], scalars: list, sizes: dict[str, int]) -> dict:
    """What a captured graph is run on, by Node: numbers and arrays."""
    bound: dict = dict(zip(request.scalars, scalars, strict=True))
    for node, buffer in zip(request.inputs, buffers, strict=True):
        shape = tuple(evaluate_size(s, sizes) for s in node.shape)
        bound[node] = array_of(Node(node.op, (), (), node.type.with_shape(shape), buffer))
    return bound


def value_of(node: Node, bound: dict | None = None, sizes: dict[str, int] | None = None) -> Any:
    """One Node's value as an array."""
    if bound is not None:
        return evaluate([node], bound, sizes=sizes)[0]
    return array_of(node) if node.buffer is not None else evaluate([node], _read)[0]


def _read(node: Node) -> Any:
    return None if node.op is ops.scalar or node.buffer is None else array_of(node)


class OracleExecutable:
    """A captured graph run by the oracle: the same interface as a compiled executable."""

    def __init__(self, request: Request):
        self.request = request

    def prepare(self, buffers: list[Buffer], scalars: list, sizes: dict[str, int]) -> tuple[tuple, list[Buffer]]:
        """Evaluate at once; there is nothing left to call."""
        import numpy

        bound = bindings(self.request, buffers, scalars, sizes)
        values = evaluate(self.request.roots, bound, sizes=sizes)
        out = [buffer_of(numpy.array(v, dtype=numpy_dtype(r.dtype), order="C", copy=True))
               for r, v in zip(self.request.roots, values, strict=True)]
        return (), out

    def check_status(self) -> None:
        """The oracle raises its errors itself."""
