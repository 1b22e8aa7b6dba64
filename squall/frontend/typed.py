"""Names of Tensor types as PyTorch has them: `FloatTensor([1.0])`, `x.type()`, `set_default_tensor_type`."""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import DType, as_dtype, dtype_named, set_default_dtype
from squall.base.errors import ArgumentError
from squall.frontend import creation
from squall.frontend.core import Handle, cast

NAMES = {
    "FloatTensor": "float32", "DoubleTensor": "float64", "HalfTensor": "float16", "BFloat16Tensor": "bfloat16",
    "ByteTensor": "uint8", "CharTensor": "int8", "ShortTensor": "int16", "IntTensor": "int32", "LongTensor": "int64",
    "BoolTensor": "bool",
}  # fmt: skip


class _Kind(type):
    """What makes `isinstance(x, sq.FloatTensor)` ask for the dtype."""

    dtype: DType

    def __instancecheck__(cls, value: Any) -> bool:
        return isinstance(value, Handle) and value.node.dtype is cls.dtype


def made(arguments: tuple, dtype: DType) -> Any:
    """A Tensor of sizes (values mean nothing), of another Tensor, or of data, as `torch.Tensor(...)` makes it."""
    if not arguments:
        return creation.empty(0, dtype=dtype)
    if all(isinstance(a, int) and not isinstance(a, bool) for a in arguments):
        return creation.empty(*arguments, dtype=dtype)
    if len(arguments) != 1:
        raise TypeError(f"new(): expected sizes or one sequence, got {', '.join(type(a).__name__ for a in arguments)}")
    (data,) = arguments
    if isinstance(data, Handle):
        if data.node.dtype is not dtype:
            raise TypeError(f"new(): expected a Tensor of dtype {dtype}, got {data.node.dtype}")
        return data.detach()
    if type(data).__name__ == "Size":
        return creation.empty(tuple(data), dtype=dtype)
    return creation.tensor(data, dtype=dtype)


def _typed(name: str) -> Any:
    dtype = dtype_named(NAMES[name])

    def make(cls: Any, *args: Any) -> Any:
        return made(args, dtype)

    example = "True" if name == "BoolTensor" else "1"
    doc = f"""Tensors of {dtype}: called with sizes or data; `isinstance(x, sq.{name})` asks for the dtype.

    Args:
        args: sizes (the values mean nothing), a Tensor of this dtype, or nested data.

    Raises:
        TypeError: for a Tensor of another dtype, or several arguments that are no sizes.

    Example:
        >>> import squall as sq
        >>> sq.{name}([{example}]).dtype
        {dtype}
    """
    return _Kind(name, (), {"__new__": make, "__doc__": doc, "dtype": dtype, "__module__": __name__})


FloatTensor, DoubleTensor, HalfTensor = _typed("FloatTensor"), _typed("DoubleTensor"), _typed("HalfTensor")
BFloat16Tensor, ByteTensor, CharTensor = _typed("BFloat16Tensor"), _typed("ByteTensor"), _typed("CharTensor")
ShortTensor, IntTensor, LongTensor = _typed("ShortTensor"), _typed("IntTensor"), _typed("LongTensor")
BoolTensor = _typed("BoolTensor")


def _named(kind: Any) -> DType:
    """The dtype of a dtype, a class of here, or such a class's name ("squall.FloatTensor", "torch.FloatTensor")."""
    if isinstance(kind, _Kind):
        return kind.dtype
    last = str(kind).rpartition(".")[2]
    return dtype_named(NAMES[last]) if isinstance(kind, str) and last in NAMES else as_dtype(kind)


def type_of(x: Any, dtype: Any = None) -> Any:
    """`x.type()`: the name of its type, or the Tensor in another one."""
    if dtype is not None:
        return cast(x, _named(dtype))
    names = {value: key for key, value in NAMES.items()}
    name = x.node.dtype.name
    return f"squall.{names.get(name, name.capitalize() + 'Tensor')}"


def typename(obj: Any) -> str:
    """The name of an object's type with its module, of a Tensor that of its dtype.

    Example:
        >>> import squall as sq
        >>> sq.typename(sq.ones(2)), sq.typename(1.5)
        ('squall.FloatTensor', 'float')
    """
    if isinstance(obj, Handle):
        return type_of(obj)
    kind = obj if isinstance(obj, type) or hasattr(obj, "__qualname__") else type(obj)
    module = getattr(kind, "__module__", None)
    name = getattr(kind, "__qualname__", type(obj).__name__)
    return name if module in (None, "builtins", "__builtin__") else f"{module}.{name}"


def set_default_tensor_type(t: Any) -> None:
    """Make the floating dtype of a type the default: `sq.DoubleTensor`, or "squall.DoubleTensor".

    Raises:
        ArgumentError: for a type that is not floating.

    Example:
        >>> import squall as sq
        >>> sq.set_default_tensor_type("squall.DoubleTensor")
        >>> sq.tensor(1.5).dtype
        squall.float64
        >>> sq.set_default_tensor_type(sq.FloatTensor)
    """
    dtype = _named(t)
    if dtype.category != 2:
        raise ArgumentError(f"set_default_tensor_type: only floating-point types are supported, got {t}")
    set_default_dtype(dtype)
