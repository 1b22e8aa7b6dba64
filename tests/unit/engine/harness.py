"""Runs graphs through the compiler and an executable on NumPy arrays, for tests of both rooms."""

from __future__ import annotations

import ctypes
from math import prod

import numpy as np

import squall.ops  # noqa: F401  (fills the table of ops)
from squall.base import config, dtypes
from squall.compiler.pipeline import compile_plan
from squall.engine.execute import Executable
from squall.ir.interpret import evaluate
from squall.ir.node import Node, TensorType, toposort
from squall.ir.op import make, ops
from squall.ir.plan import Request
from squall.runtime.buffer import Buffer

BY_NUMPY = {dtypes.numpy_dtype(d): d for d in dtypes.EVERY}


class Leaf:
    """Arrays by leaf node; strided arrays keep their strides."""

    def __init__(self):
        self.arrays: dict[int, np.ndarray] = {}
        self.nodes: list[Node] = []

    def __call__(self, array) -> Node:
        array = np.asarray(array)
        node = Node(ops.buffer, (), (), TensorType(array.shape, BY_NUMPY[array.dtype]))
        strides = None if array.flags.c_contiguous else tuple(s // array.itemsize for s in array.strides)
        node.buffer = Buffer(array, array.__array_interface__["data"][0], strides)
        self.arrays[id(node)] = array
        self.nodes.append(node)
        return node


def scalar(value, dtype) -> Node:
    """A run-time number."""
    return Node(ops.scalar, (), (), TensorType((), dtype), value)


def array_of(buffer: Buffer, shape, dtype) -> np.ndarray:
    """A copy of a row-major result."""
    nbytes = prod(shape) * dtype.itemsize
    raw = (ctypes.c_char * nbytes).from_address(buffer.pointer) if nbytes else b""
    return np.frombuffer(raw, dtype=dtypes.numpy_dtype(dtype)).reshape(shape).copy()


def request_of(roots, donatable=()) -> Request:
    """A request with the leaves found below the roots, in order."""
    order = toposort(roots, lambda n: n.buffer is not None)
    inputs = tuple(n for n in order if n.buffer is not None and n.op is not ops.scalar)
    scalars = tuple(n for n in order if n.op is ops.scalar)
    donated = tuple(any(n is d for d in donatable) for n in inputs)
    return Request(tuple(roots), inputs, scalars, donated, tuple(n.buffer.strides is None for n in inputs))


class Built:
    """A graph compiled under some options, to be run."""

    def __init__(self, roots, donatable=(), **options):
        self.roots = list(roots)
        self.request = request_of(self.roots, donatable)
        self.options = options
        with config.options(**options):
            self.plan = compile_plan(self.request)
            self.executable = Executable(self.plan)

    def run(self, sizes=None, shapes=None) -> list[np.ndarray]:
        with config.options(**self.options):
            buffers = self.executable.run(
                [n.buffer for n in self.request.inputs], [n.buffer for n in self.request.scalars], sizes)
        shapes = shapes or [tuple(r.shape) for r in self.roots]
        return [array_of(b, s, r.dtype) for b, s, r in zip(buffers, shapes, self.roots, strict=True)]


def compiled(roots, **options) -> list[np.ndarray]:
    """The roots' values by a compiled plan."""
    return Built(roots, **options).run()


def expected(roots, leaves: Leaf) -> list[np.ndarray]:
    """The roots' values by the NumPy oracle."""
    return evaluate(roots, lambda n: leaves.arrays.get(id(n)))


def same_bits(a, b) -> bool:
    """Whether two lists of arrays agree in every bit, any NaN standing for any other."""
    for x, y in zip(a, b, strict=True):
        if x.dtype.kind == "f" or x.dtype.name == "bfloat16":
            nan = np.isnan(x.astype(np.float64)) & np.isnan(y.astype(np.float64))
            x, y = np.where(nan, x.dtype.type(0), x), np.where(nan, y.dtype.type(0), y)
        if x.tobytes() != y.tobytes():
            return False
    return True


def kernels(roots, **options) -> int:
    """How many steps the plan has."""
    return len(Built(roots, **options).plan.steps)


def sample_roots(op, sample, leaves: Leaf, dtype="float32"):
    """A sample's call with its floats in a dtype."""
    kind = dtypes.numpy_dtype(dtypes.BY_NAME[dtype])
    nodes = [leaves(a.astype(kind) if a.dtype == np.float64 else a) for a in map(np.asarray, sample.inputs)]
    out = op(*nodes, **sample.attributes) if nodes else make(op, (), op.pack(sample.attributes))
    return list(out) if isinstance(out, tuple) else [out]
