"""How closely results must agree, by dtype; and the second judgement of 16-bit floats.

A 16-bit result is right when it is as close to PyTorch's as OpInfo itself asks, or else when it lies as close to
what PyTorch computes from the same samples in float32 as that tolerance or PyTorch's own result does: two libraries
that round at different places differ by more than a rounding, and neither is wrong.
"""

from typing import NamedTuple

import numpy as np
import torch

from tests.conformance.opinfo.convert import is_torch

NARROW = (torch.bfloat16, torch.float16)


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
    """The same sample with float32 in the place of 16 bits, in tensors and in `dtype=`."""

    def wide(value):
        if is_torch(value):
            to = torch.float32 if value.dtype in NARROW else value.dtype
            copy = value.detach().to(to, copy=True)
            return copy.requires_grad_(value.requires_grad)
        return torch.float32 if value in NARROW else value

    with torch.enable_grad():
        return sample.transform(wide)


def as_near(wide: np.ndarray, theirs: np.ndarray, own: np.ndarray, rtol: float, atol: float) -> bool:
    """Whether `own` lies as near to `wide` as the tolerance, or as `theirs` does at its worst."""
    if not all(array.dtype.kind == "f" for array in (wide, theirs, own)):
        return np.array_equal(theirs, own)
    wide, theirs, own = (array.astype(np.float64) for array in (wide, theirs, own))
    with np.errstate(invalid="ignore"):
        distance = np.abs(theirs - wide)
        worst = np.max(distance, initial=0.0, where=np.isfinite(distance))
        near = np.abs(own - wide) <= np.maximum(worst, atol + rtol * np.abs(wide))
    same = np.isclose(own, theirs, rtol=rtol, atol=atol, equal_nan=True)
    return bool((near | same).all())
