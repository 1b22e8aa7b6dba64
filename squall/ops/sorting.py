"""sort: values in order along a dimension, and where they came from. Runs as a host step."""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import int64
from squall.ir.families import sort as sort_family
from squall.ir.families import zeros
from squall.ir.node import TensorType
from squall.ir.op import Context, Library, Sample, declare, ops
from squall.ops.indexing import check_dim
from squall.ops.samples import floats


def _sort_type(types: tuple, attrs: tuple) -> tuple:
    (x,), (dim, _) = types, attrs
    check_dim("sort", x.shape, dim)
    return x, TensorType(x.shape, int64, x.device)


def sort_arrays(x: Any, dim: int, descending: bool) -> tuple:
    """Stable order along a dimension of a NumPy array; NaN is above all: (values, int64 indices)."""
    import numpy

    if descending:  # a stable descending order is the reverse of the stable order of the reverse
        turned = numpy.flip(x, dim)
        order = x.shape[dim] - 1 - numpy.flip(numpy.argsort(turned, axis=dim, kind="stable"), dim)
    else:
        order = numpy.argsort(x, axis=dim, kind="stable")
    return numpy.take_along_axis(x, order, dim), order.astype(numpy.int64)


def _sort_grad(context: Context, g: tuple) -> Any:
    if g[0] is None:
        return None
    return ops.scatter(zeros(context.types[0]), context.output[1], g[0], dim=context.attrs[0])


def _sort_samples() -> list[Sample]:
    import numpy

    special = numpy.array([2.0, numpy.nan, -numpy.inf, 1.0, 1.0, numpy.inf, numpy.nan, -0.0, 0.0])
    arrays = [
        (floats((3, 5)), 1),
        (floats((4, 3), 1), 0),
        (floats((0, 3)), 1),
        (floats((3, 0)), 1),
        (special, 0),
        (numpy.array([[3, 1, 2, 1], [0, 0, 5, -5]]), 1),
    ]
    return [
        Sample((a,), {"dim": d, "descending": down}, f"{a.shape} along {d}")
        for a, d in arrays
        for down in (False, True)
    ]


sort = declare(
    "sort",
    sort_family,
    attributes=("dim", "descending"),
    defaults={"descending": False},
    infer=_sort_type,
    saves=("out",),
    grad=_sort_grad,
    lowering=Library(sort_arrays),
    promotion="none",
    reference=sort_arrays,
    jvp=lambda context, t: (ops.gather(t, context.output[1], dim=context.attrs[0]), None),
    vmap=lambda op, operands, batched, size, attrs: (
        op(operands[0], dim=attrs[0] + 1, descending=attrs[1]),
        True,
    ),
    samples=_sort_samples,
    doc="Values in ascending or descending order along a dimension, equal ones in their old order and NaN above all, "
    "with the indices they came from.",
)
