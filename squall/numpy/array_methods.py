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

    # ------------------------------------------------------------ functions whose first argument is the array
    sum, prod, max, min = statistics.sum, statistics.prod, statistics.max, statistics.min
    mean, var, std, ptp = statistics.mean, statistics.var, statistics.std, statistics.ptp
    any, all, cumsum, cumprod = statistics.any, statistics.all, statistics.cumsum, statistics.cumprod
    argmax, argmin = searching.argmax, searching.argmin
    nonzero, take, choose = searching.nonzero, searching.take, searching.choose
    trace, dot, diagonal = linear.trace, linear.dot, linear.diagonal
    squeeze, ravel, swapaxes = shaping.squeeze, shaping.ravel, shaping.swapaxes
    repeat, searchsorted, round = editing.repeat, sorting.searchsorted, numerics.round

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

    def flatten(self, order: str = "C") -> Any:
        """The elements as a vector with memory of its own."""
        return shaping.ravel(self, order).copy()

    def put(self, indices: Any, values: Any, mode: str = "raise") -> None:
        """Elements of the flattened array replaced in place."""
        searching.put(self, indices, values, mode)

    def compress(self, condition: Any, axis: Any = None, out: Any = None) -> Any:
        """The positions of an axis where a condition holds."""
        return searching.compress(condition, self, axis, out)

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

    def clip(self, min: Any = None, max: Any = None, out: Any = None) -> Any:
        """Limited to [min, max]."""
        return numerics.clip(self, min, max, out)

    def conj(self) -> Any:
        """The conjugate."""
        return el.conjugate(self)

    conjugate = conj

    def tobytes(self, order: str = "C") -> bytes:
        """The memory as bytes, row-major."""
        return self.detach_array().tobytes()

    def tofile(self, fid: Any, sep: str = "", format: str = "%s") -> None:
        """Write the elements to a file, as bytes, or as text with something between them."""
        self.detach_array().tofile(fid, sep, format)
