"""What PyTorch has as `torch.batch_norm`, `torch.embedding`, ...: `nn.functional`'s functions with other arguments.

There arguments are the kernel's: no defaults where modules always give a value, the weight of an embedding first,
reductions as numbers (0 none, 1 mean, 2 sum). Names are accepted for reductions, too.
"""

from __future__ import annotations

from typing import Any

import squall as sq
from squall.base.errors import ArgumentError, ShapeError
from squall.frontend.declaring import with_out
from squall.nn import functional as F
from squall.nn.functional.core import check_tensor

_REDUCTIONS = ("none", "mean", "sum")
_BAGS = ("sum", "mean", "max")


def _reduction(function: str, value: Any) -> str:
    if value in _REDUCTIONS:
        return value
    if isinstance(value, bool) or value not in (0, 1, 2):
        raise ArgumentError(f"{function}: argument 'reduction' must be 0 (none), 1 (mean) or 2 (sum), got {value!r}")
    return _REDUCTIONS[value]


@with_out
def threshold(input: Any, threshold: float, value: float) -> Any:
    """x where it is above the threshold, else a value.

    Args:
        threshold: what x is compared with. value: what stands elsewhere.

    Example:
        >>> import squall as sq
        >>> sq.threshold(sq.tensor([-1.0, 2.0]), 0.5, 9.0)
        tensor([9., 2.])
    """
    return F.threshold(input, threshold, value)


def rrelu(
    input: Any, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False, generator: Any = None
) -> Any:
    """x where positive, else x times a slope: drawn between lower and upper while training, else their mean."""
    return F.rrelu(input, lower, upper, training, generator=generator)


# ---------------------------------------------------------------- normalization
def batch_norm(
    input: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, training: bool, momentum: float,
    eps: float, cudnn_enabled: bool = False,
) -> Any:  # fmt: skip
    """Each channel (dimension 1) less its mean, divided by its standard deviation, times weight plus bias.

    Args:
        input: (batch, channels, ...). weight, bias, running_mean, running_var: (channels,) or None. training: take mean
            and variance of the batch and move the running ones; else take the running ones. momentum: how far they
            move. eps: added to the variance. cudnn_enabled: whether a GPU's library may be used; there is none here.

    Raises:
        ShapeError: for operands of other shapes.
    """
    return F.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


def instance_norm(
    input: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, use_input_stats: bool, momentum: float,
    eps: float, cudnn_enabled: bool = False,
) -> Any:  # fmt: skip
    """Each channel of each sample less its mean, divided by its standard deviation, times weight plus bias.

    Args:
        as for `batch_norm`; use_input_stats: take mean and variance of the input; else the running ones.

    Raises:
        ShapeError: for operands of other shapes.
    """
    return F.instance_norm(input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps)


def group_norm(
    input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5, cudnn_enabled: bool = True
) -> Any:
    """Each group of channels of each sample less its mean, divided by its standard deviation.

    Args:
        input: (batch, channels, ...). num_groups: divides the channels. weight, bias: (channels,) or None. eps: added
            to the variance. cudnn_enabled: whether a GPU's library may be used; there is none here.

    Raises:
        ShapeError: for channels that the groups do not divide.
    """
    return F.group_norm(input, num_groups, weight, bias, eps)


def layer_norm(
    input: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5,
    cudnn_enable: bool = True,
) -> Any:  # fmt: skip
    """The last dimensions less their mean, divided by their standard deviation, times weight plus bias.

    Args:
        normalized_shape: of the last dimensions. weight, bias: of that shape, or None. eps: added to the variance.
            cudnn_enable: whether a GPU's library may be used; there is none here.

    Raises:
        ShapeError: when the input does not end in that shape.
    """
    return F.layer_norm(input, normalized_shape, weight, bias, eps)


# ---------------------------------------------------------------- tables
def embedding(
    weight: Any, indices: Any, padding_idx: int = -1, scale_grad_by_freq: bool = False, sparse: bool = False
) -> Any:
    """Rows of a table.

    Args:
        weight: (rows, features). indices: int64 of any shape. padding_idx: a row that gets no gradient; negative: none.
        scale_grad_by_freq: divide a row's gradient by how often it is asked for. sparse: must be False.

    Raises:
        IndexRangeError: for an index that is no row.
    """
    padding = None if padding_idx < 0 else padding_idx
    return F.embedding(indices, weight, padding, scale_grad_by_freq=scale_grad_by_freq, sparse=sparse)


def embedding_bag(
    weight: Any, indices: Any, offsets: Any, scale_grad_by_freq: bool = False, mode: Any = 0, sparse: bool = False,
    per_sample_weights: Any = None, include_last_offset: bool = False, padding_idx: int | None = None,
) -> tuple:  # fmt: skip
    """Sums, means or maxima of bags of rows of a table, and which index belongs to which bag.

    Args:
        weight: (count, size). indices: int64, of one dimension. offsets: where each bag begins. mode: 0 sum, 1 mean,
            2 max, or these names. padding_idx: a row that counts not. The others are as for
            `nn.functional.embedding_bag`.

    Returns:
        tuple: (the bags, of shape (bags, size); the bag of each index; indices that count, by bag; for maxima the index
        each came from, of shape (bags, size), else the counts again).

    Raises:
        ShapeError, ValueError: when the arguments do not fit together.

    Example:
        >>> import squall as sq
        >>> table = sq.tensor([[1.0], [2.0], [4.0]])
        >>> sq.embedding_bag(table, sq.tensor([0, 2, 1]), sq.tensor([0, 2]))[0].tolist()
        [[5.0], [2.0]]
    """
    check_tensor("embedding_bag", "offsets", offsets)
    how = mode if mode in _BAGS else _BAGS[mode] if mode in (0, 1, 2) else None
    if how is None:
        raise ArgumentError(f"embedding_bag: argument 'mode' must be 0 (sum), 1 (mean) or 2 (max), got {mode!r}")
    padding = None if padding_idx is None or padding_idx < 0 else padding_idx
    made = F.embedding_bag(indices, weight, offsets, None, 2.0, scale_grad_by_freq, how, sparse, per_sample_weights,
                           include_last_offset, padding)
    bags = made.shape[0]
    owner = (sq.arange(indices.shape[0]).unsqueeze(1) >= offsets[:bags]).sum(1) - 1
    counted = sq.ones(indices.shape, dtype=sq.bool) if padding is None else indices != padding
    counts = sq.zeros(bags, dtype=sq.int64).index_add(0, owner, counted.to(sq.int64))
    if how != "max" or not indices.shape[0]:
        return made, owner, counts, counts
    rows = weight.detach()[indices].masked_fill(~counted.unsqueeze(1), float("-inf"))
    mine = (owner.unsqueeze(0) == sq.arange(bags).unsqueeze(1)).unsqueeze(2)
    best = sq.where(mine, rows.unsqueeze(0), float("-inf")).argmax(1)
    return made, owner, counts, sq.where(counts.unsqueeze(1) > 0, indices[best], 0)


def embedding_renorm_(input: Any, indices: Any, max_norm: float, norm_type: float) -> Any:
    """Scale the rows of a table that are asked for to a norm of at most `max_norm`, in place.

    Args:
        input: (rows, features). indices: int64 of any shape. max_norm: the largest norm. norm_type: its p.

    Returns:
        Tensor: the input.

    Raises:
        IndexRangeError: for an index that is no row.
    """
    with sq.no_grad():
        F.embedding(indices, input, max_norm=max_norm, norm_type=norm_type)
    return input


# ---------------------------------------------------------------- dropout
def dropout(input: Any, p: float = 0.5, train: bool = True) -> Any:
    """Zero each element with probability p and scale the others by 1 / (1 - p).

    Args:
        p: in [0, 1]. train: when False the input is given back.

    Raises:
        ValueError: for a p outside of [0, 1].
    """
    return F.dropout(input, p, train)


def dropout_(input: Any, p: float, train: bool) -> Any:
    """`dropout` in place.

    Raises:
        ValueError: for a p outside of [0, 1].
    """
    return F.dropout(input, p, train, inplace=True)


def alpha_dropout(input: Any, p: float = 0.5, train: bool = False) -> Any:
    """Dropout that keeps mean and variance of networks with SELU.

    Args:
        p: in [0, 1]. train: when False the input is given back.

    Raises:
        ValueError: for a p outside of [0, 1].
    """
    return F.alpha_dropout(input, p, train)


def alpha_dropout_(input: Any, p: float, train: bool) -> Any:
    """`alpha_dropout` in place.

    Raises:
        ValueError: for a p outside of [0, 1].
    """
    return F.alpha_dropout(input, p, train, inplace=True)


def feature_dropout(input: Any, p: float, train: bool) -> Any:
    """Zero whole channels (dimension 1) with probability p and scale the others by 1 / (1 - p).

    Args:
        input: at least two dimensions. p: in [0, 1]. train: when False the input is given back.

    Raises:
        ShapeError: for fewer dimensions. ValueError: for a p outside of [0, 1].
    """
    check_tensor("feature_dropout", "input", input)
    if input.dim() < 2:
        raise ShapeError(f"feature_dropout: argument 'input' needs 2 dimensions or more, got {list(input.shape)}")
    if not train or p == 0.0:
        return F.dropout(input, p, False)
    kept = F.dropout(sq.ones(*input.shape[:2], *[1] * (input.dim() - 2), dtype=input.dtype), p, True)
    return input * kept


def feature_dropout_(input: Any, p: float, train: bool) -> Any:
    """`feature_dropout` in place.

    Raises:
        ShapeError: for fewer than two dimensions. ValueError: for a p outside of [0, 1].
    """
    return input.copy_(feature_dropout(input, p, train)) if train and p else feature_dropout(input, p, train)


def feature_alpha_dropout(input: Any, p: float, train: bool) -> Any:
    """`alpha_dropout` of whole channels (dimension 1).

    Args:
        p: in [0, 1]. train: when False the input is given back.

    Raises:
        ValueError: for a p outside of [0, 1].
    """
    return F.feature_alpha_dropout(input, p, train)


def feature_alpha_dropout_(input: Any, p: float, train: bool) -> Any:
    """`feature_alpha_dropout` in place.

    Raises:
        ValueError: for a p outside of [0, 1].
    """
    return F.feature_alpha_dropout(input, p, train, inplace=True)


def native_dropout(input: Any, p: float, train: bool | None) -> tuple[Any, Any]:
    """Dropout that also tells which elements were kept.

    Args:
        p: in [0, 1]. train: False gives the input and a mask of all True; None counts as True.

    Returns:
        tuple: (result, bool mask of what was kept).

    Raises:
        ValueError: for a p outside of [0, 1].
    """
    if train is False or p == 0:
        return F.dropout(input, p, False).clone(), sq.ones_like(input, dtype=sq.bool)
    mask = F.dropout(sq.ones_like(input, dtype=sq.float32), p, True) != 0
    scale = 0.0 if p == 1 else 1.0 / (1.0 - p)
    return input * mask.to(input.dtype) * scale, mask


# ---------------------------------------------------------------- convolutions
def convolution(
    input: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, transposed: bool, output_padding: Any,
    groups: int,
) -> Any:  # fmt: skip
    """A convolution, or with `transposed` its transpose, over as many dimensions as the weight has behind two.

    Args:
        input: (batch, in, sizes...). weight: (out, in / groups, kernel...), transposed (in, out / groups, kernel...).
            bias: (out,) or None. stride, padding, dilation, output_padding: one number for each dimension.

    Raises:
        ShapeError: for operands that do not fit, or a weight of other than three to five dimensions.
    """
    check_tensor("convolution", "weight", weight)
    spatial = weight.dim() - 2
    if spatial not in (1, 2, 3):
        raise ShapeError(f"convolution: argument 'weight' must have 3 to 5 dimensions, got {list(weight.shape)}")
    if transposed:
        run = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[spatial - 1]
        return run(input, weight, bias, stride, padding, output_padding, groups, dilation)
    return (F.conv1d, F.conv2d, F.conv3d)[spatial - 1](input, weight, bias, stride, padding, dilation, groups)


# ---------------------------------------------------------------- losses
def ctc_loss(
    log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any, blank: int = 0, reduction: Any = 1,
    zero_infinity: bool = False,
) -> Any:  # fmt: skip
    """Negative log likelihood of label sequences without alignment; arguments as for `nn.functional.ctc_loss`.

    Raises:
        ArgumentError: for a reduction that is none.
    """
    how = _reduction("ctc_loss", reduction)
    return F.ctc_loss(log_probs, targets, input_lengths, target_lengths, blank, how, zero_infinity)


def kl_div(input: Any, target: Any, reduction: Any = 1, *, log_target: bool = False) -> Any:
    """target * (log(target) - input), averaged over all elements.

    Args:
        input: logarithms of probabilities. target: probabilities, or with `log_target` their logarithms. reduction: 0
            none, 1 mean of all elements, 2 sum.

    Raises:
        ArgumentError: for a reduction that is none.
    """
    return F.kl_div(input, target, reduction=_reduction("kl_div", reduction), log_target=log_target)


def binary_cross_entropy_with_logits(
    input: Any, target: Any, weight: Any = None, pos_weight: Any = None, reduction: Any = 1
) -> Any:
    """Cross entropy of sigmoid(input) and probabilities.

    Args:
        weight: of elements. pos_weight: of the target's part. reduction: 0 none, 1 mean, 2 sum.

    Raises:
        ArgumentError: for a reduction that is none.
    """
    how = _reduction("binary_cross_entropy_with_logits", reduction)
    return F.binary_cross_entropy_with_logits(input, target, weight, reduction=how, pos_weight=pos_weight)


def cosine_embedding_loss(input1: Any, input2: Any, target: Any, margin: float = 0.0, reduction: Any = 1) -> Any:
    """1 - cosine where the target is 1, max(0, cosine - margin) where it is -1; reduction 0 none, 1 mean, 2 sum.

    Raises:
        ArgumentError: for a reduction that is none.
    """
    how = _reduction("cosine_embedding_loss", reduction)
    return F.cosine_embedding_loss(input1, input2, target, margin, reduction=how)


def hinge_embedding_loss(input: Any, target: Any, margin: float = 1.0, reduction: Any = 1) -> Any:
    """input where the target is 1, max(0, margin - input) where it is -1; reduction 0 none, 1 mean, 2 sum.

    Raises:
        ArgumentError: for a reduction that is none.
    """
    how = _reduction("hinge_embedding_loss", reduction)
    return F.hinge_embedding_loss(input, target, margin, reduction=how)


def margin_ranking_loss(input1: Any, input2: Any, target: Any, margin: float = 0.0, reduction: Any = 1) -> Any:
    """max(0, -target * (input1 - input2) + margin); reduction 0 none, 1 mean, 2 sum.

    Raises:
        ArgumentError: for a reduction that is none.
    """
    how = _reduction("margin_ranking_loss", reduction)
    return F.margin_ranking_loss(input1, input2, target, margin, reduction=how)


def poisson_nll_loss(
    input: Any, target: Any, log_input: bool = True, full: bool = False, eps: float = 1e-8, reduction: Any = 1
) -> Any:
    """Negative log likelihood of counts under Poisson distributions; reduction 0 none, 1 mean, 2 sum.

    Raises:
        ArgumentError: for a reduction that is none.
    """
    how = _reduction("poisson_nll_loss", reduction)
    return F.poisson_nll_loss(input, target, log_input, full, eps=eps, reduction=how)


def triplet_margin_loss(
    anchor: Any, positive: Any, negative: Any, margin: float = 1.0, p: float = 2, eps: float = 1e-6, swap: bool = False,
    reduction: Any = 1,
) -> Any:  # fmt: skip
    """max(0, |anchor - positive| - |anchor - negative| + margin); reduction 0 none, 1 mean, 2 sum.

    Raises:
        ArgumentError: for a reduction that is none.
    """
    how = _reduction("triplet_margin_loss", reduction)
    return F.triplet_margin_loss(anchor, positive, negative, margin, p, eps, swap, reduction=how)
