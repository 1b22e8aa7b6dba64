"""The module under test: how its names are found and how values go in and come out.

An adapter is a module that may define any of
`tensor(M, ndarray, dtype_name, requires_grad)`, `to_numpy(M, x)`, `grad(M, x)`, `backward(M, loss)`,
`resolve(M, dotted_name)` and `warm(M)`; what it does not define follows PyTorch.
"""

import importlib

import numpy as np
import torch


class Missing(Exception):
    """The module under test has no such name."""


class Unsupported(Exception):
    """A sample that cannot be carried over; it is skipped, not failed."""


class Target:
    """The module under test behind one small interface."""

    def __init__(self, name: str, adapter=None):
        self.module = importlib.import_module(name)
        self.adapter = adapter
        self.tensor_class = getattr(self.module, "Tensor", None) or getattr(self.module, "ndarray", None)

    def _hook(self, name):
        return getattr(self.adapter, name, None) if self.adapter else None

    def warm(self) -> None:
        """Load what M loads late, in the parent of all children."""
        hook = self._hook("warm")
        if hook:
            hook(self.module)

    def resolve(self, dotted: str):
        """The callable that `torch.<dotted>` stands for; Missing when there is none."""
        hook = self._hook("resolve")
        if hook and (found := hook(self.module, dotted)) is not None:
            return found
        value = self.module
        for part in dotted.split("."):
            try:
                value = getattr(value, part)
            except AttributeError:
                raise Missing(dotted) from None
        return value

    def dtype(self, torch_dtype: torch.dtype):
        """The module's dtype of the same name."""
        name = dtype_name(torch_dtype)
        for candidate in (name, {"bool": "bool_"}.get(name, name)):
            if hasattr(self.module, candidate):
                return getattr(self.module, candidate)
        raise Missing("dtype " + name)

    def tensor(self, value: torch.Tensor):
        """A tensor of the module with the same values, dtype and `requires_grad`."""
        require_strided(value)
        if value.dim() > 64 or value.device.type == "meta":  # more than an ndarray can have; no values
            raise Unsupported(f"{value.dim()} dimensions on {value.device.type}")
        requires_grad, dtype = value.requires_grad, value.dtype
        value = value.detach().resolve_conj().resolve_neg().cpu()
        try:
            array = value.numpy().copy()
        except TypeError:  # bfloat16 and float8 have no NumPy dtype
            array = value.float().numpy().copy()
        hook = self._hook("tensor")
        if hook:
            return hook(self.module, array, dtype_name(dtype), requires_grad)
        if not hasattr(self.module, "tensor"):
            return self.module.asarray(array)
        keywords = {"requires_grad": True} if requires_grad else {}
        if str(array.dtype) != dtype_name(dtype):
            keywords["dtype"] = self.dtype(dtype)
        return self.module.tensor(array, **keywords)

    def to_numpy(self, value) -> np.ndarray:
        """The values of a result as an ndarray."""
        hook = self._hook("to_numpy")
        if hook:
            return hook(self.module, value)
        if isinstance(value, torch.Tensor):
            return torch_to_numpy(value)
        if isinstance(value, np.ndarray | np.generic):
            return np.asarray(value)
        for method in ("resolve_conj", "resolve_neg", "detach", "cpu"):
            if hasattr(value, method):
                value = getattr(value, method)()
        return np.asarray(value.numpy() if hasattr(value, "numpy") else value)

    def is_tensor(self, value) -> bool:
        """Whether a value is a tensor of the module."""
        return self.tensor_class is not None and isinstance(value, self.tensor_class)

    def has_method(self, name: str) -> bool:
        """Whether the module's tensors have this method."""
        return self.tensor_class is not None and hasattr(self.tensor_class, name)

    def grad(self, leaf):
        """The gradient that `backward` left at a leaf, or None."""
        hook = self._hook("grad")
        return hook(self.module, leaf) if hook else leaf.grad

    def backward(self, loss) -> None:
        """Run the module's backward pass from a scalar."""
        hook = self._hook("backward")
        if hook:
            hook(self.module, loss)
        else:
            loss.backward()


def dtype_name(dtype: torch.dtype) -> str:
    """`float32` for `torch.float32`."""
    return str(dtype).replace("torch.", "")


def require_strided(value: torch.Tensor) -> None:
    """Skip the sample when a tensor is sparse, quantised or of another layout."""
    if value.layout is not torch.strided or value.is_quantized:
        raise Unsupported(f"layout {value.layout}")


def torch_to_numpy(value: torch.Tensor) -> np.ndarray:
    """A torch tensor's values; 16-bit brain floats come out as float32."""
    value = value.detach().resolve_conj().resolve_neg()
    require_strided(value)
    try:
        return value.numpy(force=True)
    except TypeError:
        return value.float().numpy(force=True)
