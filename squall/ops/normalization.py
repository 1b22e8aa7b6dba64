"""Normalization: layer_norm and rms_norm over trailing dimensions, batch_norm over all but one, group_norm.

Each has its gradient as one fused formula: with h = (x - mean) / std and d the gradient of h, the operand's is
(d - mean(d) - h * mean(d * h)) / std. Statistics are computed again from x, in the cache of the same row.
"""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import float32
from squall.base.errors import ShapeError
from squall.ir.families import check_float, opaque
from squall.ir.node import TensorType
from squall.ir.op import Context, Decompose, Op, Sample, declare, ops
from squall.ops.common import as_dtype_of, is_narrow, masked, widen, widened
from squall.ops.movement import sum_to
from squall.ops.samples import floats
from squall.ops.statistics import average
"""placeholder"""
