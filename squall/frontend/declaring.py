"""How the families of functions are written: one body gives the function with `out=`, the method and its in-place form.

A function of `functions_*.py` marked `@of_tensor` gets its first argument as a Tensor (arrays are converted, anything
else is a TypeError that names the function) and writes its result to `out=` when that is given. As an attribute of
a class of methods it is the method; `in_place(function)` makes the method with an underscore.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from inspect import Parameter, Signature, signature
from typing import Any

from squall.base import torch_names
from squall.base.dtypes import default_dtype, int64
from squall.base.errors import DtypeError
from squall.base.numpy_names import ALIASES, METHODS
from squall.frontend import arithmetic
from squall.frontend.core import Handle, cast, common_dtype, operand
from squall.frontend.factories import extended
from squall.frontend.out import checked, into


def of_tensor(function: Callable) -> Callable[..., Any]:
    """A function whose first argument must be a Tensor, with a keyword `out` for its result."""
    name, first = function.__name__, next(iter(signature(function).parameters))

    @wraps(function)
    def run(input: Any = None, *args: Any, out: Any = None, **keywords: Any) -> Any:
        if input is None and first in keywords:  # by the name it has in the signature
            input = keywords.pop(first)
        value = function(input if isinstance(input, Handle) else checked(input, name), *args, **keywords)
        return value if out is None else into(out, value, name)

    return extended(run, function, "out")


def of_operands(function: Callable) -> Callable[..., Any]:
    """A function of two operands, one of which may be a number, with a keyword `out` for its result."""
    name, second = function.__name__, list(signature(function).parameters)[1]

    @wraps(function)
    def run(input: Any, other: Any = None, *args: Any, out: Any = None, **keywords: Any) -> Any:
        if other is None and second in keywords:  # by the name it has in the signature
            other = keywords.pop(second)
        if other is None:
            raise TypeError(f"{name}() missing 1 required positional argument: {second!r}")
        if not isinstance(input, Handle) and not isinstance(other, Handle):
            checked(input, name)
        value = function(input, other, *args, **keywords)
        return value if out is None else into(out, value, name)

    return extended(run, function, "out")


def of_two_tensors(function: Callable) -> Callable[..., Any]:
    """A function of two operands that must both be Tensors, with a keyword `out` for its result."""
    name, second = function.__name__, list(signature(function).parameters)[1]

    @wraps(function)
    def run(input: Any, other: Any = None, *, out: Any = None, **keywords: Any) -> Any:
        other = keywords.pop(second) if second in keywords else other
        value = function(checked(input, name), checked(other, name, second), **keywords)
        return value if out is None else into(out, value, name)

    return extended(run, function, "out")


def with_exact_out(function: Callable) -> Callable[..., Any]:
    """A function with a keyword `out` for its result, which must have the dtype of that."""

    @wraps(function)
    def run(*args: Any, out: Any = None, **keywords: Any) -> Any:
        value = function(*args, **keywords)
        return value if out is None else into(out, value, function.__name__, exact=True)

    return extended(run, function, "out")


def with_out(function: Callable) -> Callable[..., Any]:
    """A function with a keyword `out` for its result, whatever its arguments are."""

    @wraps(function)
    def run(*args: Any, out: Any = None, **keywords: Any) -> Any:
        value = function(*args, **keywords)
        return value if out is None else into(out, value, function.__name__)

    return extended(run, function, "out")


def renamed(function: Callable, name: str) -> Callable[..., Any]:
    """The function under another name, its first argument called `input`."""

    @wraps(function)
    def run(*args: Any, **keywords: Any) -> Any:
        if "input" in keywords:
            args = (keywords.pop("input"), *args)
        return function(*args, **keywords)

    run.__name__ = run.__qualname__ = name
    try:
        first, *rest = signature(function).parameters.values()
    except ValueError:  # native code, which says nothing of its arguments
        first, *rest = signature(lambda input, *args, **keywords: None).parameters.values()
    shown = Signature([first.replace(name="input", kind=Parameter.POSITIONAL_OR_KEYWORD), *rest])
    run.__signature__ = shown  # type: ignore[attr-defined]  # what `inspect` looks at
    return run


@cache
def with_numpy_names(function: Callable) -> Callable[..., Any]:
    """A function that takes NumPy's names of arguments as well, `axis` and `keepdims`, as PyTorch's functions do."""
    known = signature(function).parameters.keys()
    return function if ALIASES.keys() <= known else taking_both(function, ALIASES)


def taking_both(function: Callable, names: dict[str, str]) -> Callable[..., Any]:
    """A function that takes some of its arguments by other names as well: `names` from the other to its own."""

    @wraps(function)
    def run(*args: Any, **keywords: Any) -> Any:
        if keywords and not names.keys().isdisjoint(keywords):
            for theirs, own in names.items():
                if theirs in keywords:
                    if own in keywords:
                        raise TypeError(f"{function.__name__}(): got both {own!r} and {theirs!r}")
                    keywords[own] = keywords.pop(theirs)
        return function(*args, **keywords)

    return run


def methods_with_other_names(kind: type) -> None:
    """Let the methods of a class that PyTorch's Tensor has take NumPy's names, and PyTorch's other names, as well."""
    for name in METHODS:
        setattr(kind, name, taking_both(getattr(kind, name), ALIASES))
    for name, names in torch_names.METHODS.items():
        setattr(kind, name, taking_both(getattr(kind, name), names))


def in_place(function: Callable) -> Callable[..., Any]:
    """The method that writes what a function gives into its Tensor."""
    name = function.__name__ + "_"

    def run(self: Any, *args: Any, **keywords: Any) -> Any:
        return arithmetic.in_place(self, function(self, *args, **keywords), name)

    run.__name__ = run.__qualname__ = name
    run.__doc__ = f"In place: {(function.__doc__ or '').strip()}"
    return run


def floating(x: Any) -> Any:
    """Integers and bools in the default floating dtype; floats and complex numbers as they are."""
    return x if x.node.dtype.category >= 2 else cast(x, default_dtype())


def counted(x: Any) -> Any:
    """Bools as int64; numbers as they are."""
    return x if x.node.dtype.category else cast(x, int64)


def only_floating(x: Any, function: str, name: str = "input") -> Any:
    """The Tensor; DtypeError when it does not hold floats."""
    if x.node.dtype.category != 2:
        raise DtypeError(f"{function}: argument {name!r} must have a floating dtype, got {x.node.dtype}")
    return x


def pair(a: Any, b: Any, floats: bool = False) -> tuple[Any, Any]:
    """Two operands (one may be a number) as Tensors of their common dtype; with `floats` a floating one."""
    dtype = common_dtype((a, b), floats)
    return operand(a, dtype), operand(b, dtype)
