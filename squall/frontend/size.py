"""Size: the tuple `Tensor.shape` gives, printed and indexed like PyTorch's."""

from __future__ import annotations

from typing import Any

from squall.base.shapes import numel


class Size(tuple):
    """The sizes of a tensor: a tuple that slices to Size and knows its element count.

    Example:
        >>> Size((2, 3))[:1], Size((2, 3)).numel()
        (squall.Size([2]), 6)
    """

    __slots__ = ()

    def numel(self) -> int:
        """The product of the sizes."""
        return numel(tuple(self))  # type: ignore[return-value]

    def __getitem__(self, item: Any) -> Any:
        found = tuple.__getitem__(self, item)
        return Size(found) if isinstance(item, slice) else found

    def __add__(self, other: Any) -> Size:
        return Size(tuple(self) + tuple(other))

    def __repr__(self) -> str:
        return f"squall.Size([{', '.join(map(str, self))}])"
