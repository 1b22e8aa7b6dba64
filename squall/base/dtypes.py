"""Element types and PyTorch's promotion rules.

A DType is a constant; `promote` combines two, and `result_type` follows PyTorch's three priorities: tensors with
dimensions, then zero-dimensional tensors, then Python numbers, where a lower priority only changes the category.
"""

from __future__ import annotations

from collections.abc import Callable

from squall.base.errors import DtypeError


class DType:
    """An element type, such as `squall.float32`. Compared by identity.

    Attributes:
        name: PyTorch's name. short: the linear IR's scalar name. itemsize: bytes an element takes.
        category: 0 bool, 1 integer, 2 floating, 3 complex.
    """

    __slots__ = ("name", "short", "itemsize", "category", "signed")

    def __init__(self, name: str, short: str, itemsize: int, category: int, signed: bool = True):
        self.name, self.short, self.itemsize, self.category, self.signed = name, short, itemsize, category, signed

    def __repr__(self) -> str:
        return f"squall.{self.name}"

    def __reduce__(self):
        return (dtype_named, (self.name,))

    def __copy__(self) -> DType:
        return self

    def __deepcopy__(self, memo: dict) -> DType:
        return self

    def __eq__(self, other: object) -> bool:
        """Identity; NumPy's names are equal too: its dtypes, scalar types (`numpy.float32`), "float32" and "f4"."""
        if self is other or isinstance(other, DType):
            return self is other
        if isinstance(other, str):
            return other == self.name or other.lstrip("<=|") == f"{self.kind}{self.itemsize}"
        if type(other).__module__.partition(".")[0] == "numpy" or getattr(other, "__module__", None) == "numpy":
            name = getattr(other, "name", None) or getattr(other, "__name__", None)
            return name == self.name or (name == "bool_" and self.category == 0)
        return NotImplemented

    __hash__ = object.__hash__

    def __call__(self, value: object = 0) -> object:
        """NumPy's `np.float32(0.5)`, once `squall.numpy` is imported: an array of this type."""
        if not _makers:
            raise TypeError(f"{self!r} is not called: sq.tensor({value!r}, dtype={self!r}) makes a Tensor of it")
        return _makers[0](value, self)

    @property
    def kind(self) -> str:
        """NumPy's letter of the family: b, i, u, f or c."""
        return "b" if self.category == 0 else "iu"[not self.signed] if self.category == 1 else "fc"[self.category - 2]

    @property
    def __numpy_dtype__(self):
        """NumPy's dtype of the same layout, where NumPy asks for it."""
        return numpy_dtype(self)

    @property
    def char(self) -> str:
        """NumPy's one-letter code."""
        return numpy_dtype(self).char

    @property
    def type(self):
        """NumPy's scalar type."""
        return numpy_dtype(self).type

    @property
    def is_floating_point(self) -> bool:
        """Whether the type is a real floating type."""
        return self.category == 2

    @property
    def is_complex(self) -> bool:
        """Whether the type is complex."""
        return self.category == 3

    @property
    def is_float8(self) -> bool:
        """Whether values are floats of 8 bits, which are stored and converted but not computed with."""
        return self.itemsize == 1 and self.category == 2

    @property
    def is_signed(self) -> bool:
        """Whether negative numbers can be represented."""
        return self.signed


_makers: list[Callable[[object, DType], object]] = []


def set_maker(make: Callable[[object, DType], object]) -> None:
    """Called once by `squall.numpy`: what makes an array when a dtype is called."""
    _makers[:] = [make]


bool_ = DType("bool", "bool", 1, 0, False)
uint8 = DType("uint8", "u8", 1, 1, False)
int8 = DType("int8", "i8", 1, 1)
uint16 = DType("uint16", "u16", 2, 1, False)
int16 = DType("int16", "i16", 2, 1)
uint32 = DType("uint32", "u32", 4, 1, False)
int32 = DType("int32", "i32", 4, 1)
uint64 = DType("uint64", "u64", 8, 1, False)
int64 = DType("int64", "i64", 8, 1)
float16 = DType("float16", "f16", 2, 2)
bfloat16 = DType("bfloat16", "bf16", 2, 2)
float32 = DType("float32", "f32", 4, 2)
float64 = DType("float64", "f64", 8, 2)
complex64 = DType("complex64", "c64", 8, 3)
complex128 = DType("complex128", "c128", 16, 3)
float8_e4m3fn = DType("float8_e4m3fn", "f8e4m3fn", 1, 2)
float8_e5m2 = DType("float8_e5m2", "f8e5m2", 1, 2)

ALL = (bool_, uint8, int8, uint16, int16, uint32, int32, uint64, int64, float16, bfloat16, float32, float64)
FLOATING = (float16, bfloat16, float32, float64)
COMPLEX = (complex64, complex128)
FLOAT8 = (float8_e4m3fn, float8_e5m2)  # kept and moved, not computed with
EVERY = ALL + COMPLEX + FLOAT8
BY_NAME = {d.name: d for d in EVERY} | {"half": float16, "float": float32, "double": float64, "int": int32,
                                        "long": int64, "short": int16, "bool_": bool_, "cfloat": complex64,
                                        "cdouble": complex128}
BY_SHORT = {d.short: d for d in EVERY}
FOREIGN = (bfloat16.name, *(d.name for d in FLOAT8))  # what NumPy itself does not have


def dtype_named(name: str) -> DType:
    """The dtype of a PyTorch or NumPy name; KeyError lists what exists."""
    found = BY_NAME.get(name)
    if found is None:
        raise KeyError(f"no dtype is called {name!r}; there are {', '.join(d.name for d in EVERY)}")
    return found


def as_dtype(value: object) -> DType:
    """A DType from a DType, a name, a Python type, or anything NumPy understands as a dtype.

    Raises:
        TypeError: when the value names no dtype squall has.
    """
    if isinstance(value, DType):
        return value
    if value is float:
        return default_dtype()
    if value is int:
        return int64
    if value is bool:
        return bool_
    if value is complex:
        return complex_of(default_dtype())
    name = value if isinstance(value, str) else getattr(value, "name", None) or getattr(value, "__name__", None)
    if name in BY_NAME:
        return BY_NAME[name]
    raise TypeError(f"{value!r} is not a dtype squall has; there are {', '.join(d.name for d in EVERY)}")


def complex_of(dtype: DType) -> DType:
    """The complex dtype whose parts hold the values of a dtype: complex128 of float64, else complex64."""
    return dtype if dtype.category == 3 else complex128 if dtype is float64 else complex64


def real_of(dtype: DType) -> DType:
    """The dtype of the parts of a complex dtype; a real dtype itself."""
    return float64 if dtype is complex128 else float32 if dtype is complex64 else dtype


def numpy_dtype(dtype: DType):
    """NumPy's dtype of the same layout; bfloat16 and float8 come from ml_dtypes."""
    import numpy

    if dtype.name in FOREIGN:
        import ml_dtypes

        return numpy.dtype(getattr(ml_dtypes, dtype.name))
    return numpy.dtype(dtype.name)


def _rank(dtype: DType) -> int:
    return EVERY.index(dtype)


def _promote(a: DType, b: DType) -> DType:
    if a is b:
        return a
    if 3 in (a.category, b.category):
        return complex128 if float64 in (real_of(a), real_of(b)) else complex64
    if a.category != b.category:
        return a if a.category > b.category else b
    if {a, b} == {float16, bfloat16}:
        return float32
    if a.category == 1 and a.signed != b.signed:
        unsigned, signed = (b, a) if a.signed else (a, b)
        if signed.itemsize > unsigned.itemsize:
            return signed
        return {1: int16, 2: int32}.get(unsigned.itemsize, int64)
    return a if _rank(a) > _rank(b) else b


class Promotion(dict):
    """The table of a rule for every two dtypes; a float8 type meets only itself."""

    def __init__(self, rule: Callable[[DType, DType], DType]):
        super().__init__({(a, b): rule(a, b) for a in ALL + COMPLEX for b in ALL + COMPLEX})
        self.update({(d, d): d for d in FLOAT8})

    def __missing__(self, pair: tuple[DType, DType]) -> DType:
        raise DtypeError(f"{pair[0]} and {pair[1]} have no common dtype, since float8 only stores values: "
                         "cast with .to(squall.float32) first")


PROMOTION = Promotion(_promote)


def promote(a: DType, b: DType) -> DType:
    """The type that holds values of both, by PyTorch's table.

    Example:
        >>> promote(uint8, int8), promote(float16, bfloat16), promote(int64, float16)
        (squall.int16, squall.float32, squall.float16)
    """
    return PROMOTION[a, b]


_default = [float32]


def default_dtype() -> DType:
    """The floating type new tensors of Python floats take."""
    return _default[0]


def set_default_dtype(dtype: object) -> None:
    """Set the floating type new tensors of Python floats take; TypeError for a type that is not floating."""
    dtype = as_dtype(dtype)
    if dtype.category != 2 or dtype.is_float8:
        raise TypeError(f"set_default_dtype: only floating types one computes with can be the default, not {dtype}")
    _default[0] = dtype


def category_default(category: int) -> DType:
    """The type a Python number of a category takes on its own."""
    return complex_of(default_dtype()) if category == 3 else (bool_, int64, default_dtype())[category]


def _complex_like(dtype: DType, below: DType | None) -> DType:
    """A dtype of a lower priority that decides the category: beside floats, complex numbers keep their precision."""
    return complex_of(below) if dtype.category == 3 and below is not None and below.category == 2 else dtype


def combine(with_dims: DType | None, zero_dim: DType | None, number: int | None) -> DType:
    """PyTorch's result type from the promoted dtype of each priority.

    Args:
        with_dims: the promotion over tensors of at least one dimension, or None.
        zero_dim: the promotion over zero-dimensional tensors, or None.
        number: the highest category among Python numbers, or None.
    """
    result = with_dims
    if zero_dim is not None and (result is None or zero_dim.category > result.category):
        result = _complex_like(zero_dim, result)
    if number is not None and (result is None or number > result.category):
        result = _complex_like(category_default(number), result)
    assert result is not None
    return result
