"""How sums of exponentials and gates act on complex numbers: more `parts` rules, see `parts`."""

from __future__ import annotations

from typing import Any

from squall.ir.op import Pair, ops
from squall.ops import parts


def _chosen(condition: Any, x: Pair, y: Pair) -> Pair:
    return parts.where(condition, x, y)


def logaddexp(x: Pair, y: Pair) -> Pair:
    """log(exp(x) + exp(y)), from the one with the larger real part; two of the same infinite size go the plain way."""
    later = ops.lt(x.re, y.re)
    high, low = _chosen(later, y, x), _chosen(later, x, y)
    same = ops.logical_and(ops.eq(high.re, low.re), ops.isinf(high.re))
    near = parts.add(high, parts.log1p(parts.exp(parts.sub(low, high))))
    far = parts.log(parts.add(parts.exp(high), parts.exp(low)))
    nothing = ops.logical_and(same, ops.lt(high.re, 0.0))
    out = _chosen(nothing, low, _chosen(same, far, near))
    unknown = ops.logical_or(parts.isnan(x), parts.isnan(y))
    nan = ops.full_like(out.re, value=float("nan"))
    return _chosen(unknown, Pair(nan, nan), out)


def silu(z: Pair) -> Pair:
    """z times its sigmoid."""
    return parts.mul(z, parts.sigmoid(z))
