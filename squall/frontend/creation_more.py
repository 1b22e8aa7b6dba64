"""More new Tensors, under PyTorch's names: logspace, range, windows of signals, memory of given strides."""

from __future__ import annotations

from builtins import range as _count
from math import pi
from typing import Any

from squall.base.dtypes import as_dtype, default_dtype, numpy_dtype
from squall.base.errors import ArgumentError, ShapeError
from squall.base.formats import check_format
from squall.base.shapes import normalize_dim, numel
from squall.frontend import creation
from squall.frontend.arrays import computed
from squall.frontend.core import wrap
from squall.frontend.factories import factory
from squall.frontend.movement import shape_argument


def _kind(dtype: Any) -> Any:
    return default_dtype() if dtype is None else as_dtype(dtype)


def _made(values: Any, dtype: Any, device: Any, requires_grad: bool, function: str) -> Any:
    creation.check_device(device, function)
    out = wrap(computed(values.astype(numpy_dtype(_kind(dtype)))))
    return creation.require_grad(out, requires_grad, function)


@factory
def logspace(start: Any, end: Any, steps: int, base: float = 10.0, *, dtype: Any = None, device: Any = None,
             layout: Any = None, requires_grad: bool = False) -> Any:
    """base to the power of `steps` evenly spaced numbers from start to end."""
    import numpy

    creation.check_ends("logspace", start, end, steps)
    if steps < 0:
        raise ArgumentError(f"logspace: number of steps must be non-negative, got {steps}")
    kind = _kind(dtype)
    exponents = numpy.linspace(float(start), float(end), int(steps))
    if kind.category == 1:
        exponents = numpy.trunc(exponents) if steps > 1 else exponents
        exponents = numpy.linspace(int(float(start)), int(float(end)), int(steps))
    with numpy.errstate(all="ignore"):
        values = float(base) ** exponents
    return _made(values, dtype, device, requires_grad, "logspace")


@factory
def range(start: float = 0, end: float | None = None, step: float = 1, *, dtype: Any = None, device: Any = None,
          layout: Any = None, requires_grad: bool = False) -> Any:
    """Numbers from start to end by step, the end included."""
    import numpy

    if end is None:
        start, end = 0, start
    if step == 0 or (end - start) / step < 0:
        raise ArgumentError(f"range: upper bound and lower bound inconsistent with step sign: {start}, {end}, {step}")
    values = start + step * numpy.arange(int((end - start) / step) + 1, dtype=numpy.float64)
    return _made(values, dtype, device, requires_grad, "range")


@factory
def scalar_tensor(s: Any, *, dtype: Any = None, device: Any = None, layout: Any = None,
                  requires_grad: bool = False) -> Any:
    """A number as a Tensor without dimensions, of the default dtype unless given."""
    creation.check_device(device, "scalar_tensor")
    return creation.require_grad(creation.tensor(s, dtype=_kind(dtype)), requires_grad, "scalar_tensor")


def empty_permuted(size: Any, physical_layout: Any, *, dtype: Any = None, device: Any = None, layout: Any = None,
                   requires_grad: bool = False, pin_memory: bool = False) -> Any:
    """Values that mean nothing yet, whose dimensions lie in memory in the order of physical_layout."""
    shape = shape_argument((size,), "empty_permuted")
    order = tuple(normalize_dim(d, len(shape), "empty_permuted") for d in physical_layout)
    if sorted(order) != list(_count(len(shape))):
        raise ShapeError(f"empty_permuted: physical_layout {list(physical_layout)} must name each of {len(shape)} "
                         "dimensions once")
    dense = creation.empty(*(shape[d] for d in order), dtype=dtype, device=device) if shape else creation.empty(
        (), dtype=dtype, device=device)
    out = dense.permute(tuple(order.index(d) for d in _count(len(shape)))).detach()
    return creation.require_grad(out, requires_grad, "empty_permuted")


def empty_strided(size: Any, stride: Any, *, dtype: Any = None, device: Any = None, layout: Any = None,
                  requires_grad: bool = False, pin_memory: bool = False) -> Any:
    """Values that mean nothing yet, of given logical strides, which must be those of a permuted row-major order."""
    check_format(None, layout, "empty_strided")
    shape, strides = shape_argument((size,), "empty_strided"), shape_argument((stride,), "empty_strided")
    if len(shape) != len(strides):
        raise ShapeError(f"empty_strided: size {list(shape)} and stride {list(strides)} differ in length")
    order = sorted(_count(len(shape)), key=lambda d: (-strides[d], shape[d] == 1, d))
    out = empty_permuted(shape, order, dtype=dtype, device=device, requires_grad=requires_grad)
    made = out.stride()
    if numel(shape) and any(m != s for m, s, n in zip(made, strides, shape, strict=True) if n > 1):
        raise ShapeError(f"empty_strided: stride {list(strides)} of size {list(shape)} leaves gaps or overlaps; only "
                         f"permuted row-major orders are made, such as {list(made)}")
    return out


# ---------------------------------------------------------------- windows
def _points(length: int, periodic: bool) -> Any:
    """Angles from 0 to 2 pi over a window."""
    import numpy

    if length < 0:
        raise ArgumentError(f"window: the length must not be negative, got {length}")
    span = max(length if periodic else length - 1, 1)
    return 2 * pi * numpy.arange(length) / span


def _cosines(length: int, periodic: bool, factors: tuple) -> Any:
    import numpy

    if length == 1:
        return numpy.ones(1)
    angle = _points(length, periodic)
    return sum((-1) ** k * a * numpy.cos(k * angle) for k, a in enumerate(factors))


@factory
def hann_window(window_length: int, periodic: bool = True, *, dtype: Any = None, device: Any = None,
                layout: Any = None, requires_grad: bool = False) -> Any:
    """A raised cosine that falls to 0 at its ends."""
    return _made(_cosines(window_length, periodic, (0.5, 0.5)), dtype, device, requires_grad, "hann_window")


@factory
def hamming_window(window_length: int, periodic: bool = True, alpha: float = 0.54, beta: float = 0.46, *,
                   dtype: Any = None, device: Any = None, layout: Any = None, requires_grad: bool = False) -> Any:
    """alpha - beta cos(2 pi n / N)."""
    return _made(_cosines(window_length, periodic, (alpha, beta)), dtype, device, requires_grad, "hamming_window")


@factory
def blackman_window(window_length: int, periodic: bool = True, *, dtype: Any = None, device: Any = None,
                    layout: Any = None, requires_grad: bool = False) -> Any:
    """0.42 - 0.5 cos(2 pi n / N) + 0.08 cos(4 pi n / N)."""
    values = _cosines(window_length, periodic, (0.42, 0.5, 0.08))
    return _made(values, dtype, device, requires_grad, "blackman_window")


@factory
def bartlett_window(window_length: int, periodic: bool = True, *, dtype: Any = None, device: Any = None,
                    layout: Any = None, requires_grad: bool = False) -> Any:
    """A triangle that falls to 0 at its ends."""
    import numpy

    values = 1 - numpy.abs(_points(window_length, periodic) / pi - 1)
    values = numpy.ones(1) if window_length == 1 else values
    return _made(values, dtype, device, requires_grad, "bartlett_window")


@factory
def kaiser_window(window_length: int, periodic: bool = True, beta: float = 12.0, *, dtype: Any = None,
                  device: Any = None, layout: Any = None, requires_grad: bool = False) -> Any:
    """I0(beta sqrt(1 - x^2)) / I0(beta) over [-1, 1]."""
    import numpy

    place = _points(window_length, periodic) / pi - 1
    values = numpy.i0(beta * numpy.sqrt(numpy.maximum(1 - place**2, 0))) / numpy.i0(numpy.asarray(float(beta)))
    values = numpy.ones(1) if window_length == 1 else values
    return _made(values, dtype, device, requires_grad, "kaiser_window")
