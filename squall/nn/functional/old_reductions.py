"""How losses are reduced, by the name or by the two flags that old programs use."""

from __future__ import annotations

from typing import Any


def chosen_reduction(size_average: Any, reduce: Any, reduction: str) -> str:
    """The name of the reduction; `size_average` and `reduce` override it where one of them is given.

    Example:
        >>> chosen_reduction(None, None, "sum"), chosen_reduction(False, None, "mean")
        ('sum', 'sum')
    """
    if size_average is None and reduce is None:
        return reduction
    if reduce is False:
        return "none"
    return "sum" if size_average is False else "mean"
