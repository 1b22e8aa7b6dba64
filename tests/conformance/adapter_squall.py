"""Where squall's tensors need another way in or out than `M.tensor(ndarray)` and `.detach().numpy()`."""

import numpy as np


def tensor(module, array: np.ndarray, dtype_name: str, requires_grad: bool):
    """A squall tensor; brain floats arrive as float32 and are narrowed, which loses nothing."""
    return module.tensor(array, dtype=getattr(module, dtype_name), requires_grad=requires_grad)


def to_numpy(module, value) -> np.ndarray:
    """The values; brain floats as float32, the way the reference side reads its own."""
    if isinstance(value, module.Tensor):
        value = value.detach()
        if str(value.dtype).endswith("bfloat16"):
            value = value.to(module.float32)
        value = value.numpy()
    return np.asarray(value)
