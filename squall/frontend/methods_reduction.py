"""Tensor methods: reductions, sorting, cumulative operations. One documented line each; the work is in the
functions they call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from squall.base.dtypes import as_dtype
from squall.frontend import reductions
from squall.frontend.autocast import full_precision
from squall.frontend.core import cast
from squall.frontend.entries import Native
from squall.ir.op import ops

if TYPE_CHECKING:
    from squall.frontend.tensor import Tensor


class ReductionMethods:
    """Mixed into Tensor."""

    __slots__ = ()

    def sum(self, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
        """Sum over dims."""
        return reductions.reduce_op(ops.sum, self, dim, keepdim, dtype)

    @full_precision
    def prod(self, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
        """Product over dims."""
        return reductions.reduce_op(ops.prod, self, dim, keepdim, dtype)

    def mean(self, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
        """Mean over dims."""
        return reductions.reduce_op(ops.mean, self, dim, keepdim, dtype, "mean")

    def amax(self, dim: Any = (), keepdim: bool = False) -> Tensor:
        """Largest over dims; ties share the gradient."""
        return reductions.reduce_op(ops.amax, self, dim, keepdim)

    def amin(self, dim: Any = (), keepdim: bool = False) -> Tensor:
        """Smallest over dims; ties share the gradient."""
        return reductions.reduce_op(ops.amin, self, dim, keepdim)

    def any(self, dim: Any = None, keepdim: bool = False) -> Tensor:
        """Whether any element is nonzero."""
        return reductions.boolean(ops.any, self, dim, keepdim)

    def all(self, dim: Any = None, keepdim: bool = False) -> Tensor:
        """Whether all elements are nonzero."""
        return reductions.boolean(ops.all, self, dim, keepdim)

    def argmax(self, dim: int | None = None, keepdim: bool = False) -> Tensor:
        """Position of the largest element, the first of ties."""
        return reductions.position(ops.argmax, self, dim, keepdim)

    def argmin(self, dim: int | None = None, keepdim: bool = False) -> Tensor:
        """Position of the smallest element, the first of ties."""
        return reductions.position(ops.argmin, self, dim, keepdim)

    def logsumexp(self, dim: Any, keepdim: bool = False) -> Tensor:
        """log(sum(exp(x))) without overflow."""
        return reductions.logsumexp(self, dim, keepdim)

    def var(
        self,
        dim: Any = None,
        unbiased: bool | None = None,
        keepdim: bool = False,
        *,
        correction: float | None = None,
    ) -> Tensor:
        """Variance over dims."""
        return Native.call(reductions.variance, self, dim, unbiased, correction, keepdim)

    def std(
        self,
        dim: Any = None,
        unbiased: bool | None = None,
        keepdim: bool = False,
        *,
        correction: float | None = None,
    ) -> Tensor:
        """Standard deviation over dims."""
        return reductions.variance(self, dim, unbiased, correction, keepdim).sqrt()

    def softmax(self, dim: int, dtype: Any = None) -> Tensor:
        """exp(x) over its sum along dim."""
        return reductions.row(ops.softmax, self, dim, dtype)

    def log_softmax(self, dim: int, dtype: Any = None) -> Tensor:
        """Logarithm of softmax along dim."""
        return reductions.row(ops.log_softmax, self, dim, dtype)

    def cumsum(self, dim: int, *, dtype: Any = None) -> Tensor:
        """Running sum along dim."""
        return reductions.running(ops.cumsum, self, dim, dtype)

    def cumprod(self, dim: int, *, dtype: Any = None) -> Tensor:
        """Running product along dim."""
        return reductions.running(ops.cumprod, self, dim, dtype)

    def norm(self, p: Any = 2, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Tensor:
        """Vector norm of order p over dims, of the values in a dtype when one is given."""
        return reductions.norm(self if dtype is None else cast(self, as_dtype(dtype)), p, dim, keepdim)

    def max(self, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
        """Largest element, (values, indices) along dim, or the elementwise maximum with `other`."""
        return reductions.largest(self, dim if other is None else other, keepdim)

    def min(self, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
        """Smallest element, (values, indices) along dim, or the elementwise minimum with `other`."""
        return reductions.smallest(self, dim if other is None else other, keepdim)

    def median(self, dim: int | None = None, keepdim: bool = False) -> Any:
        """Lower median, or (values, indices) along dim."""
        return reductions.median(self, dim, keepdim)

    def sort(self, dim: int = -1, descending: bool = False, stable: bool = True) -> Any:
        """(values, indices) in order along dim; stable."""
        return reductions.sort(self, dim, descending)

    def argsort(self, dim: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
        """Positions in sorted order along dim."""
        return reductions.sort(self, dim, descending).indices

    def topk(self, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
        """The k largest or smallest along dim, in order, with positions."""
        return reductions.topk(self, k, dim, largest)
