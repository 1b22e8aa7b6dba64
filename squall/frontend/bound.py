"""A compiled function bound to memory: runs in a loop of a deployed program, without making Tensors.

`Compiled.bind` looks at arguments and results once. A run then compares what the function reads from outside (one word
for each parameter, and the guards of `native_compiled.watch_holds`), starts the kernels over the memory it was given,
and allocates nothing. When a parameter has got another value or a guard does not hold, the run is bound anew first, so
that it is never stale; a result that no longer fits is an error.
"""

from __future__ import annotations

import ctypes
import struct
from typing import Any

from squall.base import pytree
from squall.base.dtypes import numpy_dtype
from squall.base.errors import ArgumentError, DtypeError, ShapeError, SquallError, TraceError
from squall.engine import ready
from squall.engine.copying import copy_buffer
from squall.frontend import binding, calling
from squall.frontend.cell import Cell
from squall.frontend.core import Handle
from squall.frontend.creation import tensor
from squall.frontend.interop import to_numpy
from squall.frontend.state import local, no_grad
from squall.runtime.memory import allocate

# Words of a block: as named, then the images' addresses, then (address of a slot, what must be in it) of each value
# that is read from outside.
BUSY, IMAGES, WITH_LOCK, VALUES_AT, STATUS_AT, WATCHED, REST = range(7)
SMALL = 256 << 10  # a run over less memory is over before another thread could have begun


class Bound:
    """A compiled function bound to its arguments and to memory for its results; made by `Compiled.bind`.

    Attributes:
        run: a builtin function without arguments that computes the results and gives `out`. out: what results are
            written to, an ndarray or Tensor, or a tuple of such.

    Example:
        >>> import numpy as np, squall as sq
        >>> double = sq.compile(lambda x: x * 2.0)
        >>> x, y = np.ones(3, "float32"), np.empty(3, "float32")
        >>> bound = double.bind(x, out=y)
        >>> x[0] = 5.0
        >>> bound.run()
        array([10.,  2.,  2.], dtype=float32)
    """

    __slots__ = ("__weakref__", "_arguments", "_arrays", "_held", "_name", "_words", "address", "call", "compiled",
                 "out", "run")

    def __init__(self, compiled: Any, arguments: tuple, named: dict, out: Any):
        self.compiled, self.out = compiled, out
        self._name = f"{compiled.label}.bind"
        self._arguments = (arguments, named)
        self._arrays: list[Any] = []
        self._bind()
        entry = calling.NativeBound.function
        self.run = self._in_python if entry is None else entry(self)

    def __call__(self) -> Any:
        """`run()`."""
        return self.run()

    # ------------------------------------------------------------ looking at everything once
    def _bind(self) -> None:
        """Find the program, and put down where everything is."""
        if local.state.trace is not None:
            raise TraceError(f"{self._name}: bound memory is written at once; in a compiled function call the function")
        given, structure = pytree.flatten(self._arguments)
        leaves = [self._as_tensor(v) for v in given]
        load()
        with no_grad():
            arguments, named = pytree.unflatten(structure, leaves)
            self.compiled(*arguments, **named)
            self.compiled(*arguments, **named)  # in native code, if that can be
            program, call = self.compiled.program_of(arguments, named)
        self._check(program)
        self._outputs(program)
        self.address, self._words, self.call = 0, None, call
        if call is not None and calling.NativeBound.function is not None:
            self._put_down(program, call, given, leaves)

    def _as_tensor(self, value: Any) -> Any:
        """A Tensor of the kind an ndarray's memory is read as; other arguments as they are."""
        import numpy

        if not isinstance(value, numpy.ndarray):
            return value
        if not value.flags.c_contiguous or not value.flags.aligned:
            raise ArgumentError(f"{self._name}: an argument must be row-major and aligned; pass a copy of the array")
        return tensor(value)

    def _check(self, program: Any) -> None:
        """TraceError for programs that do more than compute results."""
        does = {"writes to tensors": program.writes, "gathers gradients": program.gradients,
                "draws random numbers": program.generators, "creates state": program.created,
                "returns something it is given": program.passed, "takes symbolic sizes": program.is_symbolic}
        for what, found in does.items():
            if found:
                raise TraceError(f"{self._name}: the function {what}; only functions that compute results can be bound")
        if calling.outputs_of(program) is None:
            raise TraceError(f"{self._name}: the function must return one new Tensor or a tuple of such")

    def _outputs(self, program: Any) -> None:
        """Check or make what results are written to."""
        import numpy

        numbers = calling.outputs_of(program)
        single = numbers.__class__ is int
        wanted = [program.types[i] for i in ((numbers,) if single else numbers)]
        if len(set((numbers,) if single else numbers)) != len(program.types):
            raise TraceError(f"{self._name}: the function must return every new value once")
        if self.out is None:
            made = [numpy.empty(t.shape, numpy_dtype(t.dtype)) for t in wanted]
            self.out = made[0] if single else tuple(made)
        given = (self.out,) if single else self.out
        if not isinstance(given, (tuple, list)) or len(given) != len(wanted):
            raise ArgumentError(f"{self._name}: argument 'out' must be {len(wanted)} arrays or Tensors, in a tuple")
        self._arrays = [self._checked(out, type) for out, type in zip(given, wanted, strict=True)]

    def _checked(self, out: Any, type: Any) -> Any:
        """The array over the memory of an `out` that fits."""
        import numpy

        array = to_numpy(out) if isinstance(out, Handle) else out
        if not isinstance(array, numpy.ndarray):
            raise TypeError(f"{self._name}: argument 'out' must be an ndarray or Tensor, got {out.__class__.__name__}")
        if array.shape != tuple(type.shape):
            wanted, got = list(type.shape), list(array.shape)
            raise ShapeError(f"{self._name}: argument 'out' must have shape {wanted}, got {got}")
        if array.dtype != numpy_dtype(type.dtype):
            raise DtypeError(f"{self._name}: argument 'out' must be of dtype {type.dtype}, got {array.dtype}")
        if not (array.flags.c_contiguous and array.flags.aligned and array.flags.writeable):
            raise ArgumentError(f"{self._name}: argument 'out' must be row-major, aligned and writable")
        given, _ = pytree.flatten(self._arguments)
        if any(isinstance(v, numpy.ndarray) and numpy.may_share_memory(v, array) for v in given):
            raise ArgumentError(f"{self._name}: argument 'out' must not share memory with an argument")
        return array

    def _put_down(self, program: Any, call: Any, given: list, leaves: list) -> None:
        """Everything native code needs, as words; what must stay alive goes to `_held`."""
        import numpy

        plan = call.spec[0].binding
        count, results = len(program.inputs), len(program.types)
        values = (ctypes.c_int64 * (len(plan.layout) + 2))()
        held: list[Any] = [values, plan]
        watched: list[int] = []
        total = plan.arena_bytes + sum(a.nbytes for a in self._arrays)
        for i, entry in enumerate(program.inputs):
            array = given[entry.where] if entry.code == binding.ARGUMENT else None
            if isinstance(array, numpy.ndarray):
                values[i] = array.__array_interface__["data"][0]
                total += array.nbytes
                continue
            owner = leaves[entry.where] if entry.code == binding.ARGUMENT else entry.where
            node = program.input_node(entry, leaves)
            buffer = copy_buffer(node) if entry.plain and node.buffer.strides is not None else node.buffer
            held += (node, buffer)
            if entry.code != binding.CONSTANT:
                storage = owner if owner.__class__ is Cell or owner._cell is None else owner._cell
                watched += (id(storage) + calling.slot_of(storage, "_node"), id(storage._node))
                held += (storage, storage._node)
            values[i] = buffer.pointer
            total += getattr(buffer.block, "nbytes", SMALL)
        for owner, name, value in program.folded.guards if program.folded is not None else ():
            watched += (id(owner) + calling.slot_of(owner, name), id(value))
            held += (owner, value)
        numbers = calling.outputs_of(program)
        for place, array in zip((numbers,) if numbers.__class__ is int else numbers, self._arrays, strict=True):
            values[count + place] = array.__array_interface__["data"][0]
        if plan.arena_bytes:
            arena = allocate(plan.arena_bytes)
            held.append(arena)
            values[count + results] = arena.pointer
        status = ctypes.addressof(values) + 8 * len(plan.layout)
        values[count + results + 1] = status
        for at, (kind, source) in enumerate(call.scalars):
            if kind == calling.NUMBER_READ:
                raise TraceError(f"{self._name}: the function reads a number that varies, such as a learning rate")
            number = source if kind == calling.NUMBER_FIXED else (
                leaves[source] if kind == calling.NUMBER_ARGUMENT else source(leaves))
            floating = plan.layout[plan.scalar_at + at] == "d"
            values[count + results + 2 + at] = (
                struct.unpack("q", struct.pack("d", number))[0] if floating else int(number))
        words = [0, len(plan.segments), total >= SMALL, ctypes.addressof(values), status, len(watched) // 2,
                 *[image.address for image in plan.segments], *watched]
        self._words = (ctypes.c_int64 * len(words))(*words)
        self.address, self._held = ctypes.addressof(self._words), held
        if plan.split is not None:
            plan.split.followers.add(self)

    def renew(self, images: list) -> None:
        """Run other images from now on (`engine/resplit.py`)."""
        if self._words is not None:
            for i, image in enumerate(images):
                self._words[REST + i] = image.address

    # ------------------------------------------------------------ runs that are not everyday
    def _in_python(self) -> Any:
        """A run without native code."""
        import numpy

        given, structure = pytree.flatten(self._arguments)
        arguments, named = pytree.unflatten(structure, [self._as_tensor(v) for v in given])
        with no_grad():
            made = self.compiled(*arguments, **named)
        for array, value in zip(self._arrays, made if isinstance(made, tuple) else (made,), strict=True):
            numpy.copyto(array, value.detach_array())
        return self.out

    def _again(self) -> Any:
        """A run after something changed: bound anew."""
        if self._words is not None and self._words[BUSY]:
            self._busy()
        self._bind()
        return self._in_python()

    def _stopped(self, code: int, detail: int) -> None:
        """Raise what stopped a run."""
        given, _ = pytree.flatten(self._arguments)
        self.call.program._stopped([self._as_tensor(v) for v in given], {}, code, detail)

    def _busy(self) -> None:
        """Raise for a run that cannot begin."""
        raise SquallError(f"{self._name}: it runs in another thread, or the process ends; bind once for each thread")


def load() -> None:
    """Have native code, if there is to be any."""
    if ready.Native.load is not None:
        ready.Native.load, make = None, ready.Native.load
        make()
