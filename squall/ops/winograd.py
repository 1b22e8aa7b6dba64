"""Convolutions of 3 x 3 by Winograd's minimal filtering: 16 multiplications for 4 results instead of 36.

A tile of 4 x 4 inputs and the filter are transformed by sums and differences, multiplied element by element, summed
over channels and transformed back to 2 x 2 results. The sum over channels of each of the 16 elements is a matrix
product, which is most of the time. Rounds otherwise than the sum over taps, so nothing that must have the bits of
`convolution` may use it: `transforms.folding` does, for weights that stay as they are.
"""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import float32
from squall.ir.op import ops
from squall.ops.common import number
from squall.ops.correlation import add_bias, from_last, pad_last, strided, to_last
from squall.ops.slicing import is_int, position

# From so many channels on both sides it was faster for every size of picture; beyond so many weights, of which it reads
# 16 for every 9, they take longer to arrive than the multiplications of a small picture.
_LEAST, _MOST = 64, 1 << 17


def pays(weight: tuple, stride: tuple, dilation: tuple, groups: int, dtype: Any) -> bool:
    """Whether a convolution is worth it. Sizes of pictures and the batch do not count: where they differ from call to
    call, all calls round alike."""
    if len(weight) != 4 or not all(map(is_int, weight)) or tuple(weight[2:]) != (3, 3) or dtype is not float32:
        return False
    filters, channels = weight[:2]
    plain = set(stride) == set(dilation) == {1} and groups == 1
    return plain and min(filters, channels) >= _LEAST and filters * channels <= _MOST


def _combined(parts: list, signs: tuple) -> Any:
    """A sum of parts with signs 1, -1 or 0."""
    total = None
    for part, sign in zip(parts, signs, strict=True):
        if sign and total is None:
            total = part if sign > 0 else ops.neg(part)
        elif sign:
            total = (ops.add if sign > 0 else ops.sub)(total, part)
    return total


_INTO = ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1))  # of a line of four inputs
_BACK = ((1, 1, 1, 0), (0, 1, -1, -1))  # to a line of two results


def _both_ways(grid: list[list], signs: tuple) -> list[list]:
    """A square transformed along both of its sides."""
    lines = [[_combined([row[j] for row in grid], s) for j in range(len(grid[0]))] for s in signs]
    return [[_combined(line, s) for s in signs] for line in lines]


def _stacked(grid: list[list]) -> Any:
    """The values of a square, row after row, as one with a dimension in front."""
    return ops.concat(*(ops.reshape(v, shape=(1, *v.shape)) for row in grid for v in row), dim=0)


def transformed(weight: Any) -> Any:
    """Weights [out, in, 3, 3] as [16, out, in]."""

    def tap(i: int, j: int) -> Any:
        starts = (position(i, weight.device), position(j, weight.device))
        part = ops.slice(weight, *starts, dims=(2, 3), sizes=(1, 1), steps=(1, 1))
        return ops.reshape(part, shape=tuple(weight.shape[:2]))

    half = number(0.5, weight)

    def along(first: Any, second: Any, third: Any) -> list:
        outer = ops.add(first, third)
        halves = (ops.mul(op(outer, second), half) for op in (ops.add, ops.sub))
        return [first, *halves, third]

    columns = [along(*(tap(i, j) for i in range(3))) for j in range(3)]
    return _stacked([along(*(column[i] for column in columns)) for i in range(4)])


def correlate(x: Any, weight: Any, padding: tuple, *bias: Any) -> Any:
    """A convolution with stride 1 by weights that `transformed` made; x and the result are [batch, channels, h, w]."""
    room = tuple((low, high + 1) for low, high in padding)  # a tile may reach one further than the last result needs
    heights = tuple(n + low + high - 2 for n, (low, high) in zip(x.shape[2:], padding, strict=True))
    counts = tuple((n + 1) // 2 for n in heights)
    padded = pad_last(to_last(x), room)
    grid = [[strided(padded, 1, counts, (2, 2), (i, j)) for j in range(4)] for i in range(4)]
    sums = ops.contract(_stacked(_both_ways(grid, _INTO)), weight, equation="tnpqc,toc->tnpqo")
    batch, filters = x.shape[0], weight.shape[1]

    def product(i: int) -> Any:
        part = ops.slice(sums, position(i, x.device), dims=(0,), sizes=(1,), steps=(1,))
        return ops.reshape(part, shape=(batch, *counts, filters))

    found = _stacked(_both_ways([[product(4 * i + j) for j in range(4)] for i in range(4)], _BACK))
    found = ops.reshape(found, shape=(2, 2, batch, *counts, filters))
    found = ops.permute(found, dims=(2, 3, 0, 4, 1, 5))
    found = ops.reshape(found, shape=(batch, 2 * counts[0], 2 * counts[1], filters))
    out = from_last(strided(found, 1, heights, (1, 1)))
    return add_bias(out, *bias) if bias else out
