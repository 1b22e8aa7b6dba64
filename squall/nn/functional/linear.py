"""Linear maps and table look-ups."""

from __future__ import annotations

from typing import Any

import squall as sq
from squall.frontend.autocast import lowered
from squall.frontend.by_values import by_values
from squall.nn.functional.core import DtypeError, Native, ShapeError, apply, check_tensor, ops


def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    """input @ weight.T + bias.

    Args:
        input: shape (..., in). weight: shape (out, in), or (in,) for a scalar product. bias: shape (out,) or
        None.

    Returns:
        Shape (..., out).

    Raises:
        ShapeError: when the last size of the input is not the last size of the weight.

    Example:
        >>> import squall as sq
        >>> sq.nn.functional.linear(sq.ones(2, 3), sq.ones(4, 3)).shape
        squall.Size([2, 4])
    """
    return Native.call(_linear, input, weight, bias)


def _linear(input: Any, weight: Any, bias: Any) -> Any:
    check_tensor("linear", "input", input)
    input, weight, bias = lowered(input, weight, bias)
    given = input.node.type.shape
    if not given or given[-1] != weight.node.type.shape[-1]:
        raise ShapeError(
            f"linear: argument 'input' of shape {tuple(input.shape)} must end in {weight.shape[-1]}, "
            f"the last size of 'weight' of shape {tuple(weight.shape)}"
        )
    if input.dtype is not weight.dtype or (bias is not None and bias.dtype is not weight.dtype):
        given = ", ".join(str(t.dtype) for t in (input, weight, bias) if t is not None)
        raise ShapeError(f"linear: input, weight and bias must have the same dtype, got {given}; cast them with .to()")
    return apply(ops.linear, (input, weight) if bias is None else (input, weight, bias))


@by_values("one_hot")
def one_hot(tensor: Any, num_classes: int = -1) -> Any:
    """int64 rows that are 1 at the index and 0 elsewhere.

    Args:
        tensor: int64 class numbers of any shape. num_classes: the row length; -1 takes the largest number
            plus one, which evaluates the tensor.

    Returns:
        Shape (*tensor.shape, num_classes).
    """
    check_tensor("one_hot", "tensor", tensor)
    if tensor.dtype is not sq.int64:
        raise DtypeError(f"one_hot: argument 'tensor' must be int64, got {tensor.dtype}")
    if num_classes == -1:
        if tensor.numel() == 0:
            raise RuntimeError("one_hot: can not infer total number of classes from empty tensor.")
        num_classes = int(tensor.max().item()) + 1
    return (tensor.unsqueeze(-1) == sq.arange(num_classes)).to(sq.int64)
