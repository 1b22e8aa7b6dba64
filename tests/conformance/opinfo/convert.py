"""Trees of arguments: carried over to the module under test, and flattened for comparison."""

import numpy as np
import torch

from tests.conformance.opinfo.target import Missing, Target, Unsupported, dtype_name

NUMBERS = (bool, int, float, complex, np.generic, np.ndarray)


def is_torch(value) -> bool:
    """Whether a value is a torch tensor."""
    return isinstance(value, torch.Tensor)


class Converter:
    """Carries argument trees over; one tensor object stays one tensor object."""

    def __init__(self, target: Target):
        self.target = target
        self.memo = {}
        self._alive = []  # ids stay unique as long as the objects live

    def put(self, torch_value, own_value) -> None:
        """Remember which value of the module stands for a torch value."""
        self._alive.append(torch_value)
        self.memo[id(torch_value)] = own_value

    def __call__(self, value):
        if id(value) in self.memo:
            return self.memo[id(value)]
        if is_torch(value):
            self.put(value, self.target.tensor(value))
            return self.memo[id(value)]
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return type(value)(*[self(item) for item in value])
        if isinstance(value, torch.Size):
            return tuple(value)
        if isinstance(value, list | tuple):
            return type(value)(self(item) for item in value)
        if isinstance(value, dict):
            return {key: self(item) for key, item in value.items()}
        if isinstance(value, slice):
            return slice(self(value.start), self(value.stop), self(value.step))
        return self._special(value)

    def _special(self, value):
        """dtypes, devices and formats by name; everything else is passed as it is."""
        if isinstance(value, torch.dtype):
            return self.target.dtype(value)
        if isinstance(value, torch.device):
            if value.type != "cpu":
                raise Unsupported(f"device {value}")
            return self.target.resolve("device")("cpu")
        if isinstance(value, torch.layout) and value is not torch.strided:
            raise Unsupported(f"layout {value}")
        if isinstance(value, torch.memory_format | torch.layout):
            return self.target.resolve(str(value).replace("torch.", ""))
        if isinstance(value, torch.Generator):
            raise Unsupported("generator")
        if isinstance(value, torch.nn.Module) and not list(value.parameters()):
            return self.target.resolve("nn." + type(value).__name__)()
        return value

    def link(self, torch_value, own_value) -> None:
        """Remember the counterparts of a call's results, item by item."""
        if is_torch(torch_value):
            self.put(torch_value, own_value)
        elif isinstance(torch_value, list | tuple):
            for index, item in enumerate(torch_value):
                try:
                    counterpart = own_value[index]
                except (TypeError, IndexError, KeyError):
                    return  # the comparison of the results will say so
                self.link(item, counterpart)


def flatten(value, is_tensor) -> list:
    """The leaves of a tree: tensors and numbers in order; strings, dtypes, devices and None left out."""
    if is_tensor(value) or isinstance(value, NUMBERS):
        return [value]
    if isinstance(value, dict):
        return [leaf for key in sorted(value, key=str) for leaf in flatten(value[key], is_tensor)]
    if isinstance(value, list | tuple):
        return [leaf for item in value for leaf in flatten(item, is_tensor)]
    if value is None or isinstance(value, str | torch.dtype | torch.device | type):
        return []
    return [value]


def sample_tree(sample) -> list:
    """All that a sample passes to the operator."""
    return [sample.input, list(sample.args), dict(sample.kwargs)]


def copy_sample(sample):
    """The same sample with tensors of its own, for operators that write to their arguments."""
    return sample.transform(lambda value: value.clone() if is_torch(value) else value)


def map_originals(converter: Converter, used, original) -> None:
    """Let the tensors that torch has used, and may have overwritten, stand for the original values."""
    pairs = zip(flatten(sample_tree(used), is_torch), flatten(sample_tree(original), is_torch), strict=True)
    for mine, theirs in pairs:
        if is_torch(mine) and id(mine) not in converter.memo:
            converter.put(mine, converter(theirs))


__all__ = [
    "Converter", "Missing", "Target", "Unsupported", "copy_sample", "dtype_name", "flatten", "is_torch",
    "map_originals", "sample_tree",
]  # fmt: skip
