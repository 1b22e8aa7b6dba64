"""Host steps: library functions called on NumPy views of slots, between native segments of a plan."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from math import prod
from typing import Any

from squall.base import trace
from squall.base.dim import Dim, evaluate
from squall.base.dtypes import FOREIGN, DType, numpy_dtype
from squall.base.shapes import contiguous_strides
from squall.ir.plan import HostStep
from squall.runtime.buffer import Buffer


def array_at(address: int, shape: tuple[int, ...], dtype: DType) -> Any:
    """A NumPy array over memory that somebody else keeps alive."""
    import numpy

    kind = numpy_dtype(dtype)
    nbytes = prod(shape) * dtype.itemsize
    raw = (ctypes.c_char * nbytes).from_address(address) if nbytes else bytearray()
    return numpy.frombuffer(raw, dtype=kind).reshape(shape)


def dense_copy(buffer: Buffer, shape: tuple[int, ...], dtype: DType, dense: int) -> Buffer:
    """A copy of a value in which one dimension lies dense."""
    import numpy

    kind = numpy_dtype(dtype)
    strides = buffer.strides or contiguous_strides(shape)
    window = Window(buffer.pointer, shape, tuple(s * dtype.itemsize for s in strides), dtype.itemsize)
    order = [d for d in range(len(shape)) if d != dense] + [dense]
    moved = numpy.ascontiguousarray(numpy.asarray(window).view(kind).transpose(order))
    back = moved.transpose(numpy.argsort(order))
    return Buffer(moved, moved.__array_interface__["data"][0], tuple(s // dtype.itemsize for s in back.strides))


class Window:
    """Memory through NumPy's array interface, as integers of the right width."""

    def __init__(self, pointer: int, shape: tuple[int, ...], strides: tuple[int, ...], width: int):
        kind = {1: "|u1", 2: "<u2", 4: "<u4", 8: "<u8", 16: "<c16"}[width]
        self.__array_interface__ = {"shape": shape, "typestr": kind, "data": (pointer, False), "strides": strides,
                                    "version": 3}


def _widened(array: Any) -> Any:
    """16-bit floats in float32, as every computation on them."""
    import numpy

    small = (array.dtype.itemsize == 2 and array.dtype.kind == "f") or array.dtype.name in FOREIGN
    return array.astype(numpy.float32) if small else array


def _concrete(value: Any, sizes: dict[str, int]) -> Any:
    """An attribute with numbers in the place of symbolic sizes."""
    if isinstance(value, Dim):
        return evaluate(value, sizes)
    return tuple([_concrete(v, sizes) for v in value]) if value.__class__ is tuple else value


def host_call(binding: Any, step: HostStep) -> Callable[[list], None]:
    """A function of the values' words that runs the step."""

    def view(slot: int, shape: tuple, dtype: DType, words: list) -> Any:
        at = binding.address_of(slot, 0)
        return array_at(words[at.value] + at.constant, tuple(evaluate(n, binding.sizes) for n in shape), dtype)

    attributes = {name: _concrete(value, binding.sizes) for name, value in step.attributes}

    def run(words: list) -> None:
        import numpy

        began = trace.begin()
        arrays = [view(*i, words) for i in step.inputs]
        with numpy.errstate(all="ignore"):
            results = step.function(*map(_widened, arrays), **attributes)
        results = results if isinstance(results, tuple) else (results,)
        for target, result in zip(step.outputs, results, strict=True):
            out = view(*target, words)
            out[...] = result
        trace.end(f"library {step.label}", began)

    return run
