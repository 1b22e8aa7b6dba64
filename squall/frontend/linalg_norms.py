"""Norms of vectors and matrices as users call them, and what is measured by singular values."""

from __future__ import annotations

from math import inf
from typing import Any

from squall.base.dtypes import as_dtype
from squall.base.errors import DtypeError, ShapeError
from squall.base.shapes import normalize_dim
from squall.frontend import arithmetic, creation
from squall.frontend.autocast import full_precision, lowered
from squall.frontend.core import cast, record
from squall.frontend.declaring import of_tensor, with_out
from squall.frontend.functions_matrix import cross as older_cross
from squall.frontend.functions_matrix import vander as older_vander
from squall.frontend.linalg_systems import default_tolerance, inverted, matrices
from squall.frontend.out import checked
from squall.ir.op import ops


def _prepared(x: Any, dtype: Any, function: str) -> Any:
    x = x if dtype is None else cast(x, as_dtype(dtype))
    if x.node.dtype.category < 2:
        raise DtypeError(f"{function}: expected a floating point tensor as input, got {x.node.dtype}")
    return x


@of_tensor
def vector_norm(x: Any, ord: float = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """The norm of order `ord` over dims (all unless given), as if they were one: (sum |x|^ord)^(1/ord)."""
    x = _prepared(x, dtype, "linalg.vector_norm")
    x = x.abs() if x.node.dtype.category == 3 else x
    dims = tuple(range(x.ndim)) if dim is None else (dim,) if isinstance(dim, int) else tuple(dim) or None
    over = range(x.ndim) if dims is None or not x.ndim else dims
    if 0 in [x.node.shape[d] for d in over] and ord == inf:
        return x.abs().sum(dims, keepdim)
    if 0 in [x.node.shape[d] for d in over] and ord < 0:
        raise ShapeError(f"linalg.vector_norm: the norm of order {ord} of no elements does not exist; input has shape "
                         f"{list(x.node.shape)}")
    return x.norm(ord, dims, keepdim)


def _two(dim: Any, rank: int) -> tuple[int, int]:
    if len(dim) != 2:
        raise ShapeError(f"linalg.matrix_norm: dim must be a 2-tuple, got {dim}")
    a, b = (normalize_dim(d, rank, "linalg.matrix_norm") for d in dim)
    if a == b:
        raise ShapeError(f"linalg.matrix_norm: dims must be different, got {dim}")
    return a, b


@of_tensor
def matrix_norm(A: Any, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, *,
                dtype: Any = None) -> Any:
    """The norm of matrices, which are two dims.

    Args:
        ord: "fro", "nuc" (the sum of singular values), 2 or -2 (the largest, smallest of them), 1 or -1 (the largest,
            smallest sum of a column's sizes), inf or -inf (of a row's).
    """
    x = _prepared(A, dtype, "linalg.matrix_norm")
    a, b = _two(dim, x.ndim)
    if ord in ("fro", "f"):
        return x.norm(2, (a, b), keepdim)
    if ord in ("nuc", 2, -2):
        values = record(ops.svd, (matrices(x.movedim((a, b), (-2, -1)), "linalg.matrix_norm"),), (False,))[1]
        total = ord == "nuc" or not values.node.shape[-1]
        out = values.sum(-1) if total else values.amax(-1) if ord == 2 else values.amin(-1)
    elif ord in (1, -1, inf, -inf):
        first, second = (a, b) if abs(ord) == 1 else (b, a)
        sums = x.abs().sum(first, True)
        if ord > 0 and not x.node.shape[second]:
            sums = sums.sum(second, True)
        out = (sums.amax((second,), True) if ord > 0 else sums.amin((second,), True)).squeeze((a, b))
    else:
        raise ValueError(f"linalg.matrix_norm: ord must be 'fro', 'nuc', 1, -1, 2, -2, inf or -inf, got {ord!r}")
    if keepdim:
        low, high = sorted((a, b))
        out = out.unsqueeze(low).unsqueeze(high)
    return out


@of_tensor
def norm(A: Any, ord: Any = None, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """`vector_norm` over one dim, `matrix_norm` over two; of everything, flattened, when neither is given."""
    if isinstance(dim, (tuple, list)) and len(dim) == 1:
        dim = dim[0]
    if ord is None:
        return vector_norm(A, 2, dim, keepdim, dtype=dtype)
    if isinstance(ord, str) or isinstance(dim, (tuple, list)) or (dim is None and A.ndim == 2):
        return matrix_norm(A, ord, (-2, -1) if dim is None else dim, keepdim, dtype=dtype)
    if dim is None and A.ndim > 2:
        raise ShapeError(f"linalg.norm: ord={ord} without dim needs a 1-d or 2-d input, got shape {list(A.node.shape)}")
    return vector_norm(A, ord, dim, keepdim, dtype=dtype)


@with_out
def vecdot(x: Any, y: Any, *, dim: int = -1) -> Any:
    """Inner products of vectors along dim."""
    a, b = checked(x, "linalg.vecdot", "x"), checked(y, "linalg.vecdot", "y")
    a, b = lowered(a, b)
    if a.node.dtype is not b.node.dtype:
        raise DtypeError(f"linalg.vecdot: x and y must have one dtype, got {a.node.dtype} and {b.node.dtype}")
    return cast((a.conj() * b).sum(dim), a.node.dtype)


@of_tensor
def vander(x: Any, N: int | None = None) -> Any:
    """Rising powers of each element as the columns of a matrix."""
    return older_vander(x, N, True)


@of_tensor
def diagonal(A: Any, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    """The diagonals of matrices, which are the last two dims unless given; a view."""
    return A.diagonal(offset, dim1, dim2)


@with_out
@full_precision
def cond(A: Any, p: Any = None) -> Any:
    """The condition numbers of matrices: the norm times that of the inverse."""
    x = matrices(A, "linalg.cond", square=p not in (None, 2, -2))
    if p in (None, 2, -2):
        values = record(ops.svd, (x,), (False,))[1]
        if not values.node.shape[-1]:
            raise ShapeError(f"linalg.cond: expected non-empty matrices, got shape {list(x.node.shape)}")
        large, small = values.select(-1, 0), values.select(-1, -1)
        return small / large if p == -2 else large / small
    turned, info = inverted(x, "")
    if p == "nuc":  # by singular values, which a singular matrix has, too
        values = record(ops.svd, (x,), (False,))[1]
        return values.sum(-1) * values.reciprocal().sum(-1)
    return arithmetic.where(info == 0, matrix_norm(x, p) * matrix_norm(turned, p), float("inf"))


@with_out
@full_precision
def matrix_rank(A: Any, tol: Any = None, *, atol: Any = None, rtol: Any = None, hermitian: bool = False) -> Any:
    """How many singular values of each matrix are larger than the larger of `atol` and `rtol` times the largest one.

    Args:
        tol: the older name of atol. rtol: by default the larger size times the dtype's eps. hermitian: A is symmetric.
    """
    x = matrices(A, "linalg.matrix_rank").detach()
    atol = tol if atol is None else atol
    values = record(ops.svd, (x,), (False,))[1]
    if not values.node.shape[-1]:
        return values.sum(-1).long()
    if rtol is None:
        relative: Any = default_tolerance(x, "linalg.matrix_rank")
        if atol is not None:
            given = atol if hasattr(atol, "node") else creation.tensor(atol, dtype=values.node.dtype)
            relative = arithmetic.where(given > 0, 0.0, relative)
    else:
        relative = rtol
    limit = relative * values.select(-1, 0)
    if atol is not None:
        limit = limit.maximum(atol if not hasattr(atol, "node") else atol.detach())
    return (values > limit.unsqueeze(-1)).sum(-1)


@of_tensor
def cross(input: Any, other: Any, *, dim: int = -1) -> Any:
    """The cross product of vectors of 3 elements along dim; both Tensors have as many dimensions."""
    other = checked(other, "linalg.cross", "other")
    shapes = list(input.node.shape), list(other.node.shape)
    if input.ndim != other.ndim:
        raise ShapeError(f"linalg.cross: inputs must have the same number of dimensions, got shapes {shapes[0]} and "
                         f"{shapes[1]}")
    d = normalize_dim(dim, input.ndim, "linalg.cross")
    if any(shape[d] != 3 for shape in shapes):
        raise ShapeError(f"linalg.cross: inputs dimension {dim} must have length 3, got shapes {shapes[0]} and "
                         f"{shapes[1]}")
    return older_cross(input, other, d)


@of_tensor
def frobenius_norm(input: Any, dim: Any = (), keepdim: bool = False) -> Any:
    """The root of the sum of squares over dimensions, all of them for none.

    Args:
        dim: one or two dimensions, or none. keepdim: keep them with size 1.

    Raises:
        ShapeError: for more than two.
    """
    dims = (dim,) if isinstance(dim, int) else tuple(dim)
    if len(dims) > 2:
        raise ShapeError(f"frobenius_norm: expected at most 2 dimensions, got {dims}")
    return vector_norm(input, 2, dims or None, keepdim)


@of_tensor
def nuclear_norm(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """The sum of the singular values of matrices.

    Args:
        dim: the two dimensions of the matrices; those of a matrix by default. keepdim: keep them with size 1.

    Raises:
        ShapeError: for another number of dimensions.
    """
    if isinstance(dim, bool):  # PyTorch's form without dim: nuclear_norm(input, keepdim)
        dim, keepdim = None, dim
    dims = (0, 1) if dim is None and input.ndim == 2 else () if dim is None or isinstance(dim, int) else tuple(dim)
    if len(dims) != 2:
        raise ShapeError(f"nuclear_norm: expected two dimensions of matrices, got dim {dim} and "
                         f"{input.ndim} dimensions")
    return matrix_norm(input, "nuc", dims, keepdim)


def norm_except_dim(v: Any, pow: float = 2, dim: int | None = 0) -> Any:
    """The norm over all dimensions but one, which are kept with size 1; over all of them for None or -1."""
    if dim is None or dim == -1:
        return v.norm(pow)
    dim = dim % v.dim()
    others = tuple(d for d in range(v.dim()) if d != dim)
    return v.norm(pow, others, keepdim=True) if others else v.abs()
