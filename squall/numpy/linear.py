"""Products of arrays, and `squall.numpy.linalg` under NumPy's and the Array API's names."""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import bool_, int64
from squall.frontend import arithmetic
from squall.frontend import einsum as summing
from squall.frontend.core import record
from squall.frontend.functions_matrix import cross as cross_along
from squall.ir.op import ops
from squall.numpy import elementwise as el
from squall.numpy import shaping
from squall.numpy.core import arr, axis_tuple, cast, lift, one_axis, write_out
from squall.numpy.kinds import can_cast, common, dtype_of


def _pair(a: Any, b: Any, dtype: Any = None) -> tuple:
    x, y = arr(a), arr(b)
    kind = common((x, y)) if dtype is None else dtype_of(dtype)
    return cast(x, kind), cast(y, kind)


def _whole(kind: Any) -> bool:
    return kind is bool_


def _product(a: Any, b: Any, function: Any) -> Any:
    """A product of two Tensors of one dtype; booleans are multiplied as integers."""
    if _whole(a.node.dtype):
        return cast(function(cast(a, int64), cast(b, int64)), bool_)
    return function(a, b)


def matmul(
    x1: Any,
    x2: Any,
    /,
    out: Any = None,
    *,
    casting: str = "same_kind",
    dtype: Any = None,
    order: str = "K",
    subok: bool = True,
) -> Any:
    """Matrix products of the last two dimensions; vectors are rows on the left, columns on the right.

    Raises:
        ValueError: for operands without dimensions, and sizes that do not fit.
    """
    a, b = _pair(x1, x2, dtype)
    if not a.ndim or not b.ndim:
        raise ValueError(
            "matmul: Input operand does not have enough dimensions (0-d arrays cannot be multiplied)"
        )
    if a.node.shape[-1] != b.node.shape[-2 if b.ndim > 1 else -1]:
        raise ValueError(
            f"matmul: Input operand 1 has a mismatch in its core dimension 0: shapes "
            f"{tuple(a.node.shape)} and {tuple(b.node.shape)}"
        )
    return write_out(out, lift(_product(a, b, arithmetic.matmul)), casting, "matmul")


def dot(a: Any, b: Any, out: Any = None) -> Any:
    """Sum of products over the last axis of the first and the second-to-last of the second."""
    x, y = _pair(a, b)
    if not x.ndim or not y.ndim:
        return write_out(out, el.multiply(x, y))
    if x.ndim <= 2 and y.ndim <= 2:
        return matmul(x, y, out)
    if x.node.shape[-1] != y.node.shape[-2 if y.ndim > 1 else -1]:
        raise ValueError(f"shapes {tuple(x.node.shape)} and {tuple(y.node.shape)} not aligned")
    return write_out(out, tensordot(x, y, ((x.ndim - 1,), (max(y.ndim - 2, 0),))))


def vdot(a: Any, b: Any, /) -> Any:
    """Inner product of flattened arrays, the first conjugated."""
    x, y = _pair(arr(a).reshape(-1), arr(b).reshape(-1))
    return matmul(el.conjugate(x), y)


def vecdot(x1: Any, x2: Any, /, out: Any = None, *, axis: int = -1) -> Any:
    """Inner products of vectors along an axis, the first conjugated."""
    a, b = _pair(x1, x2)
    if not a.ndim or not b.ndim:
        raise ValueError("vecdot: operands must have at least one dimension")
    low = min(a.ndim, b.ndim)
    if not -low <= axis < low and axis < 0:
        one_axis(axis, low)
    x, y = (arr(shaping.moveaxis(v, axis, -1)) for v in (a, b))
    if x.node.shape[-1] != y.node.shape[-1]:
        raise ValueError(f"vecdot: the sizes of the axis differ: {x.node.shape[-1]} and {y.node.shape[-1]}")
    x = arr(el.conjugate(x))
    made = _product(x.unsqueeze(-2), y.unsqueeze(-1), arithmetic.matmul).squeeze(-1).squeeze(-1)
    return write_out(out, lift(made), "same_kind", "vecdot")


def matvec(x1: Any, x2: Any, /) -> Any:
    """Products of matrices and vectors."""
    a, b = arr(x1), arr(x2)
    return shaping.squeeze(matmul(a, b.unsqueeze(-1)), -1)


def vecmat(x1: Any, x2: Any, /) -> Any:
    """Products of vectors, conjugated, and matrices."""
    a, b = arr(x1), arr(x2)
    return shaping.squeeze(matmul(arr(el.conjugate(a)).unsqueeze(-2), b), -2)


def inner(a: Any, b: Any, /) -> Any:
    """Sums of products over the last axes."""
    x, y = arr(a), arr(b)
    if not x.ndim or not y.ndim:
        return el.multiply(x, y)
    if x.node.shape[-1] != y.node.shape[-1]:
        raise ValueError(
            f"shapes {tuple(x.node.shape)} and {tuple(y.node.shape)} not aligned: "
            f"{x.node.shape[-1]} (dim {x.ndim - 1}) != {y.node.shape[-1]} (dim {y.ndim - 1})"
        )
    return tensordot(x, y, ((x.ndim - 1,), (y.ndim - 1,)))


def outer(a: Any, b: Any, out: Any = None) -> Any:
    """Products of every pair of elements of two flattened arrays."""
    return el.multiply(arr(a).reshape(-1, 1), arr(b).reshape(-1), out=out)


def tensordot(a: Any, b: Any, /, axes: Any = 2) -> Any:
    """Sums of products over axes: the last and first so many, or a pair of lists.

    Raises:
        ValueError: for sizes that do not fit.
    """
    x, y = _pair(a, b)
    if hasattr(axes, "__len__"):
        first, second = axes
        first = tuple(first) if hasattr(first, "__len__") else (first,)
        second = tuple(second) if hasattr(second, "__len__") else (second,)
    else:
        n = int(axes)
        first, second = tuple(range(x.ndim - n, x.ndim)), tuple(range(n))
    if len(first) != len(second) or len(first) > x.ndim or len(first) > y.ndim:
        raise ValueError("shape-mismatch for sum")
    first, second = axis_tuple(first, x.ndim, "tensordot"), axis_tuple(second, y.ndim, "tensordot")
    if any(x.node.shape[i] != y.node.shape[j] for i, j in zip(first, second, strict=True)):
        raise ValueError("shape-mismatch for sum")
    left = [i for i in range(x.ndim) if i not in first]
    right = [j for j in range(y.ndim) if j not in second]
    shape = tuple(x.node.shape[i] for i in left) + tuple(y.node.shape[j] for j in right)
    count = 1
    for i in first:
        count *= x.node.shape[i]
    x = x.permute(*left, *first) if x.ndim else x
    y = y.permute(*second, *right) if y.ndim else y
    rows, columns = _count(shape[: len(left)]), _count(shape[len(left) :])
    made = _product(x.reshape(rows, count), y.reshape(count, columns), arithmetic.matmul)
    return lift(made.reshape(shape))


def _count(sizes: tuple) -> int:
    total = 1
    for s in sizes:
        total *= s
    return total


def kron(a: Any, b: Any) -> Any:
    """Products of every pair of elements, each of the first spread over a copy of the second."""
    x, y = arr(a), arr(b)
    rank = max(x.ndim, y.ndim)
    one, two = ((1,) * (rank - t.ndim) + tuple(t.node.shape) for t in (x, y))
    wide = el.multiply(
        x.reshape(tuple(n for s in one for n in (s, 1))), y.reshape(tuple(n for s in two for n in (1, s)))
    )
    return lift(wide.reshape(tuple(m * n for m, n in zip(one, two, strict=True))))


def cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Any:
    """The cross product of vectors of 3 elements along an axis."""
    if axis is not None:
        axisa = axisb = axisc = axis
    x, y = _pair(a, b)
    if not x.ndim or not y.ndim:
        raise ValueError("At least one array has zero dimension")
    x, y = shaping.moveaxis(x, axisa, -1), shaping.moveaxis(y, axisb, -1)
    if x.node.shape[-1] != 3 or y.node.shape[-1] != 3:
        raise ValueError(
            "Both input arrays must be (arrays of) 3-dimensional vectors, but they are "
            f"{x.node.shape[-1]} and {y.node.shape[-1]} dimensional instead."
        )
    x, y = (arr(v) for v in shaping.broadcast_arrays(x, y))
    made = lift(cross_along(x, y, x.ndim - 1))
    return made if made.ndim == 1 else shaping.moveaxis(made, -1, axisc)


def einsum(
    *operands: Any,
    out: Any = None,
    optimize: Any = False,
    dtype: Any = None,
    casting: str = "safe",
    order: str = "K",
) -> Any:
    """Sums of products by a formula such as "ij,jk->ik", or by lists of axis numbers after each array.

    Raises:
        ValueError: for a formula that does not fit the arrays.
    """
    if not operands:
        raise ValueError(
            "must specify the einstein sum subscripts string and at least one operand, or at least one "
            "operand and its corresponding subscripts list"
        )
    formula, given = (operands[0], operands[1:]) if isinstance(operands[0], str) else _written(operands)
    arrays = [arr(o) for o in given]
    if not arrays:
        raise ValueError("einsum: no operands were given")
    kind = common(arrays)
    wanted = kind if dtype is None else dtype_of(dtype)
    if not can_cast(kind, wanted, casting):
        raise TypeError(f"Cannot cast operands from {kind} to {wanted} according to the rule '{casting}'")
    work = int64 if wanted is bool_ else wanted
    try:
        made = summing.einsum(formula.replace(" ", ""), *[cast(a, work) for a in arrays])
    except (RuntimeError, IndexError) as error:
        raise ValueError(f"einsum: {error}") from None
    made = cast(made, wanted)
    return write_out(
        out, made if made._cell is None else made.clone(), casting if out is None else "same_kind", "einsum"
    )


def _written(operands: tuple) -> tuple[str, tuple]:
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

    def word(axes: Any) -> str:
        out = ""
        for axis in axes:
            if axis is Ellipsis:
                out += "..."
            elif hasattr(axis, "__index__"):
                if not 0 <= axis.__index__() < 52:
                    raise ValueError(f"subscript is not within the valid range [0, 52): {axis}")
                out += letters[axis.__index__()]
            else:
                raise TypeError(f"each subscript must be either an integer or an ellipsis, got {axis!r}")
        return out

    result = len(operands) % 2
    arrays = operands[: -1 if result else None : 2]
    formula = ",".join(word(axes) for axes in operands[1::2])
    return (f"{formula}->{word(operands[-1])}" if result else formula), arrays


def einsum_path(*operands: Any, optimize: Any = "greedy", einsum_call: bool = False) -> tuple:
    """The order in which pairs are contracted, from left to right: `squall` chooses its own when it runs."""
    count = len(operands) - 1 if isinstance(operands[0], str) else len(operands) // 2
    return ["einsum_path", *[(0, 1)] * max(count - 1, 1)], "contracted pair by pair"


def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """A diagonal of the plane of two axes, as the last axis."""
    x = arr(a)
    if x.ndim < 2:
        raise ValueError("diag requires an array of at least two dimensions")
    first, second = one_axis(axis1, x.ndim), one_axis(axis2, x.ndim)
    if first == second:
        raise ValueError("axis1 and axis2 cannot be the same")
    return lift(record(ops.diagonal, (x,), (int(offset), first, second)))


def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None) -> Any:
    """Sums of a diagonal."""
    return el.add.reduce(diagonal(a, offset, axis1, axis2), -1, dtype, out)


def diag(v: Any, k: int = 0) -> Any:
    """A diagonal of a matrix, or the matrix with a vector on a diagonal."""
    x = arr(v)
    if x.ndim == 2:
        return diagonal(x, k)
    if x.ndim != 1:
        raise ValueError("Input must be 1- or 2-d.")
    return lift(_placed(x, k))


def _placed(x: Any, k: int) -> Any:
    size = x.node.shape[0] + abs(k)
    out = x.new_zeros((size, size))
    count = x.node.shape[0]
    if count:
        rows = out[abs(k) :] if k < 0 else out
        columns = rows[:, k:] if k > 0 else rows
        columns[:count, :count].diagonal().copy_(x)
    return out


def diagflat(v: Any, k: int = 0) -> Any:
    """The matrix with a flattened array on a diagonal."""
    return diag(shaping.ravel(v), k)
