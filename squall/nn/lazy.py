"""Layers that learn the size of their input from the first one: until then their parameters are uninitialised."""

from __future__ import annotations

from typing import Any

import squall as sq
from squall.nn.batch_normalization import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    InstanceNorm1d,
    InstanceNorm2d,
    InstanceNorm3d,
)
from squall.nn.convolution import Conv1d, Conv2d, Conv3d
from squall.nn.linear import Linear
from squall.nn.module import Module
from squall.nn.parameter import Buffer, Parameter
from squall.nn.transposed_convolution import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d


class UninitializedParameter(Parameter):
    """A parameter whose shape is not known yet; `materialize` makes it an ordinary one, the same object.

    Example:
        >>> import squall as sq
        >>> p = UninitializedParameter()
        >>> p.materialize((2, 3))
        >>> type(p).__name__, tuple(p.shape)
        ('Parameter', (2, 3))
    """

    __slots__ = ()

    def __new__(cls, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> UninitializedParameter:
        """An empty Tensor of the dtype it will have."""
        return super().__new__(cls, sq.empty(0, device=device, dtype=dtype), requires_grad)  # type: ignore[return-value]

    def __init__(self, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> None:
        pass

    def materialize(self, shape: Any, device: Any = None, dtype: Any = None) -> None:
        """Take a shape; the values are whatever the memory holds."""
        self.data = sq.empty(tuple(shape), device=device or self.device, dtype=dtype or self.dtype)
        object.__setattr__(self, "__class__", Parameter)

    def __repr__(self) -> str:
        return "<UninitializedParameter>"


class UninitializedBuffer(Buffer):
    """A buffer whose shape is not known yet; `materialize` makes it an ordinary Tensor, the same object.

    Example:
        >>> import squall as sq
        >>> b = UninitializedBuffer()
        >>> b.materialize((2, 3))
        >>> type(b).__name__, tuple(b.shape)
        ('Buffer', (2, 3))
    """

    __slots__ = ()

    def __new__(
        cls, requires_grad: bool = False, device: Any = None, dtype: Any = None, persistent: bool = True, **_: Any
    ) -> UninitializedBuffer:
        """An empty Tensor of the dtype it will have."""
        made = super().__new__(cls, sq.empty(0, device=device, dtype=dtype), persistent=persistent)
        return made.requires_grad_(requires_grad)  # type: ignore[return-value]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def materialize(self, shape: Any, device: Any = None, dtype: Any = None) -> None:
        """Take a shape; the values are whatever the memory holds."""
        self.data = sq.empty(tuple(shape), device=device or self.device, dtype=dtype or self.dtype)
        object.__setattr__(self, "__class__", Buffer)

    def __repr__(self) -> str:
        return "<UninitializedBuffer>"


def is_lazy(param: Any) -> bool:
    """Whether a parameter or buffer has no shape yet.

    Example:
        >>> import squall as sq
        >>> sq.nn.is_lazy(sq.nn.LazyLinear(2).weight)
        True
    """
    return isinstance(param, (UninitializedParameter, UninitializedBuffer))


class _Lazy(Module):
    """What the layers share: the first call, or the first state dictionary, gives the size and the final class."""

    becomes: type
    sized = "in_channels"

    def _wait(self, **shapes: Any) -> None:
        """Leave the named parameters without shape."""
        for name in shapes:
            held = self._parameters[name]
            if held is not None:
                setattr(self, name, UninitializedParameter(dtype=held.dtype))
        self._load = self.register_load_state_dict_pre_hook(_from_state)

    def has_uninitialized_params(self) -> bool:
        """Whether the size is not known yet."""
        return any(isinstance(p, UninitializedParameter) for p in self._parameters.values())

    def _shapes(self, size: int) -> dict[str, tuple]:
        """The shapes of the parameters for an input of this size."""
        raise TypeError(f"{type(self).__name__} must say what shapes its parameters have")

    def _size_of(self, input: Any) -> int:
        """What an input says about the size."""
        return input.shape[1]

    def _size_of_weight(self, weight: Any) -> int:
        """What a stored weight says about it."""
        return weight.shape[0]

    def _become(self, size: int) -> None:
        setattr(self, self.sized, size)
        for name, shape in self._shapes(size).items():
            held = self._parameters.get(name)
            if isinstance(held, UninitializedParameter):
                held.materialize(shape)
        self._load.remove()
        del self._load
        object.__setattr__(self, "__class__", self.becomes)
        self.reset_parameters()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if isinstance(self, _Lazy):
            self._become(self._size_of(args[0] if args else kwargs["input"]))
        return self(*args, **kwargs)


def _from_state(module: Any, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
    weight = state_dict.get(prefix + "weight")
    if weight is not None and isinstance(module, _Lazy):
        module._become(module._size_of_weight(weight))


class LazyLinear(_Lazy, Linear):
    """`Linear` whose in_features is the last size of the first input.

    Example:
        >>> import squall as sq
        >>> layer = sq.nn.LazyLinear(4)
        >>> layer(sq.zeros(2, 3)).shape, layer
        (squall.Size([2, 4]), Linear(in_features=3, out_features=4, bias=True))
    """

    becomes, sized = Linear, "in_features"

    def __init__(self, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None) -> None:
        super().__init__(0, out_features, bias, device, dtype)
        self._wait(weight=None)

    def _size_of(self, input: Any) -> int:
        return input.shape[-1]

    def _size_of_weight(self, weight: Any) -> int:
        return weight.shape[1]

    def _shapes(self, size: int) -> dict[str, tuple]:
        return {"weight": (self.out_features, size)}


class _LazyConv(_Lazy):
    """A convolution whose in_channels is not known; arguments as for the layer it becomes, without in_channels."""

    spatial: int
    transposed = False

    def __init__(self, out_channels: int, kernel_size: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(0, out_channels, kernel_size, *args, **kwargs)  # type: ignore[call-arg]  the layer's own
        self._wait(weight=None)

    def _size_of(self, input: Any) -> int:
        return input.shape[-self.spatial - 1]

    def _size_of_weight(self, weight: Any) -> int:
        return weight.shape[0] if self.transposed else weight.shape[1] * self.groups

    def _shapes(self, size: int) -> dict[str, tuple]:
        out = self.out_channels
        first = (size, out // self.groups) if self.transposed else (out, size // self.groups)
        return {"weight": (*first, *self.kernel_size)}


class LazyConv1d(_LazyConv, Conv1d):
    """`Conv1d` whose in_channels comes from the first input."""

    becomes = Conv1d


class LazyConv2d(_LazyConv, Conv2d):
    """`Conv2d` whose in_channels comes from the first input."""

    becomes = Conv2d


class LazyConv3d(_LazyConv, Conv3d):
    """`Conv3d` whose in_channels comes from the first input."""

    becomes = Conv3d


class LazyConvTranspose1d(_LazyConv, ConvTranspose1d):
    """`ConvTranspose1d` whose in_channels comes from the first input."""

    becomes, transposed = ConvTranspose1d, True


class LazyConvTranspose2d(_LazyConv, ConvTranspose2d):
    """`ConvTranspose2d` whose in_channels comes from the first input."""

    becomes, transposed = ConvTranspose2d, True


class LazyConvTranspose3d(_LazyConv, ConvTranspose3d):
    """`ConvTranspose3d` whose in_channels comes from the first input."""

    becomes, transposed = ConvTranspose3d, True


class _LazyNorm(_Lazy):
    """A normalisation whose num_features is not known; arguments as for the layer it becomes, without it."""

    sized = "num_features"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(0, *args, **kwargs)  # type: ignore[call-arg]  the layer's own
        self._wait(weight=None, bias=None)

    def _shapes(self, size: int) -> dict[str, tuple]:
        return {"weight": (size,), "bias": (size,)}

    def _become(self, size: int) -> None:
        for name in ("running_mean", "running_var"):
            held = self._buffers.get(name)
            if held is not None:
                setattr(self, name, sq.zeros(size, dtype=held.dtype))
        super()._become(size)


class LazyBatchNorm1d(_LazyNorm, BatchNorm1d):
    """`BatchNorm1d` whose num_features comes from the first input."""

    becomes = BatchNorm1d


class LazyBatchNorm2d(_LazyNorm, BatchNorm2d):
    """`BatchNorm2d` whose num_features comes from the first input."""

    becomes = BatchNorm2d


class LazyBatchNorm3d(_LazyNorm, BatchNorm3d):
    """`BatchNorm3d` whose num_features comes from the first input."""

    becomes = BatchNorm3d


class _LazyInstanceNorm(_LazyNorm):
    """Its input may come without the batch."""

    ranks: tuple[int, ...]

    def _size_of(self, input: Any) -> int:
        return input.shape[1 - self.ranks[0]]


class LazyInstanceNorm1d(_LazyInstanceNorm, InstanceNorm1d):
    """`InstanceNorm1d` whose num_features comes from the first input."""

    becomes = InstanceNorm1d


class LazyInstanceNorm2d(_LazyInstanceNorm, InstanceNorm2d):
    """`InstanceNorm2d` whose num_features comes from the first input."""

    becomes = InstanceNorm2d


class LazyInstanceNorm3d(_LazyInstanceNorm, InstanceNorm3d):
    """`InstanceNorm3d` whose num_features comes from the first input."""

    becomes = InstanceNorm3d
