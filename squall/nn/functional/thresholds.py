"""Activation functions made of a few ops: thresholds, shrinking, gates, slopes that are learned or drawn."""

from __future__ import annotations

from typing import Any

import squall as sq
from squall.base.errors import ArgumentError
from squall.frontend.arithmetic import in_place
from squall.frontend.autocast import lowered
from squall.frontend.declaring import with_out
from squall.nn.functional.activation import placed, relu, sigmoid, softmax
from squall.nn.functional.core import ShapeError, apply, check_floating, check_tensor, normalize_dim, ops


def threshold(input: Any, threshold: float, value: float, inplace: bool = False) -> Any:
    """x where it is above the threshold, else a value.

    Args:
        threshold: what x is compared with. value: what stands elsewhere. inplace: write over the input.

    Example:
        >>> import squall as sq
        >>> sq.nn.functional.threshold(sq.tensor([-1.0, 2.0]), 0.5, 9.0)
        tensor([9., 2.])
    """
    check_tensor("threshold", "input", input)
    if threshold == 0 and value == 0:
        return relu(input, inplace)
    low = input <= threshold
    return placed(input, input.masked_fill(low, value), inplace)


@with_out
def hardshrink(input: Any, lambd: float = 0.5) -> Any:
    """0 where |x| is at most lambd, else x."""
    check_floating("hardshrink", "input", input)
    return input.masked_fill(input.abs() <= lambd, 0.0)


def softshrink(input: Any, lambd: float = 0.5) -> Any:
    """x moved towards 0 by lambd, and 0 where that would cross it.

    Raises:
        ValueError: for a negative lambd.
    """
    check_floating("softshrink", "input", input)
    if lambd < 0:
        raise ArgumentError(f"softshrink: lambda must be greater or equal to 0, but found to be {lambd}.")
    return (input - input.sign() * lambd).masked_fill(input.abs() <= lambd, 0.0)


def tanhshrink(input: Any) -> Any:
    """x - tanh(x)."""
    return input - input.tanh()


def celu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """x where positive, else alpha * (exp(x / alpha) - 1): an elu whose slope is 1 at 0 for every alpha."""
    check_floating("celu", "input", input)
    if alpha == 0:
        raise RuntimeError("ZeroDivisionError: celu: alpha cannot be 0")
    result = apply(ops.elu, (input,), alpha=float(alpha), scale=1.0, input_scale=1.0 / alpha)
    return placed(input, result, inplace)


def glu(input: Any, dim: int = -1) -> Any:
    """The first half along a dimension times the sigmoid of the second.

    Raises:
        ShapeError: for an odd size.
    """
    check_floating("glu", "input", input)
    dim = normalize_dim(dim, input.dim(), "glu")
    if not input.dim() or input.shape[dim] % 2:
        raise ShapeError(
            f"glu: Halving dimension must be even, but dimension {dim} of shape {tuple(input.shape)} is not"
        )
    value, gate = input.chunk(2, dim)
    return value * sigmoid(gate)


def prelu(input: Any, weight: Any) -> Any:
    """x where positive, else weight * x.

    Args:
        weight: one element, or one a channel (dimension 1 of the input).

    Raises:
        ShapeError: for another number of weights.
    """
    input, weight = lowered(input, weight)
    check_floating("prelu", "input", input)
    if weight.dim() > 1:
        raise ShapeError(f"prelu: argument 'weight' must have 0 or 1 dimensions, got shape {tuple(weight.shape)}")
    if weight.numel() != 1:
        channels = input.shape[1] if input.dim() > 1 else 1
        if weight.numel() != channels:
            raise ShapeError(
                f"prelu: argument 'weight' has {weight.numel()} elements, expected 1 or the {channels} channels of "
                f"'input' of shape {tuple(input.shape)}"
            )
        weight = weight.view((1, -1) + (1,) * (input.dim() - 2))
    elif weight.dim():
        weight = weight.view(())
    return sq.where(input > 0, input, input * weight)


def rrelu(
    input: Any, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False, inplace: bool = False,
    *, generator: Any = None,
) -> Any:  # fmt: skip
    """x where positive, else x times a slope.

    Args:
        lower, upper: the slope is drawn uniformly between them for each element while training, and is their
            mean otherwise. inplace: write over the input. generator: what slopes are drawn from.
    """
    check_floating("rrelu", "input", input)
    if lower > upper:
        raise RuntimeError(f"rrelu: lower={lower} must not be above upper={upper}")
    slope: Any = (lower + upper) / 2
    if training:
        slope = sq.empty(input.shape, dtype=input.dtype).uniform_(lower, upper, generator=generator)
    return placed(input, sq.where(input > 0, input, input * slope), inplace)


def gumbel_softmax(logits: Any, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Any:
    """Draws from the Gumbel-softmax distribution: nearly one-hot rows that gradients pass through.

    Args:
        logits: shape (..., classes), not normalised. tau: temperature. hard: give one-hot rows whose gradient
            is that of the soft ones. eps: accepted and unused, as in PyTorch. dim: where the classes are.
    """
    check_floating("gumbel_softmax", "logits", logits)
    uniform = sq.empty(logits.shape, dtype=logits.dtype).uniform_()
    noise = -(-uniform.clamp(min=sq.finfo(logits.dtype).tiny).log()).log()
    soft = softmax((logits + noise) / tau, dim)
    if not hard:
        return soft
    index = soft.argmax(dim, keepdim=True)
    shape = [1] * soft.dim()
    shape[dim] = soft.shape[dim]
    chosen = (sq.arange(soft.shape[dim]).view(shape) == index).to(soft.dtype)
    return chosen - soft.detach() + soft


def _in_place_form(function: Any) -> Any:
    """`function` written over its first argument."""

    def run(input: Any, *args: Any, **kwargs: Any) -> Any:
        return in_place(input, function(input, *args, **kwargs), function.__name__ + "_")

    run.__name__ = run.__qualname__ = function.__name__ + "_"
    run.__doc__ = f"`{function.__name__}` written over its input."
    return run


celu_ = _in_place_form(celu)
threshold_ = _in_place_form(threshold)
rrelu_ = _in_place_form(rrelu)
