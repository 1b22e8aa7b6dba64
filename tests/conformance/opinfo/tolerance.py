"""How closely results must agree, by dtype; and the second judgement of results that do not.

A result is right when it is close to PyTorch's, or else when it lies as close to what PyTorch computes from the same
samples in a wider dtype as that tolerance or PyTorch's own result does: two libraries that round at different places
differ by more than a rounding, and neither is wrong. 16-bit floats are judged by float32, float32 by float64, complex64
by complex128.
"""

from typing import NamedTuple

import numpy as np
import torch

from tests.conformance.opinfo.convert import is_torch

WIDER = {
    torch.bfloat16: torch.float32,
    torch.float16: torch.float32,
    torch.float32: torch.float64,
    torch.complex64: torch.complex128,
}


class Tolerance(NamedTuple):
    """Of values relative and absolute; of gradients relative, and absolute as a share of the largest."""

    rtol: float
    atol: float
    grad_rtol: float


# What torch.testing takes for float64 and 16 bits; float32 is between that and what differing algorithms give.
TOLERANCES = {
    torch.float64: Tolerance(1e-7, 1e-7, 1e-6),
    torch.bfloat16: Tolerance(1.6e-2, 1e-5, 1.6e-2),
    torch.float16: Tolerance(1e-3, 1e-5, 1e-3),
}
USUAL = Tolerance(1e-4, 1e-4, 1e-3)


def widened(sample):
    """The same sample with wider floats, in tensors and in `dtype=`."""

    def wide(value):
        if is_torch(value):
            copy = value.detach().to(WIDER.get(value.dtype, value.dtype), copy=True)
            return copy.requires_grad_(value.requires_grad)
        return WIDER.get(value, value)

    with torch.enable_grad():
        return sample.transform(wide)


def as_near(wide: np.ndarray, theirs: np.ndarray, own: np.ndarray, rtol: float, atol: float) -> bool:
    """Whether `own` lies as near to `wide` as the tolerance, or as `theirs` does at its worst."""
    kinds = {array.dtype.kind for array in (wide, theirs, own)}
    if len(kinds) > 1 or kinds - set("fc"):
        return np.array_equal(theirs, own)
    common = np.float64 if kinds == {"f"} else np.complex128
    wide, theirs, own = (array.astype(common) for array in (wide, theirs, own))
    with np.errstate(invalid="ignore"):
        distance = np.abs(theirs - wide)
        worst = np.max(distance, initial=0.0, where=np.isfinite(distance))
        near = np.abs(own - wide) <= np.maximum(worst, atol + rtol * np.abs(wide))
    same = np.isclose(own, theirs, rtol=rtol, atol=atol, equal_nan=True)
    return bool((near | same).all())
