"""Factorizations as users call them: cholesky, qr, svd, eigh, lu, and the matrix exponential."""

from __future__ import annotations

from typing import Any

from squall.base.dim import smaller
from squall.base.dtypes import float32
from squall.base.errors import ShapeError, TraceError
from squall.frontend import arithmetic, creation
from squall.frontend.autocast import full_precision
from squall.frontend.core import cast, record
from squall.frontend.declaring import of_tensor, with_out
from squall.frontend.functions_movement import cat
from squall.frontend.linalg_systems import matrices, same_stack, solve_triangular, with_info
from squall.frontend.movement import expand
from squall.frontend.named_results import LU, QR, SVD, CholeskyInfo, Eigh, LegacySVD, LUFactor, LUFactorInfo
from squall.frontend.out import checked
from squall.frontend.random import randn
from squall.ir.op import ops


# ---------------------------------------------------------------- cholesky
def factored(A: Any, upper: bool, name: str, function: str) -> tuple:
    """(factor, info); what has none raises LinAlgError in a function's name unless it is empty."""
    found, info = record(ops.cholesky, (matrices(A, name, square=True),), (function,))
    return (found.mH if upper else found), info


@with_out
@full_precision
def cholesky(A: Any, *, upper: bool = False) -> Any:
    """The triangular factor of Hermitian positive definite matrices: L with L L^H = A, or with `upper` L^H.

    Raises:
        LinAlgError: for a matrix that is not positive definite, when it is evaluated; names the batch element, the
            order of the leading minor that is not positive, and the line of the call. `cholesky_ex` gives info instead.
    """
    return factored(A, upper, "linalg.cholesky", "linalg.cholesky")[0]


@with_out
@full_precision
def cholesky_ex(A: Any, *, upper: bool = False, check_errors: bool = False) -> CholeskyInfo:
    """(factor, info): info is 0, or of a matrix that is not positive definite, whose factor is NaN, the order of the
    leading minor that is not positive.

    Args:
        check_errors: raise LinAlgError at once for such a matrix.
    """
    made = factored(A, upper, "linalg.cholesky_ex", "linalg.cholesky_ex" if check_errors else "")
    return with_info(CholeskyInfo, made, check_errors)


# ---------------------------------------------------------------- qr
def _completed(q: Any, m: int) -> Any:
    """Orthonormal columns completed to m of them: the rest of Q of [Q, identity], without history."""
    one = expand(creation.eye(m, dtype=q.node.dtype), *q.node.shape[:-2], m, m)
    whole = record(ops.qr, (cat((q.detach(), one), -1),), ())[0]
    return cat((q, whole.narrow(-1, q.node.shape[-1], m - q.node.shape[-1])), -1)


@with_out
@full_precision
def qr(A: Any, mode: str = "reduced") -> QR:
    """(Q, R): orthonormal columns and an upper triangle with Q R = A.

    Args:
        mode: "reduced", "complete" (a square Q) or "r" (Q is empty).
    """
    x = matrices(A, "linalg.qr")
    if mode not in ("reduced", "complete", "r"):
        raise ValueError(f"linalg.qr: mode must be one of 'reduced', 'complete', 'r', got {mode!r}")
    m, n = x.node.shape[-2:]
    if mode == "r":
        return QR(creation.empty(0, dtype=x.node.dtype), record(ops.qr, (x,), ())[1])
    q, r = record(ops.qr, (x,), ())
    if mode == "complete" and m > n:
        below = creation.zeros(*x.node.shape[:-2], m - n, n, dtype=x.node.dtype)
        return QR(_completed(q, m), cat((r, below), -2))
    return QR(q, r)


@with_out
@full_precision
def geqrf(input: Any) -> tuple:
    """(a, tau): R in the upper triangle, and Householder's vectors below it with their factors."""
    return record(ops.householder_qr, (matrices(input, "geqrf").detach(),), ())


@of_tensor
@full_precision
def householder_product(A: Any, tau: Any) -> Any:
    """The first columns of the product of Householder reflections I - tau v v^T, whose vectors are columns of A."""
    x = matrices(A, "linalg.householder_product")
    m, n = x.node.shape[-2:]
    count = tau.node.shape[-1]
    if count > n or n > m:
        raise ShapeError(f"linalg.householder_product: A of shape {list(x.node.shape)} and tau of shape "
                         f"{list(tau.node.shape)} do not fit")
    out = expand(creation.eye(m, n, dtype=x.node.dtype), *x.node.shape)
    for vector, factor in reversed(_reflections(x, tau)):
        out = out - factor * arithmetic.matmul(vector, arithmetic.matmul(vector.mH, out))
    return out


orgqr = householder_product


def _reflections(x: Any, tau: Any) -> list[tuple[Any, Any]]:
    """Each reflection's vector, as a column with 1 at its place and 0 above, and its factor."""
    rows = creation.arange(x.node.shape[-2]).unsqueeze(-1)
    out = []
    for i in range(tau.node.shape[-1]):
        column = x.narrow(-1, i, 1)
        vector = arithmetic.where(rows > i, column, cast(rows == i, x.node.dtype))
        out.append((vector, tau.narrow(-1, i, 1).unsqueeze(-1)))
    return out


@of_tensor
@full_precision
def ormqr(input: Any, tau: Any, other: Any, left: bool = True, transpose: bool = False) -> Any:
    """The product of Householder reflections times another matrix: Q other, other Q, or with the adjoint of Q."""
    parts = _reflections(matrices(input, "ormqr"), tau.conj() if transpose else tau)
    if left != transpose:  # the last reflection comes first
        parts = parts[::-1]
    for vector, factor in parts:
        if left:
            other = other - factor * arithmetic.matmul(vector, arithmetic.matmul(vector.mH, other))
        else:
            other = other - factor * arithmetic.matmul(arithmetic.matmul(other, vector), vector.mH)
    return other


# ---------------------------------------------------------------- svd and eigenvalues
@with_out
@full_precision
def svd(A: Any, full_matrices: bool = True, *, driver: str | None = None) -> SVD:
    """(U, S, Vh): orthonormal vectors and singular values, in descending order, with U diag(S) Vh = A.

    Args:
        full_matrices: complete U and Vh to square matrices; their added vectors have no gradient. driver: accepted.
    """
    x = matrices(A, "linalg.svd")
    return SVD(*record(ops.svd, (x,), (bool(full_matrices),)))


@with_out
@full_precision
def svdvals(A: Any, *, driver: str | None = None) -> Any:
    """Singular values, in descending order."""
    return record(ops.svd, (matrices(A, "linalg.svdvals"),), (False,))[1]


def _symmetric(A: Any, UPLO: str, function: str) -> tuple[Any, bool]:
    if UPLO.upper() not in ("L", "U"):
        raise ValueError(f"{function}: UPLO must be 'L' or 'U', got {UPLO!r}")
    return matrices(A, function, square=True), UPLO.upper() == "U"


@with_out
@full_precision
def eigh(A: Any, UPLO: str = "L") -> Eigh:
    """(eigenvalues, eigenvectors) of symmetric matrices, in ascending order; vectors are columns.

    Args:
        UPLO: which triangle is read: "L" or "U".
    """
    x, is_upper = _symmetric(A, UPLO, "linalg.eigh")
    return Eigh(*record(ops.eigh, (x,), (is_upper,)))


@with_out
@full_precision
def eigvalsh(A: Any, UPLO: str = "L") -> Any:
    """Eigenvalues of symmetric matrices, in ascending order."""
    x, is_upper = _symmetric(A, UPLO, "linalg.eigvalsh")
    return record(ops.eigh, (x,), (is_upper,))[0]


def svd_lowrank(A: Any, q: int | None = 6, niter: int | None = 2, M: Any = None) -> LegacySVD:
    """(U, S, V) of rank q, approximately, by a random projection and `niter` rounds of subspace iteration.

    Args:
        M: taken off A first.
    """
    x = matrices(A, "svd_lowrank")
    x = x if M is None else x - M
    rank = min(6 if q is None else q, *x.node.shape[-2:])
    found = arithmetic.matmul(x, randn(*x.node.shape[:-2], x.node.shape[-1], rank, dtype=x.node.dtype))
    basis = record(ops.qr, (found,), ())[0]
    for _ in range(2 if niter is None else niter):
        basis = record(ops.qr, (arithmetic.matmul(x.mH, basis),), ())[0]
        basis = record(ops.qr, (arithmetic.matmul(x, basis),), ())[0]
    u, s, vh = record(ops.svd, (arithmetic.matmul(basis.mH, x),), (False,))
    return LegacySVD(arithmetic.matmul(basis, u), s, vh.mH)


def pca_lowrank(A: Any, q: int | None = None, center: bool = True, niter: int = 2) -> LegacySVD:
    """(U, S, V): principal components of rows, approximately; see `svd_lowrank`."""
    x = matrices(A, "pca_lowrank")
    rank = min(6, *x.node.shape[-2:]) if q is None else q
    return svd_lowrank(x - x.mean(-2, True) if center else x, rank, niter)


# ---------------------------------------------------------------- lu
@with_out
@full_precision
def lu_factor(A: Any, *, pivot: bool = True) -> LUFactor:
    """(LU, pivots): both triangular factors in one matrix, and the row each row was exchanged with, from 1.

    Raises:
        LinAlgError: where the diagonal of the factor U has a zero, when it is evaluated. `lu_factor_ex` gives info.
    """
    return LUFactor(*_packed(A, pivot, "linalg.lu_factor", "linalg.lu_factor")[:2])


def _packed(A: Any, pivot: bool, name: str, function: str) -> tuple:
    found, pivots, _, info = record(ops.lu_factor, (matrices(A, name),), (bool(pivot), function))
    return found, pivots, info


@with_out
@full_precision
def lu_factor_ex(A: Any, *, pivot: bool = True, check_errors: bool = False) -> LUFactorInfo:
    """(LU, pivots, info): info is the place, from 1, of a zero on the diagonal of the factor U, or 0.

    Args:
        check_errors: raise LinAlgError at once where there is one.
    """
    made = _packed(A, pivot, "linalg.lu_factor_ex", "linalg.lu_factor_ex" if check_errors else "")
    return with_info(LUFactorInfo, made, check_errors)


def _factors(packed: Any) -> tuple[Any, Any]:
    m, n = packed.node.shape[-2:]
    k = smaller(m, n)
    if k not in (m, n):
        raise TraceError(f"linalg.lu: whether a matrix of {m} rows and {n} columns is wide or tall is not known while "
                         "tracing; declare ranges of its sizes, Dim(name, min=, max=), that tell")
    one = creation.eye(m, k, dtype=packed.node.dtype)
    return packed.narrow(-1, 0, k).tril(-1) + one, packed.narrow(-2, 0, k).triu()


@with_out
def lu(A: Any, *, pivot: bool = True) -> LU:
    """(P, L, U): a permutation, a unit lower and an upper triangle with P L U = A; P is empty without pivoting."""
    x = matrices(A, "linalg.lu")
    packed, _, order, _ = record(ops.lu_factor, (x,), (bool(pivot), ""))
    p = _permutation(order, x.node.dtype) if pivot else creation.empty(0, dtype=x.node.dtype)
    return LU(p, *_factors(packed))


def _permutation(order: Any, dtype: Any) -> Any:
    """The matrix P with row i of P^T A row order[i] of A."""
    m = order.node.shape[-1]
    return cast(order.unsqueeze(-2) == creation.arange(m).unsqueeze(-1), dtype)


def _order_of(pivots: Any, m: int) -> Any:
    """The order of rows that exchanges give."""
    return record(ops.row_order, (checked(pivots, "lu_unpack", "LU_pivots"),), (m,))


@with_out
def lu_unpack(LU_data: Any, LU_pivots: Any, unpack_data: bool = True,
              unpack_pivots: bool = True) -> LU:
    """(P, L, U) from what `lu_factor` gives."""
    packed = matrices(LU_data, "lu_unpack")
    empty = creation.empty(0, dtype=packed.node.dtype)
    lower, upper = _factors(packed) if unpack_data else (empty, empty)
    p = _permutation(_order_of(LU_pivots, packed.node.shape[-2]), packed.node.dtype) if unpack_pivots else empty
    return LU(p, lower, upper)


@with_out
@full_precision
def lu_solve(LU: Any, pivots: Any, B: Any, *, left: bool = True, adjoint: bool = False) -> Any:
    """X with A X = B from what `lu_factor` gives of A; X A = B unless `left`; of the adjoint of A with `adjoint`."""
    if not left:
        return lu_solve(LU, pivots, B.mH, adjoint=not adjoint).mH
    packed, b = same_stack("linalg.lu_solve", matrices(LU, "linalg.lu_solve", "LU", square=True),
                           matrices(B, "linalg.lu_solve", "B"))
    p = _permutation(_order_of(pivots, packed.node.shape[-1]), packed.node.dtype)
    if adjoint:
        middle = solve_triangular(packed.mH, b, upper=False)
        return arithmetic.matmul(p, solve_triangular(packed.mH, middle, upper=True, unitriangular=True))
    middle = solve_triangular(packed, arithmetic.matmul(p.mT, b), upper=False, unitriangular=True)
    return solve_triangular(packed, middle, upper=True)


# ---------------------------------------------------------------- exponential
@of_tensor
def matrix_exp(A: Any) -> Any:
    """e to the power of square matrices.

    Args:
        A: shape (..., n, n), any floating or complex dtype; 16-bit floats are computed in float32.

    Returns:
        Tensor: of A's shape and dtype.

    Raises:
        ShapeError: for matrices that are not square.

    Example:
        >>> import squall as sq
        >>> sq.linalg.matrix_exp(sq.zeros(2, 2)).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    narrow = A.node.dtype if A.node.dtype.category == 2 and A.node.dtype.itemsize == 2 else None
    x = matrices(A if narrow is None else cast(A, float32), "matrix_exp", square=True)
    found = record(ops.matrix_exp, (x,), ())
    return found if narrow is None else cast(found, narrow)
