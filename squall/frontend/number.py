"""Number: what a compiled function is traced with in place of a Python number that varies from call to call.

It counts as the `int` or `float` it stands for wherever a class is asked for, so promotion and every function
of squall treat it as one. Arithmetic with Python numbers gives a Number that repeats the arithmetic, in
Python, for each call; arithmetic with a Tensor records a run-time scalar; as an index it is a run-time start. Whatever
needs the value itself (an `if`, a size, `math.sqrt`) is a TraceError, upon which `compile` guards the argument by value
instead.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from squall.base.errors import TraceError


class Number:
    """A number known when the program is called.

    Args:
        value: at capture. read: gives the value from the flat arguments of a call.
    """

    __slots__ = ("__weakref__", "read", "value")

    def __init__(self, value: Any, read: Callable[[list], Any]):
        self.value, self.read = value, read

    @property
    def __class__(self) -> type:  # type: ignore[override]
        return self.value.__class__

    def __neg__(self) -> Any:
        read = self.read
        return Number(-self.value, lambda leaves: -read(leaves))

    def __pos__(self) -> Any:
        return self

    def __abs__(self) -> Any:
        read = self.read
        return Number(abs(self.value), lambda leaves: abs(read(leaves)))


class OtherNumberError(Exception):
    """A number of a call that the program it was to run does not serve: another program must."""


def derived(function: Callable, *operands: Any) -> Number:
    """A Number that is a function of Numbers and of what does not vary; the function runs again for each call."""
    value = function(*[v.value if is_number(v) else v for v in operands])
    parts = [(v.read, None) if is_number(v) else (None, v) for v in operands]  # the Numbers themselves must not live on
    return Number(value, lambda leaves: function(*[read(leaves) if read else v for read, v in parts]))


def is_number(value: Any) -> bool:
    """Whether a value is a Number rather than a Python number."""
    return type(value) is Number


def _combine(function: Callable, left: Any, right: Any) -> Any:
    first, second = is_number(left), is_number(right)
    if not (first or left.__class__ in (int, float)) or not (second or right.__class__ in (int, float)):
        return NotImplemented
    value = function(left.value if first else left, right.value if second else right)
    a: Any = left.read if first else None
    b: Any = right.read if second else None
    if a is None:
        return Number(value, lambda leaves: function(left, b(leaves)))  # type: ignore[misc]
    if b is None:
        return Number(value, lambda leaves: function(a(leaves), right))
    return Number(value, lambda leaves: function(a(leaves), b(leaves)))


def _binary(function: Callable, name: str) -> None:
    setattr(Number, f"__{name}__", lambda self, other: _combine(function, self, other))
    setattr(Number, f"__r{name}__", lambda self, other: _combine(function, other, self))


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod"):
    _binary(getattr(operator, _name), _name)


def _refusing(name: str) -> None:
    def refuse(self: Number, *_: Any) -> Any:
        raise TraceError(
            f"the value of a number that varies between calls of a compiled function was asked for ({name})"
        )

    setattr(Number, name, refuse)


for _name in (
    "__bool__",
    "__eq__",
    "__ne__",
    "__lt__",
    "__le__",
    "__gt__",
    "__ge__",
    "__hash__",
    "__float__",
    "__int__",
    "__index__",
    "__round__",
    "__trunc__",
    "__floor__",
    "__ceil__",
    "__complex__",
    "__pow__",
    "__rpow__",
    "__divmod__",
    "__rdivmod__",
    "__format__",
    "__str__",
    "__repr__",
    "__getattr__",
    "__and__",
    "__or__",
    "__xor__",
    "__lshift__",
    "__rshift__",
    "__invert__",
    "__rand__",
    "__ror__",
    "__rxor__",
    "__rlshift__",
    "__rrshift__",
):
    _refusing(_name)
