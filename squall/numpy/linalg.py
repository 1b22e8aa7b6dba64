"""`squall.numpy.linalg`: linear algebra under NumPy's and the Array API's names; matrices are the last two dimensions.

Factorizations run in LAPACK as host steps, in float32 and float64 (integers in float64). What has no result (a singular
matrix) raises NumPy's LinAlgError: at once, and what a compiled function computes when it is evaluated.
"""

from __future__ import annotations

from math import inf as _inf
from typing import Any, NamedTuple

from squall.base.dtypes import bool_, float64, int64, real_of
from squall.frontend import arithmetic, functions_matrix, linalg_eigen, linalg_factors, linalg_systems
from squall.frontend.core import record
from squall.frontend.evaluation import evaluate_tensors
from squall.frontend.state import local
from squall.ir.op import ops
from squall.numpy import elementwise as el
from squall.numpy import linear, shaping, statistics
from squall.numpy.core import arr, axis_tuple, cast, lift, one_axis
from squall.numpy.kinds import common, finfo
from squall.numpy.linear import cross as _cross
from squall.numpy.linear import matmul, tensordot, vecdot
from squall.numpy.linear import outer as _outer
from squall.numpy.shaping import matrix_transpose


class EighResult(NamedTuple):
    """What `eigh` gives."""

    eigenvalues: Any
    eigenvectors: Any


class EigResult(NamedTuple):
    """What `eig` gives."""

    eigenvalues: Any
    eigenvectors: Any


class QRResult(NamedTuple):
    """What `qr` gives."""

    Q: Any
    R: Any


class SVDResult(NamedTuple):
    """What `svd` gives."""

    U: Any
    S: Any
    Vh: Any


class SlogdetResult(NamedTuple):
    """What `slogdet` gives."""

    sign: Any
    logabsdet: Any


def error(message: str) -> Exception:
    """NumPy's LinAlgError."""
    from numpy.linalg import LinAlgError

    return LinAlgError(message)


def _matrices(a: Any, square: bool = False, least: int = 2) -> Any:
    x = arr(a)
    if x.ndim < least:
        raise error(f"{x.ndim}-dimensional array given. Array must be at least two-dimensional")
    if square and x.node.shape[-1] != x.node.shape[-2]:
        raise error("Last 2 dimensions of the array must be square")
    kind = x.node.dtype
    if kind.itemsize == 2 and kind.category == 2:
        raise TypeError(f"array type {kind.name} is unsupported in linalg")
    return cast(x, float64) if kind.category < 2 else x


def _found(made: Any) -> Any:
    """A result, evaluated unless a function is traced: NumPy raises LinAlgError at once."""
    if local.state.trace is None:
        evaluate_tensors(tuple(made) if isinstance(made, tuple) else (made,))
    return lift(made)


# ---------------------------------------------------------------- factorizations
def cholesky(a: Any, /, *, upper: bool = False) -> Any:
    """The triangular factor of positive definite matrices: lower unless `upper`."""
    x = _matrices(a, True)
    made = _found(linalg_factors.cholesky(x))
    return shaping.matrix_transpose(el.conjugate(made)) if upper else made


def qr(a: Any, /, mode: str = "reduced") -> Any:
    """(Q, R): orthonormal columns times an upper triangle.

    Args:
        mode: "reduced", "complete" (Q is square) or "r" (R alone).
    """
    if mode not in ("reduced", "complete", "r"):
        raise ValueError(f"Unrecognized mode '{mode}'")
    q, r = linalg_factors.qr(_matrices(a), "complete" if mode == "complete" else "reduced")
    return lift(r) if mode == "r" else QRResult(lift(q), lift(r))


def svd(a: Any, /, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    """(U, S, Vh) with U diag(S) Vh = a, singular values in descending order; S alone without `compute_uv`."""
    x = _matrices(a)
    if not compute_uv:
        return svdvals(x)
    return SVDResult(*lift(linalg_factors.svd(x, bool(full_matrices))))


def svdvals(x: Any, /) -> Any:
    """Singular values, in descending order."""
    return lift(linalg_factors.svdvals(_matrices(x)))


def eigh(a: Any, /, UPLO: str = "L") -> EighResult:
    """(eigenvalues, eigenvectors) of symmetric or Hermitian matrices, in ascending order."""
    if UPLO.upper() not in ("L", "U"):
        raise ValueError("UPLO argument must be 'L' or 'U'")
    return EighResult(*lift(tuple(linalg_factors.eigh(_matrices(a, True), UPLO))))


def eigvalsh(a: Any, /, UPLO: str = "L") -> Any:
    """Eigenvalues of symmetric or Hermitian matrices, in ascending order."""
    return eigh(a, UPLO)[0]


def eig(a: Any, /) -> EigResult:
    """(eigenvalues, eigenvectors) of square matrices; real ones of real matrices where no eigenvalue is complex.

    Raises:
        LinAlgError: for infinite or NaN elements.

    Example:
        >>> import squall.numpy as snp
        >>> snp.linalg.eig([[2.0, 0.0], [0.0, 3.0]]).eigenvalues
        array([2., 3.])
    """
    x = _finite(a)
    values, vectors = linalg_eigen.eig(x)
    return EigResult(*lift((values.real, vectors.real) if _all_real(x, values) else (values, vectors)))


def eigvals(a: Any, /) -> Any:
    """Eigenvalues of square matrices; real ones of real matrices where none is complex.

    Example:
        >>> import squall.numpy as snp
        >>> snp.linalg.eigvals([[2.0, 1.0], [0.0, 3.0]])
        array([2., 3.])
    """
    x = _finite(a)
    values = linalg_eigen.eigvals(x)
    return lift(values.real if _all_real(x, values) else values)


def _finite(a: Any) -> Any:
    x = _matrices(a, True)
    if local.state.trace is None and not bool(x.isfinite().all()):
        raise error("Array must not contain infs or NaNs")
    return x


def _all_real(x: Any, values: Any) -> bool:
    """Whether NumPy gives real eigenvalues: a question of values, so that compiled functions give complex ones."""
    return x.node.dtype.category < 3 and local.state.trace is None and not bool((values.imag != 0).any())


# ---------------------------------------------------------------- systems
def inv(a: Any, /) -> Any:
    """The inverses of square matrices; LinAlgError for singular ones."""
    return _found(linalg_systems.inv(_matrices(a, True)))


def det(a: Any, /) -> Any:
    """The determinants of square matrices."""
    return lift(linalg_systems.det(_matrices(a, True)))


def slogdet(a: Any, /) -> SlogdetResult:
    """(sign, logabsdet): the sign of each determinant, and the logarithm of its size."""
    sign, size = linalg_systems.slogdet(_matrices(a, True))
    return SlogdetResult(lift(sign), lift(cast(size, real_of(size.node.dtype))))


def solve(a: Any, b: Any, /) -> Any:
    """x with a x = b; b holds vectors when it has one dimension, else matrices."""
    x, y = _matrices(a, True), arr(b)
    kind = common((x, y))
    x, y = cast(x, kind), cast(y, kind)
    if not y.ndim or x.node.shape[-1] != y.node.shape[-2 if y.ndim > 1 else -1]:
        raise ValueError(
            f"solve: Input operand 1 has a mismatch in its core dimension 0: shapes {tuple(x.node.shape)} "
            f"and {tuple(y.node.shape)}"
        )
    vector = y.ndim == 1
    y = y.unsqueeze(-1) if vector else y
    one, two = linalg_systems.same_stack("solve", x, y)
    made = _found(record(ops.solve, (one, two), ("linalg.solve",))[0])
    return shaping.squeeze(made, -1) if vector else made


def pinv(a: Any, /, rcond: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Any:
    """Pseudo-inverses; singular values up to rcond (or rtol) times the largest one count as 0."""
    x = _matrices(a)
    if not x.numel():
        return lift(x.new_zeros((*x.node.shape[:-2], x.node.shape[-1], x.node.shape[-2])))
    if rcond is not None and rtol is not None:
        raise ValueError("`rtol` and `rcond` can't be both set.")
    limit = rcond if rtol is None else rtol
    if limit is None:
        limit = (max(x.node.shape[-2:]) * finfo(x.node.dtype).eps) if rtol is not None else 1e-15
    u, s, vh = (arr(v) for v in svd(x, False))
    bound = arr(limit).unsqueeze(-1) * s.amax(-1, True)
    keep = s > bound
    turned = arithmetic.where(keep, 1.0 / arithmetic.where(keep, s, 1.0), 0.0)
    scaled = el.multiply(matrix_transpose(el.conjugate(vh)), turned.unsqueeze(-2))
    return matmul(scaled, matrix_transpose(el.conjugate(u)))


def lstsq(a: Any, b: Any, rcond: Any = None) -> tuple:
    """(solution, residuals, rank, singular values) of the least |a x - b|, and of those of the least |x|."""
    x, y = _matrices(a), arr(b)
    if x.ndim != 2:
        raise error(f"{x.ndim}-dimensional array given. Array must be two-dimensional")
    if x.node.shape[0] != y.node.shape[0]:
        raise error("Incompatible dimensions")
    kind = common((x, y))
    x, y = cast(x, kind), cast(y, kind)
    columns = y if y.ndim == 2 else y.unsqueeze(-1)
    m, n = x.node.shape
    limit = finfo(kind).eps * (max(m, n) if rcond is None else 1) if rcond is None or rcond == -1 else rcond
    values = arr(svdvals(x))
    found = matmul(pinv(x, limit), columns)
    rank = int((values > limit * values.amax(-1, True)).sum(-1)) if min(m, n) else 0
    left = el.absolute(el.subtract(matmul(x, found), columns))
    residuals = statistics.sum(el.square(left), 0) if rank == n and m > n else lift(values[:0])
    return (found if y.ndim == 2 else shaping.squeeze(found, -1)), residuals, rank, lift(values)


def tensorsolve(a: Any, b: Any, axes: Any = None) -> Any:
    """x with tensordot(a, x, x.ndim) = b, after moving `axes` of a to its end."""
    x, y = _matrices(a, least=0), arr(b)
    if axes is not None:
        chosen = axis_tuple(axes, x.ndim, "tensorsolve")
        x = x.permute(*[d for d in range(x.ndim) if d not in chosen], *chosen)
    shape = tuple(x.node.shape)[y.ndim - x.ndim if y.ndim < x.ndim else x.ndim :]
    count = _size(shape)
    if count * y.numel() != x.numel() or y.numel() != count:
        raise error(
            "Input arrays must satisfy the requirement             prod(a.shape[b.ndim:]) == "
            "prod(a.shape[:b.ndim])"
        )
    return solve(x.reshape(y.numel(), count), y.reshape(-1)).reshape(shape)


def tensorinv(a: Any, ind: int = 2) -> Any:
    """The inverse of an array as the matrix from its last dimensions to its first `ind`."""
    x = _matrices(a, least=0)
    if ind <= 0:
        raise ValueError("Invalid ind argument.")
    shape = tuple(x.node.shape)
    return inv(x.reshape(_size(shape[:ind]), -1)).reshape(shape[ind:] + shape[:ind])


def _size(sizes: tuple) -> int:
    total = 1
    for s in sizes:
        total *= s
    return total


# ---------------------------------------------------------------- norms
def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    """(sum |x|^ord)^(1/ord) over axes, all of them unless given."""
    x = arr(x)
    x = cast(x, float64) if x.node.dtype.category < 2 else x
    axes = axis_tuple(axis, x.ndim, "vector_norm")
    size = el.absolute(x)
    if ord == _inf:
        return statistics.max(size, axes, keepdims=keepdims, initial=0.0)
    if ord == -_inf:
        return statistics.min(size, axes, keepdims=keepdims)
    if ord == 0:
        return statistics.sum(cast(size != 0, size.node.dtype), axes, keepdims=keepdims)
    if ord == 1:
        return statistics.sum(size, axes, keepdims=keepdims)
    if ord == 2:
        return el.sqrt(statistics.sum(el.square(size), axes, keepdims=keepdims))
    if isinstance(ord, str):
        raise ValueError(f"Invalid norm order '{ord}' for vectors")
    return el.power(statistics.sum(el.power(size, float(ord)), axes, keepdims=keepdims), 1.0 / ord)


def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    """The norm of matrices: "fro", "nuc", 1, -1, 2, -2, inf or -inf."""
    x = arr(x)
    return _matrix_norm(
        cast(x, float64) if x.node.dtype.category < 2 else x, ord, (x.ndim - 2, x.ndim - 1), keepdims
    )


def _matrix_norm(x: Any, ord: Any, axes: tuple, keepdims: bool) -> Any:
    a, b = axes
    if ord in (None, "fro", "f"):
        return el.sqrt(statistics.sum(el.square(el.absolute(x)), axes, keepdims=keepdims))
    if ord in ("nuc", 2, -2):
        values = svdvals(shaping.moveaxis(x, axes, (-2, -1)))
        if ord == "nuc":
            made = statistics.sum(values, -1)
        else:
            made = statistics.max(values, -1, initial=0.0) if ord == 2 else statistics.min(values, -1)
    elif ord in (1, -1, _inf, -_inf):
        first, second = (a, b) if abs(ord) == 1 else (b, a)
        sums = statistics.sum(el.absolute(x), first, keepdims=True)
        made = (
            statistics.max(sums, second, keepdims=True, initial=0.0)
            if ord > 0
            else statistics.min(sums, second, keepdims=True)
        )
        return made if keepdims else shaping.squeeze(made, (a, b))
    else:
        raise ValueError("Invalid norm order for matrices.")
    return shaping.expand_dims(made, tuple(sorted(axes))) if keepdims else made


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """The norm of vectors (one axis) or matrices (two); of everything when neither ord nor axis is given."""
    x = arr(x)
    x = cast(x, float64) if x.node.dtype.category < 2 else x
    if axis is None and ord is None:
        return vector_norm(x, keepdims=keepdims)
    if axis is not None and not isinstance(axis, (tuple, list)) and not hasattr(axis, "__index__"):
        raise TypeError("'axis' must be None, an integer or a tuple of integers")
    if axis is None and x.ndim == 1 and ord == 2:
        return vector_norm(x, keepdims=keepdims)
    axes = (
        axis_tuple(axis, x.ndim, "norm")
        if axis is None
        else tuple(one_axis(i, x.ndim) for i in (axis if isinstance(axis, (tuple, list)) else (axis,)))
    )
    if len(axes) == 1:
        if isinstance(ord, str):
            raise ValueError(f"Invalid norm order '{ord}' for vectors")
        return vector_norm(x, axis=axes, keepdims=keepdims, ord=2 if ord is None else ord)
    if len(axes) == 2:
        if axes[0] == axes[1]:
            raise ValueError("Duplicate axes given.")
        return _matrix_norm(x, ord, axes, keepdims)
    raise ValueError("Improper number of dimensions to norm.")


def cond(x: Any, p: Any = None) -> Any:
    """The condition numbers of matrices: the norm times that of the inverse."""
    x = _matrices(x)
    if not x.numel():
        raise error("cond is not defined on empty arrays")
    if p in (None, 2, -2):
        values = svdvals(x)
        large, small = values[..., 0], values[..., -1]
        return el.divide(small, large) if p == -2 else el.divide(large, small)
    turned = linalg_systems.inverted(_matrices(x, True), "")[0]
    axes = (x.ndim - 2, x.ndim - 1)
    made = el.multiply(_matrix_norm(x, p, axes, False), _matrix_norm(turned, p, axes, False))
    given = statistics.any(el.isnan(x), axes)
    return lift(arithmetic.where(arr(el.isnan(made) & el.logical_not(given)), _inf, arr(made)))


def matrix_rank(A: Any, /, tol: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Any:
    """How many singular values of each matrix are larger than `tol`, or `rtol` times the largest one."""
    x = arr(A)
    if x.ndim < 2:
        return lift(cast(el.logical_not(statistics.all(el.equal(x, 0))), int64))
    if tol is not None and rtol is not None:
        raise ValueError("`tol` and `rtol` can't be both set.")
    values = arr(svdvals(x))
    if not values.node.shape[-1]:
        return statistics.sum(cast(values, int64), -1)
    if tol is None:
        share = max(x.node.shape[-2:]) * finfo(values).eps if rtol is None else arr(rtol).unsqueeze(-1)
        bound = values.amax(-1, True) * share
    else:
        bound = arr(tol).unsqueeze(-1)
    return statistics.count_nonzero(values > bound, -1)


# ---------------------------------------------------------------- products
def matrix_power(a: Any, n: int, /) -> Any:
    """A square matrix multiplied by itself n times; by its inverse for negative n."""
    x = arr(a)
    if x.ndim < 2 or x.node.shape[-1] != x.node.shape[-2]:
        _matrices(x, True)
    try:
        count = n.__index__()
    except AttributeError:
        raise TypeError("exponent must be an integer") from None
    if count < 0:
        x, count = arr(inv(x)), -count
    return lift(functions_matrix.matrix_power(cast(x, int64) if x.node.dtype is bool_ else x, count))


def multi_dot(arrays: Any, *, out: Any = None) -> Any:
    """The product of two and more matrices, in the order that costs least; the ends may be vectors."""
    given = [arr(a) for a in arrays]
    if len(given) < 2:
        raise ValueError("Expecting at least two arrays.")
    for i, x in enumerate(given):
        if x.ndim != 2 and not (x.ndim == 1 and i in (0, len(given) - 1)):
            raise error(f"{x.ndim}-dimensional array given. Array must be two-dimensional")
    kind = common(given)
    made = functions_matrix.multi_dot([cast(x, kind) for x in given])
    return linear.write_out(out, made, "same_kind", "multi_dot")


def diagonal(x: Any, /, *, offset: int = 0) -> Any:
    """The diagonals of matrices."""
    return linear.diagonal(x, offset, -2, -1)


def trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    """Sums of the diagonals of matrices."""
    return linear.trace(x, offset, -2, -1, dtype)


def cross(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """The cross product of vectors of 3 elements along an axis."""
    a, b = arr(x1), arr(x2)
    if a.node.shape[one_axis(axis, a.ndim)] != 3 or b.node.shape[one_axis(axis, b.ndim)] != 3:
        raise ValueError("Both input arrays must be (arrays of) 3-dimensional vectors")
    return _cross(a, b, axis=axis)


def outer(x1: Any, x2: Any, /) -> Any:
    """Products of every pair of elements of two vectors."""
    a, b = arr(x1), arr(x2)
    if a.ndim != 1 or b.ndim != 1:
        raise ValueError(
            f"Input arrays must be one-dimensional, but they are x1.ndim={a.ndim} and x2.ndim={b.ndim}."
        )
    return _outer(a, b)


__all__ = [
    "cholesky", "cond", "cross", "det", "diagonal", "eig", "eigh", "eigvals", "eigvalsh", "inv", "lstsq", "matmul",
    "matrix_norm",
    "matrix_power", "matrix_rank", "matrix_transpose", "multi_dot", "norm", "outer", "pinv", "qr", "slogdet", "solve",
    "svd", "svdvals", "tensordot", "tensorinv", "tensorsolve", "trace", "vecdot", "vector_norm",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "LinAlgError":
        from numpy.linalg import LinAlgError

        return LinAlgError
    raise AttributeError(f"module 'squall.numpy.linalg' has no attribute {name!r}")
