"""A contraction as data, and its normal form.

`C[batch, m, n] = sum over k of A[batch, m, k] * B[batch, n, k]`, where batch, m, n and k each stand for any number of
dimensions with any strides: negative, zero, overlapping. Matrix products are the plain case; a convolution is the same
sum over a windowed view of its padded input.

The order of the k dimensions is the order of summation and is never changed. m and n dimensions may be reordered,
merged, and m exchanged with n (A with B): none of it changes a bit of the result.
"""

from __future__ import annotations

from typing import NamedTuple

from squall.compiler.nest.isa import ACCUMULATE
from squall.ops.contraction import TRIANGLE_BLOCK

KINDS = ("batch", "m", "n", "k")
TRIANGLES = ("", "k<=m", "k>=m", "n<=m")
BLOCK = TRIANGLE_BLOCK  # whole tiles of every instruction set


class Dimension(NamedTuple):
    """One dimension: its kind of `KINDS`, extent, and stride in elements in each operand (0 where it is absent)."""

    kind: str
    extent: int
    a_stride: int = 0
    b_stride: int = 0
    c_stride: int = 0


class Contraction(NamedTuple):
    """What to contract. `dtype` is that of A and B, `accumulate` that of the sums, `result` that of C (or of nothing,
    when an epilogue stores the result). `triangle` leaves products out by the blocks of `BLOCK` that two indices lie
    in: "k<=m" and "k>=m" sum over no later (no earlier) blocks of k than the row's, "n<=m" gives zeros in blocks of
    columns behind the row's. The dimensions it names are the only ones of their kinds.

    Example:
        >>> matmul(2, 3, 4).dims[0]
        Dimension(kind='m', extent=2, a_stride=4, b_stride=0, c_stride=3)
    """

    dtype: str
    accumulate: str
    dims: tuple[Dimension, ...]
    result: str = ""
    triangle: str = ""


class Oriented(NamedTuple):
    """The normal form: groups of dimensions, outermost first, and the positions of the dimensions they came from.

    `swapped`: what the caller calls B is read element-wise as A here. `order[kind]` lists positions in the caller's
    dims, in the order in which the flat batch, row and column indices count (dimensions of extent 1 are left out).
    """

    groups: dict[str, tuple[Dimension, ...]]
    order: dict[str, tuple[int, ...]]
    swapped: bool

    def extent(self, kind: str) -> int:
        """The number of flat indices of a kind."""
        total = 1
        for dim in self.groups[kind]:
            total *= dim.extent
        return total


def matmul(m: int, n: int, k: int, dtype: str = "f32", transpose_a: bool = False, transpose_b: bool = False,
           batch: int = 1) -> Contraction:
    """The contraction of contiguous matrices [m, k] @ [k, n]; a transposed operand is stored [k, m] or [n, k]."""
    dims = [Dimension("m", m, 1 if transpose_a else k, 0, n), Dimension("n", n, 0, k if transpose_b else 1, 1),
            Dimension("k", k, m if transpose_a else 1, 1 if transpose_b else n, 0)]
    if batch != 1:
        dims.insert(0, Dimension("batch", batch, m * k, k * n, m * n))
    return Contraction(dtype, ACCUMULATE[dtype], tuple(dims), dtype)


def check(contraction: Contraction) -> None:
    """Raise ValueError where a dimension's kind and strides do not agree."""
    for dim in contraction.dims:
        if dim.kind not in KINDS:
            raise ValueError(f"unknown kind of dimension {dim.kind!r}: expected one of {', '.join(KINDS)}")
        wrong = {"m": dim.b_stride, "n": dim.a_stride, "k": dim.c_stride, "batch": 0}[dim.kind]
        if wrong:
            raise ValueError(f"a dimension of kind {dim.kind} has a stride in an operand it does not index: {dim}")
        if dim.extent < 0:
            raise ValueError(f"negative extent: {dim}")
    if contraction.triangle not in TRIANGLES:
        raise ValueError(f"unknown triangle {contraction.triangle!r}: expected one of {TRIANGLES}")
    for kind in KINDS[1:]:
        if kind in contraction.triangle and sum(d.kind == kind and d.extent != 1 for d in contraction.dims) > 1:
            raise ValueError(f"a triangle {contraction.triangle} takes one dimension of kind {kind}")


def swap(dims: list[tuple[int, Dimension]]) -> list[tuple[int, Dimension]]:
    """Exchange A and B, m and n."""
    other = {"m": "n", "n": "m"}
    return [(i, Dimension(other.get(d.kind, d.kind), d.extent, d.b_stride, d.a_stride, d.c_stride)) for i, d in dims]


def orient(contraction: Contraction, swapped: bool, lanes: int) -> Oriented:
    """The normal form of one orientation.

    A batch dimension that one operand does not have becomes a row or, where vectors would otherwise be wasted or C
    allows it for nothing, a column dimension, but not beside a triangle. Rows and columns are ordered as C stores them;
    neighbours that count as one are merged.
    """
    dims = [(i, d) for i, d in enumerate(contraction.dims) if d.extent != 1]
    if swapped:
        dims = swap(dims)
    columns = 1
    for _, d in dims:
        columns *= d.extent if d.kind == "n" else 1
    columns_inner = min((abs(d.c_stride) for _, d in dims if d.kind == "n"), default=1)
    wasteful = -(-columns // lanes) * lanes > 1.04 * columns
    groups: dict[str, list[tuple[int, Dimension]]] = {kind: [] for kind in KINDS}
    for i, d in dims:
        kind = d.kind
        if contraction.triangle:
            pass
        elif kind == "batch" and d.b_stride == 0 and d.a_stride != 0:
            kind = "m"
        elif kind == "batch" and d.a_stride == 0 and d.b_stride != 0:
            if wasteful or d.c_stride == columns * columns_inner:
                kind = "n"
        groups[kind].append((i, d))
    for kind in ("m", "n"):
        groups[kind].sort(key=lambda item: -abs(item[1].c_stride))
    merged = {kind: merge([d for _, d in members]) for kind, members in groups.items()}
    order = {kind: tuple(i for i, _ in members) for kind, members in groups.items()}
    return Oriented(merged, order, swapped)


def merge(dims: list[Dimension]) -> tuple[Dimension, ...]:
    """Join neighbours whose strides continue in every operand; an empty group becomes one dimension of extent 1."""
    made: list[Dimension] = []
    for dim in dims:
        outer = made[-1] if made else None
        if outer is not None and all(o == s * dim.extent for o, s in zip(outer[2:], dim[2:], strict=True)):
            made[-1] = dim._replace(kind=outer.kind, extent=outer.extent * dim.extent)
        else:
            made.append(dim)
    return tuple(made) or (Dimension("k", 1),)
