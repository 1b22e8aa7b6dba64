"""What convolutions and pooling are made of: spatial padding, windows with named dimensions, three contractions.

The data gradient is a convolution of the output gradient, spread by the stride, with the flipped weights; the weight
gradient contracts the output gradient with the windows of the input. All of it is movement and `contract`, so it can
be differentiated again, and the compiler's nest reads the windows without copying them.
"""

from __future__ import annotations

from typing import Any

from squall.base.errors import ShapeError
from squall.ir.op import ops
from squall.ops.joining import pad_by
from squall.ops.slicing import position
from squall.ops.windows import window_count

_PLACES, _TAPS = "pqr", "xyz"


def check_spatial(name: str, shape: tuple, kernel: tuple, **attributes: tuple) -> int:
    """The number of spatial dimensions; ShapeError unless shapes and attributes agree on it."""
    rank = len(shape) - 2
    if rank not in (1, 2, 3) or len(kernel) != rank:
        raise ShapeError(
            f"{name}: expected input [batch, channels, 1 to 3 spatial sizes] and a window of as many sizes, "
            f"got shape {tuple(shape)} and window {tuple(kernel)}"
        )
    for key, value in attributes.items():
        if len(value) != rank:
            raise ShapeError(f"{name}: {key} {value} needs {rank} entries for input of shape {tuple(shape)}")
    return rank


def pad_spatial(x: Any, padding: tuple, interior: tuple | None = None, value: Any = 0) -> Any:
    """Pad the spatial dimensions by (low, high) pairs."""
    lead = len(x.shape) - len(padding)
    return pad_by(
        x,
        (0,) * lead + tuple(p[0] for p in padding),
        (0,) * lead + tuple(p[1] for p in padding),
        (0,) * lead + tuple(interior) if interior else None,
        value,
    )


def strided(x: Any, lead: int, counts: tuple, steps: tuple, starts: tuple | None = None) -> Any:
    """Every step-th element of the dimensions after `lead`, or the value itself when that is all of it."""
    dims = tuple(range(lead, lead + len(counts)))
    starts = starts or (0,) * len(counts)
    if not any(starts) and all(
        x.shape[d] == n and s == 1 for d, n, s in zip(dims, counts, steps, strict=True)
    ):
        return x
    return ops.slice(
        x, *(position(s, x.device) for s in starts), dims=dims, sizes=tuple(counts), steps=tuple(steps)
    )


def _split(value: Any, dim: int, groups: int) -> Any:
    """A dimension of channels as [groups, channels of a group]."""
    if groups == 1:
        return value
    shape = tuple(value.shape)
    return ops.reshape(value, shape=shape[:dim] + (groups, shape[dim] // groups) + shape[dim + 1 :])


def _join(value: Any, dim: int, groups: int) -> Any:
    if groups == 1:
        return value
    shape = tuple(value.shape)
    return ops.reshape(value, shape=shape[:dim] + (shape[dim] * shape[dim + 1],) + shape[dim + 2 :])


class _Windows:
    """The windows of a padded input and the letters of their dimensions; windows of one element need no dimension."""

    def __init__(self, x: Any, kernel: tuple, stride: tuple, dilation: tuple, groups: int):
        rank = len(kernel)
        counts = tuple(
            window_count("convolution", n, k, s, d, i + 2)
            for i, (n, k, s, d) in enumerate(zip(x.shape[2:], kernel, stride, dilation, strict=True))
        )
        wide = tuple(i for i, k in enumerate(kernel) if k != 1)
        narrow = tuple(
            n if i in wide else c for i, (n, c) in enumerate(zip(x.shape[2:], counts, strict=True))
        )
        x = strided(x, 2, narrow, tuple(1 if i in wide else s for i, s in enumerate(stride)))
        x = _split(x, 1, groups)
        if wide:
            x = ops.window(
                x,
                dims=tuple(i + len(x.shape) - rank for i in wide),
                sizes=tuple(kernel[i] for i in wide),
                steps=tuple(stride[i] for i in wide),
                dilations=tuple(dilation[i] for i in wide),
            )
        self.value, self.kernel, self.groups = x, kernel, groups
        self.group = "g" if groups > 1 else ""
        self.places, self.taps = _PLACES[:rank], "".join(_TAPS[i] for i in wide)
        self.letters = f"n{self.group}c{self.places}{self.taps}"
        self.taps_shape = tuple(kernel[i] for i in wide)

    def weights(self, weight: Any) -> Any:
        """Weights [out, in, ...] split into groups, without the taps of windows of one element."""
        shape = tuple(weight.shape)[:2] + self.taps_shape
        weight = ops.reshape(weight, shape=shape) if shape != tuple(weight.shape) else weight
        return _split(weight, 0, self.groups)

    def out_letters(self) -> str:
        return f"n{self.group}o{self.places}"

    def weight_letters(self) -> str:
        return f"{self.group}oc{self.taps}"


def correlate(x: Any, weight: Any, stride: tuple, padding: tuple, dilation: tuple, groups: int) -> Any:
    """The convolution itself."""
    windows = _Windows(pad_spatial(x, padding), tuple(weight.shape[2:]), stride, dilation, groups)
    out = ops.contract(
        windows.value,
        windows.weights(weight),
        equation=f"{windows.letters},{windows.weight_letters()}->{windows.out_letters()}",
    )
    return _join(out, 1, groups)


def spread_back(
    g: Any, weight: Any, size: tuple, stride: tuple, padding: tuple, dilation: tuple, groups: int
) -> Any:
    """The transpose of `correlate` in x: an output gradient to an input gradient of the given spatial size."""
    kernel = tuple(weight.shape[2:])
    rank = len(kernel)
    pads = []
    for n, count, k, s, (low, _), d in zip(size, g.shape[2:], kernel, stride, padding, dilation, strict=True):
        before = d * (k - 1) - low
        pads.append((before, n + d * (k - 1) - ((count - 1) * s + 1) - before))
    wide = tuple(i + 2 for i, k in enumerate(kernel) if k != 1)
    flipped = ops.flip(weight, dims=wide) if wide else weight
    windows = _Windows(
        pad_spatial(g, tuple(pads), tuple(s - 1 for s in stride)), kernel, (1,) * rank, dilation, groups
    )
    # The channels of g are the outputs of the weight, which keeps its layout: letters say what is summed.
    letters = windows.letters.replace("c", "o")
    out = ops.contract(
        windows.value,
        windows.weights(flipped),
        equation=f"{letters},{windows.weight_letters()}->n{windows.group}c{windows.places}",
    )
    return _join(out, 1, groups)


def weight_gradient(
    g: Any, x: Any, shape: tuple, stride: tuple, padding: tuple, dilation: tuple, groups: int
) -> Any:
    """The transpose of `correlate` in the weight: the output gradient against the windows of the input."""
    kernel = tuple(shape[2:])
    used = []
    for n, count, k, s, (low, _), d in zip(
        x.shape[2:], g.shape[2:], kernel, stride, padding, dilation, strict=True
    ):
        # What no window reached is cropped, so that the windows count as many places as g has.
        used.append((low, (count - 1) * s + d * (k - 1) + 1 - low - n))
    windows = _Windows(pad_spatial(x, tuple(used)), kernel, stride, dilation, groups)
    out = ops.contract(
        _split(g, 1, groups),
        windows.value,
        equation=f"{windows.out_letters()},{windows.letters}->{windows.weight_letters()}",
    )
    return ops.reshape(out, shape=tuple(shape))


def add_bias(out: Any, bias: Any) -> Any:
    """Add one number a channel at dimension 1."""
    return ops.add(out, ops.reshape(bias, shape=(bias.shape[0],) + (1,) * (len(out.shape) - 2)))


def channel_sum(g: Any) -> Any:
    """The gradient of `add_bias` in the bias."""
    return ops.sum(g, dims=(0, *range(2, len(g.shape))), keepdim=False)
