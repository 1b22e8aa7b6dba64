"""Factors of symmetric and Hermitian matrices that need not be definite: L D L^T with blocks of one or two.

The pivoting is that of J. R. Bunch and L. Kaufman, "Some stable methods for calculating inertia and solving symmetric
linear systems" (1977), and results are stored as LAPACK's sytrf and hetrf store them: pivot k is the row exchanged
with row k, from 1; for a block of two both are the negative of the row exchanged with its second.
"""

from __future__ import annotations

from math import prod, sqrt
from typing import Any

from squall.base.dtypes import int32
from squall.base.errors import ShapeError
from squall.ir.families import opaque
from squall.ir.op import NON_DIFFERENTIABLE, Library, Sample, declare
from squall.ops.matrices import check_matrices, stack_batch
from squall.ops.samples import floats

_ALPHA = (1 + sqrt(17)) / 8  # how much smaller than its column a pivot of one may be


def _size(x: Any) -> Any:
    """How LAPACK compares numbers: complex ones by |re| + |im|."""
    return abs(x.real) + abs(x.imag)


class _Elimination:
    """One matrix on its way to L D L^T; what is above the diagonal is neither read nor written."""

    def __init__(self, a: Any, hermitian: bool):
        import numpy

        self.a, self.hermitian, self.n = a.copy(), hermitian and a.dtype.kind == "c", len(a)
        self.pivots, self.info = numpy.zeros(self.n, numpy.int32), 0

    def conjugate(self, x: Any) -> Any:
        """The conjugate for Hermitian matrices, else the value."""
        return x.conj() if self.hermitian else x

    def run(self) -> tuple:
        """The factors, the pivots, and the place, from 1, of the first block that is 0."""
        import numpy

        if self.hermitian:
            at = numpy.arange(self.n)
            self.a[at, at] = self.a[at, at].real
        k = 0
        while k < self.n:
            other, count = self.choose(k)
            if other is None:
                self.info = self.info or k + 1
                self.pivots[k], count = k + 1, 1
            else:
                if other != k + count - 1:
                    self.exchange(k, k + count - 1, other)
                self.eliminate(k, count)
                self.pivots[k:k + count] = other + 1 if count == 1 else -(other + 1)
            k += count
        return numpy.tril(self.a), self.pivots, numpy.int32(self.info)

    def choose(self, k: int) -> tuple:
        """The row that comes to the end of the block at k, and the block's size; None where nothing is there."""
        a, below = self.a, _size(self.a[k + 1:, k])
        own, largest = _size(a[k, k]), below.max() if below.size else 0.0
        if not max(own, largest) > 0:
            return None, 1
        if own >= _ALPHA * largest:
            return k, 1
        row = k + 1 + int(below.argmax())
        beside = max(_size(a[row, k:row]).max(), _size(a[row + 1:, row]).max() if row + 1 < self.n else 0.0)
        if own >= _ALPHA * largest * (largest / beside):
            return k, 1
        return row, 1 if _size(a[row, row]) >= _ALPHA * beside else 2

    def exchange(self, k: int, i: int, j: int) -> None:
        """Rows and columns i < j of what is left from column k on."""
        a = self.a
        a[j + 1:, [i, j]] = a[j + 1:, [j, i]]
        between = self.conjugate(a[i + 1:j, i].copy())
        a[i + 1:j, i], a[j, i + 1:j] = self.conjugate(a[j, i + 1:j]), between
        a[j, i] = self.conjugate(a[j, i])
        a[i, i], a[j, j] = a[j, j], a[i, i]
        if i > k:
            a[i, k], a[j, k] = a[j, k], a[i, k]

    def eliminate(self, k: int, count: int) -> None:
        """The columns of L, and their part taken off what is below."""
        import numpy

        a, end = self.a, k + count
        if end < self.n:
            columns = a[end:, k:end].copy()
            a[end:, k:end] = _divided(columns, self.block(k, count))
            a[end:, end:] -= numpy.tril(a[end:, k:end] @ self.conjugate(columns).T)
            if self.hermitian:
                at = numpy.arange(end, self.n)
                a[at, at] = a[at, at].real

    def block(self, k: int, count: int) -> Any:
        """The block of D at k, both triangles."""
        found = self.a[k:k + count, k:k + count].copy()
        if count == 2:
            found[0, 1] = self.conjugate(found[1, 0])
        return found


def _divided(x: Any, block: Any) -> Any:
    """x block^-1; by the cofactors over the element off the diagonal, which is the largest."""
    if len(block) == 1:
        return x / block[0, 0]
    below, above = block[1, 0], block[0, 1]
    first, last = block[0, 0] / above, block[1, 1] / below
    scale = 1 / (first * last - 1)
    return scale * _columns((last * x[:, 0] - x[:, 1]) / above, (first * x[:, 1] - x[:, 0]) / below)


def _columns(*columns: Any) -> Any:
    import numpy

    return numpy.stack(columns, axis=1)


def _each(function: Any, count: int, *arrays: Any) -> tuple:
    """A function of single matrices over a stack; `count` results."""
    import numpy

    stack = arrays[0].shape[:-2]
    flat = [a.reshape((prod(stack), *a.shape[len(stack):])) for a in arrays]
    made = [function(*each) for each in zip(*flat, strict=True)]
    if not made:
        return ()
    return tuple(numpy.stack([m[i] for m in made]).reshape((*stack, *made[0][i].shape)) for i in range(count))


def _factor(a: Any, hermitian: bool) -> tuple:
    import numpy

    found = _each(lambda x: _Elimination(x, hermitian).run(), 3, a)
    return found or (a.copy(), numpy.zeros(a.shape[:-1], numpy.int32), numpy.zeros(a.shape[:-2], numpy.int32))


def _factor_type(types: tuple, attrs: tuple) -> tuple:
    check_matrices("ldl_factor", *types, square=True)
    whole = types[0].with_shape
    shape = tuple(types[0].shape)
    return types[0], whole(shape[:-1]).with_dtype(int32), whole(shape[:-2]).with_dtype(int32)


def _symmetric(shape: tuple, seed: int) -> Any:
    import numpy

    values = floats(shape, seed, -1.0, 1.0)
    return values + numpy.swapaxes(values, -1, -2)


_SHAPES = ((3, 3), (1, 1), (2, 4, 4), (0, 2, 2), (0, 0), (6, 6))

ldl_factor = declare(
    "ldl_factor", opaque, parts="library", attributes=("hermitian",), defaults={"hermitian": False},
    infer=_factor_type, grad=NON_DIFFERENTIABLE, promotion="none", vmap=stack_batch, lowering=Library(_factor),
    reference=_factor,
    samples=lambda: [Sample((_symmetric(s, i),), {"hermitian": h}, str(s)) for h in (False, True)
                     for i, s in enumerate(_SHAPES)],
    doc="L and D of P L D L^T P^T in one lower triangle, pivots, and where a block of D is 0. The lower triangle is "
    "read.")


def _solve_one(ld: Any, pivots: Any, b: Any, hermitian: bool) -> tuple:
    x, n = b.copy(), len(ld)
    work = _Elimination(ld, hermitian)
    starts, k = [], 0
    while k < n:
        count = 1 if pivots[k] > 0 else 2
        starts.append((k, count))
        _swap(x, k + count - 1, abs(int(pivots[k])) - 1)
        x[k + count:] -= ld[k + count:, k:k + count] @ x[k:k + count]
        x[k:k + count] = _divided(x[k:k + count].T, work.block(k, count).T).T
        k += count
    for k, count in reversed(starts):
        x[k:k + count] -= work.conjugate(ld[k + count:, k:k + count]).T @ x[k + count:]
        _swap(x, k + count - 1, abs(int(pivots[k])) - 1)
    return (x,)


def _swap(x: Any, i: int, j: int) -> None:
    if i != j:
        x[[i, j]] = x[[j, i]]


def _solve(ld: Any, pivots: Any, b: Any, hermitian: bool) -> Any:
    hermitian = hermitian and ld.dtype.kind == "c"
    found = _each(lambda a, order, right: _solve_one(a, order, right, hermitian), 1, ld, pivots, b)
    return found[0] if found else b.copy()


def _solve_type(types: tuple, attrs: tuple) -> Any:
    ld, pivots, b = types
    check_matrices("ldl_solve", ld, b, square=True)
    if tuple(pivots.shape) != tuple(ld.shape[:-1]) or b.shape[-2] != ld.shape[-1]:
        raise ShapeError(f"ldl_solve: LD of shape {tuple(ld.shape)}, pivots of shape {tuple(pivots.shape)} and B of "
                         f"shape {tuple(b.shape)} do not fit")
    return b


def _solve_samples() -> list[Sample]:
    out = []
    for seed, (shape, columns) in enumerate((((3, 3), 2), ((2, 4, 4), 1), ((6, 6), 3), ((0, 0), 2), ((0, 2, 2), 1))):
        ld, pivots, _ = _factor(_symmetric(shape, seed), False)
        out.append(Sample((ld, pivots, floats((*shape[:-1], columns), seed + 9)), {"hermitian": False}, str(shape)))
    return out


ldl_solve = declare(
    "ldl_solve", opaque, parts="library", attributes=("hermitian",), defaults={"hermitian": False},
    infer=_solve_type, grad=NON_DIFFERENTIABLE, promotion="none", vmap=stack_batch, lowering=Library(_solve),
    reference=_solve, samples=_solve_samples,
    doc="X with A X = B from what `ldl_factor` gives of A.")
