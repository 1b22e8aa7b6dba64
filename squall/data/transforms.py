"""Transforms of samples: images of shape (channels, rows, columns), as Tensors or arrays, one at a time.

They compute with NumPy, because a data set's samples are small and many. What is random is drawn from squall's
Generators, so a seed repeats it, also in worker processes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import squall as sq
from squall.base.errors import ShapeError
from squall.data import draws
from squall.data.collate import own


def _array(name: str, image: Any) -> Any:
    """An image as an ndarray of at least two dimensions, rows and columns last."""
    import numpy

    array = image.detach_array() if isinstance(image, sq.Tensor) else numpy.asarray(image)
    if array.ndim < 2:
        raise ShapeError(f"{name}: expected an image of shape (..., rows, columns), got {tuple(array.shape)}")
    return array


def _like(image: Any, array: Any) -> Any:
    """A result of the kind that was given: Tensor or array."""
    import numpy

    array = numpy.ascontiguousarray(array)
    return own(array) if isinstance(image, sq.Tensor) else array


def _pair(value: Any, name: str) -> tuple[int, int]:
    pair = (value, value) if isinstance(value, int) else tuple(value)
    if len(pair) != 2 or any(not isinstance(n, int) or n < 1 for n in pair):
        raise ValueError(f"{name}: size={value!r}; expected a number or (rows, columns), at least 1")
    return pair


class Compose:
    """Several transforms one after the other.

    Args:
        transforms: functions of a sample.

    Example:
        >>> import numpy, squall as sq
        >>> T = sq.data.transforms
        >>> T.Compose([T.ToTensor(), T.Normalize([0.5], [0.5])])(numpy.full((1, 2), 255, "u1")).tolist()
        [[[1.0, 1.0]]]
    """

    def __init__(self, transforms: Sequence[Callable[[Any], Any]]) -> None:
        self.transforms = list(transforms)

    def __call__(self, sample: Any) -> Any:
        for transform in self.transforms:
            sample = transform(sample)
        return sample

    def __repr__(self) -> str:
        return f"Compose({self.transforms})"


class ToTensor:
    """An image of shape (rows, columns) or (rows, columns, channels) as a float32 Tensor (channels, rows, columns).

    Values of uint8 images go from 0 to 1, others stay as they are. Takes arrays and what NumPy reads, such as PIL's
    images.
    """

    def __call__(self, image: Any) -> Any:
        import numpy

        array = numpy.asarray(image)
        if array.ndim not in (2, 3):
            raise ShapeError(f"ToTensor: expected 2 or 3 dimensions, got shape {array.shape}")
        array = array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
        if array.dtype == numpy.uint8:
            array = array.astype(numpy.float32) / numpy.float32(255)
        return own(numpy.array(array, numpy.float32, order="C"))


class Normalize:
    """Subtract a mean and divide by a deviation, channel by channel.

    Args:
        mean, std: one number for each channel, or one for all.

    Raises:
        ValueError: for a deviation of 0.
    """

    def __init__(self, mean: Any, std: Any) -> None:
        import numpy

        self.mean = numpy.asarray(mean, numpy.float32).reshape(-1, 1, 1)
        self.std = numpy.asarray(std, numpy.float32).reshape(-1, 1, 1)
        if (self.std == 0).any():
            raise ValueError("Normalize: std is zero for a channel, leading to division by zero")

    def __call__(self, image: Any) -> Any:
        array = _array("Normalize", image)
        if array.dtype.kind != "f":
            raise TypeError(f"Normalize: expected an image of floating point numbers, got {array.dtype}")
        return _like(image, ((array - self.mean) / self.std).astype(array.dtype))


class Pad:
    """Rows and columns around an image.

    Args:
        padding: how many on every side, (left and right, top and bottom), or (left, top, right, bottom). fill: their
            value. mode: "constant", "edge", "reflect" or "symmetric".
    """

    def __init__(self, padding: Any, fill: float = 0, mode: str = "constant") -> None:
        sides = (padding,) if isinstance(padding, int) else tuple(padding)
        if len(sides) not in (1, 2, 4) or any(not isinstance(n, int) or n < 0 for n in sides):
            raise ValueError(f"Pad: padding={padding!r}; expected 1, 2 or 4 numbers that are not negative")
        if mode not in ("constant", "edge", "reflect", "symmetric"):
            raise ValueError(f"Pad: mode={mode!r}; one of 'constant', 'edge', 'reflect', 'symmetric'")
        self.left, self.top, self.right, self.bottom = (sides[d % len(sides)] for d in range(4))
        self.fill, self.mode = fill, mode

    def __call__(self, image: Any) -> Any:
        import numpy

        array = _array("Pad", image)
        width = [(0, 0)] * (array.ndim - 2) + [(self.top, self.bottom), (self.left, self.right)]
        more: Any = {"constant_values": self.fill} if self.mode == "constant" else {}
        return _like(image, numpy.pad(array, width, self.mode, **more))  # type: ignore[call-overload]


class CenterCrop:
    """The middle of an image.

    Args:
        size: rows and columns, or one number for both.
    """

    def __init__(self, size: Any) -> None:
        self.size = _pair(size, "CenterCrop")

    def __call__(self, image: Any) -> Any:
        array = _array("CenterCrop", image)
        rows, columns = _fitting("CenterCrop", array, self.size)
        return _like(image, _window(array, rows // 2, columns // 2, self.size))


def _fitting(name: str, array: Any, size: tuple[int, int]) -> tuple[int, int]:
    """How many rows and columns are left over; ShapeError when the image is too small."""
    rows, columns = array.shape[-2] - size[0], array.shape[-1] - size[1]
    if rows < 0 or columns < 0:
        raise ShapeError(f"{name}: an image of {array.shape[-2:]} is smaller than the size {size}")
    return rows, columns


def _window(array: Any, top: int, left: int, size: tuple[int, int]) -> Any:
    return array[..., top : top + size[0], left : left + size[1]]


class RandomCrop:
    """A window of an image at a random place.

    Args:
        size: rows and columns, or one number for both. padding, fill, mode: as in Pad, put on before. generator: the
            random source; the default one when None.

    Raises:
        ShapeError: when the image with its padding is smaller than the window.
    """

    def __init__(self, size: Any, padding: Any = None, fill: float = 0, mode: str = "constant",
                 generator: Any = None) -> None:
        self.size, self.generator = _pair(size, "RandomCrop"), generator
        self.pad = None if padding is None else Pad(padding, fill, mode)

    def __call__(self, image: Any) -> Any:
        array = _array("RandomCrop", image)
        if self.pad is not None:
            array = self.pad(array)
        rows, columns = _fitting("RandomCrop", array, self.size)
        top, left = draws.below(self.generator, rows + 1), draws.below(self.generator, columns + 1)
        return _like(image, _window(array, top, left, self.size))


class RandomHorizontalFlip:
    """An image, mirrored left to right with a probability.

    Args:
        p: the probability. generator: the random source; the default one when None.
    """

    dim = -1

    def __init__(self, p: float = 0.5, generator: Any = None) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"{type(self).__name__}: p={p} is not between 0 and 1")
        self.p, self.generator = p, generator

    def __call__(self, image: Any) -> Any:
        import numpy

        if draws.uniform(self.generator) >= self.p:
            return image
        return _like(image, numpy.flip(_array(type(self).__name__, image), self.dim))


class RandomVerticalFlip(RandomHorizontalFlip):
    """An image, turned upside down with a probability.

    Args:
        p: the probability. generator: the random source; the default one when None.
    """

    dim = -2


class Resize:
    """An image of another size, by bilinear interpolation between pixel centres, or the nearest pixel.

    Args:
        size: rows and columns, or one number for the shorter side, the other one in proportion. mode: "bilinear" or
            "nearest". antialias: when it gets smaller, weigh all pixels that a new one covers.
    """

    def __init__(self, size: Any, mode: str = "bilinear", antialias: bool = True) -> None:
        if mode not in ("bilinear", "nearest"):
            raise ValueError(f"Resize: mode={mode!r}; 'bilinear' or 'nearest'")
        self.size, self.mode, self.antialias = size, mode, antialias
        _pair(size, "Resize")

    def _target(self, rows: int, columns: int) -> tuple[int, int]:
        if not isinstance(self.size, int):
            return _pair(self.size, "Resize")
        if rows <= columns:
            return self.size, max(1, int(self.size * columns / rows))
        return max(1, int(self.size * rows / columns)), self.size

    def __call__(self, image: Any) -> Any:
        import numpy

        array = _array("Resize", image)
        rows, columns = self._target(*array.shape[-2:])
        if self.mode == "nearest":
            up = (numpy.arange(rows) * array.shape[-2]) // rows
            across = (numpy.arange(columns) * array.shape[-1]) // columns
            return _like(image, array[..., up[:, None], across])
        wide = array.astype(numpy.float32 if array.dtype.kind != "f" or array.dtype.itemsize < 4 else array.dtype)
        wide = _weights(array.shape[-2], rows, self.antialias).astype(wide.dtype) @ wide
        wide = wide @ _weights(array.shape[-1], columns, self.antialias).astype(wide.dtype).T
        if array.dtype.kind in "ui":
            limits = numpy.iinfo(array.dtype)
            wide = numpy.clip(numpy.rint(wide), limits.min, limits.max)
        return _like(image, wide.astype(array.dtype))


def _weights(old: int, new: int, antialias: bool) -> Any:
    """How much each of `old` pixels counts for each of `new`, shape (new, old)."""
    import numpy

    scale = old / new
    reach = max(scale, 1.0) if antialias else 1.0
    centres = (numpy.arange(new) + 0.5) * scale
    if not antialias:
        centres = numpy.clip(centres, 0.5, old - 0.5)
    distance = numpy.abs(numpy.arange(old) + 0.5 - centres[:, None]) / reach
    weights = numpy.maximum(0.0, 1.0 - distance)
    return weights / weights.sum(1, keepdims=True)


class ColorJitter:
    """Brightness, contrast and saturation changed at random, in random order; values stay between 0 and 1 (or 255 for
    uint8).

    Args:
        brightness, contrast, saturation: how much, 0 for not at all: a factor from 1 - value to 1 + value.
            generator: the random source; the default one when None.
    """

    def __init__(self, brightness: float = 0, contrast: float = 0, saturation: float = 0,
                 generator: Any = None) -> None:
        self.amounts = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
        for name, value in self.amounts.items():
            if value < 0:
                raise ValueError(f"ColorJitter: {name}={value} is negative")
        self.generator = generator

    def __call__(self, image: Any) -> Any:
        import numpy

        array = _array("ColorJitter", image)
        top = 255.0 if array.dtype == numpy.uint8 else 1.0
        values = array.astype(numpy.float32)
        steps = [name for name, value in self.amounts.items() if value]
        for last in range(len(steps) - 1, 0, -1):
            other = draws.below(self.generator, last + 1)
            steps[last], steps[other] = steps[other], steps[last]
        for step in steps:
            amount = self.amounts[step]
            factor = draws.uniform(self.generator, max(0.0, 1.0 - amount), 1.0 + amount)
            values = numpy.clip(_jittered(step, values, factor), 0.0, top)
        if array.dtype.kind in "ui":
            values = numpy.rint(values)
        return _like(image, values.astype(array.dtype))


def _grey(values: Any) -> Any:
    """The brightness of each pixel, as a single channel."""
    if values.ndim < 3 or values.shape[-3] != 3:
        return values
    red, green, blue = (values[..., i : i + 1, :, :] for i in range(3))
    return 0.2989 * red + 0.587 * green + 0.114 * blue


def _jittered(step: str, values: Any, factor: float) -> Any:
    if step == "brightness":
        return values * factor
    other = _grey(values).mean((-3, -2, -1) if values.ndim > 2 else None, keepdims=True)
    if step == "saturation":
        other = _grey(values)
    return factor * values + (1.0 - factor) * other


class RandomErasing:
    """An image in which a rectangle is blanked with a probability.

    Args:
        p: the probability. scale: the least and the greatest share of the area. value: what the pixels become.
            generator: the random source; the default one when None.
    """

    def __init__(self, p: float = 0.5, scale: tuple[float, float] = (0.02, 0.33), value: float = 0.0,
                 generator: Any = None) -> None:
        if not 0 <= p <= 1 or not 0 < scale[0] <= scale[1] <= 1:
            raise ValueError(f"RandomErasing: p={p}, scale={scale}; expected 0 <= p <= 1 and 0 < scale <= 1")
        self.p, self.scale, self.value, self.generator = p, scale, value, generator

    def __call__(self, image: Any) -> Any:
        if draws.uniform(self.generator) >= self.p:
            return image
        array = _array("RandomErasing", image).copy()
        rows, columns = array.shape[-2:]
        area = draws.uniform(self.generator, *self.scale) * rows * columns
        shape = math.exp(draws.uniform(self.generator, math.log(0.3), math.log(1 / 0.3)))
        high = min(rows, max(1, round(math.sqrt(area * shape))))
        wide = min(columns, max(1, round(math.sqrt(area / shape))))
        top, left = draws.below(self.generator, rows - high + 1), draws.below(self.generator, columns - wide + 1)
        array[..., top : top + high, left : left + wide] = self.value
        return _like(image, array)
