"""Reductions and rows over the elements that a mask lets through: `sq.masked`, PyTorch's `torch.masked`.

A mask is a Tensor of bools that broadcasts to the input; True lets an element take part. What is left out is replaced
by the value that changes nothing (0 in a sum, 1 in a product, -inf under a maximum), so everything is one fused pass.
"""

from __future__ import annotations

from math import inf, nan
from typing import Any

from squall.base.dtypes import as_dtype, bool_, default_dtype, int64, numpy_dtype, real_of
from squall.base.errors import ArgumentError, DtypeError, IndexRangeError, ShapeError
from squall.base.shapes import normalize_dim
from squall.frontend import arithmetic, creation
from squall.frontend.core import cast
from squall.frontend.declaring import of_tensor
from squall.frontend.functions_statistics import nanmedian
from squall.frontend.linalg_norms import vector_norm
from squall.frontend.out import checked


# ---------------------------------------------------------------- what the functions share
def _dims(dim: Any, rank: int, function: str) -> tuple[int, ...]:
    """The dimensions to reduce, sorted; all of them for None and for ()."""
    if dim is None or (not isinstance(dim, int) and not tuple(dim)):
        return tuple(range(rank))
    dims = (dim,) if isinstance(dim, int) else tuple(dim)
    found = sorted(normalize_dim(d, max(rank, 1), f"masked.{function}") for d in dims)
    if len(set(found)) < len(found):
        raise ArgumentError(f"masked.{function}: argument 'dim' {dims} names a dimension twice")
    return tuple(found)


def _mask(x: Any, mask: Any, function: str) -> Any:
    """The mask as bools of the input's shape."""
    mask = checked(mask, f"masked.{function}")
    if mask.ndim > x.ndim:
        raise IndexRangeError(f"masked.{function}: argument 'mask' of shape {list(mask.node.shape)} must not have more "
                              f"dimensions than 'input' of shape {list(x.node.shape)}")
    try:
        return cast(mask, bool_).expand(x.node.shape)
    except ShapeError:
        raise ShapeError(f"masked.{function}: argument 'mask' of shape {list(mask.node.shape)} does not broadcast to "
                         f"'input' of shape {list(x.node.shape)}") from None


def _filled(x: Any, mask: Any, value: Any, function: str) -> Any:
    """The input with a value in the place of what the mask leaves out."""
    if mask is None:
        return x
    return arithmetic.where(_mask(x, mask, function), x, creation.full((), value, dtype=x.node.dtype))


def _bound(x: Any, low: bool, function: str) -> Any:
    """What is below (or above) every value of a dtype."""
    import numpy

    dtype = x.node.dtype
    if dtype.category >= 2:
        return -inf if low else inf
    if dtype is bool_:
        raise DtypeError(f"masked.{function}: argument 'input' must hold numbers, got {dtype}")
    limits = numpy.iinfo(numpy_dtype(dtype))
    return limits.min if low else limits.max


def _kind(x: Any, dtype: Any) -> Any:
    """The dtype asked for, else the input's."""
    return x.node.dtype if dtype is None else as_dtype(dtype)


def _total_kind(x: Any, dtype: Any) -> Any:
    """The dtype of a sum or product: what is asked for, int64 of integers and bools, else the input's."""
    return int64 if dtype is None and x.node.dtype.category < 2 else _kind(x, dtype)


def _only_floats(kind: Any, function: str) -> None:
    if kind.category < 2:
        raise DtypeError(f"masked.{function}: the result must have a floating dtype, got {kind}; give dtype=")


# ---------------------------------------------------------------- reductions
@of_tensor
def sum(input: Any, dim: Any = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None) -> Any:
    """The sum over dims of what the mask lets through; 0 where that is nothing."""
    kind = _total_kind(input, dtype)
    return _filled(input, mask, 0, "sum").sum(_dims(dim, input.ndim, "sum"), keepdim, dtype=kind)


@of_tensor
def prod(input: Any, dim: Any = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None) -> Any:
    """The product over dims of what the mask lets through; 1 where that is nothing."""
    result = cast(_filled(input, mask, 1, "prod"), _total_kind(input, dtype))
    for d in reversed(_dims(dim, input.ndim, "prod")):
        result = result.prod(d, keepdim)
    return result


@of_tensor
def amax(input: Any, dim: Any = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None) -> Any:
    """The largest over dims of what the mask lets through; the lowest value there is where that is nothing."""
    x = input if mask is None else _filled(input, mask, _bound(input, True, "amax"), "amax")
    return cast(x.amax(_dims(dim, x.ndim, "amax"), keepdim), _kind(input, dtype))


@of_tensor
def amin(input: Any, dim: Any = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None) -> Any:
    """The smallest over dims of what the mask lets through; the highest value there is where that is nothing."""
    x = input if mask is None else _filled(input, mask, _bound(input, False, "amin"), "amin")
    return cast(x.amin(_dims(dim, x.ndim, "amin"), keepdim), _kind(input, dtype))


@of_tensor
def argmax(input: Any, dim: int | None = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None) -> Any:
    """Where along dim (of everything, for None) the largest let through lies, in the input's dtype unless given."""
    x = input if mask is None else _filled(input, mask, _bound(input, True, "argmax"), "argmax")
    return cast(x.argmax(dim, keepdim), _kind(input, dtype))


@of_tensor
def argmin(input: Any, dim: int | None = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None) -> Any:
    """Where along dim (of everything, for None) the smallest let through lies, in the input's dtype unless given."""
    x = input if mask is None else _filled(input, mask, _bound(input, False, "argmin"), "argmin")
    return cast(x.argmin(dim, keepdim), _kind(input, dtype))


def _count(x: Any, mask: Any, dims: tuple, keepdim: bool, function: str) -> Any:
    """How many elements each result is made of, as int64."""
    if mask is None:
        return creation.ones(x.node.shape, dtype=int64).sum(dims, keepdim)
    return _mask(x, mask, function).sum(dims, keepdim)


@of_tensor
def mean(input: Any, dim: Any = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None) -> Any:
    """The mean over dims of what the mask lets through; NaN where that is nothing."""
    kind, dims = _kind(input, dtype), _dims(dim, input.ndim, "mean")
    _only_floats(kind, "mean")
    total = _filled(input, mask, 0, "mean").sum(dims, keepdim, dtype=kind)
    return total / _count(input, mask, dims, keepdim, "mean")


@of_tensor
def median(input: Any, dim: int = -1, *, keepdim: bool = False, dtype: Any = None, mask: Any = None) -> Any:
    """The lower median along dim of what the mask lets through; NaN where that is nothing.

    Raises:
        ValueError: for integers where a row is left out as a whole: they have no NaN.
    """
    kind = _kind(input, dtype)
    (d, *_) = _dims(dim, input.ndim, "median") or (0,)
    whole = input.node.dtype.category < 2
    x = _filled(cast(input, default_dtype()) if whole else input, mask, nan, "median")
    values = nanmedian(x, d, keepdim).values
    if not whole:
        return values
    if bool(values.isnan().any()):
        raise ArgumentError("masked.median: argument 'mask' leaves out a whole row, whose median no integer can tell; "
                            "give a floating 'input'")
    return cast(values, kind)


@of_tensor
def logsumexp(input: Any, dim: Any = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None) -> Any:
    """log(sum(exp(x))) over dims of what the mask lets through; -inf where that is nothing."""
    x = input if mask is None else _filled(input, mask, _bound(input, True, "logsumexp"), "logsumexp")
    return cast(x.logsumexp(_dims(dim, x.ndim, "logsumexp"), keepdim), _kind(input, dtype))


@of_tensor
def logaddexp(input: Any, other: Any, *, dtype: Any = None, input_mask: Any = None, other_mask: Any = None) -> Any:
    """log(exp(x) + exp(y)), where what a mask leaves out counts as -inf."""
    other = checked(other, "masked.logaddexp")
    x = _filled(input, input_mask, -inf, "logaddexp")
    return cast(x.logaddexp(_filled(other, other_mask, -inf, "logaddexp")), _kind(input, dtype))


@of_tensor
def norm(input: Any, ord: float = 2.0, dim: Any = None, *, keepdim: bool = False, dtype: Any = None,
         mask: Any = None) -> Any:
    """The norm of order `ord` over dims of what the mask lets through; 0 (inf for ord=-inf) where that is nothing."""
    x = _filled(input, mask, inf if ord == -inf else 0, "norm")
    return vector_norm(x, 2.0 if ord is None else ord, _dims(dim, x.ndim, "norm"), keepdim, dtype=_kind(input, dtype))


@of_tensor
def var(input: Any, dim: Any = None, unbiased: bool | None = None, *, correction: float | None = None,
        keepdim: bool = False, dtype: Any = None, mask: Any = None) -> Any:
    """The variance over dims of what the mask lets through, with `correction` (1 unless given) less in the divisor."""
    if unbiased is not None and correction is not None:
        raise ArgumentError("masked.var: give one of 'unbiased' and 'correction', not both")
    less = (1.0 if unbiased is None else float(unbiased)) if correction is None else float(correction)
    kind = default_dtype() if dtype is None and input.node.dtype.category < 2 else _kind(input, dtype)
    wide = real_of(kind) if kind.category >= 2 else default_dtype()
    dims = _dims(dim, input.ndim, "var")
    count = _count(input, mask, dims, True, "var")
    away = input - _filled(input, mask, 0, "var").sum(dims, True, dtype=kind) / count
    square = away.abs().square() if away.node.dtype.category == 3 else away * away
    total = _filled(square, mask, 0, "var").sum(dims, keepdim, dtype=wide)
    if not keepdim:
        count = count.reshape(total.shape)
    if less:
        count = (cast(count, wide) - less).clamp(min=0)
    return cast(total / count, kind)


@of_tensor
def std(input: Any, dim: Any = None, unbiased: bool | None = None, *, correction: float | None = None,
        keepdim: bool = False, dtype: Any = None, mask: Any = None) -> Any:
    """The standard deviation over dims of what the mask lets through; see `var`."""
    return var(input, dim, unbiased, correction=correction, keepdim=keepdim, dtype=dtype, mask=mask).sqrt()


# ---------------------------------------------------------------- rows
def _row_dim(x: Any, dim: int, function: str) -> int:
    return normalize_dim(dim, max(x.ndim, 1), f"masked.{function}")


@of_tensor
def cumsum(input: Any, dim: int, *, dtype: Any = None, mask: Any = None) -> Any:
    """The running sum along dim of what the mask lets through, in the input's dtype unless given."""
    kind = _kind(input, dtype)
    return cast(_filled(input, mask, 0, "cumsum").cumsum(_row_dim(input, dim, "cumsum"), dtype=kind), kind)


@of_tensor
def cumprod(input: Any, dim: int, *, dtype: Any = None, mask: Any = None) -> Any:
    """The running product along dim of what the mask lets through, in the input's dtype unless given."""
    kind = _kind(input, dtype)
    return cast(_filled(input, mask, 1, "cumprod").cumprod(_row_dim(input, dim, "cumprod"), dtype=kind), kind)


@of_tensor
def softmax(input: Any, dim: int, *, dtype: Any = None, mask: Any = None) -> Any:
    """softmax along dim over what the mask lets through; 0 outside, NaN where nothing is let through."""
    x = input if mask is None else _filled(input, mask, _bound(input, True, "softmax"), "softmax")
    return x.softmax(_row_dim(x, dim, "softmax"), dtype=_kind(input, dtype))


@of_tensor
def log_softmax(input: Any, dim: int, *, dtype: Any = None, mask: Any = None) -> Any:
    """log(softmax) along dim over what the mask lets through; -inf outside."""
    x = input if mask is None else _filled(input, mask, _bound(input, True, "log_softmax"), "log_softmax")
    return x.log_softmax(_row_dim(x, dim, "log_softmax"), dtype=_kind(input, dtype))


@of_tensor
def softmin(input: Any, dim: int, *, dtype: Any = None, mask: Any = None) -> Any:
    """softmax of the negated input along dim over what the mask lets through."""
    x = input if mask is None else _filled(input, mask, _bound(input, False, "softmin"), "softmin")
    return (-x).softmax(_row_dim(x, dim, "softmin"), dtype=_kind(input, dtype))


@of_tensor
def normalize(input: Any, ord: float, dim: int, *, eps: float = 1e-12, dtype: Any = None, mask: Any = None) -> Any:
    """The input over its norm of order `ord` along dim (at least eps), with 0 where the mask leaves out."""
    size = norm(input, ord, dim, keepdim=True, dtype=dtype, mask=mask)
    return _filled(input, mask, 0, "normalize") / size.maximum(creation.full((), eps, dtype=size.node.dtype))


__all__ = [
    "amax", "amin", "argmax", "argmin", "cumprod", "cumsum", "log_softmax", "logaddexp", "logsumexp", "mean",
    "median", "norm", "normalize", "prod", "softmax", "softmin", "std", "sum", "var",
]  # fmt: skip
