"""`sq.masked`: reductions and rows over what a mask lets through, under PyTorch's names (`torch.masked`).

Example:
    >>> import squall as sq
    >>> x = sq.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    >>> sq.masked.mean(x, 1, mask=x > 1)
    tensor([2.5000, 5.0000])
"""

from squall.frontend.masked_reductions import (
    amax,
    amin,
    argmax,
    argmin,
    cumprod,
    cumsum,
    log_softmax,
    logaddexp,
    logsumexp,
    mean,
    median,
    norm,
    normalize,
    prod,
    softmax,
    softmin,
    std,
    sum,
    var,
)

__all__ = [
    "amax", "amin", "argmax", "argmin", "cumprod", "cumsum", "log_softmax", "logaddexp", "logsumexp", "mean", "median",
    "norm", "normalize", "prod", "softmax", "softmin", "std", "sum", "var",
]  # fmt: skip
