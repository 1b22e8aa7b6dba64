"""ndarray's methods: functions of the same names, with the array first. `array_class.py` has the rest of the class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from squall.numpy import editing, linear, numerics, searching, shaping, sorting, statistics
from squall.numpy import elementwise as el
from squall.numpy.core import Wrapped, lift
from squall.numpy.kinds import can_cast, dtype_of


class Methods(Wrapped):
    """Mixed into ndarray: reductions, shapes, order and values."""

    __slots__ = ()
    if TYPE_CHECKING:  # what `array_class.ndarray` adds
        dtype: Any
        shape: Any
        size: Any
        detach_array: Any
        __getitem__: Any
        __setitem__: Any

    # ------------------------------------------------------------ reductions
    def sum(
        self,
        axis: Any = None,
        dtype: Any = None,
        out: Any = None,
        keepdims: bool = False,
        initial: Any = None,
        where: Any = True,
    ) -> Any:
        """Sum over axes."""
        return statistics.sum(self, axis, dtype, out, keepdims, initial, where)

    def prod(
        self,
        axis: Any = None,
        dtype: Any = None,
        out: Any = None,
        keepdims: bool = False,
        initial: Any = None,
        where: Any = True,
    ) -> Any:
        """Product over axes."""
        return statistics.prod(self, axis, dtype, out, keepdims, initial, where)

    def max(
        self,
        axis: Any = None,
        out: Any = None,
        keepdims: bool = False,
        initial: Any = None,
        where: Any = True,
    ) -> Any:
        """The largest over axes."""
        return statistics.max(self, axis, out, keepdims, initial, where)

    def min(
        self,
        axis: Any = None,
        out: Any = None,
        keepdims: bool = False,
        initial: Any = None,
        where: Any = True,
    ) -> Any:
        """The smallest over axes."""
        return statistics.min(self, axis, out, keepdims, initial, where)

    def mean(
        self,
        axis: Any = None,
        dtype: Any = None,
        out: Any = None,
        keepdims: bool = False,
        *,
        where: Any = True,
    ) -> Any:
        """Mean over axes."""
        return statistics.mean(self, axis, dtype, out, keepdims, where=where)

    def var(
        self,
        axis: Any = None,
        dtype: Any = None,
        out: Any = None,
        ddof: float = 0,
        keepdims: bool = False,
        *,
        where: Any = True,
    ) -> Any:
        """Variance over axes, dividing by the count minus ddof."""
        return statistics.var(self, axis, dtype, out, ddof, keepdims, where=where)

    def std(
        self,
        axis: Any = None,
        dtype: Any = None,
        out: Any = None,
        ddof: float = 0,
        keepdims: bool = False,
        *,
        where: Any = True,
    ) -> Any:
        """Standard deviation over axes, dividing by the count minus ddof."""
        return statistics.std(self, axis, dtype, out, ddof, keepdims, where=where)

    def any(self, axis: Any = None, out: Any = None, keepdims: bool = False, *, where: Any = True) -> Any:
        """Whether an element is nonzero."""
        return statistics.any(self, axis, out, keepdims, where=where)

    def all(self, axis: Any = None, out: Any = None, keepdims: bool = False, *, where: Any = True) -> Any:
        """Whether all elements are nonzero."""
        return statistics.all(self, axis, out, keepdims, where=where)

    def argmax(self, axis: Any = None, out: Any = None, *, keepdims: bool = False) -> Any:
        """The position of the largest element."""
        return searching.argmax(self, axis, out, keepdims=keepdims)

    def argmin(self, axis: Any = None, out: Any = None, *, keepdims: bool = False) -> Any:
        """The position of the smallest element."""
        return searching.argmin(self, axis, out, keepdims=keepdims)

    def cumsum(self, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
        """Running sums."""
        return statistics.cumsum(self, axis, dtype, out)

    def cumprod(self, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
        """Running products."""
        return statistics.cumprod(self, axis, dtype, out)

    def trace(
        self, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None
    ) -> Any:
        """Sums of a diagonal."""
        return linear.trace(self, offset, axis1, axis2, dtype, out)

    def dot(self, b: Any, out: Any = None) -> Any:
        """`squall.numpy.dot`."""
        return linear.dot(self, b, out)

    # ------------------------------------------------------------ shapes and order
    def reshape(self, *shape: Any, order: str = "C", copy: bool | None = None) -> Any:
        """The elements in another shape."""
        return shaping.reshape(self, shape[0] if len(shape) == 1 else shape, order, copy=copy)

    def transpose(self, *axes: Any) -> Any:
        """The dimensions in another order; reversed unless given."""
        given = (
            axes[0] if len(axes) == 1 and (axes[0] is None or hasattr(axes[0], "__iter__")) else axes or None
        )
        return shaping.permute_dims(self, given)

    def squeeze(self, axis: Any = None) -> Any:
        """Sizes of 1 dropped."""
        return shaping.squeeze(self, axis)

    def ravel(self, order: str = "C") -> Any:
        """The elements as a vector."""
        return shaping.ravel(self, order)

    def flatten(self, order: str = "C") -> Any:
        """The elements as a vector with memory of its own."""
        return shaping.ravel(self, order).copy()

    def repeat(self, repeats: Any, axis: Any = None) -> Any:
        """Each element repeated next to itself."""
        return editing.repeat(self, repeats, axis)

    def take(self, indices: Any, axis: Any = None, out: Any = None, mode: str = "raise") -> Any:
        """Elements along an axis by position."""
        return searching.take(self, indices, axis, out, mode)

    def put(self, indices: Any, values: Any, mode: str = "raise") -> None:
        """Elements of the flattened array replaced in place."""
        searching.put(self, indices, values, mode)

    def compress(self, condition: Any, axis: Any = None, out: Any = None) -> Any:
        """The positions of an axis where a condition holds."""
        return searching.compress(condition, self, axis, out)

    def choose(self, choices: Any, out: Any = None, mode: str = "raise") -> Any:
        """For each element the element of the choice it names."""
        return searching.choose(self, choices, out, mode)

    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
        """A diagonal of the plane of two axes."""
        return linear.diagonal(self, offset, axis1, axis2)

    def nonzero(self) -> tuple:
        """The positions of nonzero elements, an array a dimension."""
        return searching.nonzero(self)

    def searchsorted(self, v: Any, side: str = "left", sorter: Any = None) -> Any:
        """Where values can be put in this sorted vector."""
        return sorting.searchsorted(self, v, side, sorter)

    def sort(self, axis: int = -1, kind: Any = None, order: Any = None, *, stable: bool = True) -> None:
        """In place: the elements in order along an axis."""
        self[...] = sorting.sort(self, axis)

    def argsort(self, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: bool = True) -> Any:
        """The positions that sort along an axis."""
        return sorting.argsort(self, axis)

    def partition(self, kth: Any, axis: int = -1, kind: str = "introselect", order: Any = None) -> None:
        """In place: see `squall.numpy.partition`."""
        self[...] = sorting.partition(self, kth, axis)

    def argpartition(self, kth: Any, axis: Any = -1, kind: str = "introselect", order: Any = None) -> Any:
        """See `squall.numpy.argpartition`."""
        return sorting.argpartition(self, kth, axis)

    # ------------------------------------------------------------ values
    def astype(
        self, dtype: Any, order: str = "K", casting: str = "unsafe", subok: bool = True, copy: bool = True
    ) -> Any:
        """The values in another dtype."""
        if not can_cast(self, dtype, casting):
            raise TypeError(
                f"Cannot cast array data from {self.dtype} to {dtype_of(dtype)} according to the rule "
                f"'{casting}'"
            )
        return numerics.astype(self, dtype, copy=copy)

    def copy(self, order: str = "C") -> Any:
        """A copy with memory of its own."""
        return lift(self.tensor.clone())

    def view(self, *shape: Any) -> Any:
        """The same memory: without arguments or in another dtype as NumPy's, in another shape as a Tensor's."""
        if shape and not isinstance(shape[0], (int, tuple, list)):
            return lift(self.tensor.view(dtype_of(shape[0])))
        return lift(self.tensor.view(*(shape or (self.shape,))))

    def fill(self, value: Any) -> None:
        """In place: one value everywhere."""
        self[...] = value

    def item(self, *index: Any) -> Any:
        """One element as a Python number."""
        if not index:
            if self.size != 1:
                raise ValueError("can only convert an array of size 1 to a Python scalar")
            return self.tensor.item()
        place = index[0] if len(index) == 1 and not isinstance(index[0], tuple) else None
        chosen = (
            self.reshape(-1)[place] if place is not None else self[index[0] if len(index) == 1 else index]
        )
        return chosen.tensor.item()

    def round(self, decimals: int = 0, out: Any = None) -> Any:
        """The nearest number of so many decimals."""
        return numerics.round(self, decimals, out)

    def clip(self, min: Any = None, max: Any = None, out: Any = None) -> Any:
        """Limited to [min, max]."""
        return numerics.clip(self, min, max, out)

    def conj(self) -> Any:
        """The conjugate."""
        return el.conjugate(self)

    conjugate = conj

    def ptp(self, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        """The largest less the smallest."""
        return statistics.ptp(self, axis, out, keepdims)

    def tobytes(self, order: str = "C") -> bytes:
        """The memory as bytes, row-major."""
        return self.detach_array().tobytes()

    def swapaxes(self, axis1: int, axis2: int) -> Any:
        """Two dimensions exchanged."""
        return shaping.swapaxes(self, axis1, axis2)
