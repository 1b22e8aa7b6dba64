"""Positions of diagonals and triangles, under NumPy's names; sizes are known, so they are recorded, not looked for."""

from __future__ import annotations

from typing import Any

from squall.frontend import functions_layout
from squall.numpy import creation, searching
from squall.numpy.core import arr, cast, lift


def _triangle(function: Any, rows: int, columns: int | None, k: int) -> tuple:
    places = function(rows, rows if columns is None else columns, k)
    return lift(places.unbind(0))


def _matrix(a: Any) -> tuple:
    x = arr(a)
    if x.ndim != 2:
        raise ValueError("input array must be 2-d")
    return tuple(x.node.shape)


def tril_indices(n: int, k: int = 0, m: int | None = None) -> tuple:
    """Rows and columns of the lower triangle of an n by m matrix, the k-th diagonal included.

    Example:
        >>> import squall.numpy as snp
        >>> snp.tril_indices(2)
        (array([0, 1, 1]), array([0, 0, 1]))
    """
    return _triangle(functions_layout.tril_indices, n, m, k)


def triu_indices(n: int, k: int = 0, m: int | None = None) -> tuple:
    """Rows and columns of the upper triangle of an n by m matrix, the k-th diagonal included.

    Example:
        >>> import squall.numpy as snp
        >>> snp.triu_indices(2)
        (array([0, 0, 1]), array([0, 1, 1]))
    """
    return _triangle(functions_layout.triu_indices, n, m, k)


def tril_indices_from(arr: Any, k: int = 0) -> tuple:
    """`tril_indices` for a matrix.

    Example:
        >>> import squall.numpy as snp
        >>> snp.tril_indices_from(snp.ones((1, 2)))
        (array([0]), array([0]))
    """
    rows, columns = _matrix(arr)
    return tril_indices(rows, k, columns)


def triu_indices_from(arr: Any, k: int = 0) -> tuple:
    """`triu_indices` for a matrix.

    Example:
        >>> import squall.numpy as snp
        >>> snp.triu_indices_from(snp.ones((1, 2)))
        (array([0, 0]), array([0, 1]))
    """
    rows, columns = _matrix(arr)
    return triu_indices(rows, k, columns)


def mask_indices(n: int, mask_func: Any, k: Any = 0) -> tuple:
    """Where a function such as `tril` keeps the elements of an n by n matrix.

    Example:
        >>> import squall.numpy as snp
        >>> snp.mask_indices(2, snp.triu, 1)
        (array([0]), array([1]))
    """
    return searching.nonzero(mask_func(creation.ones((n, n), int), k) != 0)


def diag_indices(n: int, ndim: int = 2) -> tuple:
    """Positions of the main diagonal of an array with equal sizes.

    Example:
        >>> import squall.numpy as snp
        >>> snp.diag_indices(2)
        (array([0, 1]), array([0, 1]))
    """
    return (creation.arange(n),) * ndim


def _diagonal(a: Any) -> tuple:
    """The sizes of an array whose main diagonal runs from corner to corner."""
    shape = tuple(arr(a).node.shape)
    if len(shape) < 2:
        raise ValueError("array must be at least 2-d")
    if len(shape) > 2 and len(set(shape)) > 1:
        raise ValueError("All dimensions of input must be of equal length")
    return shape


def diag_indices_from(arr: Any) -> tuple:
    """`diag_indices` for an array with equal sizes.

    Example:
        >>> import squall.numpy as snp
        >>> snp.diag_indices_from(snp.ones((2, 2)))
        (array([0, 1]), array([0, 1]))
    """
    shape = _diagonal(arr)
    if len(set(shape)) > 1:
        raise ValueError("All dimensions of input must be of equal length")
    return diag_indices(shape[0], len(shape))


def fill_diagonal(a: Any, val: Any, wrap: bool = False) -> None:
    """In place: the main diagonal gets values, repeated as often as needed.

    Args:
        wrap: in tall matrices, begin again below, one row left out.

    Example:
        >>> import squall.numpy as snp
        >>> a = snp.zeros((2, 2), int)
        >>> snp.fill_diagonal(a, [1, 2])
        >>> a
        array([[1, 0],
               [0, 2]])
    """
    shape = _diagonal(a)
    if len(shape) == 2:
        rows = shape[0] if wrap else min(shape)
        places = creation.arange(0, rows * shape[1], shape[1] + 1)
    else:
        places = creation.arange(shape[0]) * sum(shape[0] ** i for i in range(len(shape)))
    count = places.size
    values = cast(arr(val), arr(a).node.dtype).reshape(-1)
    if not count or not values.numel():
        return
    repeated = values.repeat(-(-count // values.numel()))[:count]
    searching.put(a, places, lift(repeated))
