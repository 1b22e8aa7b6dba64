"""Losses that compare scores with a margin: hinge, ranking, classes, triplets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import squall as sq
from squall.frontend.autocast import full_precision
from squall.nn.functional.activation import logsigmoid
from squall.nn.functional.core import (
    DtypeError,
    ShapeError,
    check_floating,
    check_reduction,
    check_tensor,
    reduce_loss,
)
from squall.nn.functional.distance import pairwise_distance
from squall.nn.functional.old_reductions import chosen_reduction


@full_precision
def hinge_embedding_loss(
    input: Any, target: Any, margin: float = 1.0, size_average: Any = None, reduce: Any = None,
    reduction: str = "mean",
) -> Any:
    """x where the target is 1, max(0, margin - x) where it is -1; their sum where it is neither."""
    reduction = chosen_reduction(size_average, reduce, reduction)
    check_floating("hinge_embedding_loss", "input", input)
    far = (margin - input).clamp(min=0).masked_fill(target == 1, 0.0)
    near = input.masked_fill(target == -1, 0.0)
    return reduce_loss("hinge_embedding_loss", near + far, reduction)


@full_precision
def margin_ranking_loss(
    input1: Any, input2: Any, target: Any, margin: float = 0.0, size_average: Any = None, reduce: Any = None,
    reduction: str = "mean",
) -> Any:
    """max(0, -target * (x1 - x2) + margin): target 1 wants x1 above x2, -1 below."""
    reduction = chosen_reduction(size_average, reduce, reduction)
    if not input1.dim() == input2.dim() == target.dim():
        raise ShapeError(
            f"margin_ranking_loss: All input tensors should have same dimension but got sizes: input1: "
            f"{tuple(input1.shape)}, input2: {tuple(input2.shape)}, target: {tuple(target.shape)}"
        )
    return reduce_loss("margin_ranking_loss", (margin - target * (input1 - input2)).clamp(min=0), reduction)


@full_precision
def soft_margin_loss(
    input: Any, target: Any, size_average: Any = None, reduce: Any = None, reduction: str = "mean"
) -> Any:
    """log(1 + exp(-target * x)), with targets 1 or -1."""
    reduction = chosen_reduction(size_average, reduce, reduction)
    check_floating("soft_margin_loss", "input", input)
    return reduce_loss("soft_margin_loss", -logsigmoid(input * target), reduction)


def _rows(function: str, input: Any) -> Any:
    """Scores as (batch, classes)."""
    check_floating(function, "input", input)
    if input.dim() > 2 or (input.dim() and input.shape[-1] == 0):
        raise ShapeError(
            f"{function}: argument 'input' must have shape (batch, classes) or (classes,), got {tuple(input.shape)}"
        )
    return input.reshape(1, -1) if input.dim() < 2 else input


@full_precision
def multi_margin_loss(
    input: Any, target: Any, p: int = 1, margin: float = 1.0, weight: Any = None, size_average: Any = None,
    reduce: Any = None, reduction: str = "mean",
) -> Any:
    """The sum over wrong classes of max(0, margin - x[target] + x)^p, over the number of classes.

    Args:
        input: scores (batch, classes) or (classes,). target: int64 class numbers. p: 1 or 2. weight: shape
            (classes,) or None.
    """
    reduction = chosen_reduction(size_average, reduce, reduction)
    check_reduction("multi_margin_loss", reduction)
    if p not in (1, 2):
        raise ValueError("multi_margin_loss: only p == 1 and p == 2 supported")
    if weight is not None and weight.dim() != 1:
        raise ValueError("multi_margin_loss: weight must be one-dimensional")
    if target.is_floating_point():
        raise DtypeError(f"multi_margin_loss: argument 'target' must have an integer dtype, got {target.dtype}")
    rows, batched = _rows("multi_margin_loss", input), target.dim() > 0
    if weight is not None and weight.shape[0] != rows.shape[1]:
        raise ShapeError(f"multi_margin_loss: argument 'weight' must have shape ({rows.shape[1]},), got "
                         f"{tuple(weight.shape)}")
    classes, index = rows.shape[1], target.reshape(-1, 1)
    right = rows.gather(1, index)
    loss = (margin - right + rows).clamp(min=0)
    loss = loss if p == 1 else loss * loss
    if weight is not None:
        loss = loss * weight[index]
    loss = loss.masked_fill(sq.arange(classes) == index, 0.0).sum(1) / classes
    return reduce_loss("multi_margin_loss", loss if batched else loss.view(()), reduction)


@full_precision
def multilabel_margin_loss(
    input: Any, target: Any, size_average: Any = None, reduce: Any = None, reduction: str = "mean"
) -> Any:
    """The sum over labels and other classes of max(0, 1 - x[label] + x), over the number of classes.

    Args:
        input: scores (batch, classes) or (classes,). target: int64 of that shape: labels from the front, up to
            the first -1.
    """
    reduction = chosen_reduction(size_average, reduce, reduction)
    check_reduction("multilabel_margin_loss", reduction)
    rows, labels = _rows("multilabel_margin_loss", input), _rows_of_labels(input, target)
    classes = rows.shape[1]
    valid = (labels < 0).to(sq.int64).cumsum(1) == 0
    index = labels.masked_fill(~valid, 0)
    is_label = (index.unsqueeze(2) == sq.arange(classes)).logical_and(valid.unsqueeze(2)).any(1)
    counted = valid.unsqueeze(2).logical_and(~is_label.unsqueeze(1))
    pairs = (1 - rows.gather(1, index).unsqueeze(2) + rows.unsqueeze(1)).clamp(min=0)
    loss = pairs.masked_fill(~counted, 0.0).sum((1, 2)) / classes
    return reduce_loss("multilabel_margin_loss", loss if input.dim() == 2 else loss.view(()), reduction)


def _rows_of_labels(input: Any, target: Any) -> Any:
    if tuple(target.shape) != tuple(input.shape):
        raise ShapeError(
            f"multilabel_margin_loss: inconsistent size {tuple(target.shape)} of 'target', expected "
            f"{tuple(input.shape)} as 'input' has"
        )
    return target.reshape(1, -1) if target.dim() < 2 else target


def multilabel_soft_margin_loss(
    input: Any, target: Any, weight: Any = None, size_average: Any = None, reduce: Any = None,
    reduction: str = "mean",
) -> Any:
    """The mean over the last dimension of the binary cross entropy of each class's score.

    Args:
        input: scores (..., classes). target: 0 or 1, of that shape. weight: shape (classes,) or None.
    """
    reduction = chosen_reduction(size_average, reduce, reduction)
    check_tensor("multilabel_soft_margin_loss", "target", target)
    loss = -(target * logsigmoid(input) + (1 - target) * logsigmoid(-input))
    loss = loss if weight is None else loss * weight
    return reduce_loss("multilabel_soft_margin_loss", loss.sum(-1) / input.shape[-1], reduction)


@full_precision
def cosine_embedding_loss(
    input1: Any, input2: Any, target: Any, margin: float = 0.0, size_average: Any = None, reduce: Any = None,
    reduction: str = "mean",
) -> Any:
    """1 - cos where the target is 1, max(0, cos - margin) where it is -1.

    Args:
        input1, input2: shape (batch, features), or (features,) with a scalar target. target: shape (batch,).
    """
    reduction = chosen_reduction(size_average, reduce, reduction)
    if target.dim() + 1 != input1.dim() or input1.dim() != input2.dim():
        raise ShapeError(
            f"cosine_embedding_loss: {target.dim()}D target tensor expects {target.dim() + 1}D input tensors, but "
            f"found inputs with sizes {tuple(input1.shape)} and {tuple(input2.shape)}"
        )
    tiny = 1e-12
    squares1, squares2 = ((x * x).sum(-1) + tiny for x in (input1, input2))
    cosine = (input1 * input2).sum(-1) / (squares1 * squares2).sqrt()
    loss = (1 - cosine).masked_fill(target != 1, 0.0) + (cosine - margin).clamp(min=0).masked_fill(
        target != -1, 0.0)
    return reduce_loss("cosine_embedding_loss", loss, reduction)


@full_precision
def triplet_margin_loss(
    anchor: Any, positive: Any, negative: Any, margin: float = 1.0, p: float = 2, eps: float = 1e-6,
    swap: bool = False, size_average: Any = None, reduce: Any = None, reduction: str = "mean",
) -> Any:
    """max(0, d(anchor, positive) - d(anchor, negative) + margin) with p-norms as distances.

    Args:
        anchor, positive, negative: shape (batch, features) or (features,). swap: also compare the positive
            with the negative and take the smaller distance.
    """
    reduction = chosen_reduction(size_average, reduce, reduction)
    check_reduction("triplet_margin_loss", reduction)

    def distance(x: Any, y: Any) -> Any:
        return pairwise_distance(x, y, p, eps)

    return triplet_margin_with_distance_loss(
        anchor, positive, negative, distance_function=distance, margin=margin, swap=swap, reduction=reduction)


def triplet_margin_with_distance_loss(
    anchor: Any, positive: Any, negative: Any, *, distance_function: Callable | None = None,
    margin: float = 1.0, swap: bool = False, reduction: str = "mean",
) -> Any:
    """As `triplet_margin_loss` with any function of two Tensors as the distance."""
    check_reduction("triplet_margin_with_distance_loss", reduction)
    if margin <= 0:
        raise ValueError(f"triplet_margin_with_distance_loss: argument 'margin' must be greater than 0, got {margin}")
    if not anchor.dim() == positive.dim() == negative.dim():
        raise ShapeError(
            "triplet_margin_with_distance_loss: anchor, positive and negative are expected to have the same number of "
            f"dimensions, got {anchor.dim()}, {positive.dim()} and {negative.dim()}"
        )
    measure = pairwise_distance if distance_function is None else distance_function
    near, far = measure(anchor, positive), measure(anchor, negative)
    if swap:
        far = sq.minimum(far, measure(positive, negative))
    return reduce_loss("triplet_margin_with_distance_loss", (near - far + margin).clamp(min=0), reduction)
