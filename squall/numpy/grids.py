"""NumPy's objects that are indexed to make arrays: `mgrid`, `ogrid`, `r_`, `c_`, `s_`."""

from __future__ import annotations

from typing import Any

from squall.numpy import creation, joining
from squall.numpy.core import arr, cast, lift
from squall.numpy.kinds import common, result_type


def _line(item: slice) -> Any:
    """The numbers of a slice: a step of n j means n numbers, the end included."""
    given = (item.start or 0, item.stop, 1 if item.step is None else item.step)
    start, stop, step = (v.item() if hasattr(v, "item") else v for v in given)
    if isinstance(step, complex):
        return creation.linspace(start, stop, int(abs(step)))
    return creation.arange(start, stop, step)


def _kind(items: tuple, lines: list) -> Any:
    """The dtype of a grid: what its bounds promote to where NumPy's scalars are among them."""
    bounds = [v for i in items for v in (i.start, i.stop, i.step) if v is not None]
    typed = any(hasattr(v, "dtype") for v in bounds) and not any(isinstance(v, complex) for v in bounds)
    return result_type(*bounds) if typed else common(lines)


class Grid:
    """Coordinates by slices: `mgrid[0:3, 0:1:5j]`, or one axis at a time with `ogrid`.

    Example:
        >>> import squall.numpy as snp
        >>> snp.mgrid[0:2, 0:3][1]
        array([[0, 1, 2],
               [0, 1, 2]])
        >>> snp.ogrid[0:2, 0:1:3j][1]
        array([[0. , 0.5, 1. ]])
    """

    def __init__(self, sparse: bool):
        self.sparse = sparse

    def __getitem__(self, items: Any) -> Any:
        if isinstance(items, slice):
            return _line(items)
        lines = [arr(_line(item)) for item in items]
        kind = _kind(items, lines)
        made = creation.meshgrid(*[cast(x, kind) for x in lines], sparse=self.sparse, indexing="ij")
        return made if self.sparse else joining.stack(made)


class Joined:
    """Arrays, numbers and ranges written in brackets, joined: `r_[0, 1:4, x]` in a row, `c_[x, y]` as columns.

    A first text "axis, dimensions, place" says along which axis, with how many dimensions at least, and where theirs
    begin among them; "r" and "c" make a matrix of one row or column.

    Example:
        >>> import squall.numpy as snp
        >>> snp.r_[1:4, 0, 4]
        array([1, 2, 3, 0, 4])
        >>> snp.c_[[1, 2], [3, 4]]
        array([[1, 3],
               [2, 4]])
    """

    def __init__(self, axis: int, rank: int, place: int):
        self.plan = (axis, rank, place)

    def __getitem__(self, items: Any) -> Any:
        axis, rank, place = self.plan
        given = list(items) if isinstance(items, tuple) else [items]
        matrix = ""
        if given and isinstance(given[0], str):
            words = given.pop(0)
            if words in ("r", "c"):
                matrix = words
            else:
                axis, rank, place = [
                    *[int(w) for w in words.split(",")],
                    *(axis, rank, place)[words.count(",") + 1 :],
                ]
        parts = [arr(_line(g)) if isinstance(g, slice) else arr(g) for g in given]
        made = joining.concat([self._widened(p, rank, place) for p in parts], axis)
        if matrix:
            return made.reshape(1, -1) if matrix == "r" else made.reshape(-1, 1)
        return made

    @staticmethod
    def _widened(x: Any, rank: int, place: int) -> Any:
        """At least so many dimensions, the array's own beginning at a place (-1: last)."""
        x = x if x.ndim else x.reshape(1)
        extra = rank - x.ndim
        if extra <= 0:
            return x
        before = extra if place < 0 else min(place, extra)
        return lift(x.reshape((1,) * before + tuple(x.node.shape) + (1,) * (extra - before)))


class Index:
    """An index as a value: `x[s_[1:, ::2]]`.

    Example:
        >>> import squall.numpy as snp
        >>> snp.s_[1:, 2]
        (slice(1, None, None), 2)
    """

    def __init__(self, always_tuple: bool):
        self.always_tuple = always_tuple

    def __getitem__(self, items: Any) -> Any:
        return (items,) if self.always_tuple and not isinstance(items, tuple) else items


mgrid, ogrid = Grid(False), Grid(True)
r_, c_ = Joined(0, 1, -1), Joined(-1, 2, 0)
s_, index_exp = Index(False), Index(True)
