"""NumPy's arrays, scalars and dtypes in pickles: rebuilt from checked parts; object arrays never."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from squall.base.errors import CheckpointError

KINDS = "biufcSU"  # numbers, booleans, bytes and text of fixed length
RANK_LIMIT = 64


class DtypeState:
    """A NumPy dtype on its way: its name and byte order."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.order: Any = "="

    def dtype(self) -> Any:
        """The dtype itself.

        Raises:
            CheckpointError: for one that could hold objects or fields.
        """
        import numpy

        if not self.name.isalnum() or self.order not in "<>=|":
            raise CheckpointError(f"an array has the dtype {self.name[:40]!r}")
        try:
            found = numpy.dtype(self.name)
        except TypeError:
            raise CheckpointError(f"an array has the dtype {self.name[:40]!r}") from None
        if found.kind not in KINDS or found.hasobject or found.itemsize > 1 << 16:
            raise CheckpointError(f"an array has the dtype {self.name[:40]!r}, which is not one of numbers or text")
        return found if self.order == "|" else found.newbyteorder(self.order)


def _dtype(name: Any, align: Any = False, copy: Any = False, metadata: Any = None) -> DtypeState:
    if not isinstance(name, str):
        raise CheckpointError(f"a dtype is named by a {type(name).__name__}")
    return DtypeState(name)


def _raw(data: Any) -> bytes:
    """Bytes; a pickle of Python 2 has them as text."""
    if isinstance(data, str):
        return data.encode("latin-1")
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise CheckpointError(f"the contents of an array are a {type(data).__name__}")
    return bytes(data)


def _scalar(kind: Any, data: Any = b"") -> Any:
    import numpy

    dtype = _checked(kind)
    raw = _raw(data)
    if len(raw) != dtype.itemsize:
        raise CheckpointError(f"a number of dtype {dtype} has {len(raw)} bytes")
    return numpy.frombuffer(raw, dtype)[0]


def _checked(kind: Any) -> Any:
    if not isinstance(kind, DtypeState):
        raise CheckpointError(f"a dtype is a {type(kind).__name__}")
    return kind.dtype()


def array_of(shape: Any, kind: Any, fortran: Any, data: Any) -> Any:
    """A writable ndarray of checked parts."""
    import numpy

    dtype, raw = _checked(kind), _raw(data)
    if not isinstance(shape, tuple) or len(shape) > RANK_LIMIT or any(type(n) is not int or n < 0 for n in shape):
        raise CheckpointError("the shape of an array is not a tuple of sizes")
    if prod(shape) * dtype.itemsize != len(raw):
        raise CheckpointError(f"an array of shape {shape} and dtype {dtype} has {len(raw)} bytes")
    array = numpy.frombuffer(raw, dtype).reshape(shape, order="F" if fortran is True else "C")
    return array.astype(dtype.newbyteorder("="), order="K")


def _empty(*arguments: Any) -> Any:
    import numpy

    return numpy.zeros(0, "u1")


def _from_buffer(data: Any, kind: Any, shape: Any, order: Any) -> Any:
    return array_of(shape, kind, order == "F", data)


def set_state(instance: Any, state: Any) -> bool:
    """Put a state into a dtype or an array that `FUNCTIONS` made; whether it is one.

    Raises:
        CheckpointError: for a state that does not fit.
    """
    import numpy

    if isinstance(instance, DtypeState):
        if not isinstance(state, tuple) or len(state) < 3 or not isinstance(state[1], str) or state[2] is not None:
            raise CheckpointError("the state of a dtype")
        instance.order = state[1]
        return True
    if not isinstance(instance, numpy.ndarray):
        return False
    if not isinstance(state, tuple) or len(state) != 5:
        raise CheckpointError("the state of an array")
    made = array_of(*state[1:])
    # In place, because the pickle may already have kept the empty array for later.
    fortran = made.flags.f_contiguous and not made.flags.c_contiguous
    contents: Any = (1, made.shape, made.dtype, fortran, made.tobytes("F" if fortran else "C"))
    instance.__setstate__(contents)
    return True


FUNCTIONS: dict[str, Callable[..., Any]] = {"numpy.dtype": _dtype}
for _module in ("numpy.core.multiarray", "numpy._core.multiarray"):
    FUNCTIONS[f"{_module}._reconstruct"] = _empty
    FUNCTIONS[f"{_module}.scalar"] = _scalar
for _module in ("numpy.core.numeric", "numpy._core.numeric"):
    FUNCTIONS[f"{_module}._frombuffer"] = _from_buffer
FUNCTIONS["numpy.ndarray"] = _empty
