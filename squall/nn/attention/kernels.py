"""PyTorch's choice among kernels of attention: accepted, and without an effect, as there is one kernel here."""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Iterator
from typing import Any


class SDPBackend(enum.IntEnum):
    """The kernels that PyTorch knows.

    Example:
        >>> import squall as sq
        >>> sq.nn.attention.SDPBackend.MATH.value
        0
    """

    ERROR = -1
    MATH = 0
    FLASH_ATTENTION = 1
    EFFICIENT_ATTENTION = 2
    CUDNN_ATTENTION = 3
    OVERRIDEABLE = 4


@contextlib.contextmanager
def sdpa_kernel(backends: Any, set_priority: bool = False) -> Iterator[None]:
    """Attention by the named kernels inside a `with` block; squall's one kernel serves for all of them.

    Args:
        backends: one of `SDPBackend`, or a list of them. set_priority: whether the order counts.

    Raises:
        TypeError: for anything else.

    Example:
        >>> import squall as sq
        >>> from squall.nn.attention import SDPBackend, sdpa_kernel
        >>> q = sq.zeros(1, 1, 2, 4)
        >>> with sdpa_kernel(SDPBackend.MATH):
        ...     sq.nn.functional.scaled_dot_product_attention(q, q, q).shape
        squall.Size([1, 1, 2, 4])
    """
    given = list(backends) if isinstance(backends, (list, tuple, set)) else [backends]
    if not given or not all(isinstance(backend, SDPBackend) for backend in given):
        raise TypeError(f"sdpa_kernel(): argument 'backends' must be SDPBackend or a list of them, not {backends!r}")
    yield
