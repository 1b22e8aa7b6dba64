"""Eigenvalues of general matrices, and factors of indefinite ones, as users call them."""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import int32
from squall.base.errors import DtypeError, LinAlgError
from squall.base.shapes import broadcast
from squall.frontend.autocast import full_precision
from squall.frontend.core import cast, record
from squall.frontend.declaring import with_out
from squall.frontend.linalg_systems import matrices
from squall.frontend.movement import expand
from squall.frontend.named_results import LDL, Eig, LDLInfo
from squall.frontend.out import checked
from squall.ir.op import ops


@with_out
@full_precision
def eig(A: Any) -> Eig:
    """(eigenvalues, eigenvectors) of square matrices that need not be symmetric: A V = V diag(L).

    Both are complex, of real matrices too, and in no order; vectors are columns of length 1. A vector is free up to a
    phase (a factor of absolute value 1), so only losses that do not depend on it have a gradient. PyTorch raises an
    error when it sees another; here the result is that of the nearest loss that does not. Where eigenvalues are equal
    gradients through vectors are infinite or NaN.

    Args:
        A: shape (..., n, n), float32, float64 or complex.

    Returns:
        Eig: eigenvalues (..., n) and eigenvectors (..., n, n), complex64 or complex128; NaN of matrices that hold
        infinities or NaN.

    Raises:
        ShapeError: for matrices that are not square. DtypeError: for integers and 16-bit floats.

    Example:
        >>> import squall as sq
        >>> values, vectors = sq.linalg.eig(sq.tensor([[0.0, -1.0], [1.0, 0.0]]))
        >>> values.imag.abs().tolist()
        [1.0, 1.0]
    """
    return Eig(*record(ops.eig, (matrices(A, "linalg.eig", square=True),), ()))


@with_out
@full_precision
def eigvals(A: Any) -> Any:
    """Eigenvalues of square matrices that need not be symmetric: complex, in no order; see `eig`.

    Example:
        >>> import squall as sq
        >>> sq.linalg.eigvals(sq.tensor([[2.0, 1.0], [0.0, 2.0]])).real.tolist()
        [2.0, 2.0]
    """
    return record(ops.eig, (matrices(A, "linalg.eigvals", square=True),), ())[0]


@with_out
def ldl_factor(A: Any, *, hermitian: bool = False) -> LDL:
    """(LD, pivots): symmetric matrices as P L D L^T P^T, with blocks of one or two in D; for `ldl_solve`.

    Args:
        A: shape (..., n, n), of which the lower triangle is read. hermitian: of complex matrices, L D L^H.

    Returns:
        LDL: the unit lower triangle L and D in one matrix, and the exchanges of rows, as LAPACK writes them. Neither
        has a gradient, as in PyTorch.

    Raises:
        ShapeError: for matrices that are not square.

    Example:
        >>> import squall as sq
        >>> a = sq.tensor([[1.0, 2.0], [2.0, 1.0]])
        >>> LD, pivots = sq.linalg.ldl_factor(a)
        >>> sq.linalg.ldl_solve(LD, pivots, sq.tensor([[3.0], [3.0]])).tolist()
        [[1.0], [1.0]]
    """
    return LDL(*_factored(A, hermitian, "linalg.ldl_factor")[:2])


@with_out
def ldl_factor_ex(A: Any, *, hermitian: bool = False, check_errors: bool = False) -> LDLInfo:
    """(LD, pivots, info): as `ldl_factor`; info is the place, from 1, of a block of D that is 0.

    Args:
        check_errors: raise an error when one is.
    """
    found = LDLInfo(*_factored(A, hermitian, "linalg.ldl_factor_ex"))
    if check_errors and bool(found.info.any()):
        raise LinAlgError("linalg.ldl_factor_ex: a matrix is singular: a block of its diagonal factor is 0")
    return found


def _factored(A: Any, hermitian: bool, function: str) -> tuple:
    return record(ops.ldl_factor, (matrices(A, function, square=True).detach(),), (bool(hermitian),))


@with_out
def ldl_solve(LD: Any, pivots: Any, B: Any, *, hermitian: bool = False) -> Any:
    """X with A X = B from what `ldl_factor` gives of A; it has no gradient, as in PyTorch.

    Args:
        LD, pivots: shapes (..., n, n) and (..., n). B: shape (*, n, k); what is before the last two dimensions is
            broadcast. hermitian: as it was given to `ldl_factor`.

    Raises:
        ShapeError: for shapes that do not fit. DtypeError: for pivots that are not whole numbers.
    """
    packed = matrices(LD, "linalg.ldl_solve", "LD", square=True).detach()
    b = matrices(B, "linalg.ldl_solve", "B").detach()
    order = checked(pivots, "linalg.ldl_solve", "pivots")
    if order.node.dtype.category != 1:
        raise DtypeError(f"linalg.ldl_solve: pivots must be integers, got {order.node.dtype}")
    if packed.node.dtype is not b.node.dtype:
        raise DtypeError(f"linalg.ldl_solve: LD and B must have one dtype, got {packed.node.dtype} and {b.node.dtype}")
    stack = broadcast(tuple(packed.node.shape[:-2]), tuple(b.node.shape[:-2]), "linalg.ldl_solve")
    packed, b = (expand(t, *stack, *t.node.shape[-2:]) for t in (packed, b))
    order = cast(expand(order, *stack, order.node.shape[-1]), int32)
    return record(ops.ldl_solve, (packed, order, b), (bool(hermitian),))


__all__ = ["eig", "eigvals", "ldl_factor", "ldl_factor_ex", "ldl_solve"]
