"""iota and extent: leaves that count. They have no operands and are made by `slicing.arange` and `slicing.position`."""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import DType, int64
from squall.ir.families import indexing
from squall.ir.node import TensorType
from squall.ir.op import NON_DIFFERENTIABLE, ByFamily, Sample, declare


def _iota_reference(size: int, dtype: DType, device: str) -> Any:
    import numpy

    return numpy.arange(size).astype(
        numpy.float32 if dtype.category == 2 and dtype.itemsize == 2 else dtype.name
    )


iota = declare(
    "iota",
    indexing,
    attributes=("size", "dtype", "device"),
    defaults={"dtype": int64, "device": "cpu"},
    grad=NON_DIFFERENTIABLE,
    lowering=ByFamily("iota"),
    promotion="none",
    reference=_iota_reference,
    infer=lambda types, attrs: TensorType((attrs[0],), attrs[1], attrs[2]),
    samples=lambda: [Sample((), {"size": n}) for n in (0, 1, 37)],
    doc="The numbers 0, 1, ... size - 1.",
)


def _extent_reference(size: int, device: str) -> Any:
    import numpy

    return numpy.asarray(size, numpy.int64)


extent = declare(
    "extent",
    indexing,
    attributes=("size", "device"),
    defaults={"device": "cpu"},
    grad=NON_DIFFERENTIABLE,
    lowering=ByFamily("extent"),
    promotion="none",
    reference=_extent_reference,
    infer=lambda types, attrs: TensorType((), int64, attrs[1]),
    samples=lambda: [Sample((), {"size": 7})],
    doc="A symbolic size as a zero-dimensional int64 value.",
)
