"""Which arrays lie in the same memory, under NumPy's names."""

from __future__ import annotations

from typing import Any

from squall.numpy.core import arr


def shares_memory(a: Any, b: Any, max_work: Any = None) -> bool:
    """Whether two arrays have an element in common.

    Args:
        max_work: how long to search, as in NumPy; None: until it is known.

    Raises:
        numpy.exceptions.TooHardError: when `max_work` did not suffice.

    Example:
        >>> import squall.numpy as snp
        >>> a = snp.arange(4)
        >>> snp.shares_memory(a, a[1:]), snp.shares_memory(a[::2], a[1::2])
        (True, False)
    """
    import numpy

    return numpy.shares_memory(arr(a).detach_array(), arr(b).detach_array(), max_work)


def may_share_memory(a: Any, b: Any, max_work: Any = None) -> bool:
    """Whether the stretches of memory that two arrays span overlap.

    Example:
        >>> import squall.numpy as snp
        >>> a = snp.arange(4)
        >>> snp.may_share_memory(a[::2], a[1::2])
        True
    """
    import numpy

    return numpy.may_share_memory(arr(a).detach_array(), arr(b).detach_array(), max_work)
