"""NumPy's universal functions: broadcasting, dtype rules, `out=`, `where=`, `dtype=`, `casting=`, and their methods.

A ufunc here is a rule for the dtype it computes in and a function on Tensors of that dtype; `elementwise.py` lists
them.
"""

from __future__ import annotations

import inspect
from typing import Any

from squall.base.dtypes import DType, bool_, float64, int64, uint64
from squall.base.errors import ShapeError
from squall.base.shapes import broadcast, numel
from squall.frontend import arithmetic
from squall.frontend.creation import filled
from squall.frontend.functions_movement import cat
from squall.frontend.joining import stack
from squall.frontend.scanning import scan
from squall.numpy.core import arr, axis_tuple, cast, fresh, is_array, lift, of_dtype, one_axis, write_out
from squall.numpy.kinds import can_cast, common, dtype_of, float_of, number_category

_KEYWORDS = ("out", "where", "dtype", "casting", "order", "subok", "signature", "sig")


def _operand(value: Any) -> Any:
    """A Tensor, or a Python number as it is."""
    if number_category(value) is not None or value.__class__ is bool:
        return value
    return arr(value)


def same(values: tuple) -> DType:
    """The rule of `add`: the promoted dtype."""
    return common(values)


def inexact(values: tuple) -> DType:
    """The rule of `sin`: the promoted dtype, each integer one as the float that holds it."""
    known = [float_of(v.node.dtype) if hasattr(v, "node") else v for v in values if v.__class__ is not bool]
    return float_of(common(known or values))


def divided(values: tuple) -> DType:
    """The rule of `divide`: float64 of integers."""
    dtype = common(values)
    return float64 if dtype.category < 2 else dtype


def number_like(values: tuple) -> DType:
    """The rule of functions that have no booleans, such as `power`: booleans count as int8."""
    dtype = common(values)
    return dtype_of("int8") if dtype is bool_ else dtype


def truth(values: tuple) -> DType:
    """The rule of `logical_and`: everything as a boolean."""
    return bool_


class Ufunc:
    """A function element by element with NumPy's keywords.

    Attributes:
        nin, nout: how many operands and results. identity: what a reduction starts from, or None. kinds: the families
            of dtypes it has, as characters of "b" (booleans), "i", "f", "c".
    """

    def __init__(
        self,
        name: str,
        nin: int,
        compute: Any,
        rule: Any,
        *,
        kinds: str = "bifc",
        nout: int = 1,
        identity: Any = None,
        reduces: Any = None,
        running: Any = None,
        doc: str = "",
    ):
        self.__name__ = self.__qualname__ = name
        self.__doc__ = doc
        self.nin, self.nout, self.nargs, self.identity, self.kinds = nin, nout, nin + nout, identity, kinds
        self._compute, self._rule, self._reduces, self._running = compute, rule, reduces, running
        self.signature = None
        kind = inspect.Parameter
        positional = [kind(f"x{i + 1}" if nin > 1 else "x", kind.POSITIONAL_ONLY) for i in range(nin)]
        self.__signature__ = inspect.Signature(
            [
                *positional,
                kind("out", kind.POSITIONAL_OR_KEYWORD, default=None),
                *[
                    kind(k, kind.KEYWORD_ONLY, default=v)
                    for k, v in (
                        ("where", True),
                        ("dtype", None),
                        ("casting", "same_kind"),
                        ("order", "K"),
                        ("subok", True),
                    )
                ],
            ]
        )

    def __repr__(self) -> str:
        return f"<ufunc '{self.__name__}'>"

    @property
    def ntypes(self) -> int:
        """The number of dtypes it can compute in."""
        return len(self.types)

    @property
    def types(self) -> list[str]:
        """The families of dtypes it computes in."""
        return list(self.kinds)

    def resolve(self, values: tuple, dtype: Any = None, casting: str = "same_kind") -> DType:
        """The dtype it computes these operands in; TypeError when it has none."""
        found = self._rule(values)
        if dtype is not None and self._rule is not truth:
            wanted = dtype_of(dtype)
            if not can_cast(found, wanted, casting) and not all(
                number_category(v) is not None or can_cast(v, wanted, casting) for v in values
            ):
                raise TypeError(
                    f"Cannot cast ufunc '{self.__name__}' input from dtype('{found.name}') to "
                    f"dtype('{wanted.name}') with casting rule '{casting}'"
                )
            found = wanted
        if "bifc"[found.category] not in self.kinds:
            raise TypeError(
                f"ufunc '{self.__name__}' not supported for the input types: it has no loop for {found.name}"
            )
        return found

    def __call__(self, *args: Any, **options: Any) -> Any:
        out = options.pop("out", None)
        if not self.nin <= len(args) <= self.nargs or (len(args) > self.nin and out is not None):
            raise TypeError(
                f"{self.__name__}() takes from {self.nin} to {self.nargs} positional arguments but "
                f"{len(args)} were given"
            )
        if any(k not in _KEYWORDS for k in options):
            unknown = next(k for k in options if k not in _KEYWORDS)
            raise TypeError(f"{self.__name__}() got an unexpected keyword argument '{unknown}'")
        if len(args) > self.nin:
            out = args[self.nin :]
        values = tuple([_operand(v) for v in args[: self.nin]])
        if all(v.__class__ is int for v in values) and any(v >= 1 << 63 for v in values):
            values = tuple([arr(v) for v in values])  # nothing else says that they are of uint64
        casting = options.get("casting", "same_kind")
        dtype = self.resolve(values, options.get("dtype"), casting)
        try:
            made = self._compute(*[of_dtype(v, dtype) for v in values])
        except ShapeError as error:
            raise ValueError(f"{self.__name__}: operands could not be broadcast together ({error})") from None
        where = options.get("where", True)
        if out is None and where is True:
            return lift(made)
        return self._delivered(made, out, where, casting)

    def _delivered(self, made: Any, out: Any, where: Any, casting: str) -> Any:
        results = made if isinstance(made, tuple) else (made,)
        given = out if isinstance(out, tuple) else (out,) * (1 if self.nout == 1 else self.nout)
        if len(given) > self.nout:
            raise ValueError(f"{self.__name__}: the 'out' tuple must have exactly one entry per ufunc output")
        given += (None,) * (self.nout - len(given))
        found = []
        for result, target in zip(results, given, strict=True):
            value = lift(result)
            if target is not None and tuple(target.shape) != tuple(value.node.shape):
                wide = broadcast(tuple(target.shape), tuple(value.node.shape), self.__name__)
                if wide != tuple(target.shape):
                    raise ValueError(
                        f"{self.__name__}: non-broadcastable output operand with shape "
                        f"{tuple(target.shape)} doesn't match the broadcast shape {wide}"
                    )
                value = lift(value.broadcast_to(wide))
            if where is not True:
                mask = arr(where, bool_)
                base = (
                    filled((), 0, value.node.dtype) if target is None else cast(arr(target), value.node.dtype)
                )
                value = lift(arithmetic.where(mask, arr(value), arr(base)))
            found.append(write_out(target, value, casting, self.__name__))
        return found[0] if self.nout == 1 else tuple(found)

    # ------------------------------------------------------------ methods
    def _binary(self, method: str) -> None:
        if self.nin != 2 or self.nout != 1:
            raise ValueError(
                f"{self.__name__}.{method}: only supported for functions of two operands and one result"
            )

    def _reduced(self, x: Any, dtype: Any) -> Any:
        """The operand in the dtype its reduction computes in."""
        if dtype is None:
            dtype = self._rule((x, x))
            if self.__name__ in ("add", "multiply") and dtype.category < 2 and dtype.itemsize < 8:
                dtype = uint64 if dtype.category == 1 and not dtype.signed else int64
        return cast(x, dtype_of(dtype))

    def reduce(
        self,
        array: Any,
        axis: Any = 0,
        dtype: Any = None,
        out: Any = None,
        keepdims: bool = False,
        initial: Any = None,
        where: Any = True,
    ) -> Any:
        """The function applied along axes (the first unless given; None: all) until one element is left.

        Args:
            initial: what to begin with. where: which elements take part.
        """
        self._binary("reduce")
        x = arr(array)
        axes = axis_tuple(axis, x.ndim, self.__name__)
        if x.ndim == 0 and axis in (0, -1):
            axes = ()
        start = self.identity if initial is None else initial
        x = self._reduced(x, dtype)
        if where is not True:
            if start is None:
                raise ValueError(
                    f"reduction operation '{self.__name__}' does not have an identity, so to use a where "
                    "mask one has to specify 'initial'"
                )
            x = arithmetic.where(arr(where, bool_), x, of_dtype(start, x.node.dtype))
        empty = 0 in [x.node.shape[a] for a in axes]
        if empty and start is None:
            raise ValueError(f"zero-size array to reduction operation {self.__name__} which has no identity")
        made = (
            self._folded(x, axes, keepdims, start)
            if self._reduces is None or empty or (x.node.dtype.category == 3 and self.identity is None)
            else self._reduces(x, axes, bool(keepdims))
        )
        if initial is not None and not empty:
            made = self._compute(made, of_dtype(initial, made.node.dtype))
        made = cast(made, x.node.dtype) if made.node.dtype.category == x.node.dtype.category else made
        return write_out(out, lift(made), "same_kind", self.__name__)

    def _folded(self, x: Any, axes: tuple, keepdims: bool, start: Any) -> Any:
        shape = tuple(x.node.shape)
        kept = tuple(1 if i in axes else n for i, n in enumerate(shape) if keepdims or i not in axes)
        rest = [i for i in range(x.ndim) if i not in axes]
        count = numel(tuple([shape[a] for a in axes]))
        parts = x.permute(*axes, *rest).reshape(count, *[shape[i] for i in rest]) if x.ndim else x.reshape(1)
        if not count:
            return filled(kept, start, x.node.dtype)
        parts = parts if self._rule is not truth else cast(parts, bool_)
        total, _ = scan(lambda before, part: (self._compute(before, part), ()), parts[0], parts[1:])
        return total.reshape(kept)

    def accumulate(self, array: Any, axis: int = 0, dtype: Any = None, out: Any = None) -> Any:
        """The results of applying the function to the first 1, 2, 3, ... elements along an axis."""
        self._binary("accumulate")
        x = self._reduced(arr(array), dtype)
        if not x.ndim:
            raise TypeError(f"cannot accumulate on a scalar: {self.__name__}.accumulate needs an array")
        d = one_axis(axis, x.ndim)
        if self._running is not None and x.node.dtype.category:
            made = self._running(x, d)
        elif x.node.shape[d] == 0:
            made = x.clone()
        else:
            made = self._running_results(x.movedim(d, 0)).movedim(0, d)
        return write_out(out, lift(made), "same_kind", self.__name__)

    def _running_results(self, x: Any) -> Any:
        """What has been folded so far at each position of dimension 0."""
        parts = x if self._rule is not truth else cast(x, bool_)
        _, rest = scan(lambda before, part: (self._compute(before, part),) * 2, parts[0], parts[1:])
        return cat((parts[:1], rest), 0)

    def outer(self, A: Any, B: Any, /, **options: Any) -> Any:
        """The function of every pair of elements of two arrays."""
        self._binary("outer")
        a, b = arr(A), arr(B)
        return self(lift(a.reshape(tuple(a.node.shape) + (1,) * b.ndim)), b, **options)

    def at(self, a: Any, indices: Any, b: Any = None, /) -> None:
        """The function applied in place at positions, once for each time a position is listed."""
        x = lift(arr(a))
        places = indices if isinstance(indices, tuple) else (indices,)
        numbers = lift(fresh(_counted(x)).reshape(tuple(x.node.shape)))[places].reshape(-1)
        values = () if b is None else (lift(arr(b).broadcast_to(tuple(x[places].node.shape)).reshape(-1)),)
        flat = x.flatten()
        for i, place in enumerate(numbers.tolist()):
            flat[place] = cast(self(flat[place], *[v[i] for v in values]), x.node.dtype)
        x[...] = flat.reshape(tuple(x.node.shape))
        if not is_array(a):
            a[...] = arr(x).detach_array()

    def reduceat(self, array: Any, indices: Any, axis: int = 0, dtype: Any = None, out: Any = None) -> Any:
        """Reductions of the parts of an axis that begin at each index."""
        self._binary("reduceat")
        x = arr(array)
        d = one_axis(axis, x.ndim)
        places, size, parts = arr(indices).tolist(), x.node.shape[d], []
        for i, start in enumerate(places):
            stop = places[i + 1] if i + 1 < len(places) else size
            if not 0 <= start < size:
                raise IndexError(f"index {start} out-of-bounds in {self.__name__}.reduceat [0, {size})")
            parts.append(arr(self.reduce(x.narrow(d, start, max(stop - start, 1)), d, dtype)))
        made = stack(parts, d) if parts else self._reduced(x, dtype).narrow(d, 0, 0)
        return write_out(out, lift(made), "same_kind", self.__name__)


def _counted(x: Any) -> Any:
    import numpy

    return numpy.arange(int(numel(tuple(x.node.shape))))


def inexact_ufunc(
    name: str, compute: Any, doc: str, kinds: str = "fc", nin: int = 1, **more_options: Any
) -> Ufunc:
    """A ufunc that computes in floats, whatever the numbers are: `sin`, `log`."""
    return Ufunc(name, nin, compute, inexact, kinds=kinds, doc=doc, **more_options)
