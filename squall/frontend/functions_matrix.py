"""Products of matrices and vectors, distances, and what is built from them, under PyTorch's names."""

from __future__ import annotations

from functools import reduce
from itertools import combinations as _combinations
from itertools import combinations_with_replacement
from typing import Any

from squall.base.dtypes import int64
from squall.base.errors import ArgumentError, DtypeError, ShapeError, TraceError
from squall.base.shapes import broadcast, normalize_dim
from squall.frontend import arithmetic, creation
from squall.frontend.autocast import full_precision, lowered
from squall.frontend.core import cast, common_dtype, record
from squall.frontend.declaring import of_tensor, with_out
from squall.frontend.einsum import tensordot
from squall.frontend.functions_complex import complex, conj, imag, is_complex_tensor, real
from squall.frontend.functions_movement import broadcast_tensors, cat, meshgrid
from squall.frontend.joining import pad, stack
from squall.frontend.older_forms import with_beta_and_alpha
from squall.frontend.out import checked
from squall.ir.op import ops, refuse_float8


def _shape(x: Any) -> list:
    return list(x.node.shape)


def _rank(function: str, name: str, x: Any, rank: int) -> Any:
    x = checked(x, function, name)
    if x.ndim != rank:
        raise ShapeError(f"{function}: argument {name!r} must have {rank} dimensions, got shape {_shape(x)}")
    return x


def _blend(x: Any, product: Any, beta: float, alpha: float) -> Any:
    """beta * x + alpha * product; with beta 0, x is not looked at. Bools and integers keep their dtype, and take the
    whole part of beta and alpha."""
    dtype = product.node.dtype
    if dtype.category < 2:
        beta, alpha = int(beta), int(alpha)
    scaled = product if alpha == 1 else product * alpha
    if beta == 0:
        return cast(scaled.expand(*broadcast(tuple(x.node.shape), tuple(product.node.shape), "beta * input")), dtype)
    return (x if beta == 1 else x * beta) + scaled


# ---------------------------------------------------------------- products added to something
@with_beta_and_alpha
@of_tensor
def addmv(input: Any, mat: Any, vec: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """beta * input + alpha * mat @ vec."""
    return _blend(input, mv(mat, vec), beta, alpha)


@with_beta_and_alpha
@of_tensor
def addr(input: Any, vec1: Any, vec2: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """beta * input + alpha * the outer product of two vectors."""
    outer = arithmetic.outer(_rank("addr", "vec1", vec1, 1), _rank("addr", "vec2", vec2, 1))
    if outer.node.dtype.category == 0:
        return (input & bool(beta)) | (outer & bool(alpha))
    return _blend(input, outer, beta, alpha)


@with_beta_and_alpha
@of_tensor
def baddbmm(input: Any, batch1: Any, batch2: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """beta * input + alpha * batch1 @ batch2, of batches of matrices."""
    input, batch1, batch2 = lowered(input, batch1, batch2)
    return _blend(input, arithmetic.bmm(batch1, batch2), beta, alpha)


@with_beta_and_alpha
@of_tensor
def addbmm(input: Any, batch1: Any, batch2: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """beta * input + alpha * the sum of batch1 @ batch2 over the batch."""
    input, batch1, batch2 = lowered(input, batch1, batch2)
    return _blend(input, cast(arithmetic.bmm(batch1, batch2).sum(0), batch1.node.dtype), beta, alpha)


@of_tensor
def mv(input: Any, vec: Any) -> Any:
    """A matrix times a vector."""
    return arithmetic.product(_rank("mv", "input", input, 2), _rank("mv", "vec", vec, 1))


@of_tensor
def vdot(input: Any, other: Any) -> Any:
    """The inner product of two vectors, the first of which is conjugated."""
    return arithmetic.dot(conj(input), other)


@of_tensor
def ger(input: Any, vec2: Any) -> Any:
    """The outer product of two vectors."""
    return arithmetic.outer(_rank("ger", "input", input, 1), _rank("ger", "vec2", vec2, 1))


@of_tensor
def inner(input: Any, other: Any) -> Any:
    """Products of the last dimensions, summed, of all pairs of vectors."""
    other = checked(other, "inner", "other")
    if not input.node.shape or not other.node.shape:
        return input * other
    return tensordot(input, other, ([-1], [-1]))


@of_tensor
def kron(input: Any, other: Any) -> Any:
    """Kronecker's product: each element of input times the whole of other."""
    a, b = input, checked(other, "kron", "other")
    rank = max(a.ndim, b.ndim)
    x, y = ((1,) * (rank - t.ndim) + tuple(t.node.shape) for t in (a, b))
    left = a.reshape(*(n for size in x for n in (size, 1))) if rank else a
    right = b.reshape(*(n for size in y for n in (1, size))) if rank else b
    return (left * right).reshape(tuple(m * n for m, n in zip(x, y, strict=True)))


def chain_matmul(*matrices: Any, out: Any = None) -> Any:
    """The product of several matrices, in the cheapest order."""
    return multi_dot(matrices, out=out)


@with_out
def multi_dot(tensors: Any) -> Any:
    """The product of several matrices, in the order of the fewest multiplications; the ends may be vectors."""
    parts = [checked(t, "multi_dot", "tensors") for t in tensors]
    if len(parts) < 2:
        raise ShapeError(f"multi_dot: expected at least 2 tensors but got {len(parts)}")
    row, column = parts[0].ndim == 1, parts[-1].ndim == 1
    if row:
        parts[0] = parts[0].unsqueeze(0)
    if column:
        parts[-1] = parts[-1].unsqueeze(1)
    for i, part in enumerate(parts):
        _rank("multi_dot", f"tensors[{i}]", part, 2)
    sizes = [p.node.shape[0] for p in parts] + [parts[-1].node.shape[1]]
    out = _in_order(parts, _order(sizes), 0, len(parts) - 1)
    out = out.squeeze(-1) if column else out
    return out.squeeze(0) if row else out


def _order(sizes: list) -> dict:
    """Where to split each run of matrices: dynamic programming over their sizes."""
    count = len(sizes) - 1
    cost = {(i, i): 0 for i in range(count)}
    split = {}
    for length in range(1, count):
        for i in range(count - length):
            j = i + length
            options = [(cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k) for k in range(i, j)]
            cost[i, j], split[i, j] = min(options)
    return split


def _in_order(parts: list, split: dict, i: int, j: int) -> Any:
    if i == j:
        return parts[i]
    k = split[i, j]
    return arithmetic.mm(_in_order(parts, split, i, k), _in_order(parts, split, k + 1, j))


# ---------------------------------------------------------------- sums and distances
@of_tensor
@full_precision
def trace(input: Any) -> Any:
    """The sum of a matrix' diagonal."""
    return _rank("trace", "input", input, 2).diagonal().sum()


@of_tensor
def dist(input: Any, other: Any, p: float = 2) -> Any:
    """The p-norm of input - other."""
    return (input - other).norm(p)


@of_tensor
def renorm(input: Any, p: float, dim: int, maxnorm: float) -> Any:
    """Each slice along dim whose p-norm exceeds maxnorm scaled down to it."""
    if input.ndim < 2:
        raise ShapeError(f"renorm: argument 'input' needs at least 2 dimensions, got {input.ndim} dimensions")
    d = normalize_dim(dim, input.ndim, "renorm")
    refuse_float8("renorm", input.node.type)
    wide = input if input.node.dtype.itemsize > 2 else input.float()
    norms = wide.norm(p, tuple(i for i in range(input.ndim) if i != d), True)
    factor = arithmetic.where(norms > maxnorm, maxnorm / (norms + 1e-7), 1.0)
    return cast(wide * factor, input.node.dtype)


@with_out
@full_precision
def cdist(x1: Any, x2: Any, p: float = 2.0, compute_mode: str = "use_mm_for_euclid_dist_if_necessary") -> Any:
    """The p-norm of the difference of each row of x1 and each row of x2, of batches of matrices.

    Args:
        x1: shape (..., n, m). x2: shape (..., k, m). compute_mode: accepted; differences are always taken exactly.
    """
    a, b = checked(x1, "cdist", "x1"), checked(x2, "cdist", "x2")
    if a.ndim < 2 or b.ndim < 2 or a.node.shape[-1] != b.node.shape[-1]:
        raise ShapeError(f"cdist: expected (..., n, m) and (..., k, m), got shapes {_shape(a)} and {_shape(b)}")
    if p < 0:
        raise ValueError(f"cdist: p must not be negative, got {p}")
    difference = a.unsqueeze(-2) - b.unsqueeze(-3)
    if 0 in difference.node.shape:
        return difference.sum(-1)
    return difference.norm(p, -1)


@of_tensor
def cross(input: Any, other: Any, dim: int | None = None) -> Any:
    """The cross product of vectors of 3 elements along dim (the first of that size unless given)."""
    a, b = broadcast_tensors(input, checked(other, "cross", "other"))
    if dim is None:
        found = [i for i, n in enumerate(a.node.shape) if n == 3]
        if not found:
            raise ShapeError(f"cross: no dimension of size 3 in input of shape {_shape(a)}")
        dim = found[0]
    d = normalize_dim(dim, a.ndim, "cross")
    if a.node.shape[d] != 3:
        raise ShapeError(f"cross: inputs dimension {d} must have length 3, got shape {_shape(a)}")
    turn = [t.roll(shift, d) for t in (a, b) for shift in (-1, 1)]
    return turn[0] * turn[3] - turn[1] * turn[2]


# ---------------------------------------------------------------- built from several
def block_diag(*tensors: Any) -> Any:
    """Matrices put along the diagonal of one matrix of zeros; vectors count as rows."""
    parts = [checked(t, "block_diag", "tensors") for t in tensors]
    if not parts:
        return creation.empty(1, 0)
    dtype = common_dtype(tuple(parts))
    parts = [cast(p if p.ndim == 2 else p.reshape(1, -1), dtype) for p in parts]
    width, before, rows = sum(p.node.shape[1] for p in parts), 0, []
    for part in parts:
        high = width - before - part.node.shape[1]
        rows.append(pad(part, (0, before), (0, high), 0))
        before += part.node.shape[1]
    return cat(rows, 0)


def cartesian_prod(*tensors: Any) -> Any:
    """All tuples of one element of each vector, as rows."""
    parts = [_rank("cartesian_prod", "tensors", t, 1) for t in tensors]
    if len(parts) == 1:
        return parts[0]
    return stack([g.reshape(-1) for g in meshgrid(*parts)], 1)


def combinations(input: Any, r: int = 2, with_replacement: bool = False) -> Any:
    """All choices of r elements of a vector, as rows."""
    x = _rank("combinations", "input", input, 1)
    if r == 0:
        return x[:0]
    if not isinstance(x.node.shape[0], int):
        raise TraceError(f"combinations: how many rows there are varies with the size {x.node.shape[0]} of dimension 0 "
                         "of 'input', and so does what is chosen; leave the dimension undeclared")
    choose = combinations_with_replacement if with_replacement else _combinations
    rows = list(choose(range(x.node.shape[0]), r))
    return x.index_select(0, creation.tensor([i for row in rows for i in row], dtype=int64)).reshape(len(rows), r)


# ---------------------------------------------------------------- covariance
def _check_weights(input: Any, **weights: Any) -> None:
    """Errors unless the weights of observations are vectors of their number, whole (fweights) or floating, and not
    negative (which evaluates them)."""
    count = input.node.shape[-1] if input.ndim else 1
    for name, given in weights.items():
        if given is None:
            continue
        if given.ndim > 1 or given.numel() != count:
            raise ShapeError(f"cov: argument {name!r} must be a vector of {count} elements, got shape {_shape(given)}")
        if (given.node.dtype.category == 2) is (name == "fweights"):
            kind = "an integer" if name == "fweights" else "a floating"
            raise DtypeError(f"cov: argument {name!r} must have {kind} dtype, got {given.node.dtype}")
        if bool((given < 0).any()):
            raise ArgumentError(f"cov: argument {name!r} must not be negative")


@of_tensor
def cov(input: Any, *, correction: int = 1, fweights: Any = None, aweights: Any = None) -> Any:
    """The covariances of variables, which are rows; columns are observations.

    Args:
        correction: taken off the number of observations. fweights: how often each occurred. aweights: how much
            each counts.
    """
    if input.ndim > 2:
        raise ShapeError(f"cov: expected input to have two or fewer dimensions, got shape {_shape(input)}")
    _check_weights(input, fweights=fweights, aweights=aweights)
    x = input if input.node.dtype.category >= 2 else input.float()
    x = x.reshape(1, -1) if x.ndim < 2 else x
    weights = None
    for given in (fweights, aweights):
        if given is not None:
            weights = given if weights is None else weights * given
    if weights is None:
        count: Any = x.node.shape[1]
        total, centred = count, x - x.mean(1, True)
        free = max(count - correction, 0)
    else:
        total = weights.sum()
        centred = x - ((x * weights).sum(1, True) / total)
        taken = correction if aweights is None else correction * (weights * aweights).sum() / total
        free = (total - taken).clamp(min=0)
    scaled = centred if weights is None else centred * weights
    return (arithmetic.mm(scaled, centred.t().conj()) / free).squeeze()


@of_tensor
def corrcoef(input: Any) -> Any:
    """The correlation coefficients of variables, which are rows."""
    c = cov(input)
    if not c.node.shape:
        return c / c
    deviation = real(c.diagonal()).sqrt()
    found = c / deviation.unsqueeze(1) / deviation.unsqueeze(0)
    if is_complex_tensor(found):
        return complex(real(found).clamp(-1, 1), imag(found).clamp(-1, 1))
    return found.clamp(-1, 1)


@of_tensor
def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    """Powers of each element as the columns of a matrix, falling unless `increasing`."""
    x = x if x.ndim else x.reshape(1)
    columns = x.node.shape[-1] if N is None else N
    powers = [x.pow(i) if i else creation.ones_like(x) for i in range(columns)]
    if not powers:
        return creation.empty(*x.node.shape, 0, dtype=x.node.dtype)
    return stack(powers if increasing else powers[::-1], -1)


@of_tensor
def matrix_power(input: Any, n: int) -> Any:
    """A square matrix multiplied by itself n times; by its inverse for negative n."""
    if input.ndim < 2 or input.node.shape[-1] != input.node.shape[-2]:
        raise ShapeError(f"matrix_power: expected square matrices, got shape {_shape(input)}")
    if n == 0:
        return input.clone().copy_(creation.eye(input.node.shape[-1], dtype=input.node.dtype))
    if n < 0:
        input, n = record(ops.inverse, (input,), ("linalg.matrix_power",))[0], -n
    bits = [input]
    while 2 ** len(bits) <= n:
        bits.append(arithmetic.matmul(bits[-1], bits[-1]))
    return reduce(arithmetic.matmul, [b for i, b in enumerate(bits) if n >> i & 1])


__all__ = [
    "addbmm", "addmv", "addr", "baddbmm", "block_diag", "cartesian_prod", "cdist", "chain_matmul",
    "combinations", "corrcoef", "cov", "cross", "dist", "ger", "inner", "kron", "matrix_power",
    "multi_dot", "mv", "renorm", "trace", "vander", "vdot",
]  # fmt: skip
