"""Where squall's tensors need another way in or out than `M.tensor(ndarray)` and `.detach().numpy()`."""

import numpy as np

from tests.conformance.opinfo.target import Unsupported


def tensor(module, array: np.ndarray, dtype_name: str, requires_grad: bool):
    """A squall tensor; brain floats arrive as float32 and are narrowed, which loses nothing."""
    if not hasattr(module, dtype_name):
        raise Unsupported(f"dtype {dtype_name}")
    return module.tensor(array, dtype=getattr(module, dtype_name), requires_grad=requires_grad)


def to_numpy(module, value) -> np.ndarray:
    """The values; brain floats as float32, the way the reference side reads its own."""
    if isinstance(value, module.Tensor):
        value = value.detach()
        if str(value.dtype).endswith("bfloat16"):
            value = value.to(module.float32)
        value = value.numpy()
    return np.asarray(value)


def warm(module) -> None:
    """Load what every child of a run needs, once, before they are forked: the compiler and the native flush.

    One thread, as torch has here: a run is spread over the cores already.
    """
    module.set_num_threads(1)
    x = module.ones(3, requires_grad=True)
    for _ in range(12):
        (x * 2.0).sum().backward()
        x.grad.tolist()


def resolve(module, dotted: str):
    """What stands for a name that PyTorch keeps private and offers under another; None for all others."""
    return {"_segment_reduce": module.segment_reduce}.get(dotted)
