"""Shape arithmetic: broadcasting, dimension names, strides, and the sizes a reshape infers.

Sizes are ints or symbolic `Dim` expressions; everything here works for both.
"""

from __future__ import annotations

from itertools import pairwise
from math import prod

from squall.base.dim import Dim
from squall.base.errors import IndexRangeError, ShapeError

Size = int | Dim
Shape = tuple[Size, ...]


def numel(shape: Shape) -> Size:
    """How many elements a shape has; 1 for no dimensions."""
    return prod(shape)


def broadcast(a: Shape, b: Shape, function: str) -> Shape:
    """The common shape of two by NumPy's rule; ShapeError names the function and both shapes.

    Example:
        >>> broadcast((4, 1), (3,), "add")
        (4, 3)
    """
    if a == b:
        return a
    if len(a) < len(b):
        a, b = b, a
    lead = len(a) - len(b)
    out = list(a[:lead])
    for position, y in enumerate(b):
        x = a[lead + position]
        if x == y or (isinstance(y, int) and y == 1):
            out.append(x)
        elif isinstance(x, int) and x == 1:
            out.append(y)
        else:
            raise ShapeError(
                f"{function}: shapes {tuple(a)} and {tuple(b)} do not broadcast: sizes {x} and {y} differ at "
                f"dimension {lead + position} and neither is 1"
            )
    return tuple(out)


def normalize_dim(dim: int, rank: int, function: str) -> int:
    """A dimension number from 0; IndexError when it is outside [-rank, rank)."""
    span = max(rank, 1)
    if not -span <= dim < span:
        raise IndexRangeError(
            f"{function}: dim {dim} is out of range for a tensor of {rank} dimensions "
            f"(expected {-span} to {span - 1})"
        )
    return dim + span if dim < 0 else dim


def normalize_dims(dims: int | tuple[int, ...] | list[int] | None, rank: int, function: str) -> tuple[int, ...]:
    """Sorted dimension numbers from 0; None and () mean all. Raises on one given twice."""
    if dims is None:
        return tuple(range(rank))
    if isinstance(dims, int):
        dims = (dims,)
    if len(dims) == 0:
        return tuple(range(rank))
    out = sorted(normalize_dim(d, rank, function) for d in dims)
    for first, second in pairwise(out):
        if first == second:
            raise ShapeError(f"{function}: dim {first} appears more than once in {tuple(dims)}")
    return tuple(out) if rank else ()


def contiguous_strides(shape: Shape) -> Shape:
    """Row-major strides in elements; sizes of 0 count as 1, as in PyTorch."""
    out: list[Size] = []
    step: Size = 1
    for size in reversed(shape):
        out.append(step)
        step = step * (size if not isinstance(size, int) or size > 1 else 1)
    return tuple(reversed(out))


def is_contiguous(shape: Shape, strides: Shape) -> bool:
    """Whether strides are row-major, ignoring those of dimensions of size 1 and of empty tensors."""
    step: Size = 1
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if size == 0:
            return True
        if size == 1:
            continue
        if stride != step:
            return False
        step = step * size
    return True


def infer_reshape(shape: Shape, new: Shape, function: str) -> Shape:
    """The new shape with one -1 solved; ShapeError when the element counts differ."""
    total = numel(shape)
    unknown = [i for i, size in enumerate(new) if isinstance(size, int) and size == -1]
    if len(unknown) > 1:
        raise ShapeError(f"{function}: only one size may be -1 in {tuple(new)}")
    for size in new:
        if isinstance(size, int) and size < -1:
            raise ShapeError(f"{function}: size {size} in {tuple(new)} is negative")
    if unknown:
        known = prod(size for i, size in enumerate(new) if i != unknown[0])
        if isinstance(known, int) and known == 0:
            raise ShapeError(f"{function}: the size -1 in {tuple(new)} is ambiguous beside a size of 0")
        quotient = total // known
        new = tuple(quotient if i == unknown[0] else size for i, size in enumerate(new))
    if numel(new) != total:
        raise ShapeError(f"{function}: shape {tuple(shape)} of {total} elements cannot become {tuple(new)}")
    return tuple(new)


def reduced_shape(shape: Shape, dims: tuple[int, ...], keepdim: bool) -> Shape:
    """The shape after reducing `dims`: kept as 1 or dropped."""
    if keepdim:
        return tuple(1 if i in dims else size for i, size in enumerate(shape))
    return tuple(size for i, size in enumerate(shape) if i not in dims)
