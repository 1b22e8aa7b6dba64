"""`squall.numpy.fft`: discrete Fourier transforms under NumPy's and the Array API's names."""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import complex_of, float32, float64
from squall.base.errors import SquallError
from squall.frontend import fourier
from squall.numpy.core import arr, axis_tuple, cast, int_value, lift, one_axis, write_out
from squall.numpy.creation import _device
from squall.numpy.kinds import dtype_of


def _input(a: Any, real: bool) -> Any:
    x = arr(a)
    kind = x.node.dtype
    if real and kind.category == 3:
        raise TypeError(f"fft: real numbers are needed here, not {kind.name}")
    if kind.category < 2:
        return cast(x, float64)
    return cast(x, float32) if kind.itemsize == 2 else x


def _one(name: str, a: Any, n: Any, axis: Any, norm: Any, out: Any, real: bool = False) -> Any:
    x = _input(a, real)
    d = one_axis(axis, x.ndim)
    count = None if n is None else int_value(n)
    if count is not None and count < 1:
        raise ValueError(f"Invalid number of FFT data points ({n}) specified.")
    return write_out(out, lift(_run(getattr(fourier, name), x, count, d, norm)), "same_kind", name)


def _run(function: Any, *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except (RuntimeError, SquallError) as error:
        raise ValueError(f"fft: {error}") from None


def _many(
    name: str, a: Any, s: Any, axes: Any, norm: Any, out: Any, real: bool = False, back: bool = False
) -> Any:
    x = _input(a, real)
    if axes is None:
        dims = tuple(range(x.ndim)) if s is None else tuple(range(x.ndim - len(s), x.ndim))
    else:
        dims = tuple(one_axis(d, x.ndim) for d in axes)
    sizes = None if s is None else [int_value(n) if n is not None else -1 for n in s]
    if sizes is not None and len(sizes) != len(dims):
        raise ValueError("Shape and axes have different lengths.")
    if not dims and (real or back):
        raise IndexError("fft: at least one axis is needed")
    if len(set(dims)) == len(dims):
        made = _run(getattr(fourier, name), x, sizes, dims, norm)
    else:  # the same axis again: one after the other, the last first
        one, last = {
            "fftn": ("fft", "fft"),
            "ifftn": ("ifft", "ifft"),
            "rfftn": ("fft", "rfft"),
            "irfftn": ("ifft", "irfft"),
        }[name]
        order = list(zip(dims, sizes or [None] * len(dims), strict=True))
        made = x
        for i, (d, n) in enumerate(order[:-1] if back else order[::-1]):
            step = last if not back and i == 0 else one
            made = _run(getattr(fourier, step), made, None if n == -1 else n, d, norm)
        if back:
            made = _run(
                getattr(fourier, last), made, None if order[-1][1] == -1 else order[-1][1], order[-1][0], norm
            )
    made = made if back or made.node.dtype.category == 3 else cast(made, complex_of(made.node.dtype))
    return write_out(out, lift(made), "same_kind", name)


def fft(a: Any, /, n: int | None = None, axis: int = -1, norm: str | None = None, out: Any = None) -> Any:
    """The discrete Fourier transform along an axis, cut or filled with zeros to n."""
    return _one("fft", a, n, axis, norm, out)


def ifft(a: Any, /, n: int | None = None, axis: int = -1, norm: str | None = None, out: Any = None) -> Any:
    """The inverse of `fft`."""
    return _one("ifft", a, n, axis, norm, out)


def rfft(a: Any, /, n: int | None = None, axis: int = -1, norm: str | None = None, out: Any = None) -> Any:
    """The transform of real numbers: its first n // 2 + 1 values, which tell the others."""
    return _one("rfft", a, n, axis, norm, out, True)


def irfft(a: Any, /, n: int | None = None, axis: int = -1, norm: str | None = None, out: Any = None) -> Any:
    """The inverse of `rfft`; n is the size of the result."""
    return _one("irfft", a, n, axis, norm, out)


def hfft(a: Any, /, n: int | None = None, axis: int = -1, norm: str | None = None, out: Any = None) -> Any:
    """The transform, which is real, of a signal of which half is given: the other half is its conjugate."""
    return _one("hfft", a, n, axis, norm, out)


def ihfft(a: Any, /, n: int | None = None, axis: int = -1, norm: str | None = None, out: Any = None) -> Any:
    """The inverse of `hfft`."""
    return _one("ihfft", a, n, axis, norm, out, True)


def fftn(a: Any, /, s: Any = None, axes: Any = None, norm: str | None = None, out: Any = None) -> Any:
    """The transform along several axes: all, or the last `len(s)`, unless given."""
    return _many("fftn", a, s, axes, norm, out)


def ifftn(a: Any, /, s: Any = None, axes: Any = None, norm: str | None = None, out: Any = None) -> Any:
    """The inverse of `fftn`."""
    return _many("ifftn", a, s, axes, norm, out)


def rfftn(a: Any, /, s: Any = None, axes: Any = None, norm: str | None = None, out: Any = None) -> Any:
    """`rfft` along the last of several axes, `fft` along the others."""
    return _many("rfftn", a, s, axes, norm, out, True)


def irfftn(a: Any, /, s: Any = None, axes: Any = None, norm: str | None = None, out: Any = None) -> Any:
    """The inverse of `rfftn`."""
    return _many("irfftn", a, s, axes, norm, out, back=True)


def fft2(a: Any, /, s: Any = None, axes: Any = (-2, -1), norm: str | None = None, out: Any = None) -> Any:
    """The transform along two axes."""
    return _many("fftn", a, s, axes, norm, out)


def ifft2(a: Any, /, s: Any = None, axes: Any = (-2, -1), norm: str | None = None, out: Any = None) -> Any:
    """The inverse of `fft2`."""
    return _many("ifftn", a, s, axes, norm, out)


def rfft2(a: Any, /, s: Any = None, axes: Any = (-2, -1), norm: str | None = None, out: Any = None) -> Any:
    """`rfft` along the last of two axes, `fft` along the other."""
    return _many("rfftn", a, s, axes, norm, out, True)


def irfft2(a: Any, /, s: Any = None, axes: Any = (-2, -1), norm: str | None = None, out: Any = None) -> Any:
    """The inverse of `rfft2`."""
    return _many("irfftn", a, s, axes, norm, out, back=True)


def _frequencies(n: Any, d: float, dtype: Any, device: Any, name: str) -> Any:
    if not hasattr(n, "__index__"):
        raise ValueError("n should be an integer")
    _device(device, name)
    made = getattr(fourier, name)(int_value(n), float(d), dtype=float64)
    return lift(made if dtype is None else cast(made, dtype_of(dtype)))


def fftfreq(n: int, /, d: float = 1.0, *, dtype: Any = None, device: Any = None) -> Any:
    """The frequencies of `fft` in cycles per unit of the sample spacing d."""
    return _frequencies(n, d, dtype, device, "fftfreq")


def rfftfreq(n: int, /, d: float = 1.0, *, dtype: Any = None, device: Any = None) -> Any:
    """The frequencies of `rfft` in cycles per unit of the sample spacing d."""
    return _frequencies(n, d, dtype, device, "rfftfreq")


def fftshift(x: Any, /, axes: Any = None) -> Any:
    """Frequency 0 moved to the middle of axes, all of them unless given."""
    x = arr(x)
    return lift(fourier.fftshift(x, axis_tuple(axes, x.ndim, "fftshift")).clone())


def ifftshift(x: Any, /, axes: Any = None) -> Any:
    """The inverse of `fftshift`."""
    x = arr(x)
    return lift(fourier.ifftshift(x, axis_tuple(axes, x.ndim, "ifftshift")).clone())


__all__ = [
    "fft",
    "fft2",
    "fftfreq",
    "fftn",
    "fftshift",
    "hfft",
    "ifft",
    "ifft2",
    "ifftn",
    "ifftshift",
    "ihfft",
    "irfft",
    "irfft2",
    "irfftn",
    "rfft",
    "rfft2",
    "rfftfreq",
    "rfftn",
]
