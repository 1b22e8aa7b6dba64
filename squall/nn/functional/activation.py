"""Activation functions with PyTorch's names and signatures, each one op of the table."""

from __future__ import annotations

from typing import Any

from squall.frontend.arithmetic import in_place
from squall.nn.functional.core import Native, apply, normalize_dim, ops


def placed(x: Any, result: Any, inplace: bool) -> Any:
    """The result, written over the input when asked."""
    return in_place(x, result, "activation") if inplace else result


def relu(input: Any, inplace: bool = False) -> Any:
    """max(x, 0), elementwise; the gradient at 0 is 0."""
    out = Native.call(_relu, input)
    return in_place(input, out, "relu") if inplace else out


def _relu(input: Any) -> Any:
    return apply(ops.relu, (input,))


def relu_(input: Any) -> Any:
    """`relu` written over its input."""
    return relu(input, inplace=True)


def relu6(input: Any, inplace: bool = False) -> Any:
    """min(max(x, 0), 6), elementwise."""
    return hardtanh(input, 0.0, 6.0, inplace)


def gelu(input: Any, approximate: str = "none") -> Any:
    """x times the normal distribution function of x, or its tanh approximation.

    Args:
        approximate: "none" (exact, through erf) or "tanh".
    """
    return Native.call(_gelu, input, approximate)


def _gelu(input: Any, approximate: str) -> Any:
    if approximate not in ("none", "tanh"):
        raise RuntimeError(f"gelu: approximate argument must be either none or tanh, got {approximate!r}")
    return apply(ops.gelu, (input,), approximate=approximate)


def silu(input: Any, inplace: bool = False) -> Any:
    """x * sigmoid(x), elementwise."""
    return placed(input, Native.call(_silu, input), inplace)


def _silu(input: Any) -> Any:
    return apply(ops.silu, (input,))


def mish(input: Any, inplace: bool = False) -> Any:
    """x * tanh(softplus(x)), elementwise."""
    return placed(input, apply(ops.mish, (input,)), inplace)


def tanh(input: Any) -> Any:
    """Hyperbolic tangent, elementwise."""
    return apply(ops.tanh, (input,))


def sigmoid(input: Any) -> Any:
    """1 / (1 + exp(-x)), elementwise."""
    return apply(ops.sigmoid, (input,))


def logsigmoid(input: Any) -> Any:
    """log(sigmoid(x)), elementwise, without overflow."""
    return apply(ops.log_sigmoid, (input,))


def leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Any:
    """x where positive, else negative_slope * x."""
    return placed(input, apply(ops.leaky_relu, (input,), slope=float(negative_slope)), inplace)


def elu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """x where positive, else alpha * (exp(x) - 1)."""
    return placed(input, apply(ops.elu, (input,), alpha=float(alpha)), inplace)


def selu(input: Any, inplace: bool = False) -> Any:
    """Scaled elu with the constants of self-normalising networks."""
    return placed(input, apply(ops.selu, (input,)), inplace)


def softplus(input: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """log(1 + exp(beta * x)) / beta; the identity where beta * x > threshold."""
    return apply(ops.softplus, (input,), beta=float(beta), threshold=float(threshold))


def softsign(input: Any) -> Any:
    """x / (1 + |x|), elementwise."""
    return input / (input.abs() + 1)


def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Any:
    """x limited to [min_val, max_val]."""
    if min_val > max_val:
        raise ValueError(f"hardtanh: argument 'min_val' must not be above 'max_val', got {min_val} and {max_val}")
    if not input.is_floating_point():
        return placed(input, input.clamp(int(min_val), int(max_val)), inplace)
    return placed(input, apply(ops.hardtanh, (input,), low=float(min_val), high=float(max_val)), inplace)


def hardswish(input: Any, inplace: bool = False) -> Any:
    """x * relu6(x + 3) / 6, elementwise."""
    return placed(input, apply(ops.hardswish, (input,)), inplace)


def hardsigmoid(input: Any, inplace: bool = False) -> Any:
    """relu6(x + 3) / 6, elementwise."""
    return placed(input, apply(ops.hardsigmoid, (input,)), inplace)


def elu_(input: Any, alpha: float = 1.0) -> Any:
    """`elu` written over its input."""
    return elu(input, alpha, inplace=True)


def selu_(input: Any) -> Any:
    """`selu` written over its input."""
    return selu(input, inplace=True)


def leaky_relu_(input: Any, negative_slope: float = 0.01) -> Any:
    """`leaky_relu` written over its input."""
    return leaky_relu(input, negative_slope, inplace=True)


def hardtanh_(input: Any, min_val: float = -1.0, max_val: float = 1.0) -> Any:
    """`hardtanh` written over its input."""
    return hardtanh(input, min_val, max_val, inplace=True)


def _implicit_dim(dim: int | None, rank: int, function: str) -> int:
    """The dimension, or where none is given the one that old programs rely on: 1 for matrices and batches of
    images, else 0."""
    if dim is None:
        dim = 0 if rank in (0, 1, 3) else 1
    return normalize_dim(dim, rank, function)


def softmax(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """exp(x) over its sum along a dimension, without overflow.

    Args:
        dim: the dimension that sums to 1; without one, dimension 0 of 1 or 3 dimensions and dimension 1 of
            others. dtype: convert the input first.
    """
    input = input if dtype is None else input.to(dtype)
    return Native.call(_softmax, input, dim)


def _softmax(input: Any, dim: int | None) -> Any:
    return apply(ops.softmax, (input,), dim=_implicit_dim(dim, input.dim(), "softmax"))


def log_softmax(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """The logarithm of softmax along a dimension, without overflow; arguments as `softmax`."""
    input = input if dtype is None else input.to(dtype)
    return Native.call(_log_softmax, input, dim)


def _log_softmax(input: Any, dim: int | None) -> Any:
    return apply(ops.log_softmax, (input,), dim=_implicit_dim(dim, input.dim(), "log_softmax"))


def softmin(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """`softmax` of -x."""
    return softmax(-input, dim, _stacklevel, dtype)
