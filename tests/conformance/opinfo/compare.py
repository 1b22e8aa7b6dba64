"""Whether two results agree: their number, shapes, dtypes and values."""

import re

import numpy as np

from tests.conformance.opinfo.convert import Target, flatten, is_torch
from tests.conformance.opinfo.options import Options
from tests.conformance.opinfo.target import torch_to_numpy
from tests.conformance.opinfo.tolerance import as_near

# Values of these are unspecified or drawn: shape and dtype are all there is to compare.
UNSPECIFIED = re.compile(
    r"^(empty|new_empty|resize_|rand|normal|bernoulli|multinomial|uniform|"
    r"exponential|geometric|cauchy|log_normal|svd_lowrank|pca_lowrank)"
)
# The sign or phase (or the order) of the result is free: absolute values are compared.
GAUGE = {"svd", "linalg.svd", "linalg.eigh", "qr", "linalg.qr"}
# Which of equal values an index points at is free, unless a stable order is asked for.
TIES = {"sort", "argsort", "topk", "kthvalue", "mode"}
# The first output up to order, the second by its shape.
EIGEN = {"linalg.eig"}


def compare(name: str, wanted, got, target: Target, options: Options, shape_only: bool) -> str | None:
    """None when the results of operator `name` agree, else what differs."""
    wanted, got = flatten(wanted, is_torch), flatten(got, target.is_tensor)
    if len(wanted) != len(got):
        return f"{len(got)} outputs, wanted {len(wanted)}"
    for index, (reference, own) in enumerate(zip(wanted, got, strict=True)):
        from_torch = is_torch(reference)
        x = torch_to_numpy(reference) if from_torch else np.asarray(reference)
        y = target.to_numpy(own)
        if x.shape != y.shape:
            return f"output {index}: shape {y.shape}, wanted {x.shape}"
        if from_torch and not options.loose_dtype and x.dtype != y.dtype:
            return f"output {index}: dtype {y.dtype}, wanted {x.dtype}"
        if shape_only or (name in EIGEN and index == 1):
            continue
        why = compare_values(*normal_form(name, x, y), options)
        if why:
            return f"output {index}: {why}"
    return None


def same_choice(name: str, sample, wanted, got, target: Target) -> bool:
    """Whether the values agree, and indices that do not agree point at equal values."""
    if name not in TIES or sample.kwargs.get("stable"):
        return False
    wanteds, owns = flatten(wanted, is_torch), flatten(got, target.is_tensor)
    x, dims = array_of(sample.input), [value for value in sample.args if type(value) is int]
    default = dims[1 if name in ("topk", "kthvalue") else 0 :][:1] or [-1]
    dim = sample.kwargs.get("dim", default[0])
    pairs = zip(map(array_of, wanteds), map(target.to_numpy, owns), strict=True)
    for output, (reference, own) in enumerate(pairs):
        if reference.shape != own.shape or reference.dtype != own.dtype:
            return False
        if name == "argsort" or output == 1:
            reference, own = at(x, reference, dim), at(x, own, dim)
        if not np.array_equal(reference, own, equal_nan=reference.dtype.kind == "f"):
            return False
    return True


def at(x: np.ndarray, index: np.ndarray, dim: int) -> np.ndarray:
    """The values that an index along dim points at; each at most once along it."""
    if not x.ndim:
        return x
    if index.ndim < x.ndim:
        index = np.expand_dims(index, dim)
    ordered = np.sort(index, dim)
    if (np.diff(ordered, axis=dim) == 0).any() or index.min(initial=0) < 0 or index.max(initial=0) >= x.shape[dim]:
        return np.full((), np.nan)
    return np.take_along_axis(x, index, dim)


def all_near(wide, wanted, got, target: Target, options: Options) -> bool:
    """Whether every result lies as near to the wider one as tolerance or PyTorch's own does."""
    wides, wanteds = flatten(wide, is_torch), flatten(wanted, is_torch)
    owns = flatten(got, target.is_tensor)
    if not len(wides) == len(wanteds) == len(owns):
        return False
    return all(
        as_near(array_of(w), array_of(x), target.to_numpy(y), options.rtol, options.atol)
        for w, x, y in zip(wides, wanteds, owns, strict=True)
    )


def array_of(value) -> np.ndarray:
    """A result of PyTorch's as an array."""
    return torch_to_numpy(value) if is_torch(value) else np.asarray(value)


def normal_form(name: str, x: np.ndarray, y: np.ndarray):
    """Both arrays without what the operator leaves free."""
    if name in GAUGE:
        return np.abs(x), np.abs(y)
    if name in EIGEN:
        return np.sort_complex(x.ravel()), np.sort_complex(y.ravel())
    return x, y


def compare_values(x: np.ndarray, y: np.ndarray, options: Options) -> str | None:
    """None when `y` agrees with the reference `x`, exactly for integers, within tolerance for the rest."""
    kinds = x.dtype.kind + y.dtype.kind
    if all(kind in "biu" for kind in kinds):
        return None if np.array_equal(x, y) else f"{int((x != y).sum())} of {x.size} integers differ"
    if not all(kind in "biufc" for kind in kinds):
        return None
    common = np.complex128 if "c" in kinds else np.float64
    x, y = x.astype(common), y.astype(common)
    close = np.isclose(y, x, rtol=options.rtol, atol=options.atol, equal_nan=True)
    if close.all():
        return None
    distance = np.abs(x - y)[~close]
    worst = np.nanmax(distance) if np.isfinite(distance).any() else np.inf
    return f"{int((~close).sum())} of {x.size} differ, worst {worst:.3g}"
