"""`DataParallel`, which PyTorch spreads over graphics cards and which on the CPU only calls its module."""

from __future__ import annotations

from typing import Any

from squall.nn.module import Module


class DataParallel(Module):
    """A module as it is, under the name `module`; there is one device, so nothing is spread.

    Its state dictionary has PyTorch's keys, which begin with `module.`.

    Args:
        module: what is called. device_ids, output_device, dim: accepted; they concern several devices.

    Example:
        >>> import squall as sq
        >>> model = sq.nn.DataParallel(sq.nn.Linear(2, 3))
        >>> list(model.state_dict()), model(sq.ones(4, 2)).shape
        (['module.weight', 'module.bias'], squall.Size([4, 3]))
    """

    def __init__(self, module: Any, device_ids: Any = None, output_device: Any = None, dim: int = 0) -> None:
        super().__init__()
        self.module, self.dim = module, dim

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        return self.module(*inputs, **kwargs)
