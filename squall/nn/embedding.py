"""Tables whose rows are looked up by index."""

from __future__ import annotations

from typing import Any

import squall as sq
from squall.base.errors import ShapeError
from squall.nn import functional as F
from squall.nn import init
from squall.nn.module import Module
from squall.nn.parameter import Parameter


class _Table(Module):
    """What `Embedding` and `EmbeddingBag` share: the table and the options of looking rows up."""

    def _make(
        self, count: int, size: int, padding_idx: int | None, options: dict, weight: Any, freeze: bool,
        device: Any, dtype: Any,
    ) -> None:
        name = self._get_name()
        if padding_idx is not None and not -count <= padding_idx < count:
            raise ValueError(f"{name}: padding_idx={padding_idx} must be within num_embeddings={count}")
        self.num_embeddings, self.embedding_dim = count, size
        self.padding_idx = padding_idx + count if padding_idx is not None and padding_idx < 0 else padding_idx
        for option, value in options.items():
            setattr(self, option, value)
        if weight is None:
            self.weight = Parameter(
                sq.empty(count, size, device=device, dtype=dtype), requires_grad=not freeze
            )
            self.reset_parameters()
            return
        if tuple(weight.shape) != (count, size):
            raise ShapeError(
                f"{name}: the given weight has shape {tuple(weight.shape)}, expected ({count}, {size}) from "
                "num_embeddings and embedding_dim"
            )
        self.weight = Parameter(weight, requires_grad=not freeze)

    def reset_parameters(self) -> None:
        """Draw the table anew."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with sq.no_grad():
                self.weight[self.padding_idx].fill_(0)

    @classmethod
    def _around(cls: Any, embeddings: Any, freeze: bool, options: dict) -> Any:
        if embeddings.dim() != 2:
            raise ShapeError(
                f"{cls.__name__}.from_pretrained: embeddings must have 2 dimensions, got shape "
                f"{tuple(embeddings.shape)}"
            )
        return cls(*embeddings.shape, _weight=embeddings, _freeze=freeze, **options)

    def _options(self, *names: str) -> str:
        """What `repr` shows: the sizes, and options that are not the default."""
        defaults: dict[str, Any] = {"padding_idx": None, "max_norm": None, "norm_type": 2, "mode": None,
                                    "scale_grad_by_freq": False, "sparse": False}
        shown = [f"{self.num_embeddings}, {self.embedding_dim}"]
        shown += [f"{n}={getattr(self, n)!r}" for n in names if getattr(self, n) != defaults[n]]
        return ", ".join(shown)


class Embedding(_Table):
    """A table whose rows are looked up by index.

    Args:
        num_embeddings, embedding_dim: rows and columns of the table. padding_idx: a row that starts at zero
            and gets no gradient. max_norm: rows that are looked up are scaled down to this norm, in place.
            norm_type: of that norm. scale_grad_by_freq: divide each row's gradient by how often it was looked
            up. sparse: only False. device, dtype: of the table.

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
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Any = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        options = {"max_norm": max_norm, "norm_type": norm_type, "scale_grad_by_freq": scale_grad_by_freq,
                   "sparse": sparse}
        self._make(num_embeddings, embedding_dim, padding_idx, options, _weight, _freeze, device, dtype)

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Any,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Embedding:
        """A layer around a table of shape (rows, columns) that there is; with `freeze` it is not trained."""
        options = {"padding_idx": padding_idx, "max_norm": max_norm, "norm_type": norm_type,
                   "scale_grad_by_freq": scale_grad_by_freq, "sparse": sparse}
        return cls._around(embeddings, freeze, options)

    def forward(self, input: Any) -> Any:
        return F.embedding(
            input, self.weight, self.padding_idx, self.max_norm, self.norm_type, self.scale_grad_by_freq,
            self.sparse,
        )

    def extra_repr(self) -> str:
        """The size of the table and the options."""
        return self._options("padding_idx", "max_norm", "norm_type", "scale_grad_by_freq", "sparse")


class EmbeddingBag(_Table):
    """Sums, means or maxima of bags of rows of a table.

    Args:
        num_embeddings, embedding_dim: rows and columns of the table. mode: "sum", "mean" or "max".
            include_last_offset: whether the last offset is the end of the last bag. The others are as for
            `Embedding`; a padding row counts not.

    Attributes:
        weight: shape (num_embeddings, embedding_dim), from a standard normal distribution.

    Example:
        >>> import squall as sq
        >>> bag = sq.nn.EmbeddingBag(10, 3, mode="sum")
        >>> bag(sq.tensor([1, 2, 4, 5]), sq.tensor([0, 3])).shape
        squall.Size([2, 3])
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        _weight: Any = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: Any = None,
        _freeze: bool = False,
    ) -> None:
        super().__init__()
        options = {"max_norm": max_norm, "norm_type": norm_type, "scale_grad_by_freq": scale_grad_by_freq,
                   "mode": mode, "sparse": sparse, "include_last_offset": include_last_offset}
        self._make(num_embeddings, embedding_dim, padding_idx, options, _weight, _freeze, device, dtype)

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Any,
        freeze: bool = True,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
    ) -> EmbeddingBag:
        """A layer around a table of shape (rows, columns) that there is; with `freeze` it is not trained."""
        options = {"max_norm": max_norm, "norm_type": norm_type, "scale_grad_by_freq": scale_grad_by_freq,
                   "mode": mode, "sparse": sparse, "include_last_offset": include_last_offset,
                   "padding_idx": padding_idx}
        return cls._around(embeddings, freeze, options)

    def forward(self, input: Any, offsets: Any = None, per_sample_weights: Any = None) -> Any:
        return F.embedding_bag(
            input, self.weight, offsets, self.max_norm, self.norm_type, self.scale_grad_by_freq, self.mode,
            self.sparse, per_sample_weights, self.include_last_offset, self.padding_idx,
        )

    def extra_repr(self) -> str:
        """The size of the table and the options."""
        return self._options("max_norm", "norm_type", "scale_grad_by_freq", "mode", "padding_idx")
