"""Assertions on arrays under the names of `numpy.testing`, which compares the values."""

from __future__ import annotations

from typing import Any

from squall.numpy.core import arr, is_array


def _plain(value: Any) -> Any:
    if is_array(value):
        return arr(value).detach_array()
    return type(value)(map(_plain, value)) if type(value) in (list, tuple) else value


def _checked(name: str, *args: Any, **options: Any) -> None:
    from numpy import testing

    getattr(testing, name)(*map(_plain, args), **options)


def assert_allclose(actual: Any, desired: Any, rtol: float = 1e-7, atol: float = 0, **options: Any) -> None:
    """AssertionError unless values agree up to tolerances.

    Example:
        >>> import squall.numpy as snp
        >>> snp.testing.assert_allclose(snp.array([1.0]) + 1e-9, [1.0])
    """
    _checked("assert_allclose", actual, desired, rtol=rtol, atol=atol, **options)


def assert_array_equal(actual: Any, desired: Any, **options: Any) -> None:
    """AssertionError unless shapes and values are equal.

    Example:
        >>> import squall.numpy as snp
        >>> snp.testing.assert_array_equal(snp.arange(2), [0, 1])
    """
    _checked("assert_array_equal", actual, desired, **options)


def assert_equal(actual: Any, desired: Any, err_msg: str = "", verbose: bool = True) -> None:
    """AssertionError unless two things are equal, arrays in containers too.

    Example:
        >>> import squall.numpy as snp
        >>> snp.testing.assert_equal([snp.arange(2)], [[0, 1]])
    """
    _checked("assert_equal", actual, desired, err_msg=err_msg, verbose=verbose)


def assert_array_almost_equal(actual: Any, desired: Any, decimal: int = 6, **options: Any) -> None:
    """AssertionError unless values agree to so many digits behind the point.

    Example:
        >>> import squall.numpy as snp
        >>> snp.testing.assert_array_almost_equal(snp.array([1.0]), [1.00001], decimal=4)
    """
    _checked("assert_array_almost_equal", actual, desired, decimal, **options)


def assert_almost_equal(actual: Any, desired: Any, decimal: int = 7, **options: Any) -> None:
    """AssertionError unless numbers or arrays agree to so many digits behind the point.

    Example:
        >>> import squall.numpy as snp
        >>> snp.testing.assert_almost_equal(snp.array(1.0), 1.00001, decimal=4)
    """
    _checked("assert_almost_equal", actual, desired, decimal, **options)


def assert_array_less(x: Any, y: Any, **options: Any) -> None:
    """AssertionError unless every value is below the other.

    Example:
        >>> import squall.numpy as snp
        >>> snp.testing.assert_array_less(snp.arange(2), 2)
    """
    _checked("assert_array_less", x, y, **options)


__all__ = [
    "assert_allclose", "assert_almost_equal", "assert_array_almost_equal", "assert_array_equal",
    "assert_array_less", "assert_equal",
]  # fmt: skip
