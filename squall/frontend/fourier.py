"""Discrete Fourier transforms as users call them: arguments checked, sizes cut or filled, then one op.

All are three ops: complex to complex, real to half-complex, half-complex to real. The transforms of Hermitian input
(`hfft`) are the real ones of the conjugate, in the other direction.
"""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import as_dtype, complex_of, default_dtype
from squall.base.errors import ArgumentError, DtypeError, IndexRangeError, ShapeError
from squall.base.shapes import normalize_dim
from squall.frontend import creation
from squall.frontend.autocast import full_precision
from squall.frontend.core import cast, record
from squall.frontend.functions_complex import conj
from squall.frontend.out import checked, into
from squall.ir.op import ops
from squall.ops.fourier import OPPOSITE


# ---------------------------------------------------------------- arguments
def _input(x: Any, function: str, kind: str) -> Any:
    """The Tensor as `kind` ("complex" or "real") needs it; integers become the default floating dtype."""
    x = checked(x, f"fft.{function}")
    dtype = x.node.dtype
    if dtype.category < 2:
        dtype = default_dtype()
    if dtype.itemsize < 4:
        raise DtypeError(f"fft.{function}: unsupported dtype {dtype}; cast to float32 first")
    if kind == "real" and dtype.category == 3:
        raise DtypeError(f"fft.{function}: expected a real input tensor, got {dtype}")
    return cast(x, complex_of(dtype) if kind == "complex" else dtype)


def _norm(norm: Any, function: str) -> str:
    norm = norm or "backward"
    if norm not in OPPOSITE:
        raise ArgumentError(f'fft.{function}: norm must be "backward", "forward" or "ortho", not {norm!r}')
    return norm


def _dims(x: Any, s: Any, dim: Any, function: str) -> tuple[tuple[int, ...], tuple]:
    """Dimensions, and the size wanted of each (None: as it is)."""
    rank = x.ndim
    if not rank and dim is not None and dim != ():
        raise IndexRangeError(f"fft.{function}: dim {dim} asks for a dimension, but the input has none; give a tensor "
                              "of at least one dimension")
    if dim is None:
        dims = tuple(range(rank)) if s is None else tuple(range(rank - len(s), rank))
    else:
        dims = tuple(normalize_dim(d, rank, f"fft.{function}") for d in ((dim,) if isinstance(dim, int) else dim))
    if len(set(dims)) != len(dims):
        raise ShapeError(f"fft.{function}: FFT dims must be unique, got {dims}")
    sizes = (None,) * len(dims) if s is None else tuple(None if n == -1 else n for n in s)
    if len(sizes) != len(dims) or any(d < 0 for d in dims):
        raise ShapeError(f"fft.{function}: when given, dim and s must have the same length, at most the rank of the "
                         f"input; got {len(dims)} dims, {len(sizes)} sizes and shape {list(x.node.shape)}")
    return dims, sizes


def _sized(x: Any, dims: tuple, sizes: tuple, function: str) -> Any:
    """The input cut or filled with zeros; every transformed dimension must have an element."""
    rank = x.ndim
    high = [0] * rank
    for d, n in zip(dims, sizes, strict=True):
        wanted = x.node.shape[d] if n is None else n
        if isinstance(wanted, int) and wanted < 1:
            raise ShapeError(f"fft.{function}: invalid number of data points ({wanted}) specified")
        high[d] = wanted - x.node.shape[d]
    if not any(high):
        return x
    return record(ops.pad, (x,), ((0,) * rank, tuple(high), (0,) * rank, 0))


# ---------------------------------------------------------------- the three kinds
def _c2c(x: Any, s: Any, dim: Any, norm: Any, forward: bool, name: str, out: Any) -> Any:
    x = _input(x, name, "complex")
    dims, sizes = _dims(x, s, dim, name)
    x = _sized(x, dims, sizes, name)
    made = record(ops.fft_c2c, (x,), (dims, forward, _norm(norm, name))) if dims else x
    return into(out, made, f"fft.{name}")


def _r2c(x: Any, s: Any, dim: Any, norm: Any, forward: bool, name: str, out: Any) -> Any:
    x = _input(x, name, "real")
    dims, sizes = _dims(x, s, dim, name)
    if not dims:
        raise ShapeError(f"fft.{name}: must transform at least one axis")
    norm = _norm(norm, name)
    made = record(ops.fft_r2c, (_sized(x, dims, sizes, name),), (dims, norm if forward else OPPOSITE[norm]))
    return into(out, made if forward else conj(made), f"fft.{name}")


def _c2r(x: Any, s: Any, dim: Any, norm: Any, forward: bool, name: str, out: Any) -> Any:
    x = _input(x, name, "complex")
    dims, sizes = _dims(x, s, dim, name)
    if not dims:
        raise ShapeError(f"fft.{name}: must transform at least one axis")
    last = 2 * (x.node.shape[dims[-1]] - 1) if sizes[-1] is None else sizes[-1]
    if isinstance(last, int) and last < 1:
        raise ShapeError(f"fft.{name}: invalid number of data points ({last}) specified")
    x = _sized(x, dims, (*sizes[:-1], last // 2 + 1), name)
    norm = _norm(norm, name)
    x = conj(x) if forward else x
    return into(out, record(ops.fft_c2r, (x,), (dims, OPPOSITE[norm] if forward else norm, last)), f"fft.{name}")


def _one(n: Any) -> Any:
    return None if n is None else (n,)


# ---------------------------------------------------------------- complex
@full_precision
def fft(input: Any, n: int | None = None, dim: int = -1, norm: str | None = None, *, out: Any = None) -> Any:
    """The discrete Fourier transform along one dimension.

    Args:
        input: a Tensor, real or complex. n: the size `dim` is cut or filled to. dim: the dimension. norm: see the
            module. out: where to write the result.

    Returns:
        Tensor: complex64 or complex128.

    Raises:
        ShapeError: for sizes below 1 or a dimension that does not exist. DtypeError: for 16-bit floats.

    Example:
        >>> import squall as sq
        >>> sq.fft.fft(sq.tensor([1.0, 0.0, 0.0, 0.0])).real.tolist()
        [1.0, 1.0, 1.0, 1.0]
    """
    return _c2c(input, _one(n), (dim,), norm, True, "fft", out)


@full_precision
def ifft(input: Any, n: int | None = None, dim: int = -1, norm: str | None = None, *, out: Any = None) -> Any:
    """The inverse of `fft`."""
    return _c2c(input, _one(n), (dim,), norm, False, "ifft", out)


@full_precision
def fft2(input: Any, s: Any = None, dim: Any = (-2, -1), norm: str | None = None, *, out: Any = None) -> Any:
    """The transform along two dimensions."""
    return _c2c(input, s, dim, norm, True, "fft2", out)


@full_precision
def ifft2(input: Any, s: Any = None, dim: Any = (-2, -1), norm: str | None = None, *, out: Any = None) -> Any:
    """The inverse of `fft2`."""
    return _c2c(input, s, dim, norm, False, "ifft2", out)


@full_precision
def fftn(input: Any, s: Any = None, dim: Any = None, norm: str | None = None, *, out: Any = None) -> Any:
    """The transform along several dimensions: all, or the last `len(s)`, unless given."""
    return _c2c(input, s, dim, norm, True, "fftn", out)


@full_precision
def ifftn(input: Any, s: Any = None, dim: Any = None, norm: str | None = None, *, out: Any = None) -> Any:
    """The inverse of `fftn`."""
    return _c2c(input, s, dim, norm, False, "ifftn", out)


# ---------------------------------------------------------------- real input
@full_precision
def rfft(input: Any, n: int | None = None, dim: int = -1, norm: str | None = None, *, out: Any = None) -> Any:
    """The transform of real numbers: its first n // 2 + 1 values, which tell the others.

    Example:
        >>> import squall as sq
        >>> sq.fft.rfft(sq.arange(4.0))
        tensor([ 6.+0.j, -2.+2.j, -2.+0.j])
    """
    return _r2c(input, _one(n), (dim,), norm, True, "rfft", out)


@full_precision
def irfft(input: Any, n: int | None = None, dim: int = -1, norm: str | None = None, *, out: Any = None) -> Any:
    """The inverse of `rfft`; n, the size of the result, is 2 (m - 1) of m values unless given."""
    return _c2r(input, _one(n), (dim,), norm, False, "irfft", out)


@full_precision
def rfft2(input: Any, s: Any = None, dim: Any = (-2, -1), norm: str | None = None, *, out: Any = None) -> Any:
    """`rfft` along the last of two dimensions, `fft` along the other."""
    return _r2c(input, s, dim, norm, True, "rfft2", out)


@full_precision
def irfft2(input: Any, s: Any = None, dim: Any = (-2, -1), norm: str | None = None, *, out: Any = None) -> Any:
    """The inverse of `rfft2`."""
    return _c2r(input, s, dim, norm, False, "irfft2", out)


@full_precision
def rfftn(input: Any, s: Any = None, dim: Any = None, norm: str | None = None, *, out: Any = None) -> Any:
    """`rfft` along the last of several dimensions, `fft` along the others."""
    return _r2c(input, s, dim, norm, True, "rfftn", out)


@full_precision
def irfftn(input: Any, s: Any = None, dim: Any = None, norm: str | None = None, *, out: Any = None) -> Any:
    """The inverse of `rfftn`."""
    return _c2r(input, s, dim, norm, False, "irfftn", out)


# ---------------------------------------------------------------- Hermitian input
@full_precision
def hfft(input: Any, n: int | None = None, dim: int = -1, norm: str | None = None, *, out: Any = None) -> Any:
    """The transform, which is real, of a signal of which half is given: the other half is its conjugate."""
    return _c2r(input, _one(n), (dim,), norm, True, "hfft", out)


@full_precision
def ihfft(input: Any, n: int | None = None, dim: int = -1, norm: str | None = None, *, out: Any = None) -> Any:
    """The inverse of `hfft`."""
    return _r2c(input, _one(n), (dim,), norm, False, "ihfft", out)


@full_precision
def hfft2(input: Any, s: Any = None, dim: Any = (-2, -1), norm: str | None = None, *, out: Any = None) -> Any:
    """`hfft` along the last of two dimensions, `fft` along the other."""
    return _c2r(input, s, dim, norm, True, "hfft2", out)


@full_precision
def ihfft2(input: Any, s: Any = None, dim: Any = (-2, -1), norm: str | None = None, *, out: Any = None) -> Any:
    """The inverse of `hfft2`."""
    return _r2c(input, s, dim, norm, False, "ihfft2", out)


@full_precision
def hfftn(input: Any, s: Any = None, dim: Any = None, norm: str | None = None, *, out: Any = None) -> Any:
    """`hfft` along the last of several dimensions, `fft` along the others."""
    return _c2r(input, s, dim, norm, True, "hfftn", out)


@full_precision
def ihfftn(input: Any, s: Any = None, dim: Any = None, norm: str | None = None, *, out: Any = None) -> Any:
    """The inverse of `hfftn`."""
    return _r2c(input, s, dim, norm, False, "ihfftn", out)


# ---------------------------------------------------------------- frequencies
def fftfreq(n: int, d: float = 1.0, *, out: Any = None, dtype: Any = None, layout: Any = None, device: Any = None,
            requires_grad: bool = False) -> Any:
    """The frequencies of `fft` in cycles per unit of the sample spacing `d`: 0, 1, ... then the negative ones."""
    kind = default_dtype() if dtype is None else as_dtype(dtype)
    places = creation.arange(n, dtype=kind)
    places = places - (places >= (n + 1) // 2).to(kind) * n
    return into(out, creation.require_grad(places * (1.0 / (n * d)), requires_grad), "fft.fftfreq")


def rfftfreq(n: int, d: float = 1.0, *, out: Any = None, dtype: Any = None, layout: Any = None, device: Any = None,
             requires_grad: bool = False) -> Any:
    """The frequencies of `rfft` in cycles per unit of the sample spacing `d`."""
    kind = default_dtype() if dtype is None else as_dtype(dtype)
    made = creation.arange(n // 2 + 1, dtype=kind) * (1.0 / (n * d))
    return into(out, creation.require_grad(made, requires_grad), "fft.rfftfreq")


def _rolled(x: Any, dim: Any, function: str, half: Any) -> Any:
    x = checked(x, f"fft.{function}")
    dims = tuple(range(x.ndim)) if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
    return x.roll(tuple(half(x.node.shape[d]) for d in dims), dims) if dims else x


def fftshift(input: Any, dim: Any = None) -> Any:
    """Frequency 0 moved to the middle."""
    return _rolled(input, dim, "fftshift", lambda n: n // 2)


def ifftshift(input: Any, dim: Any = None) -> Any:
    """The inverse of `fftshift`."""
    return _rolled(input, dim, "ifftshift", lambda n: (n + 1) // 2)
