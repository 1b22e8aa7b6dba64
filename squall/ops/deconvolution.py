"""convolution_transpose: the data gradient of a convolution as an op of its own."""

from __future__ import annotations

from typing import Any

from squall.base.errors import ShapeError
from squall.ir.families import common_device, contraction
from squall.ir.node import TensorType
from squall.ir.op import Context, Decompose, Sample, declare
from squall.ops.contraction import check_numbers
from squall.ops.convolution import check_bias, check_groups, convolution_batch
from squall.ops.correlation import (
    add_bias,
    channel_sum,
    check_spatial,
    correlate,
    spread_back,
    weight_gradient,
)
from squall.ops.products import bilinear_tangent
from squall.ops.samples import floats
from squall.ops.slicing import is_int

_ATTRIBUTES = ("stride", "padding", "output_padding", "dilation", "groups")


def transposed_size(
    shape: tuple, kernel: tuple, stride: tuple, padding: tuple, output_padding: tuple, dilation: tuple
) -> tuple:
    """The spatial sizes of the result."""
    return tuple(
        (n - 1) * s - low - high + d * (k - 1) + extra + 1
        for n, k, s, (low, high), extra, d in zip(
            shape[2:], kernel, stride, padding, output_padding, dilation, strict=True
        )
    )


def _transpose_type(types: tuple, attrs: tuple) -> TensorType:
    (x, weight, *bias), (stride, padding, output_padding, dilation, groups) = types, attrs
    name, kernel = "convolution_transpose", tuple(weight.shape[2:])
    check_spatial(
        name,
        x.shape,
        kernel,
        stride=stride,
        padding=padding,
        output_padding=output_padding,
        dilation=dilation,
    )
    check_groups(name, x.shape[1], weight.shape[0], weight.shape, groups)
    check_bias(name, tuple(bias), weight.shape[1] * groups)
    if any(extra >= max(s, d) for extra, s, d in zip(output_padding, stride, dilation, strict=True)):
        raise ShapeError(
            f"{name}: output padding {output_padding} must be smaller than stride {stride} or dilation "
            f"{dilation}"
        )
    size = transposed_size(x.shape, kernel, stride, padding, output_padding, dilation)
    if any(is_int(n) and n < 1 for n in size):
        raise ShapeError(
            f"{name}: input of shape {tuple(x.shape)} with weight {tuple(weight.shape)} gives sizes {size}"
        )
    dtype, device = check_numbers(name, types), common_device(convolution_transpose, types)
    return TensorType((x.shape[0], weight.shape[1] * groups, *size), dtype, device)


def _transpose(
    x: Any,
    weight: Any,
    *bias: Any,
    stride: tuple,
    padding: tuple,
    output_padding: tuple,
    dilation: tuple,
    groups: int,
) -> Any:
    size = transposed_size(tuple(x.shape), tuple(weight.shape[2:]), stride, padding, output_padding, dilation)
    out = spread_back(x, weight, size, stride, padding, dilation, groups)
    return add_bias(out, bias[0]) if bias else out


def _transpose_grad(context: Context, g: Any) -> tuple:
    (x, weight), types, needs = context.inputs[:2], context.types, context.needs
    stride, padding, output_padding, dilation, groups = context.attrs
    gx = gw = None
    if needs[0]:
        pads = tuple((low, high - extra) for (low, high), extra in zip(padding, output_padding, strict=True))
        gx = correlate(g, weight, stride, pads, dilation, groups)
    if needs[1]:
        gw = weight_gradient(x, g, tuple(types[1].shape), stride, padding, dilation, groups)
    return (gx, gw) if len(types) == 2 else (gx, gw, channel_sum(g) if needs[2] else None)


def _transpose_reference(
    x: Any,
    weight: Any,
    *bias: Any,
    stride: tuple,
    padding: tuple,
    output_padding: tuple,
    dilation: tuple,
    groups: int,
) -> Any:
    import numpy

    kernel, rank = weight.shape[2:], len(stride)
    size = transposed_size(x.shape, kernel, stride, padding, output_padding, dilation)
    batch, outputs = x.shape[0], weight.shape[1]
    full = tuple(
        max((n - 1) * s + d * (k - 1) + 1, low + n_out)
        for n, k, s, d, (low, _), n_out in zip(x.shape[2:], kernel, stride, dilation, padding, size)
    )
    out = numpy.zeros((batch, groups, outputs, *full), x.dtype)
    x = x.reshape(batch, groups, x.shape[1] // groups, *x.shape[2:])
    weight = weight.reshape(groups, weight.shape[0] // groups, outputs, *kernel)
    for tap in numpy.ndindex(*kernel):
        box = tuple(
            slice(t * d, t * d + (n - 1) * s + 1, s) for t, d, n, s in zip(tap, dilation, x.shape[3:], stride)
        )
        out[(slice(None),) * 3 + box] += numpy.einsum(
            "ngc...,gco->ngo...", x, weight[(slice(None),) * 3 + tap]
        )
    box = tuple(slice(low, low + n) for (low, _), n in zip(padding, size))
    out = out.reshape(batch, groups * outputs, *full)[(slice(None),) * 2 + box]
    return out + bias[0].reshape(-1, *(1,) * rank) if bias else out


def _transpose_samples() -> list[Sample]:
    none, one = ((0, 0), (0, 0)), ((1, 1), (1, 1))
    cases = [
        ((2, 3, 3, 4), (3, 2, 3, 3), True, (1, 1), one, (0, 0), (1, 1), 1),
        ((1, 2, 4), (2, 3, 3), True, (2,), ((1, 1),), (1,), (1,), 1),
        ((2, 4, 3, 2), (4, 2, 2, 3), False, (2, 1), ((0, 1), (1, 0)), (0, 0), (1, 2), 2),
        ((1, 2, 2, 3), (2, 2, 2, 2), False, (2, 2), none, (0, 1), (1, 1), 1),
        ((1, 2, 3), (2, 1, 1), True, (3,), ((0, 0),), (2,), (1,), 2),
        ((1, 1, 2, 2, 2), (1, 2, 2, 1, 2), False, (1, 2, 1), none + ((0, 0),), (0, 0, 0), (1, 1, 1), 1),
    ]
    return [
        Sample(
            (floats(x, i), floats(w, i + 90)) + ((floats((w[1] * attrs[-1],), i + 95),) if bias else ()),
            dict(zip(_ATTRIBUTES, attrs)),
            f"{x} with {w}",
        )
        for i, (x, w, bias, *attrs) in enumerate(cases)
    ]


convolution_transpose = declare(
    "convolution_transpose",
    contraction, parts="composite",
    attributes=_ATTRIBUTES,
    defaults={"groups": 1},
    infer=_transpose_type,
    saves=lambda needs: (1,) * needs[0] + (0,) * needs[1],
    grad=_transpose_grad,
    lowering=Decompose(_transpose),
    vmap=convolution_batch,
    jvp=bilinear_tangent,
    reference=_transpose_reference,
    samples=_transpose_samples,
    doc="The transpose of a convolution: x [batch, in, sizes] with weight [in, out / groups, kernel], plus a bias "
    "[out]. Padding crops the result; output_padding adds to its far ends.",
)
