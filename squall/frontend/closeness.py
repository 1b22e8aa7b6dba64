"""`squall.testing`: comparing results in tests, and making Tensors to test with, as `torch.testing` does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from numbers import Number
from typing import Any, NoReturn

from squall.base.dtypes import as_dtype, dtype_named, int64
from squall.base.errors import ArgumentError
from squall.frontend import creation, random
from squall.frontend.conversion import laid_out
from squall.frontend.core import Handle, cast

# (relative, absolute) by the name of a dtype; what is not here must be equal.
TOLERANCES = {
    "float16": (1e-3, 1e-5), "bfloat16": (1.6e-2, 1e-5), "float32": (1.3e-6, 1e-5), "float64": (1e-7, 1e-7),
    "complex64": (1.3e-6, 1e-5), "complex128": (1e-7, 1e-7),
}  # fmt: skip
_OF_NUMBERS = {bool: "bool", int: "int64", float: "float64", complex: "complex128"}


class _DifferenceError(Exception):
    """A difference, with the keys and positions that lead to it."""

    def __init__(self, text: str, path: tuple):
        super().__init__(text)
        self.text, self.path = text, path


class _Options:
    """What `assert_close` was asked for; its arguments by name."""

    def __init__(self, **options: Any):
        self.rtol, self.atol, self.equal_nan = options["rtol"], options["atol"], options["equal_nan"]
        self.dtypes, self.strides, self.subclasses = options["dtypes"], options["strides"], options["subclasses"]

    def tolerances(self, *dtypes: str) -> tuple[float, float]:
        """Those given, or the largest of the dtypes."""
        if self.rtol is not None:
            return self.rtol, self.atol
        known = [TOLERANCES.get(d, (0.0, 0.0)) for d in dtypes]
        return max(r for r, _ in known), max(a for _, a in known)


def assert_close(
    actual: Any,
    expected: Any,
    *,
    allow_subclasses: bool = True,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_device: bool = True,
    check_dtype: bool = True,
    check_layout: bool = True,
    check_stride: bool = False,
    msg: str | Callable[[str], str] | None = None,
) -> None:
    """AssertionError unless values are as close as |actual - expected| <= atol + rtol * |expected|.

    Args:
        actual, expected: Tensors, ndarrays, numbers, None, or sequences and mappings of such.
        allow_subclasses: whether subclasses of one another are compared; else classes must be the same. rtol, atol:
            given both or neither; by default by dtype (float32 1.3e-6 and 1e-5, integers equal). equal_nan: whether nan
            equals nan. check_dtype, check_stride: whether dtypes and strides must be the same. check_device,
            check_layout: there is one device and one layout, so these always hold. msg: an error's text, or what makes
            it of the usual one.

    Raises:
        AssertionError: for a difference, with what differs most. ValueError: for one of rtol and atol. TypeError: for
        values that it cannot compare.

    Example:
        >>> import squall as sq
        >>> sq.testing.assert_close(sq.tensor([1.0, 2.0]), sq.tensor([1.0, 2.000001]))
    """
    if (rtol is None) is not (atol is None):
        missing = "atol" if atol is None else "rtol"
        raise ValueError(f"Both 'rtol' and 'atol' must be either specified or omitted, but got no {missing}.")
    options = _Options(rtol=rtol, atol=atol, equal_nan=equal_nan, dtypes=check_dtype, strides=check_stride,
                       subclasses=allow_subclasses)
    try:
        _compare(actual, expected, options, ())
    except _DifferenceError as found:
        text = found.text
        if found.path:
            text += "\n\nThe failure occurred for item " + "".join(f"[{key!r}]" for key in found.path)
        text = text if msg is None else msg if isinstance(msg, str) else msg(text)
        raise AssertionError(text) from None


# ---------------------------------------------------------------- comparisons
def _compare(a: Any, b: Any, options: _Options, path: tuple) -> None:
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        missing, more = [k for k in b if k not in a], [k for k in a if k not in b]
        if missing or more:
            raise _DifferenceError("The keys of the mappings do not match:\n"
                           f"Missing keys in the actual mapping: {missing}\n"
                           f"Additional keys in the actual mapping: {more}", path)
        for key in b:
            _compare(a[key], b[key], options, (*path, key))
    elif _is_sequence(a) and _is_sequence(b):
        if len(a) != len(b):
            raise _DifferenceError(f"The length of the sequences mismatch: {len(a)} != {len(b)}", path)
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            _compare(x, y, options, (*path, i))
    elif a is None or b is None:
        if a is not b:
            raise _DifferenceError(f"None mismatch: {a} is not {b}", path)
    elif isinstance(a, bool) and isinstance(b, bool):
        if a is not b:
            raise _DifferenceError(f"Booleans mismatch: {a} is not {b}", path)
    elif _is_number(a) and _is_number(b):
        _numbers(a, b, options, path)
    else:
        _tensors(a, b, options, path)


def _is_sequence(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def _is_number(value: Any) -> bool:
    return isinstance(value, Number) and not isinstance(value, Handle) and not hasattr(value, "__array__")


def _numbers(a: Any, b: Any, options: _Options, path: tuple) -> None:
    if options.dtypes and type(a) is not type(b):
        raise _DifferenceError(f"The (d)types do not match: {type(a)} != {type(b)}.", path)
    rtol, atol = options.tolerances(*(_OF_NUMBERS.get(type(v), "float64") for v in (a, b)))
    if not _close_numbers(a, b, rtol, atol, options.equal_nan):
        _report_numbers(a, b, rtol, atol, path)


def _close_numbers(a: Any, b: Any, rtol: float, atol: float, equal_nan: bool) -> bool:
    if a == b or (equal_nan and a != a and b != b):
        return True
    far = abs(a - b)
    return far < float("inf") and abs(b) < float("inf") and far <= atol + rtol * abs(b)


def _report_numbers(a: Any, b: Any, rtol: float, atol: float, path: tuple) -> NoReturn:
    far = abs(a - b)
    share = far / abs(b) if b else float("inf")
    equal = rtol == atol == 0
    word, one, other = ("equal", "", "") if equal else (
        "close", f" (up to {atol} allowed)", f" (up to {rtol} allowed)")
    raise _DifferenceError(f"Scalars are not {word}!\n\nExpected {b} but got {a}.\nAbsolute difference: {far}{one}\n"
                   f"Relative difference: {share}{other}", path)


def _tensors(a: Any, b: Any, options: _Options, path: tuple) -> None:
    alike = type(a) is type(b) or (options.subclasses and (isinstance(a, type(b)) or isinstance(b, type(a))))
    if not alike or not all(isinstance(v, Handle) or hasattr(v, "__array__") for v in (a, b)):
        raise TypeError(f"No comparison pair was able to handle inputs of type {type(a)} and {type(b)}.")
    x, y = (v if isinstance(v, Handle) else creation.as_tensor(v) for v in (a, b))
    if tuple(x.shape) != tuple(y.shape):
        raise _DifferenceError(f"The values for attribute 'shape' do not match: {x.shape} != {y.shape}.", path)
    if options.dtypes and x.dtype is not y.dtype:
        raise _DifferenceError(f"The values for attribute 'dtype' do not match: {x.dtype} != {y.dtype}.", path)
    strides = [v.stride() for v in (x, y)]  # type: ignore[attr-defined]  # Handles are Tensors
    if options.strides and strides[0] != strides[1]:
        raise _DifferenceError(f"The values for attribute 'stride()' do not match: {strides[0]} != {strides[1]}.", path)
    rtol, atol = options.tolerances(x.dtype.name, y.dtype.name)
    _elements(x, y, rtol, atol, options.equal_nan, path)


def _elements(x: Any, y: Any, rtol: float, atol: float, equal_nan: bool, path: tuple) -> None:
    """Element by element, in float64 (complex128, or exactly for integers)."""
    import numpy as np

    category = max(v.dtype.category for v in (x, y))
    if category < 2:
        p, q = (v.detach().numpy().astype(object) for v in (x, y))
    else:
        wide = dtype_named("complex128" if category == 3 else "float64")
        p, q = (cast(v.detach(), wide).numpy() for v in (x, y))
    with np.errstate(all="ignore"):
        far = np.abs(p - q)
        finite = (np.isfinite(p) & np.isfinite(q)) if category >= 2 else np.ones(p.shape, bool)
        close = (p == q) | (finite & (far <= atol + rtol * np.abs(q)))
        if equal_nan and category >= 2:
            close |= np.isnan(p) & np.isnan(q)
        close = np.asarray(close, bool)
        if close.all():
            return
        far, size = np.asarray(far, float), np.abs(np.asarray(q, complex if category == 3 else float))
        share = far / size
    far, share = np.where(close, -1.0, far), np.where(close, -1.0, share)
    _report(far, share, close, rtol, atol, path, (x, y))


def _report(far: Any, share: Any, close: Any, rtol: float, atol: float, path: tuple, values: tuple) -> NoReturn:
    """The error with how many elements differ, and where most."""
    import numpy as np

    if not close.ndim:
        a, b = (v.detach().item() for v in values)
        _report_numbers(a, b, rtol, atol, path)
    exact = rtol == atol == 0
    kind = "equal" if exact else "close"
    wrong = int(close.size - close.sum())
    lines = [f"Tensor-likes are not {kind}!", "",
             f"Mismatched elements: {wrong} / {close.size} ({wrong / close.size:.1%})"]
    for name, amount, allowed in (("absolute", far, atol), ("relative", share, rtol)):
        flat = int(np.argmax(np.where(np.isnan(amount), np.inf, amount)))
        where = tuple(int(i) for i in np.unravel_index(flat, close.shape))
        value = amount[where]
        shown = int(value) if name == "absolute" and values[0].dtype.category < 2 else float(value)
        bound = "" if exact else f" (up to {allowed} allowed)"
        lines.append(f"Greatest {name} difference: {shown} at index {where}{bound}")
    raise _DifferenceError("\n".join(lines), path)


# ---------------------------------------------------------------- making Tensors
def make_tensor(
    *shape: Any,
    dtype: Any,
    device: Any = "cpu",
    low: float | None = None,
    high: float | None = None,
    requires_grad: bool = False,
    noncontiguous: bool = False,
    exclude_zero: bool = False,
    memory_format: Any = None,
) -> Any:
    """A Tensor of random values to test with, uniform from low below high.

    Args:
        shape: sizes, or one sequence of them. dtype: of the result. device: "cpu". low, high: by default -9 and 9 for
            floating and complex dtypes, -9 and 10 for signed integers, 0 and 10 for uint8, 0 and 2 for bool; for
            complex dtypes those of both parts. requires_grad: whether it gathers gradients. noncontiguous: every second
            element of a larger Tensor along the last dimension. exclude_zero: zeros become the smallest number above
            (1 for integers). memory_format: of the result; not with `noncontiguous`.

    Returns:
        Tensor: of the shape and dtype.

    Raises:
        ValueError: when low is not below high, or for noncontiguous with a memory format.

    Example:
        >>> import squall as sq
        >>> sq.testing.make_tensor(2, 3, dtype=sq.int64, low=4, high=5)
        tensor([[4, 4, 4],
                [4, 4, 4]])
    """
    creation.check_device(device, "make_tensor")
    dtype = as_dtype(dtype)
    sizes = tuple(shape[0]) if len(shape) == 1 and not isinstance(shape[0], int) else tuple(shape)
    if noncontiguous and memory_format is not None:
        raise ValueError(f"make_tensor: noncontiguous and memory_format are mutually exclusive, got {memory_format}")
    signed = dtype.name.startswith("int")
    least, most = (-9, 9) if dtype.category > 1 else (0, 2) if not dtype.category else (-9 if signed else 0, 10)
    low, high = least if low is None else low, most if high is None else high
    if not low < high:
        raise ValueError(f"make_tensor: low={low} must be below high={high}")
    spread = (*sizes[:-1], 2 * sizes[-1]) if noncontiguous and sizes else sizes
    out = _drawn(spread, dtype, low, high)
    if exclude_zero:
        smallest = 1 if dtype.category < 2 else _smallest(dtype)
        out = cast((out == 0), dtype) * smallest + out if dtype.category else out | True
    if noncontiguous and sizes:
        out = out[..., ::2]
    if memory_format is not None:
        out = laid_out(out, memory_format, "make_tensor")
    if requires_grad and dtype.category < 2:
        raise ArgumentError(f"make_tensor: requires_grad must be False for integral dtype {dtype}")
    return creation.require_grad(out, requires_grad, "make_tensor")


def _smallest(dtype: Any) -> float:
    return 2.0**-14 if dtype.name == "float16" else 1e-38 if dtype.itemsize < 8 or dtype.category == 3 else 1e-300


def _drawn(sizes: tuple, dtype: Any, low: float, high: float) -> Any:
    if dtype.category < 2:
        from math import ceil

        return cast(random.randint(ceil(low), ceil(high), sizes, dtype=int64), dtype)
    made = random.rand(*sizes, dtype=dtype)
    if dtype.category == 3:
        return made * (high - low) + complex(low, low)
    return made * (high - low) + low


__all__ = ["assert_close", "make_tensor"]
