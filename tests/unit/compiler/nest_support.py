"""Running contractions for tests: reference by index arithmetic in float64, native runs, runs by the python backend."""

import ctypes
import itertools
from functools import lru_cache

import numpy as np

from squall.backends import ssa_text
from squall.backends.cpu.build import compile_functions
from squall.backends.cpu.table import table_for
from squall.backends.cpu.target import host_target, named_target
from squall.backends.python import Executor
from squall.compiler import nest

NUMPY = {"f32": "f4", "f64": "f8", "f16": "f2", "i8": "i1", "u8": "u1", "i16": "i2", "u16": "u2", "i32": "i4",
         "u32": "u4", "i64": "i8", "u64": "u8"}
KERNEL = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)


def numpy_type(dtype):
    """The NumPy dtype of a name, bf16 by ml_dtypes."""
    if dtype == "bf16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(NUMPY[dtype])


def host_isas():
    """Instruction sets this machine can run, widest first."""
    order = ["avx512", "avx2", "sse4"]
    best = host_target().isa
    return order[order.index(best):] if best in order else [best]


@lru_cache(maxsize=64)
def native(library):
    """The compiled kernel of a library."""
    isa = library.isa.split(" ")[0]  # "avx512 by 64" is avx512 in other tiles
    target = host_target() if isa == host_target().isa else named_target(isa)
    entry = nest.entry_name(library)

    def text():
        return ssa_text.write(nest.program(library), table_for(target.architecture, target.features))

    return KERNEL(compile_functions({("nest test", library, text()): (text(), [entry])}, target)[
        ("nest test", library, text())][entry])


@lru_cache(maxsize=8)
def interpreted(library):
    """The kernel of a library, run by the python backend."""
    return Executor(nest.program(library))


def offsets(dims, stride):
    """Offsets of the flat indices of dims, row-major."""
    total = np.zeros(1, "i8")
    for dim in dims:
        total = (total[:, None] + np.arange(dim.extent) * getattr(dim, stride)).reshape(-1)
    return total


class Operand:
    """A flat buffer that every offset of some dims falls into, and the element that offset 0 means."""

    def __init__(self, dims, stride, dtype, fill):
        reach = [(dim.extent - 1) * getattr(dim, stride) for dim in dims if dim.extent > 0]
        low, high = sum(min(0, r) for r in reach), sum(max(0, r) for r in reach)
        self.origin = -low
        self.data = np.zeros(high - low + 1, numpy_type(dtype))
        fill(self.data)

    @property
    def address(self):
        return self.data.ctypes.data + self.origin * self.data.itemsize

    def gather(self, *groups):
        """The elements at sums of offsets, one axis per group."""
        index = np.zeros((), "i8")
        for group in groups:
            index = index[..., None] + group
        return self.data[index + self.origin]


class Problem:
    """A contraction with operands filled from a seed."""

    def __init__(self, contraction, seed=0):
        rng = np.random.default_rng(seed)
        self.contraction, result = contraction, contraction.result or contraction.dtype

        def fill(data):
            if np.issubdtype(data.dtype, np.integer):
                info = np.iinfo(data.dtype)
                data[:] = rng.integers(info.min, info.max, data.size, dtype=data.dtype, endpoint=True)
            else:
                data[:] = rng.standard_normal(data.size).astype(data.dtype)

        self.a = Operand(contraction.dims, "a_stride", contraction.dtype, fill)
        self.b = Operand(contraction.dims, "b_stride", contraction.dtype, fill)
        self.c_type = result

    def groups(self, stride, *kinds):
        return [offsets([d for d in self.contraction.dims if d.kind == kind], stride) for kind in kinds]

    def reference(self):
        """C[batch, m, n] in float64, or exactly for integers."""
        a = self.a.gather(*self.groups("a_stride", "batch", "m", "k"))
        b = self.b.gather(*self.groups("b_stride", "batch", "n", "k"))
        wide = object if np.issubdtype(a.dtype, np.integer) else "f8"
        a, b = a.astype(wide), b.astype(wide)
        return (a[:, :, None, :] * b[:, None, :, :]).sum(-1)

    def magnitude(self):
        """The sum of absolute products: what rounding errors are relative to."""
        a = self.a.gather(*self.groups("a_stride", "batch", "m", "k")).astype("f8")
        b = self.b.gather(*self.groups("b_stride", "batch", "n", "k")).astype("f8")
        return (abs(a)[:, :, None, :] * abs(b)[:, None, :, :]).sum(-1)

    def run(self, plan, runner=native, split=0, pointers=None):
        """Run a plan's steps, units in `split` calls of shuffled order, and read C back as [batch, m, n]."""
        def fill(data):
            data[:] = 77 if np.issubdtype(data.dtype, np.integer) else np.nan

        c = Operand(self.contraction.dims, "c_stride", self.c_type, fill)
        workspace = np.zeros(plan.workspace_bytes + 64, "u1")
        names = {"a": self.a.address, "b": self.b.address, "c": c.address, "packed": workspace.ctypes.data,
                 **(pointers or {})}
        for step in plan.steps:
            words = np.array([names[w] if isinstance(w, str) else w for w in step.words], "i8")
            scratch = np.full(step.scratch_bytes + 64, 255, "u1")
            place = (scratch.ctypes.data + 63) // 64 * 64
            for begin, end in parts(step.units, split):
                runner(step.library)(words.ctypes.data, begin, end, place)
        return c.gather(*self.groups("c_stride", "batch", "m", "n"))


def parts(units, split):
    """[0, units) in one piece, or in `split` nearly equal ones, last first."""
    if split < 2:
        return [(0, units)]
    cuts = sorted({units * i // split for i in range(split + 1)})
    return list(itertools.pairwise(cuts))[::-1]
