"""Linear algebra under PyTorch's older names, with their older arguments: qr, svd, lu, cholesky, pinverse, lobpcg."""

from __future__ import annotations

from typing import Any

from squall.base.errors import ShapeError
from squall.frontend import creation
from squall.frontend import linalg_factors as factors
from squall.frontend.autocast import full_precision
from squall.frontend.declaring import of_tensor, with_out
from squall.frontend.linalg_systems import matrices, pinv, solve_triangular
from squall.frontend.named_results import QR, LegacySVD


@of_tensor
@full_precision
def cholesky(input: Any, upper: bool = False) -> Any:
    """The triangular factor of Hermitian positive definite matrices: L with L L^H = A, or with `upper` L^H."""
    return factors.factored(input, upper, "cholesky", "cholesky")[0]


@of_tensor
@full_precision
def pinverse(input: Any, rcond: float = 1e-15) -> Any:
    """Moore and Penrose's pseudo-inverses."""
    return pinv(input, rcond)


@with_out
@full_precision
def qr(input: Any, some: bool = True) -> QR:
    """(Q, R): as `linalg.qr`, with a square Q unless `some`."""
    return factors.qr(input, "reduced" if some else "complete")


@with_out
@full_precision
def svd(input: Any, some: bool = True, compute_uv: bool = True) -> LegacySVD:
    """(U, S, V): as `linalg.svd`, with V not transposed; U and V are zeros unless `compute_uv`."""
    x = matrices(input, "svd")
    if not compute_uv:
        m, n = x.node.shape[-2:]
        blank = [creation.zeros(*x.node.shape[:-2], k, k, dtype=x.node.dtype) for k in (m, n)]
        return LegacySVD(blank[0], factors.svdvals(x), blank[1])
    u, s, vh = factors.svd(x, full_matrices=not some)
    return LegacySVD(u, s, vh.mH)


def lu(A: Any, pivot: bool = True, get_infos: bool = False) -> tuple:
    """(LU, pivots), or with `get_infos` (LU, pivots, infos)."""
    found = factors.lu_factor_ex(A, pivot=pivot)
    return tuple(found) if get_infos else (found.LU, found.pivots)


@full_precision
def lu_solve(b: Any, LU_data: Any, LU_pivots: Any, *, out: Any = None) -> Any:
    """X with A X = b from what `lu_factor` gives of A."""
    return factors.lu_solve(LU_data, LU_pivots, b, out=out)


def lobpcg(A: Any, k: int | None = None, B: Any = None, X: Any = None, n: int | None = None, iK: Any = None,
           niter: int | None = None, tol: float | None = None, largest: bool | None = None, method: str | None = None,
           tracker: Any = None, ortho_iparams: Any = None, ortho_fparams: Any = None,
           ortho_bparams: Any = None) -> tuple:
    """The largest or smallest eigenvalues of A x = lambda B x, and their vectors.

    The matrices are dense here, so all pairs are computed exactly (by `eigh`) and the wanted ones given; arguments that
    steer PyTorch's iteration (n, iK, niter, tol, method, tracker and ortho_...) are accepted.

    Args:
        A: Hermitian, (..., m, m). k: how many pairs (default: the columns of X, or 1); 3 k must not exceed m. B:
            Hermitian positive definite, the identity when left out. X: a first guess, of which only the width counts.
            largest: the largest (default) or the smallest, the outermost first.

    Returns:
        (values, vectors): (..., k) and (..., m, k), with vectors^H B vectors the identity.

    Raises:
        ShapeError: for matrices that are not square, or a k that is too large.

    Example:
        >>> import squall as sq
        >>> sq.lobpcg(sq.tensor([[2.0, 0.0, 0.0], [0.0, 5.0, 0.0], [0.0, 0.0, 3.0]]))[0]
        tensor([5.])
    """
    a = matrices(A, "lobpcg", square=True)
    count = k if k is not None else 1 if X is None else X.node.shape[-1]
    size = a.node.shape[-1]
    if 3 * count > size:
        raise ShapeError(f"lobpcg: A has {size} rows, which must be at least 3 times the number of pairs, {count}")
    if B is None:
        values, vectors = factors.eigh(a)
    else:
        factor = factors.cholesky(matrices(B, "lobpcg", "B", square=True))
        half = solve_triangular(factor, a, upper=False)
        values, turned = factors.eigh(solve_triangular(factor, half.mH, upper=False))
        vectors = solve_triangular(factor.mH, turned, upper=True)
    if largest is None or largest:
        values, vectors = values.flip(-1), vectors.flip(-1)
    return values[..., :count], vectors[..., :count]
