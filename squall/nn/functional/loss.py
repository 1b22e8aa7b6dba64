"""Loss functions with PyTorch's names, signatures and reductions."""

from __future__ import annotations

from typing import Any

import squall as sq
from squall.nn.functional.activation import log_softmax
from squall.nn.functional.core import (
    DtypeError, ShapeError, apply, check_floating, check_reduction, check_tensor, ops, reduce_loss,
)


def _classes(function: str, input: Any, target: Any) -> None:
    """Check that class indices fit logits of shape (batch, classes, ...) or (classes,)."""
    check_floating(function, "input", input)
    check_tensor(function, "target", target)
    if input.dim() == 0:
        raise ShapeError(f"{function}: argument 'input' must have at least 1 dimension, the classes")
    expected = tuple(input.shape[:1]) + tuple(input.shape[2:]) if input.dim() > 1 else ()
    if tuple(target.shape) != expected:
        raise ShapeError(f"{function}: argument 'target' must have shape {expected} for 'input' of shape {tuple(input.shape)}, "
                         f"got {tuple(target.shape)}")
    if target.is_floating_point():
        raise DtypeError(f"{function}: argument 'target' must hold int64 class numbers, got {target.dtype}")


def _as_rows(input: Any, target: Any) -> tuple[Any, Any]:
    """Logits as (rows, classes) and targets as (rows,)."""
    if input.dim() == 1:
        return input.unsqueeze(0), target.reshape(1)
    if input.dim() > 2:
        input = input.movedim(1, -1)
        return input.reshape(-1, input.shape[-1]), target.reshape(-1)
    return input, target


def cross_entropy(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean",
                  label_smoothing: float = 0.0) -> Any:
    """Negative log likelihood of softmax(input).

    Args:
        input: logits of shape (batch, classes, ...) or (classes,). target: int64 class numbers without the class dimension,
            or probabilities of the input's shape. weight: shape (classes,) or None. ignore_index: a target that counts not.
            reduction: "mean" (over what counts), "sum" or "none". label_smoothing: in [0, 1].

    Raises:
        ShapeError, DtypeError, ValueError; IndexRangeError when evaluated, for a class number outside.

    Example:
        >>> import squall as sq
        >>> round(sq.nn.functional.cross_entropy(sq.zeros(2, 10), sq.tensor([3, 7])).item(), 4)
        2.3026
    """
    check_reduction("cross_entropy", reduction)
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(f"cross_entropy: label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    if target.is_floating_point() and tuple(target.shape) == tuple(input.shape):
        return _soft_cross_entropy(input, target, weight, reduction, label_smoothing)
    _classes("cross_entropy", input, target)
    rows, targets = _as_rows(input, target)
    if weight is not None:
        return _weighted_cross_entropy(rows, targets, weight, ignore_index, reduction, label_smoothing, target)
    loss = apply(ops.cross_entropy, (rows, targets), ignore_index=int(ignore_index), label_smoothing=float(label_smoothing),
                 reduction=reduction)
    return loss.reshape(target.shape) if reduction == "none" else loss


def _soft_cross_entropy(input: Any, target: Any, weight: Any, reduction: str, smoothing: float) -> Any:
    """Cross entropy against probabilities; the mean is over the batch."""
    dim = 1 if input.dim() > 1 else 0
    classes = input.shape[dim]
    if smoothing:
        target = target * (1 - smoothing) + smoothing / classes
    logs = log_softmax(input, dim)
    if weight is not None:
        logs = logs * weight.view((1, -1) + (1,) * (input.dim() - 2) if dim else (-1,))
    loss = -(logs * target).sum(dim)
    return loss.sum() / max(loss.numel(), 1) if reduction == "mean" else reduce_loss("cross_entropy", loss, reduction)


def _weighted_cross_entropy(rows: Any, targets: Any, weight: Any, ignore: int, reduction: str, smoothing: float,
                            target: Any) -> Any:
    logs = log_softmax(rows, 1)
    hard = nll_loss(logs, targets, weight, ignore_index=ignore, reduction="none")
    kept = (targets != ignore).to(rows.dtype)
    scale = weight[sq.where(targets == ignore, 0, targets)] * kept
    loss = hard
    if smoothing:
        smooth = -(logs * weight).sum(1) * kept
        loss = (1 - smoothing) * hard + smoothing / rows.shape[1] * smooth
    if reduction == "mean":
        return loss.sum() / scale.sum()
    return loss.sum() if reduction == "sum" else loss.reshape(target.shape)


def nll_loss(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean") -> Any:
    """Negative log likelihood of given log probabilities; arguments as `cross_entropy`."""
    check_reduction("nll_loss", reduction)
    _classes("nll_loss", input, target)
    rows, targets = _as_rows(input, target)
    kept = targets != ignore_index
    index = sq.where(kept, targets, 0)
    loss = -rows.gather(1, index.unsqueeze(1)).squeeze(1)
    scale = kept.to(rows.dtype) if weight is None else weight[index] * kept.to(rows.dtype)
    loss = sq.where(kept, loss * scale, 0.0)
    if reduction == "mean":
        return loss.sum() / scale.sum()
    return loss.sum() if reduction == "sum" else loss.reshape(target.shape)


def _same_shape(function: str, input: Any, target: Any) -> None:
    check_tensor(function, "input", input)
    check_tensor(function, "target", target)
    if tuple(input.shape) != tuple(target.shape):
        raise ShapeError(f"{function}: argument 'target' of shape {tuple(target.shape)} must have the shape of 'input', "
                         f"{tuple(input.shape)}; expand it if broadcasting is meant")


def mse_loss(input: Any, target: Any, reduction: str = "mean") -> Any:
    """The squared difference.

    Raises:
        ShapeError: unless both have one shape; broadcasting here is almost always a mistake.
    """
    _same_shape("mse_loss", input, target)
    return reduce_loss("mse_loss", (input - target).square(), reduction)


def l1_loss(input: Any, target: Any, reduction: str = "mean") -> Any:
    """The absolute difference of two Tensors of one shape."""
    _same_shape("l1_loss", input, target)
    return reduce_loss("l1_loss", (input - target).abs(), reduction)


def smooth_l1_loss(input: Any, target: Any, reduction: str = "mean", beta: float = 1.0) -> Any:
    """Squared below beta (0.5 d^2 / beta), absolute above (d - beta / 2)."""
    _same_shape("smooth_l1_loss", input, target)
    if beta < 0:
        raise RuntimeError(f"smooth_l1_loss: beta={beta} must not be negative")
    distance = (input - target).abs()
    if beta > 0:
        distance = sq.where(distance < beta, distance.square() * (0.5 / beta), distance - 0.5 * beta)
    return reduce_loss("smooth_l1_loss", distance, reduction)


def huber_loss(input: Any, target: Any, reduction: str = "mean", delta: float = 1.0) -> Any:
    """Squared below delta (0.5 d^2), linear above (delta * (d - delta / 2))."""
    _same_shape("huber_loss", input, target)
    if delta <= 0:
        raise ValueError(f"huber_loss: delta={delta} must be positive")
    distance = (input - target).abs()
    loss = sq.where(distance < delta, distance.square() * 0.5, (distance - 0.5 * delta) * delta)
    return reduce_loss("huber_loss", loss, reduction)


def binary_cross_entropy(input: Any, target: Any, weight: Any = None, reduction: str = "mean") -> Any:
    """Cross entropy of probabilities in [0, 1]; the logarithms are at least -100."""
    _same_shape("binary_cross_entropy", input, target)
    loss = -(target * input.log().clamp(min=-100.0) + (1 - target) * (1 - input).log().clamp(min=-100.0))
    return reduce_loss("binary_cross_entropy", loss if weight is None else loss * weight, reduction)


def binary_cross_entropy_with_logits(input: Any, target: Any, weight: Any = None, reduction: str = "mean",
                                     pos_weight: Any = None) -> Any:
    """Cross entropy of sigmoid(input) against probabilities, without overflow.

    Args:
        input, target: Tensors of one shape. weight: rescales each element. pos_weight: weight of positive examples,
            broadcast over the last dimension.
    """
    _same_shape("binary_cross_entropy_with_logits", input, target)
    if pos_weight is None:
        loss = apply(ops.bce_with_logits, (input, target))
    else:
        scale = (pos_weight - 1) * target + 1
        loss = (1 - target) * input - scale * apply(ops.log_sigmoid, (input,))
    return reduce_loss("binary_cross_entropy_with_logits", loss if weight is None else loss * weight, reduction)


def kl_div(input: Any, target: Any, reduction: str = "mean", log_target: bool = False) -> Any:
    """Divergence of target from input, which holds log probabilities.

    Args:
        reduction: "batchmean" (the sum over the first size: the mathematical value), "mean", "sum" or "none".
            log_target: whether the target holds log probabilities too.
    """
    _same_shape("kl_div", input, target)
    if log_target:
        loss = target.exp() * (target - input)
    else:
        positive = target > 0
        logs = sq.where(positive, target, 1.0).log()
        loss = sq.where(positive, target * (logs - input), 0.0)
    if reduction == "batchmean":
        return loss.sum() / loss.shape[0]
    return reduce_loss("kl_div", loss, reduction)
