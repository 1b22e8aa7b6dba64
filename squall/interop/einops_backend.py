"""Tensors for einops: the class its functions find a Tensor's operations in.

einops looks among the subclasses of its `AbstractBackend` for one whose library is loaded. The package makes that class
when it notices that einops was imported (`squall/__init__.py`); nothing here imports either before that.
"""

from __future__ import annotations

import sys
from typing import Any

_made: list[type] = []  # einops finds subclasses by weak references; this keeps ours


def register_einops() -> None:
    """Let einops take squall's Tensors: `einops.rearrange(x, "b c h w -> b (c h w)")`.

    The first use of any name of the package (`sq.tensor`, `sq.nn`) after einops was imported calls it, so it is rarely
    needed: only where every name a program uses was touched before einops was imported.

    Raises:
        ModuleNotFoundError: when einops is not installed, saying what to install.

    Example:
        >>> import squall as sq
        >>> try:
        ...     sq.interop.register_einops()
        ... except ModuleNotFoundError as error:
        ...     assert "pip install einops" in str(error)
    """
    if _made:
        return
    try:
        from einops._backends import AbstractBackend
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("register_einops: einops is not installed: pip install einops") from error
    _made.append(type("SquallBackend", (_Operations, AbstractBackend), {}))


class _Operations:
    """What einops asks of a library, under the names it uses."""

    framework_name = "squall"

    def __init__(self) -> None:
        self.squall = sys.modules["squall"]

    def is_appropriate_type(self, tensor: Any) -> bool:
        """Whether a value is a Tensor."""
        return isinstance(tensor, self.squall.Tensor)

    def from_numpy(self, x: Any) -> Any:
        """A Tensor that shares an array's memory."""
        return self.squall.from_numpy(x)

    def to_numpy(self, x: Any) -> Any:
        """An array of the values."""
        return x.detach().numpy()

    def arange(self, start: int, stop: int) -> Any:
        """Whole numbers from start to before stop."""
        return self.squall.arange(start, stop)

    def reshape(self, x: Any, shape: tuple) -> Any:
        """Another shape."""
        return x.reshape(tuple(shape))

    def transpose(self, x: Any, axes: tuple) -> Any:
        """Dimensions in another order."""
        return x.permute(tuple(axes))

    def reduce(self, x: Any, operation: str, axes: tuple) -> Any:
        """min, max, sum, mean, prod, any or all over axes."""
        names = {"min": "amin", "max": "amax"}
        if operation in ("min", "max", "sum", "mean"):
            return getattr(x, names.get(operation, operation))(dim=tuple(axes))
        if operation not in ("any", "all", "prod"):
            raise ValueError(f"einops: squall has no reduction {operation!r}")
        for axis in sorted(axes, reverse=True):
            x = getattr(x, operation)(dim=axis)
        return x

    def stack_on_zeroth_dimension(self, tensors: list) -> Any:
        """Tensors of one shape beside each other."""
        return self.squall.stack(tensors)

    def add_axis(self, x: Any, new_position: int) -> Any:
        """A dimension of size 1."""
        return x.unsqueeze(new_position)

    def add_axes(self, x: Any, n_axes: int, pos2len: dict) -> Any:
        """Dimensions along which values repeat."""
        sizes = [-1] * n_axes
        for position, length in pos2len.items():
            x, sizes[position] = x.unsqueeze(position), length
        return x.expand(*sizes)

    def tile(self, x: Any, repeats: tuple) -> Any:
        """The Tensor repeated along each dimension."""
        return x.repeat(*repeats)

    def concat(self, tensors: list, axis: int) -> Any:
        """Tensors joined along a dimension."""
        return self.squall.cat(list(tensors), dim=axis)

    def is_float_type(self, x: Any) -> bool:
        """Whether means can be taken."""
        return x.dtype.is_floating_point or x.dtype.is_complex

    def einsum(self, pattern: str, *x: Any) -> Any:
        """Sums of products."""
        return self.squall.einsum(pattern, *x)


__all__ = ["register_einops"]
