"""Linear algebra under PyTorch's older names, with their older arguments: qr, svd, lu, cholesky, pinverse."""

from __future__ import annotations

from typing import Any

from squall.frontend import creation
from squall.frontend import linalg_factors as factors
from squall.frontend.autocast import full_precision
from squall.frontend.declaring import of_tensor, with_out
from squall.frontend.linalg_systems import matrices, pinv
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
