"""Linear systems as users call them: determinants, inverses, solutions, least squares."""

from __future__ import annotations

from math import prod
from typing import Any

from squall.base.dtypes import int64
from squall.base.errors import DtypeError, ShapeError, TraceError
from squall.base.shapes import broadcast, normalize_dim
from squall.frontend import arithmetic, creation
from squall.frontend.autocast import full_precision
from squall.frontend.core import cast, record
from squall.frontend.declaring import of_tensor, renamed, with_out
from squall.frontend.evaluation import evaluate_tensors
from squall.frontend.functions import finfo
from squall.frontend.functions_complex import real
from squall.frontend.movement import expand
from squall.frontend.named_results import InverseInfo, LeastSquares, Slogdet, SolutionInfo, TriangularSolve
from squall.frontend.out import checked
from squall.frontend.state import local
from squall.ir.op import ops


# ---------------------------------------------------------------- what arguments must be
def matrices(x: Any, function: str, name: str = "A", square: bool = False) -> Any:
    """The Tensor; ShapeError or DtypeError unless it holds float32 or float64 matrices."""
    x = checked(x, function, name)
    dtype = x.node.dtype
    if x.ndim < 2 or (square and x.node.shape[-1] != x.node.shape[-2]):
        kind = "square matrices" if square else "matrices"
        raise ShapeError(f"{function}: the input tensor {name} must hold {kind}, got shape {list(x.node.shape)}")
    if dtype.category < 2 or dtype.itemsize < 4:
        raise DtypeError(f"{function}: expected float32, float64 or complex for {name}, got {dtype}; cast it first")
    return x


def default_tolerance(x: Any, function: str) -> float:
    """The larger size of matrices times their dtype's eps, which must be a number when it is recorded."""
    m, n = x.node.shape[-2:]
    if m.__class__ is not int or n.__class__ is not int:
        raise TraceError(f"{function}: the tolerance used unless one is given is the larger of {m} and {n} times the "
                         "dtype's eps, and symbolic sizes are no numbers: give rtol, or leave the dimension undeclared")
    return max(m, n) * finfo(x.node.dtype).eps


def same_stack(function: str, *tensors: Any) -> list:
    """Matrices whose dimensions before the last two are broadcast to one shape."""
    stack: tuple = ()
    for t in tensors:
        stack = broadcast(stack, tuple(t.node.shape[:-2]), function)
    return [t if tuple(t.node.shape[:-2]) == stack else expand(t, *stack, *t.node.shape[-2:]) for t in tensors]


def with_info(kind: Any, made: tuple, check: bool) -> Any:
    """What an op gives that names a function when `check`; then what it raises is raised here, unless tracing."""
    if check and local.state.trace is None:
        evaluate_tensors(made[-1:])
    return kind(*made)


# ---------------------------------------------------------------- determinants and inverses
@with_out
def det(A: Any) -> Any:
    """The determinants of square matrices."""
    sign, size = record(ops.slogdet, (matrices(A, "linalg.det", square=True),), ())
    return sign * size.exp()


@with_out
def slogdet(A: Any) -> Slogdet:
    """(sign, logabsdet): the sign of each determinant, and the logarithm of its size."""
    return Slogdet(*record(ops.slogdet, (matrices(A, "linalg.slogdet", square=True),), ()))


@of_tensor
def logdet(input: Any) -> Any:
    """The logarithm of each determinant; NaN for negative ones, and of complex matrices the angle, too."""
    sign, size = slogdet(input)
    if sign.node.dtype.category == 3:
        return sign.log() + size
    return arithmetic.where(sign < 0, float("nan"), size)


def inverted(x: Any, function: str) -> tuple:
    """(inverse, info) of square matrices; singular ones raise LinAlgError in a function's name unless it is empty."""
    return record(ops.inverse, (matrices(x, function or "linalg.inv", square=True),), (function,))


@with_out
@full_precision
def inv(A: Any) -> Any:
    """The inverses of square matrices.

    Raises:
        LinAlgError: for a singular matrix, when it is evaluated; names the batch element and the line of the call.
            `inv_ex` gives info instead.
    """
    return inverted(A, "linalg.inv")[0]


inverse = renamed(inv, "inverse")


@with_out
@full_precision
def inv_ex(A: Any, *, check_errors: bool = False) -> InverseInfo:
    """(inverse, info): info is 0, or for a singular matrix, whose inverse is NaN, the place of a zero on the diagonal
    of its factor U, from 1.

    Args:
        check_errors: raise LinAlgError at once for a singular matrix.
    """
    return with_info(InverseInfo, inverted(A, "linalg.inv_ex" if check_errors else ""), check_errors)


# ---------------------------------------------------------------- solutions
def _right_side(a: Any, b: Any) -> bool:
    """Whether b is a stack of vectors rather than of matrices, as PyTorch tells them apart."""
    return b.ndim == 1 or (b.ndim == a.ndim - 1 and tuple(b.node.shape) == tuple(a.node.shape[:-1]))


def _solved(A: Any, B: Any, left: bool, name: str, function: str) -> tuple:
    """(solution, info); singular matrices raise LinAlgError in a function's name unless it is empty."""
    a, b = matrices(A, name, square=True), checked(B, name, "B")
    vectors = _right_side(a, b)
    if vectors:
        b = b.unsqueeze(-1)
    a, b = same_stack(name, a, matrices(b, name, "B"))
    if left or vectors:
        out, info = record(ops.solve, (a, b), (function,))
        return (out.squeeze(-1) if vectors else out), info
    out, info = record(ops.solve, (a.mT, b.mT), (function,))
    return out.mT, info


@with_out
@full_precision
def solve(A: Any, B: Any, *, left: bool = True) -> Any:
    """X with A X = B, or X A = B unless `left`; B holds vectors or matrices.

    Args:
        A: square matrices, shape (..., n, n). B: shape (..., n, k), or (..., n).

    Raises:
        LinAlgError: for a singular A, when it is evaluated; names the batch element and the line of the call.
            `solve_ex` gives info instead.
    """
    return _solved(A, B, left, "linalg.solve", "linalg.solve")[0]


@with_out
@full_precision
def solve_ex(A: Any, B: Any, *, left: bool = True, check_errors: bool = False) -> SolutionInfo:
    """(solution, info): info is 0, or for a singular matrix, whose solution is NaN, the place of a zero on the diagonal
    of its factor U, from 1.

    Args:
        check_errors: raise LinAlgError at once for a singular matrix.
    """
    made = _solved(A, B, left, "linalg.solve_ex", "linalg.solve_ex" if check_errors else "")
    return with_info(SolutionInfo, made, check_errors)


@with_out
def solve_triangular(A: Any, B: Any, *, upper: bool, left: bool = True,
                     unitriangular: bool = False) -> Any:
    """X with A X = B, or X A = B unless `left`, of triangular matrices A, whose other triangle is not read."""
    a, b = same_stack("linalg.solve_triangular", matrices(A, "linalg.solve_triangular", square=True),
                      matrices(B, "linalg.solve_triangular", "B"))
    if left:
        return record(ops.solve_triangular, (a, b), (bool(upper), bool(unitriangular)))
    return record(ops.solve_triangular, (a.mT, b.mT), (not upper, bool(unitriangular))).mT


@with_out
@full_precision
def triangular_solve(b: Any, A: Any, upper: bool = True, transpose: bool = False,
                     unitriangular: bool = False) -> TriangularSolve:
    """(solution, A): X with A X = b of triangular matrices, or with A transposed."""
    a = matrices(A, "triangular_solve", square=True)
    x = (solve_triangular(a.mT, b, upper=not upper, unitriangular=unitriangular) if transpose
         else solve_triangular(a, b, upper=upper, unitriangular=unitriangular))
    return TriangularSolve(x, expand(a, *x.node.shape[:-2], *a.node.shape[-2:]).clone())


@of_tensor
@full_precision
def cholesky_solve(B: Any, L: Any, upper: bool = False) -> Any:
    """X with A X = B, from the triangular factor of A."""
    factor = matrices(L, "cholesky_solve", "L", square=True)
    middle = solve_triangular(factor.mH if upper else factor, B, upper=False)
    return solve_triangular(factor if upper else factor.mH, middle, upper=True)


@of_tensor
@full_precision
def cholesky_inverse(L: Any, upper: bool = False) -> Any:
    """The inverse of A, from its triangular factor."""
    factor = matrices(L, "cholesky_inverse", "L", square=True)
    one = expand(creation.eye(factor.node.shape[-1], dtype=factor.node.dtype), *factor.node.shape)
    return cholesky_solve(one, factor, upper)


# ---------------------------------------------------------------- least squares
def _hermitian(x: Any) -> Any:
    """The Hermitian matrix of a lower triangle; of the diagonal the real part counts."""
    below, diagonal = x.tril(-1), x.diagonal(0, -2, -1)
    return below + below.mH + cast(real(diagonal), x.node.dtype).diag_embed()


@with_out
def pinv(A: Any, rtol: Any = None, *, atol: Any = None, rcond: Any = None, hermitian: bool = False) -> Any:
    """Moore and Penrose's pseudo-inverses.

    Args:
        rtol, atol: singular values up to the larger of `atol` and `rtol` times the largest one count as 0; by default
            that is the larger size times the dtype's eps. Numbers. hermitian: A is symmetric; its lower triangle
            is read.
    """
    x = matrices(A, "linalg.pinv")
    if hermitian:
        x = x + (_hermitian(x.detach()) - x).detach()  # the gradient is that of the general inverse, as in PyTorch
    relative, least = (v.item() if hasattr(v, "node") and v.numel() == 1 else v
                       for v in (rcond if rtol is None else rtol, atol))
    if hasattr(relative, "node") or hasattr(least, "node"):
        raise ShapeError("linalg.pinv: rtol and atol must be numbers, or tensors of one element")
    if relative is None:
        relative = 0.0 if least else default_tolerance(x, "linalg.pinv")
    return record(ops.pinv, (x,), (float(least or 0.0), float(relative)))


@full_precision
def lstsq(A: Any, B: Any, rcond: float | None = None, *, driver: str | None = None) -> LeastSquares:
    """(solution, residuals, rank, singular_values): the X of least |A X - B|, and of those of least |X|.

    Args:
        driver: "gelsy" (unless given), "gels", "gelsd" or "gelss": which of the results are filled in.
    """
    if driver not in (None, "gels", "gelsy", "gelsd", "gelss"):
        raise ValueError(f"linalg.lstsq: driver must be gels, gelsy, gelsd or gelss, got {driver!r}")
    a, b = matrices(A, "linalg.lstsq"), checked(B, "linalg.lstsq", "B")
    vectors = b.ndim == a.ndim - 1
    b = b.unsqueeze(-1) if vectors else b
    a, b = same_stack("linalg.lstsq", a, matrices(b, "linalg.lstsq", "B"))
    m, n = a.node.shape[-2:]
    solution = arithmetic.matmul(pinv(a, rcond), b)
    values = record(ops.svd, (a.detach(),), (False,))[1]
    limit = default_tolerance(a, "linalg.lstsq") if rcond is None else rcond
    top = values.amax(-1, True) if min(m, n) else values.sum(-1, True)
    rank = (values > limit * top).sum(-1)
    empty = creation.empty(0, dtype=values.node.dtype)
    residuals = real(solution).reshape(-1)[:0]
    if m > n and driver != "gelsy" and driver is not None and (driver == "gels" or bool((rank == n).all())):
        residuals = (arithmetic.matmul(a, solution) - b).abs().square().sum(-2)
    if driver == "gels":
        rank = creation.empty(0, dtype=int64)
    solution = solution.squeeze(-1) if vectors else solution
    return LeastSquares(solution, residuals, rank, values if driver in ("gelsd", "gelss") else empty)


# ---------------------------------------------------------------- tensors as matrices
@with_out
@full_precision
def tensorinv(A: Any, ind: int = 2) -> Any:
    """The inverse of a Tensor as the matrix from its last dimensions to its first `ind`."""
    a = checked(A, "linalg.tensorinv", "A")
    shape = tuple(a.node.shape)
    if ind < 1 or prod(shape[:ind]) != prod(shape[ind:]):
        raise ShapeError(f"linalg.tensorinv: the first {ind} sizes of {list(shape)} must have the others' product")
    flat = inverted(a.reshape(prod(shape[:ind]), prod(shape[ind:])), "linalg.tensorinv")[0]
    return flat.reshape(*shape[ind:], *shape[:ind])


@with_out
@full_precision
def tensorsolve(A: Any, B: Any, dims: Any = None) -> Any:
    """X with tensordot(A, X, X.ndim) = B, after moving `dims` of A to its end."""
    a, b = checked(A, "linalg.tensorsolve", "A"), checked(B, "linalg.tensorsolve", "B")
    if dims is not None:
        chosen = [normalize_dim(d, a.ndim, "linalg.tensorsolve") for d in dims]
        a = a.permute(*(d for d in range(a.ndim) if d not in chosen), *chosen)
    shape = tuple(a.node.shape)[b.ndim:]
    if prod(shape) != b.numel():
        raise ShapeError(f"linalg.tensorsolve: A of shape {list(a.node.shape)} and B of shape {list(b.node.shape)} do "
                         "not fit")
    flat = a.reshape(b.numel(), prod(shape))
    return _solved(flat, b.reshape(-1), True, "linalg.tensorsolve", "linalg.tensorsolve")[0].reshape(shape)
