"""What host steps make of matrices that LAPACK cannot invert, solve or factor: NaN and their place, or LinAlgError.

An op with the attribute `function` raises in that function's name when it is not empty. What differentiation rules
call, and the functions that give `info`, leave it empty.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from squall.base.errors import no_result


def over_stack(routine: Callable, place: Callable, *arrays: Any) -> tuple[Any, Any]:
    """A NumPy routine over a stack of matrices, and the place that `place(matrix)` gives, from 1, for each that failed.

    Args:
        routine: gives an array of the last one's shape, or raises NumPy's LinAlgError. arrays: stacks of one shape.

    Returns:
        tuple: the results, NaN where it failed, and the places in int32, 0 where it did not.
    """
    import numpy

    info = numpy.zeros(arrays[0].shape[:-2], numpy.int32)
    try:
        return routine(*arrays), info
    except numpy.linalg.LinAlgError:
        out = numpy.full(arrays[-1].shape, numpy.nan, arrays[0].dtype)
    for at in numpy.ndindex(info.shape):
        try:
            out[at] = routine(*(array[at] for array in arrays))
        except numpy.linalg.LinAlgError:
            info[at] = place(arrays[0][at])
    return out, info


def eliminated(x: Any, pivot: bool) -> tuple[Any, Any, Any]:
    """Gaussian elimination of all matrices at once, a column at a time: (both factors, exchanged rows, their order)."""
    import numpy

    *stack, m, n = x.shape
    k = min(m, n)
    lu = x.reshape(-1, m, n).copy()
    each = numpy.arange(len(lu))
    pivots, order = numpy.zeros((len(lu), k), numpy.int32), numpy.tile(numpy.arange(m), (len(lu), 1))
    for i in range(k):
        below = lu[:, i:, i]  # of complex numbers LAPACK compares |re| + |im|
        best = i + (abs(below.real) + abs(below.imag)).argmax(1) if pivot else numpy.full(len(lu), i)
        pivots[:, i] = best + 1
        for array in (lu, order):
            array[each, i], array[each, best] = array[each, best].copy(), array[each, i].copy()
        top = lu[:, i, i, None]
        lu[:, i + 1:, i] = numpy.where(top == 0, lu[:, i + 1:, i], lu[:, i + 1:, i] / numpy.where(top == 0, 1, top))
        lu[:, i + 1:, i + 1:] -= lu[:, i + 1:, i, None] * lu[:, i, None, i + 1:]
    return lu.reshape(x.shape), pivots.reshape(*stack, k), order.reshape(*stack, m)


def zero_pivot(x: Any) -> int:
    """The first pivot that is 0 in the elimination of a singular matrix, from 1; the last where rounding hides it."""
    zeros = eliminated(x, True)[0].diagonal() == 0
    return int(zeros.argmax()) + 1 if zeros.any() else len(zeros)


def first_zero(lu: Any) -> Any:
    """For each packed factorization the place of the first 0 on its diagonal, from 1; 0 without one."""
    import numpy

    zeros = numpy.diagonal(lu, axis1=-2, axis2=-1) == 0
    if not zeros.shape[-1]:
        return numpy.zeros(zeros.shape[:-1], numpy.int32)
    return numpy.where(zeros.any(-1), zeros.argmax(-1) + 1, 0).astype(numpy.int32)


def leading_minor(x: Any) -> int:
    """The order of the smallest leading part of a Hermitian matrix that is not positive definite."""
    import numpy

    low, high = 0, len(x)  # the part of order low is definite, that of order high is not
    while high - low > 1:
        middle = (low + high) // 2
        try:
            fine = bool(numpy.isfinite(numpy.linalg.cholesky(x[:middle, :middle])).all())
        except numpy.linalg.LinAlgError:
            fine = False
        low, high = (middle, high) if fine else (low, middle)
    return high


def raise_where(info: Any, op: str, function: str, what: str, instead: str) -> None:
    """LinAlgError in a function's name for the first matrix whose `info` is not 0, unless the name is empty.

    Args:
        what: is said of the matrix; `{}` stands for its place. instead: what would be right.
    """
    if not function or not info.any():
        return
    flat = info.reshape(-1)
    first = int((flat != 0).argmax())
    element = f"(Batch element {first}): " if info.ndim else ""
    raise no_result(f"{function}: {element}{what.format(flat[first])}. {instead}.", op)


def decomposed(routine: Callable, op: str, function: str, x: Any) -> Any:
    """What an iterative routine of NumPy gives; LinAlgError in a function's name where it does not converge."""
    import numpy

    try:
        return routine(x)
    except numpy.linalg.LinAlgError:
        info = numpy.zeros(x.shape[:-2], numpy.int32)
    finite = numpy.isfinite(x).all((-2, -1))
    for at in numpy.ndindex(info.shape):
        try:
            routine(x[at])
        except numpy.linalg.LinAlgError:
            info[at] = 1
    why = "holds infinite or NaN values" if not finite[info != 0].all() else "has too many values that nearly repeat"
    raise_where(info, op, function, f"the algorithm failed to converge: the input matrix A {why}",
                "Matrices must hold finite numbers" if "NaN" in why else "Scale it, or use float64")
    raise AssertionError("a stack of matrices failed as a whole only")


__all__ = [
    "decomposed", "eliminated", "first_zero", "leading_minor", "over_stack", "raise_where", "zero_pivot",
]  # fmt: skip
