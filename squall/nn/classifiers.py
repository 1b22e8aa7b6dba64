"""Classifiers with their loss in one layer: a linear map with cross entropy, and the adaptive softmax."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

import squall as sq
from squall.base.errors import ShapeError
from squall.nn import functional as F
from squall.nn.containers import ModuleList, Sequential
from squall.nn.linear import Linear
from squall.nn.loss import WeightedLoss
from squall.nn.module import Module


class LinearCrossEntropyLoss(WeightedLoss):
    """`CrossEntropyLoss` of a linear map of the input.

    Args:
        in_features: the input's last size. num_classes: how many there are. out_features: further sizes of the target.
            bias: of the map. device, dtype: of its parameters. options: accepted as in PyTorch. The others are as for
            `CrossEntropyLoss`.

    Attributes:
        linear: the map.
    """

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        *,
        out_features: tuple[int, ...] = (),
        bias: bool = False,
        device: Any = None,
        dtype: Any = None,
        reduction: str = "mean",
        weight: Any = None,
        ignore_index: int | None = None,
        label_smoothing: float = 0.0,
        options: Any = None,
    ) -> None:
        if weight is not None and tuple(weight.shape) != (num_classes,):
            raise ShapeError(f"expected weight shape to be {(num_classes,)}, got {tuple(weight.shape)}")
        if not 0 <= label_smoothing <= 1:
            raise RuntimeError(f"expected label_smoothing to be in range [0, 1], got {label_smoothing}")
        super().__init__(weight, reduction=reduction)
        self.num_classes, self.out_features = num_classes, tuple(out_features)
        self.ignore_index, self.label_smoothing, self.options = ignore_index, label_smoothing, options
        self.linear = Linear(
            in_features, num_classes * prod(self.out_features), bias=bias, device=device, dtype=dtype
        )

    def forward(self, input: Any, target: Any) -> Any:
        shape = (self.num_classes, *self.out_features)
        bias = self.linear.bias
        return F.linear_cross_entropy(
            input, self.linear.weight.reshape(*shape, self.linear.in_features), target,
            linear_bias=None if bias is None else bias.reshape(shape), weight=self.weight,
            reduction=self.reduction, ignore_index=self.ignore_index, label_smoothing=self.label_smoothing,
        )


class AdaptiveOutput(NamedTuple):
    """What `AdaptiveLogSoftmaxWithLoss` gives: each sample's log probability of its target, and the mean loss."""

    output: Any
    loss: Any


class AdaptiveLogSoftmaxWithLoss(Module):
    """A softmax over very many classes: frequent ones directly, rare ones in clusters with smaller projections.

    Args:
        in_features: of the input. n_classes: numbered by falling frequency. cutoffs: where clusters begin, rising.
            div_value: how many times fewer features each next cluster has. head_bias: of the frequent classes.
            device, dtype: of the parameters.

    Example:
        >>> import squall as sq
        >>> layer = AdaptiveLogSoftmaxWithLoss(8, 20, cutoffs=[5, 10], div_value=2.0)
        >>> layer(sq.zeros(3, 8), sq.tensor([0, 7, 19])).output.shape
        squall.Size([3])
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        cutoffs = list(cutoffs)
        if not cutoffs or cutoffs != sorted(set(cutoffs)) or cutoffs[0] <= 0 or cutoffs[-1] > n_classes - 1:
            raise ValueError(
                "cutoffs should be a sequence of unique, positive integers sorted in an increasing order, where each "
                "value is between 1 and n_classes-1"
            )
        made = {"device": device, "dtype": dtype}
        self.in_features, self.n_classes, self.div_value, self.head_bias = in_features, n_classes, div_value, head_bias
        self.cutoffs = [*cutoffs, n_classes]
        self.shortlist_size, self.n_clusters = self.cutoffs[0], len(self.cutoffs) - 1
        self.head_size = self.shortlist_size + self.n_clusters
        self.head = Linear(in_features, self.head_size, bias=head_bias, **made)
        self.tail = ModuleList()
        for i in range(self.n_clusters):
            hidden = int(in_features // (div_value ** (i + 1)))
            size = self.cutoffs[i + 1] - self.cutoffs[i]
            self.tail.append(
                Sequential(Linear(in_features, hidden, bias=False, **made), Linear(hidden, size, bias=False, **made))
            )

    def log_prob(self, input: Any) -> Any:
        """Log probabilities of all classes: (samples, in_features) to (samples, n_classes)."""
        head = F.log_softmax(self.head(input), 1)
        parts = [head[:, : self.shortlist_size]]
        for i, tail in enumerate(self.tail):
            at = self.shortlist_size + i
            parts.append(F.log_softmax(tail(input), 1) + head[:, at : at + 1])
        return sq.cat(parts, 1)

    def predict(self, input: Any) -> Any:
        """The most probable class of each sample."""
        return self.log_prob(input).argmax(1)

    def forward(self, input: Any, target: Any) -> AdaptiveOutput:
        batched = target.dim() > 0
        rows, classes = (input, target) if batched else (input.unsqueeze(0), target.unsqueeze(0))
        if rows.dim() != 2 or rows.shape[0] != classes.shape[0]:
            raise ShapeError(
                f"AdaptiveLogSoftmaxWithLoss: 'input' of shape {tuple(input.shape)} and 'target' of shape "
                f"{tuple(target.shape)} should have the same size in the batch dimension"
            )
        head = F.log_softmax(self.head(rows), 1)
        column = classes.clamp(max=self.shortlist_size - 1)
        for i, low in enumerate(self.cutoffs[:-1]):
            column = sq.where(classes >= low, self.shortlist_size + i, column)
        output = head.gather(1, column.unsqueeze(1)).squeeze(1)
        for i, tail in enumerate(self.tail):
            low, high = self.cutoffs[i], self.cutoffs[i + 1]
            inside = (classes >= low).logical_and(classes < high)
            place = (classes - low).clamp(min=0, max=high - low - 1).unsqueeze(1)
            part = F.log_softmax(tail(rows), 1).gather(1, place).squeeze(1)
            output = output + part.masked_fill(~inside, 0.0)
        loss = -output.mean()
        return AdaptiveOutput(output if batched else output.squeeze(0), loss)
