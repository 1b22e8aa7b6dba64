"""Python functions applied to arrays, element by element or along axes, under NumPy's names.

`vectorize` and `apply_along_axis` call their function once for each element or slice, as NumPy's do. What it records is
recorded, so they differentiate and compile; for speed `sq.vmap` records it once.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any

from squall.base.shapes import numel
from squall.numpy import creation, joining, shaping
from squall.numpy.core import arr, axis_tuple, cast, lift, one_axis
from squall.numpy.kinds import dtype_of


def apply_along_axis(func1d: Callable, axis: int, arr: Any, *args: Any, **kwargs: Any) -> Any:
    """A function of vectors applied to each slice along an axis; what it gives takes the axis's place.

    Example:
        >>> import squall.numpy as snp
        >>> snp.apply_along_axis(snp.max, 1, [[3, 1], [2, 5]])
        array([3, 5])
    """
    x = creation.asarray(arr)
    d = one_axis(axis, x.ndim)
    outer = [n for i, n in enumerate(x.shape) if i != d]
    if not numel(outer):
        raise ValueError("Cannot apply_along_axis when any iteration dimensions are 0")
    rows = shaping.moveaxis(x, d, -1).reshape(-1, x.shape[d])
    made = [creation.asarray(func1d(row, *args, **kwargs)) for row in rows]
    inner = made[0].shape
    joined = joining.stack(made).reshape(*outer, *inner)
    order = (*range(d), *range(len(outer), len(outer) + len(inner)), *range(d, len(outer)))
    return shaping.permute_dims(joined, order)


def apply_over_axes(func: Callable, a: Any, axes: Any) -> Any:
    """A reducing function `func(a, axis)` applied over one axis after the other, which stay with size 1.

    Example:
        >>> import squall.numpy as snp
        >>> snp.apply_over_axes(snp.sum, snp.ones((2, 3)), [0, 1])
        array([[6.]])
    """
    x = creation.asarray(a)
    for axis in axis_tuple(axes, x.ndim, "apply_over_axes"):
        made = creation.asarray(func(x, axis))
        x = made if made.ndim == x.ndim else shaping.expand_dims(made, axis)
        if x.ndim != creation.asarray(a).ndim:
            raise ValueError("function is not returning an array of the correct shape")
    return x


def piecewise(x: Any, condlist: Any, funclist: Any, *args: Any, **kw: Any) -> Any:
    """Each function's values where its condition holds, the later one where several do; one more is for the rest.

    Args:
        condlist: boolean arrays. funclist: functions of the elements where a condition holds, or values.

    Example:
        >>> import squall.numpy as snp
        >>> x = snp.array([-2.0, 3.0])
        >>> snp.piecewise(x, [x < 0, x >= 0], [lambda v: -v, 10])
        array([ 2., 10.])
    """
    values = creation.asarray(x)
    if not isinstance(condlist, (list, tuple)) or (
        values.ndim and condlist and not (hasattr(condlist[0], "ndim") or isinstance(condlist[0], (list, tuple)))
    ):
        condlist = [condlist]
    known = [creation.asarray(c).astype(bool) for c in condlist]
    if len(funclist) == len(known) + 1:
        rest = ~known[0]
        for c in known[1:]:
            rest = rest & ~c
        known.append(rest)
    elif len(funclist) != len(known):
        raise ValueError(
            f"with {len(known)} condition(s), either {len(known)} or {len(known) + 1} functions are expected"
        )
    made = creation.zeros(values.shape, values.dtype)
    for condition, function in zip(known, funclist, strict=True):
        if not callable(function):
            made[condition] = function
        elif bool(condition.any()):
            made[condition] = function(values[condition], *args, **kw)
    return made


def ndindex(*shape: Any) -> Iterator[tuple]:
    """The positions of an array of a shape, the last fastest.

    Example:
        >>> import squall.numpy as snp
        >>> list(snp.ndindex(2, 2))
        [(0, 0), (0, 1), (1, 0), (1, 1)]
    """
    sizes = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
    if any(n < 0 for n in sizes):
        raise ValueError("negative dimensions are not allowed")
    return itertools.product(*(range(n) for n in sizes))


def ndenumerate(arr: Any) -> Iterator[tuple]:
    """The positions of an array and what stands there.

    Example:
        >>> import squall.numpy as snp
        >>> [(place, value.item()) for place, value in snp.ndenumerate([[5, 6]])]
        [((0, 0), 5), ((0, 1), 6)]
    """
    x = creation.asarray(arr)
    return ((place, x[place]) for place in ndindex(*x.shape))


_SIGNATURE = re.compile(r"\(([^()]*)\)")


class vectorize:
    """A function of numbers made one of arrays: called once for each element of its broadcast arguments.

    Args:
        pyfunc: the function; without it, a decorator. otypes: dtypes of its results, known from the first call when
            left out; needed for empty arrays. doc: what the result says of itself. excluded: positions and names of
            arguments that are handed on as they are. cache: call it once less where `otypes` are not given.
            signature: "(n),(n)->()": the function takes and gives arrays with these dimensions.

    Raises:
        ValueError: for empty arguments without otypes, or dimensions that do not fit the signature.

    Example:
        >>> import squall.numpy as snp
        >>> larger = snp.vectorize(lambda a, b: a if a > b else b)
        >>> larger([1, 4], [[2], [3]])
        array([[2, 4],
               [3, 4]])
    """

    def __init__(
        self,
        pyfunc: Any = None,
        otypes: Any = None,
        doc: str | None = None,
        excluded: Any = None,
        cache: bool = False,
        signature: str | None = None,
    ):
        self.pyfunc, self.cache, self.signature = pyfunc, cache, signature
        self.excluded = set(excluded or ())
        self.otypes = None if otypes is None else [dtype_of(t) for t in otypes]
        self.core = None if signature is None else _parsed(signature)
        self._named(doc)

    def _named(self, doc: str | None) -> None:
        self.__name__ = getattr(self.pyfunc, "__name__", type(self).__name__)
        self.__doc__ = doc if doc is not None else getattr(self.pyfunc, "__doc__", None)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.pyfunc is None:  # a decorator with arguments
            self.pyfunc = args[0]
            self._named(None)
            return self
        places = [i for i in range(len(args)) if i not in self.excluded]
        names = [name for name in kwargs if name not in self.excluded]
        if not places and not names:
            return self.pyfunc(*args, **kwargs)

        def call(*values: Any) -> Any:
            given, named = list(args), dict(kwargs)
            for i, value in zip(places, values, strict=False):
                given[i] = value
            named.update(zip(names, values[len(places) :], strict=True))
            return self.pyfunc(*given, **named)

        operands = [creation.asarray(args[i]) for i in places] + [creation.asarray(kwargs[name]) for name in names]
        return self._each(call, operands)

    def _each(self, call: Callable, operands: list) -> Any:
        inputs, outputs = self.core or ([()] * len(operands), None)
        if len(inputs) != len(operands):
            raise TypeError(f"wrong number of positional arguments: expected {len(inputs)}, got {len(operands)}")
        sizes: dict[str, int] = {}
        loops = [_loop_shape(x.shape, names, sizes) for x, names in zip(operands, inputs, strict=True)]
        shape = shaping.broadcast_shapes(*loops)
        wide = [
            shaping.broadcast_to(x, (*shape, *x.shape[len(loop) :])) for x, loop in zip(operands, loops, strict=True)
        ]
        found = [call(*(x[place] for x in wide)) for place in ndindex(*shape)]
        if not found:
            return self._empty(shape, outputs, sizes)
        many = isinstance(found[0], tuple)
        if outputs is not None and (len(found[0]) if many else 1) != len(outputs):
            raise ValueError(f"wrong number of outputs from pyfunc: expected {len(outputs)}, got {len(found[0])}")
        columns = list(zip(*found, strict=True)) if many else [found]
        made = [self._joined(column, k, shape) for k, column in enumerate(columns)]
        for x, names in zip(made, outputs or [()] * len(made), strict=True):
            _loop_shape(x.shape, names, sizes)
        return tuple(made) if many else made[0]

    def _joined(self, column: Any, number: int, shape: tuple) -> Any:
        parts = [creation.asarray(value) for value in column]
        kind = self.otypes[number] if self.otypes else parts[0].dtype
        joined = joining.stack([lift(cast(arr(p), kind)) for p in parts])
        return joined.reshape(*shape, *parts[0].shape)

    def _empty(self, shape: tuple, outputs: Any, sizes: dict) -> Any:
        if not self.otypes:
            raise ValueError("cannot call `vectorize` on size 0 inputs unless `otypes` is set")
        cores = outputs or [()] * len(self.otypes)
        unknown = sorted({name for names in cores for name in names} - set(sizes))
        if unknown:
            raise ValueError("cannot call `vectorize` with new output dimensions on size 0 inputs")
        made = [
            creation.zeros((*shape, *(sizes[n] for n in names)), kind)
            for names, kind in zip(cores, self.otypes, strict=True)
        ]
        return tuple(made) if len(made) > 1 else made[0]


def _parsed(signature: str) -> tuple[list, list]:
    """The names of the dimensions of what goes in and what comes out."""
    sides = signature.replace(" ", "").split("->")
    whole = [_SIGNATURE.sub("x", side).replace(",", "").strip("x") for side in sides]
    if len(sides) != 2 or any(whole):
        raise ValueError(f"not a valid gufunc signature: {signature}")
    found = [[tuple(n for n in names.split(",") if n) for names in _SIGNATURE.findall(side)] for side in sides]
    return found[0], found[1]


def _loop_shape(shape: tuple, names: tuple, sizes: dict) -> tuple:
    """The dimensions before those a signature names, whose sizes are noted and compared."""
    if len(shape) < len(names):
        raise ValueError(
            f"{len(shape)}-dimensional argument does not have enough dimensions for all core dimensions {names}"
        )
    cut = len(shape) - len(names)
    for name, size in zip(names, shape[cut:], strict=True):
        if sizes.setdefault(name, size) != size:
            raise ValueError(f"inconsistent size for core dimension {name!r}: {size} vs {sizes[name]}")
    return tuple(shape[:cut])
