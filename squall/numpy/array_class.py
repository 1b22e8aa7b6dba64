"""ndarray: a Tensor in NumPy's clothes, which is also the Array API's array object.

An ndarray holds a Tensor (`x.tensor`) and shares its memory and history. Its methods and operators are NumPy's:
`x.size` is a number, `x.max(axis=0)` gives values alone, `x[::-1]` works, `float32` and `int32` make float64. It is a
pytree of its one Tensor, so `sq.compile`, `sq.func.grad` and `sq.vmap` take functions of ndarrays, which stay ndarrays
inside.
"""

from __future__ import annotations

from typing import Any

from squall.base import pytree
from squall.base.dtypes import DType
from squall.base.shapes import numel
from squall.frontend import arithmetic
from squall.frontend.conversion import array_namespace, to_device
from squall.frontend.core import Handle
from squall.frontend.creation import filled
from squall.frontend.state import local
from squall.numpy import elementwise as el
from squall.numpy import indexing, linear, numerics, shaping, statistics
from squall.numpy.array_methods import Methods
from squall.numpy.core import Wrapped, arr, cast, lift, set_array_class, shape_of, write_out
from squall.numpy.flags import Flags
from squall.numpy.kinds import dtype_of, number_category, with_number
from squall.numpy.printing import shown


def _accepts(value: Any) -> bool:
    return isinstance(value, (Handle, Wrapped, bool, int, float, complex, list, tuple)) or hasattr(
        value, "__array__"
    )


def _operator(ufunc: Any, reverse: bool = False) -> Any:
    def method(self: Any, other: Any) -> Any:
        if not _accepts(other):
            return NotImplemented
        return ufunc(other, self) if reverse else ufunc(self, other)

    method.__doc__ = ufunc.__doc__
    return method


def _written(ufunc: Any) -> Any:
    def method(self: Any, other: Any) -> Any:
        if not _accepts(other):
            return NotImplemented
        return ufunc(self, other, out=self)

    method.__doc__ = f"In place: {ufunc.__doc__}"
    return method


class ndarray(Methods):
    """An array with NumPy's methods: what the functions of `squall.numpy` give.

    Made by `array`, `zeros`, `asarray(tensor)` and so on.

    Attributes:
        tensor: the Tensor it shows, for gradients and for functions with PyTorch's names.

    Example:
        >>> import squall.numpy as snp
        >>> x = snp.array([[3.0, 1.0], [2.0, 4.0]])
        >>> x.max(axis=1), x.size, x[::-1, 0]
        (array([3., 4.]), 4, array([2., 3.]))
    """

    __slots__ = ()

    def __new__(
        cls,
        shape: Any,
        dtype: Any = float,
        buffer: Any = None,
        offset: int = 0,
        strides: Any = None,
        order: Any = None,
    ) -> Any:
        """Zeros of a shape, as `numpy.ndarray(shape)`."""
        return lift(filled(shape_of(shape), 0, dtype_of(dtype)))

    # ------------------------------------------------------------ facts
    @property
    def shape(self) -> tuple:
        """The sizes."""
        return tuple(self.tensor.node.shape)

    @shape.setter
    def shape(self, value: Any) -> None:
        self.tensor = arr(shaping.reshape(self, value, copy=False))

    @property
    def dtype(self) -> DType:
        """The element type."""
        return self.tensor.node.type.dtype

    @property
    def device(self) -> Any:
        """Where the values live."""
        return self.tensor.device

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self.tensor.node.shape)

    @property
    def size(self) -> Any:
        """The number of elements."""
        return numel(self.tensor.node.shape)

    @property
    def itemsize(self) -> int:
        """Bytes an element takes."""
        return self.dtype.itemsize

    @property
    def nbytes(self) -> Any:
        """Bytes all elements take."""
        return self.size * self.itemsize

    @property
    def strides(self) -> tuple:
        """Logical strides in bytes."""
        return tuple(s * self.itemsize for s in self.tensor.stride())

    @property
    def flags(self) -> Flags:
        """How the array lies in memory."""
        return Flags(self.tensor)

    @property
    def flat(self) -> Any:
        """The elements one after the other."""
        return self.reshape(-1)

    @property
    def T(self) -> Any:  # noqa: N802 - NumPy's name
        """The dimensions reversed."""
        return shaping.permute_dims(self) if self.ndim > 1 else self

    @property
    def mT(self) -> Any:  # noqa: N802 - NumPy's name
        """The last two dimensions exchanged."""
        return shaping.matrix_transpose(self)

    @property
    def real(self) -> Any:
        """The real parts."""
        return self if self.dtype.category < 3 else lift(self.tensor.real)

    @real.setter
    def real(self, value: Any) -> None:
        lift(self.tensor.real)[...] = value

    @property
    def imag(self) -> Any:
        """The imaginary parts; zeros of real numbers."""
        if self.dtype.category < 3:
            return numerics.imag(self)
        return lift(self.tensor.imag)

    @imag.setter
    def imag(self, value: Any) -> None:
        lift(self.tensor.imag)[...] = value

    # ------------------------------------------------------------ protocols
    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        """The Array API's namespace: `squall.numpy`."""
        return array_namespace(api_version)

    def to_device(self, device: Any, /, *, stream: Any = None) -> Any:
        """Itself: there is only the CPU."""
        return lift(to_device(self.tensor, device, stream))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return self.tensor.detach().__array__(dtype, copy)

    def __array_function__(self, function: Any, types: Any, args: tuple, kwargs: dict) -> Any:
        def plain(value: Any) -> Any:
            if isinstance(value, (list, tuple)):
                return type(value)(plain(v) for v in value)
            return value.detach_array() if isinstance(value, ndarray) else value

        return function(*plain(args), **{k: plain(v) for k, v in kwargs.items()})

    def __dlpack__(
        self, *, stream: Any = None, max_version: Any = None, dl_device: Any = None, copy: bool | None = None
    ) -> Any:
        return self.tensor.detach().__dlpack__(max_version=max_version, dl_device=dl_device, copy=copy)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.tensor.__dlpack_device__()

    def numpy(self) -> Any:
        """The values as a NumPy array that shares the memory."""
        return self.tensor.detach().numpy()

    def detach_array(self) -> Any:
        """The values as a NumPy array that must not be written or kept."""
        return self.tensor.detach_array()

    def tolist(self) -> Any:
        """The values as nested lists of Python numbers."""
        return self.tensor.tolist()

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        """NumPy's universal functions called on ndarrays: squall's of the same name, on ndarrays again."""
        own = getattr(el, ufunc.__name__, None)
        if own is None:
            inputs = tuple(i.detach_array() if isinstance(i, ndarray) else i for i in inputs)
            out = options.pop("out", ())
            made = getattr(ufunc, method)(*inputs, **options)
            results = made if isinstance(made, tuple) else (made,)
            casting = options.get("casting", "same_kind")
            targets = (*out, *[None] * (len(results) - len(out)))
            written = tuple(
                r if o is None else write_out(o, arr(r), casting, ufunc.__name__)
                for r, o in zip(results, targets, strict=True)
            )
            return written if isinstance(made, tuple) else written[0]
        return own(*inputs, **options) if method == "__call__" else getattr(own, method)(*inputs, **options)

    def __getitem__(self, items: Any) -> Any:
        return lift(indexing.get(self.tensor, items))

    def __setitem__(self, items: Any, value: Any) -> None:
        indexing.put(self.tensor, items, value)

    def __iter__(self) -> Any:
        if not self.shape:
            raise TypeError("iteration over a 0-d array")
        return iter(lift(self.tensor.unbind(0)))

    def __contains__(self, value: Any) -> bool:
        return bool(statistics.any(el.equal(self, value)))

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError(
                "The truth value of an array with more than one element is ambiguous. Use a.any() or a.all()"
                if self.size
                else "The truth value of an empty array is ambiguous. Use `array.size > 0`"
            )
        return bool(self.item())

    def _number(self) -> Any:
        if self.size != 1:
            raise TypeError("only 0-dimensional arrays can be converted to Python scalars")
        return self.item()

    def __int__(self) -> int:
        return int(self._number())

    def __float__(self) -> float:
        return float(self._number())

    def __complex__(self) -> complex:
        return complex(self._number())

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of unsized object")
        return self.shape[0]

    def __index__(self) -> int:
        if self.dtype.category != 1 or self.shape:
            raise TypeError("only integer scalar arrays can be converted to a scalar index")
        return int(self.item())

    def __repr__(self) -> str:
        return repr(self.tensor) if local.state.trace is not None else shown("repr", self)

    def __str__(self) -> str:
        return repr(self.tensor) if local.state.trace is not None else shown("str", self)

    # ------------------------------------------------------------ operators
    __add__, __radd__, __iadd__ = _operator(el.add), _operator(el.add, True), _written(el.add)
    __sub__, __rsub__, __isub__ = _operator(el.subtract), _operator(el.subtract, True), _written(el.subtract)
    __mul__, __rmul__, __imul__ = _operator(el.multiply), _operator(el.multiply, True), _written(el.multiply)
    __truediv__, __rtruediv__ = _operator(el.divide), _operator(el.divide, True)
    __itruediv__, __ifloordiv__ = _written(el.divide), _written(el.floor_divide)
    __floordiv__, __rfloordiv__ = _operator(el.floor_divide), _operator(el.floor_divide, True)
    __mod__, __rmod__, __imod__ = (
        _operator(el.remainder),
        _operator(el.remainder, True),
        _written(el.remainder),
    )
    __divmod__, __rdivmod__ = _operator(el.divmod), _operator(el.divmod, True)
    __rpow__, __ipow__ = _operator(el.power, True), _written(el.power)
    __and__, __rand__, __iand__ = (
        _operator(el.bitwise_and),
        _operator(el.bitwise_and, True),
        _written(el.bitwise_and),
    )
    __or__, __ror__, __ior__ = (
        _operator(el.bitwise_or),
        _operator(el.bitwise_or, True),
        _written(el.bitwise_or),
    )
    __xor__, __rxor__, __ixor__ = (
        _operator(el.bitwise_xor),
        _operator(el.bitwise_xor, True),
        _written(el.bitwise_xor),
    )
    __lshift__, __rlshift__ = _operator(el.left_shift), _operator(el.left_shift, True)
    __rshift__, __rrshift__ = _operator(el.right_shift), _operator(el.right_shift, True)
    __ilshift__, __irshift__ = _written(el.left_shift), _written(el.right_shift)
    __matmul__, __rmatmul__ = _operator(linear.matmul), _operator(linear.matmul, True)
    __eq__, __ne__ = _operator(el.equal), _operator(el.not_equal)
    __lt__, __le__ = _operator(el.less), _operator(el.less_equal)
    __gt__, __ge__ = _operator(el.greater), _operator(el.greater_equal)
    __hash__: Any = None

    def __imatmul__(self, other: Any) -> Any:
        """In place: matrix product."""
        self[...] = linear.matmul(self, other)
        return self

    def __pow__(self, other: Any) -> Any:
        """Power; a Python exponent is structural."""
        category = number_category(other)
        if category is None or self.dtype.category == 0 or (category == 1 and self.dtype.category == 1):
            return el.power(self, other) if _accepts(other) else NotImplemented
        return lift(arithmetic.power(cast(self, with_number(self.dtype, category)), other))

    def __neg__(self) -> Any:
        """Negative."""
        return el.negative(self)

    def __pos__(self) -> Any:
        """A copy."""
        return el.positive(self)

    def __abs__(self) -> Any:
        """Absolute value."""
        return el.absolute(self)

    def __invert__(self) -> Any:
        """Every bit flipped; logical not for bool."""
        return el.invert(self)


set_array_class(ndarray)
pytree.register(ndarray, lambda x: ((x.tensor,), None), lambda context, parts: lift(parts[0]))
