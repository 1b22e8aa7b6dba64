"""Layers that are linear maps, and the one that does nothing."""

from __future__ import annotations

from typing import Any

import squall as sq
from squall.base.errors import ShapeError
from squall.nn import functional as F
from squall.nn import init
from squall.nn.module import Module
from squall.nn.parameter import Parameter


class Identity(Module):
    """Gives back its input; takes and ignores any arguments."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Any) -> Any:
        return input


class Linear(Module):
    """input @ weight.T + bias.

    Args:
        in_features, out_features: the last sizes of input and result. bias: whether something is added.
        device, dtype: of the parameters.

    Attributes:
        weight: shape (out_features, in_features). bias: shape (out_features,) or None. Both begin uniform in
            +-1 / sqrt(in_features).

    Example:
        >>> import squall as sq
        >>> from squall import nn
        >>> nn.Linear(3, 4)(sq.zeros(2, 3)).shape
        squall.Size([2, 4])
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.weight = Parameter(sq.empty(out_features, in_features, device=device, dtype=dtype))
        self.register_parameter(
            "bias", Parameter(sq.empty(out_features, device=device, dtype=dtype)) if bias else None
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        init.kaiming_uniform_(self.weight, a=5**0.5)
        if self.bias is not None:
            bound = self.in_features**-0.5 if self.in_features > 0 else 0
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Any) -> Any:
        if not input.shape or input.shape[-1] != self.in_features:
            raise ShapeError(
                f"Linear: argument 'input' of shape {tuple(input.shape)} must end in in_features={self.in_features}"
            )
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        """The sizes and whether there is a bias."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"
        )


class Embedding(Module):
    """A table whose rows are looked up by index.

    Args:
        num_embeddings, embedding_dim: rows and columns of the table. padding_idx: a row that starts at zero
            and gets no gradient. device, dtype: of the table.

    Attributes:
        weight: shape (num_embeddings, embedding_dim), from a standard normal distribution.

    Example:
        >>> import squall as sq
        >>> from squall import nn
        >>> nn.Embedding(10, 3)(sq.tensor([1, 2])).shape
        squall.Size([2, 3])
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        *,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise ValueError(
                f"Embedding: padding_idx={padding_idx} must be within num_embeddings={num_embeddings}"
            )
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = (
            padding_idx + num_embeddings if padding_idx is not None and padding_idx < 0 else padding_idx
        )
        self.weight = Parameter(sq.empty(num_embeddings, embedding_dim, device=device, dtype=dtype))
        self.reset_parameters()

    @classmethod
    def from_pretrained(
        cls, embeddings: Any, freeze: bool = True, padding_idx: int | None = None
    ) -> Embedding:
        """A layer around a table of shape (rows, columns) that there is; with `freeze` it is not trained."""
        if embeddings.dim() != 2:
            raise ShapeError(
                f"Embedding.from_pretrained: embeddings must have 2 dimensions, got shape {tuple(embeddings.shape)}"
            )
        layer = cls(*embeddings.shape, padding_idx=padding_idx, dtype=embeddings.dtype)
        layer.weight = Parameter(embeddings, requires_grad=not freeze)
        return layer

    def reset_parameters(self) -> None:
        """Draw the table anew."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with sq.no_grad():
                self.weight[self.padding_idx].fill_(0)

    def forward(self, input: Any) -> Any:
        return F.embedding(input, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        """The size of the table."""
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"


class Flatten(Module):
    """Joins the dimensions start_dim to end_dim into one.

    Example:
        >>> import squall as sq
        >>> from squall import nn
        >>> nn.Flatten()(sq.zeros(2, 3, 4)).shape
        squall.Size([2, 12])
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Any) -> Any:
        return input.flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        """Which dimensions are joined."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"
