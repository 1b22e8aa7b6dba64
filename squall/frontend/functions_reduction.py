"""Reductions, rows, running sums and sorting as functions under PyTorch's names: Tensor's methods as `sq.sum(x)`."""

from __future__ import annotations

from typing import Any

from squall.frontend.out import checked, into


def sum(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, out: Any = None) -> Any:
    """Sum over dims."""
    return into(out, checked(input, "sum").sum(dim, keepdim, dtype=dtype), "sum")


def prod(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, out: Any = None) -> Any:
    """Product over dims."""
    return into(out, checked(input, "prod").prod(dim, keepdim, dtype=dtype), "prod")


def mean(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, out: Any = None) -> Any:
    """Mean over dims."""
    return into(out, checked(input, "mean").mean(dim, keepdim, dtype=dtype), "mean")


def amax(input: Any, dim: Any = (), keepdim: bool = False, *, out: Any = None) -> Any:
    """Largest over dims; ties share the gradient."""
    return into(out, checked(input, "amax").amax(dim, keepdim), "amax")


def amin(input: Any, dim: Any = (), keepdim: bool = False, *, out: Any = None) -> Any:
    """Smallest over dims; ties share the gradient."""
    return into(out, checked(input, "amin").amin(dim, keepdim), "amin")


def any(input: Any, dim: Any = None, keepdim: bool = False, *, out: Any = None) -> Any:
    """Whether any element is nonzero."""
    return into(out, checked(input, "any").any(dim, keepdim), "any")


def all(input: Any, dim: Any = None, keepdim: bool = False, *, out: Any = None) -> Any:
    """Whether all elements are nonzero."""
    return into(out, checked(input, "all").all(dim, keepdim), "all")


def argmax(input: Any, dim: int | None = None, keepdim: bool = False, *, out: Any = None) -> Any:
    """Position of the largest element, the first of ties."""
    return into(out, checked(input, "argmax").argmax(dim, keepdim), "argmax", exact=True)


def argmin(input: Any, dim: int | None = None, keepdim: bool = False, *, out: Any = None) -> Any:
    """Position of the smallest element, the first of ties."""
    return into(out, checked(input, "argmin").argmin(dim, keepdim), "argmin", exact=True)


def max(input: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None, out: Any = None) -> Any:
    """Largest element, (values, indices) along dim, or the elementwise maximum with a Tensor."""
    return into(out, checked(input, "max").max(dim, keepdim, other=other), "max")


def min(input: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None, out: Any = None) -> Any:
    """Smallest element, (values, indices) along dim, or the elementwise minimum with a Tensor."""
    return into(out, checked(input, "min").min(dim, keepdim, other=other), "min")


def var(input: Any, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *,
        correction: float | None = None, out: Any = None) -> Any:
    """Variance over dims, dividing by the count minus correction (1 unless given)."""
    return into(out, checked(input, "var").var(dim, unbiased, keepdim, correction=correction), "var")


def std(input: Any, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *,
        correction: float | None = None, out: Any = None) -> Any:
    """Standard deviation over dims, dividing by the count minus correction (1 unless given)."""
    return into(out, checked(input, "std").std(dim, unbiased, keepdim, correction=correction), "std")


def norm(input: Any, p: Any = "fro", dim: Any = None, keepdim: bool = False, *, dtype: Any = None,
         out: Any = None) -> Any:
    """Vector norm of order p over dims."""
    value = checked(input, "norm") if dtype is None else checked(input, "norm").to(dtype)
    return into(out, value.norm(p, dim, keepdim), "norm")


def logsumexp(input: Any, dim: Any, keepdim: bool = False, *, out: Any = None) -> Any:
    """log(sum(exp(x))) over dims, without overflow."""
    return into(out, checked(input, "logsumexp").logsumexp(dim, keepdim), "logsumexp")


def softmax(input: Any, dim: int, dtype: Any = None, *, out: Any = None) -> Any:
    """exp(x) over its sum along dim."""
    return into(out, checked(input, "softmax").softmax(dim, dtype), "softmax")


def log_softmax(input: Any, dim: int, dtype: Any = None, *, out: Any = None) -> Any:
    """Logarithm of softmax along dim."""
    return into(out, checked(input, "log_softmax").log_softmax(dim, dtype), "log_softmax")


def cumsum(input: Any, dim: int, *, dtype: Any = None, out: Any = None) -> Any:
    """Running sum along dim."""
    return into(out, checked(input, "cumsum").cumsum(dim, dtype=dtype), "cumsum")


def cumprod(input: Any, dim: int, *, dtype: Any = None, out: Any = None) -> Any:
    """Running product along dim."""
    return into(out, checked(input, "cumprod").cumprod(dim, dtype=dtype), "cumprod")


def median(input: Any, dim: int | None = None, keepdim: bool = False, *, out: Any = None) -> Any:
    """Lower median, or (values, indices) along dim."""
    return into(out, checked(input, "median").median(dim, keepdim), "median")


def sort(input: Any, dim: int = -1, descending: bool = False, stable: bool = True, *, out: Any = None) -> Any:
    """(values, indices) in order along dim; stable."""
    return into(out, checked(input, "sort").sort(dim, descending), "sort")


def argsort(input: Any, dim: int = -1, descending: bool = False, stable: bool = True, *, out: Any = None) -> Any:
    """Positions in sorted order along dim."""
    return into(out, checked(input, "argsort").argsort(dim, descending), "argsort", exact=True)


def topk(input: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True, *, out: Any = None) -> Any:
    """The k largest or smallest along dim, in order, with positions."""
    return into(out, checked(input, "topk").topk(k, dim, largest), "topk")
