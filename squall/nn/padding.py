"""Padding layers: by a constant, by reflection, by repeating the edge, and around."""

from __future__ import annotations

from typing import Any

from squall.nn import functional as F
from squall.nn.functional.core import many
from squall.nn.module import Module


class _Padding(Module):
    """What the layers share: sizes for the last dimensions, the last one first, and a mode of `F.pad`."""

    spatial = 0
    mode = "constant"
    value: float | None = None

    def __init__(self, padding: Any) -> None:
        super().__init__()
        self.padding = many(padding, 2 * self.spatial, self._get_name(), "padding")

    def forward(self, input: Any) -> Any:
        return F.pad(input, self.padding, self.mode, self.value)

    def extra_repr(self) -> str:
        """The sizes."""
        return f"{self.padding}"


class ConstantPad1d(_Padding):
    """Pads the last dimension by a value.

    Args:
        padding: an int, or (left, right). value: what is padded with.
    """

    spatial = 1

    def __init__(self, padding: Any, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def extra_repr(self) -> str:
        """The sizes and the value."""
        return f"padding={self.padding}, value={self.value}"


class ConstantPad2d(ConstantPad1d):
    """Pads the last two dimensions by a value: (left, right, top, bottom) or an int."""

    spatial = 2


class ConstantPad3d(ConstantPad1d):
    """Pads the last three dimensions by a value: (left, right, top, bottom, front, back) or an int."""

    spatial = 3


class ZeroPad1d(_Padding):
    """Pads the last dimension by zeros: (left, right) or an int."""

    spatial, value = 1, 0.0


class ZeroPad2d(_Padding):
    """Pads the last two dimensions by zeros: (left, right, top, bottom) or an int."""

    spatial, value = 2, 0.0


class ZeroPad3d(_Padding):
    """Pads the last three dimensions by zeros: (left, right, top, bottom, front, back) or an int."""

    spatial, value = 3, 0.0


class ReflectionPad1d(_Padding):
    """Pads the last dimension by reflection at the edge, which is not repeated."""

    spatial, mode = 1, "reflect"


class ReflectionPad2d(_Padding):
    """Pads the last two dimensions by reflection.

    Example:
        >>> import squall as sq
        >>> sq.nn.ReflectionPad2d((1, 0, 0, 0))(sq.tensor([[[1.0, 2.0]]]))
        tensor([[[2., 1., 2.]]])
    """

    spatial, mode = 2, "reflect"


class ReflectionPad3d(_Padding):
    """Pads the last three dimensions by reflection."""

    spatial, mode = 3, "reflect"


class ReplicationPad1d(_Padding):
    """Pads the last dimension by the elements at its edges."""

    spatial, mode = 1, "replicate"


class ReplicationPad2d(_Padding):
    """Pads the last two dimensions by the elements at their edges."""

    spatial, mode = 2, "replicate"


class ReplicationPad3d(_Padding):
    """Pads the last three dimensions by the elements at their edges."""

    spatial, mode = 3, "replicate"


class CircularPad1d(_Padding):
    """Pads the last dimension by what stands at its other end."""

    spatial, mode = 1, "circular"


class CircularPad2d(_Padding):
    """Pads the last two dimensions by what stands at their other ends."""

    spatial, mode = 2, "circular"


class CircularPad3d(_Padding):
    """Pads the last three dimensions by what stands at their other ends."""

    spatial, mode = 3, "circular"
