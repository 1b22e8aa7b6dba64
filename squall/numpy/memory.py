"""Which arrays lie in the same memory, under NumPy's names."""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import numpy_dtype
from squall.frontend.core import ensure_cell
from squall.frontend.views import layout_of
from squall.numpy.core import arr


def shares_memory(a: Any, b: Any, max_work: Any = None) -> bool:
    """Whether two arrays have an element in common.

    Args:
        max_work: how long to search, as in NumPy; None: until it is known.

    Raises:
        numpy.exceptions.TooHardError: when `max_work` did not suffice.

    Example:
        >>> import squall.numpy as snp
        >>> a = snp.arange(4)
        >>> snp.shares_memory(a, a[1:]), snp.shares_memory(a[::2], a[1::2])
        (True, False)
    """
    import numpy

    return _may_meet(arr(a), arr(b)) and numpy.shares_memory(*_shown(arr(a), arr(b)), max_work)


def may_share_memory(a: Any, b: Any, max_work: Any = None) -> bool:
    """Whether the stretches of memory that two arrays span overlap.

    Example:
        >>> import squall.numpy as snp
        >>> a = snp.arange(4)
        >>> snp.may_share_memory(a[::2], a[1::2])
        True
    """
    import numpy

    return _may_meet(arr(a), arr(b)) and numpy.may_share_memory(*_shown(arr(a), arr(b)), max_work)


def _may_meet(a: Any, b: Any) -> bool:
    """Whether two arrays are of one storage, or both of memory that is shared with others; what was computed once may
    lie in one place and count as two values until one is written to."""
    one, other = ensure_cell(a), ensure_cell(b)
    return one is other or (one.shared is not None and other.shared is not None)


def _shown(a: Any, b: Any) -> tuple:
    """Two arrays as NumPy's: of one storage as views that lie in it as told, whatever is computed by now."""
    import numpy

    if ensure_cell(a) is not ensure_cell(b) or a.node.dtype is not b.node.dtype:
        return a.detach_array(), b.detach_array()
    kind, views = numpy_dtype(a.node.dtype), []
    layouts = [(tuple(x.node.shape), *layout_of(x)) for x in (a, b)]
    ends = [at + sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) for shape, strides, at in layouts]
    base = numpy.empty(max(0, *ends) + 1, kind)
    for shape, strides, at in layouts:
        bytes_apart = tuple(s * kind.itemsize for s in strides)
        views.append(numpy.lib.stride_tricks.as_strided(base[at:], shape, bytes_apart))
    return tuple(views)
