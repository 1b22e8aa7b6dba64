"""How arrays are shown, under NumPy's names; the options are squall's own, so NumPy's arrays keep theirs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from squall.numpy.core import arr, is_array

_options: dict[str, Any] = {}


def _plain(a: Any) -> Any:
    return arr(a).detach_array() if is_array(a) else a


def shown(function: str, a: Any) -> str:
    """`repr` or `str` of an array's values with the options that are set."""
    import numpy

    with numpy.printoptions(**_options):
        return (repr if function == "repr" else str)(_plain(a))


def get_printoptions() -> dict[str, Any]:
    """How arrays are shown: precision, threshold, edgeitems, linewidth, suppress and the rest.

    Example:
        >>> import squall.numpy as snp
        >>> snp.get_printoptions()["precision"]
        8
    """
    import numpy

    with numpy.printoptions(**_options):
        return dict(numpy.get_printoptions())


def set_printoptions(**options: Any) -> None:
    """Change how arrays are shown; options that are not named, or are None, stay.

    Args:
        options: NumPy's: precision, threshold, edgeitems, linewidth, suppress, nanstr, infstr, sign, floatmode,
            formatter.

    Raises:
        TypeError, ValueError: for options NumPy does not know.

    Example:
        >>> import squall.numpy as snp
        >>> snp.set_printoptions(precision=2)
        >>> shown = repr(snp.array([1 / 3]))
        >>> snp.set_printoptions(precision=8)
        >>> shown
        'array([0.33])'
    """
    import numpy

    given = {name: value for name, value in options.items() if value is not None}
    with numpy.printoptions(**{**_options, **given}):
        _options.update(given)


@contextlib.contextmanager
def printoptions(**options: Any) -> Iterator[dict[str, Any]]:
    """`set_printoptions` for the length of a `with` block.

    Example:
        >>> import squall.numpy as snp
        >>> with snp.printoptions(precision=3):
        ...     print(snp.array([2 / 3]))
        [0.667]
    """
    before = dict(_options)
    try:
        set_printoptions(**options)
        yield get_printoptions()
    finally:
        _options.clear()
        _options.update(before)


def array2string(a: Any, *args: Any, **options: Any) -> str:
    """An array as text; arguments as NumPy's.

    Example:
        >>> import squall.numpy as snp
        >>> snp.array2string(snp.arange(3), separator=",")
        '[0,1,2]'
    """
    import numpy

    with numpy.printoptions(**_options):
        return numpy.array2string(_plain(a), *args, **options)


def array_repr(
    arr: Any, max_line_width: int | None = None, precision: int | None = None, suppress_small: bool | None = None
) -> str:
    """An array as `repr` shows it.

    Example:
        >>> import squall.numpy as snp
        >>> snp.array_repr(snp.array([1.23456]), precision=2)
        'array([1.23])'
    """
    import numpy

    with numpy.printoptions(**_options):
        return numpy.array_repr(_plain(arr), max_line_width, precision, suppress_small)


def array_str(
    a: Any, max_line_width: int | None = None, precision: int | None = None, suppress_small: bool | None = None
) -> str:
    """An array as `str` shows it.

    Example:
        >>> import squall.numpy as snp
        >>> snp.array_str(snp.arange(3))
        '[0 1 2]'
    """
    import numpy

    with numpy.printoptions(**_options):
        return numpy.array_str(_plain(a), max_line_width, precision, suppress_small)


def _number(x: Any) -> Any:
    value = _plain(x)
    return value[()] if getattr(value, "shape", None) == () else value


def format_float_positional(x: Any, *args: Any, **options: Any) -> str:
    """A number with digits before and behind the point; arguments as NumPy's.

    Example:
        >>> import squall.numpy as snp
        >>> snp.format_float_positional(0.1234, precision=3)
        '0.123'
    """
    import numpy

    return numpy.format_float_positional(_number(x), *args, **options)


def format_float_scientific(x: Any, *args: Any, **options: Any) -> str:
    """A number with an exponent; arguments as NumPy's.

    Example:
        >>> import squall.numpy as snp
        >>> snp.format_float_scientific(1234.5, precision=2)
        '1.23e+03'
    """
    import numpy

    return numpy.format_float_scientific(_number(x), *args, **options)


_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def base_repr(number: int, base: int = 2, padding: int = 0) -> str:
    """A whole number in another base, with zeros before it.

    Example:
        >>> import squall.numpy as snp
        >>> snp.base_repr(-10, 16), snp.base_repr(5, padding=2)
        ('-A', '00101')
    """
    if not 2 <= base <= len(_DIGITS):
        word = "Bases greater than 36" if base > 36 else "Bases less than 2"
        raise ValueError(f"{word} not handled in base_repr.")
    left, digits = abs(int(number)), ""
    while left:
        left, digit = divmod(left, base)
        digits = _DIGITS[digit] + digits
    if not digits and padding == 0:
        digits = "0"
    return "-" * (int(number) < 0) + "0" * padding + digits


def binary_repr(num: int, width: int | None = None) -> str:
    """A whole number in base 2; negative ones as two's complement of a width, or with a sign.

    Raises:
        ValueError: for a width that does not hold the number.

    Example:
        >>> import squall.numpy as snp
        >>> snp.binary_repr(3, width=4), snp.binary_repr(-3, width=4), snp.binary_repr(-3)
        ('0011', '1101', '-11')
    """
    value = int(num)
    plain = format(abs(value), "b")
    if width is None:
        return "-" * (value < 0) + plain
    least = len(plain) if value >= 0 else (abs(value) - 1).bit_length() + 1
    if width < least:
        raise ValueError(f"Insufficient bit width={width} provided for binwidth={least}")
    return format(value % (1 << width) if value < 0 else value, "b").zfill(width) if width else ""
