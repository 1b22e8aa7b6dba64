"""`sq.linalg`: linear algebra under PyTorch's names (`torch.linalg`). Matrices are the last two dimensions.

Factorizations and systems run in LAPACK (through NumPy) as host steps of a plan, in float32 and float64.
"""

from squall.base.errors import LinAlgError
from squall.frontend.functions_arithmetic import matmul
from squall.frontend.functions_matrix import matrix_power, multi_dot
from squall.frontend.linalg_eigen import eig, eigvals, ldl_factor, ldl_factor_ex, ldl_solve
from squall.frontend.linalg_factors import (
    cholesky,
    cholesky_ex,
    eigh,
    eigvalsh,
    householder_product,
    lu,
    lu_factor,
    lu_factor_ex,
    lu_solve,
    matrix_exp,
    qr,
    svd,
    svdvals,
)
from squall.frontend.linalg_norms import (
    cond,
    cross,
    diagonal,
    matrix_norm,
    matrix_rank,
    norm,
    vander,
    vecdot,
    vector_norm,
)
from squall.frontend.linalg_systems import (
    det,
    inv,
    inv_ex,
    lstsq,
    pinv,
    slogdet,
    solve,
    solve_ex,
    solve_triangular,
    tensorinv,
    tensorsolve,
)

__all__ = [
    "LinAlgError", "cholesky", "cholesky_ex", "cond", "cross", "det", "diagonal", "eig", "eigh", "eigvals", "eigvalsh",
    "householder_product", "inv", "inv_ex", "ldl_factor", "ldl_factor_ex", "ldl_solve", "lstsq", "lu",
    "lu_factor", "lu_factor_ex", "lu_solve", "matmul", "matrix_exp", "matrix_norm", "matrix_power",
    "matrix_rank", "multi_dot", "norm", "pinv", "qr", "slogdet", "solve", "solve_ex", "solve_triangular", "svd",
    "svdvals", "tensorinv", "tensorsolve", "vander", "vecdot", "vector_norm",
]  # fmt: skip
