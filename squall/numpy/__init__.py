"""`squall.numpy`: NumPy's names, rules and methods on squall's arrays; it is also the Array API's namespace (2024.12).

Functions take ndarrays, Tensors, numbers and nested lists, and give ndarrays: Tensors in NumPy's clothes, which
record, differentiate and compile as all Tensors do (`x.tensor` is the Tensor). New arrays are float64 and promotion is
NumPy's (NEP 50). Nothing is computed by NumPy itself but for sorting, sets, LAPACK and FFTs, which are host steps
everywhere in squall.
"""

from __future__ import annotations

import importlib
from typing import Any

from squall.base import dtypes
from squall.numpy.array_class import ndarray
from squall.numpy.info import Info, __array_namespace_info__

__array_api_version__ = "2024.12"

_FROM = {
    "facts": ("ix_ ndim ravel_multi_index shape size unravel_index"),
    "elementwise": (
        "abs absolute acos acosh add arccos arccosh arcsin arcsinh arctan arctan2 arctanh asin asinh atan "
        "atan2 atanh bitwise_and bitwise_count bitwise_invert bitwise_left_shift bitwise_not bitwise_or "
        "bitwise_right_shift bitwise_xor cbrt ceil conj conjugate copysign cos cosh deg2rad degrees divide "
        "divmod equal exp exp2 expm1 fabs float_power floor floor_divide fmax fmin fmod frexp gcd greater "
        "greater_equal heaviside hypot invert isfinite isinf isnan lcm ldexp left_shift less less_equal log "
        "log10 log1p log2 logaddexp logaddexp2 logical_and logical_not logical_or logical_xor maximum minimum "
        "mod modf multiply negative nextafter not_equal positive pow power rad2deg radians reciprocal "
        "remainder right_shift rint sign signbit sin sinh spacing sqrt square subtract tan tanh true_divide "
        "trunc"
    ),
    "kinds": ("can_cast finfo iinfo isdtype issubdtype promote_types result_type"),
    "creation": (
        "arange array asanyarray asarray asarray_chkfinite ascontiguousarray copy empty empty_like eye "
        "from_dlpack frombuffer fromfunction fromiter full full_like geomspace identity indices linspace "
        "logspace meshgrid ones ones_like tri tril triu zeros zeros_like"
    ),
    "shaping": (
        "broadcast_arrays broadcast_shapes broadcast_to expand_dims flip fliplr flipud matrix_transpose "
        "moveaxis permute_dims ravel reshape roll rollaxis rot90 squeeze swapaxes transpose"
    ),
    "statistics": (
        "all amax amin any average count_nonzero cumprod cumsum cumulative_prod cumulative_sum max mean min "
        "prod ptp std sum var"
    ),
    "searching": (
        "argmax argmin argwhere choose compress copyto extract flatnonzero nonzero place put put_along_axis "
        "putmask select take take_along_axis where"
    ),
    "linear": (
        "cross diag diagflat diagonal dot einsum einsum_path inner kron matmul matvec outer tensordot trace "
        "vdot vecdot vecmat"
    ),
    "missing": (
        "median nanargmax nanargmin nancumprod nancumsum nanmax nanmean nanmedian nanmin nanpercentile "
        "nanprod nanquantile nanstd nansum nanvar percentile quantile"
    ),
    "binning": ("bincount convolve correlate gradient histogram histogram_bin_edges interp pad"),
    "numerics": (
        "allclose angle around array_equal array_equiv astype clip corrcoef cov diff fix imag isclose "
        "iscomplex iscomplexobj isneginf isposinf isreal isrealobj isscalar nan_to_num real real_if_close "
        "round trapezoid unwrap"
    ),
    "joining": (
        "append array_split atleast_1d atleast_2d atleast_3d block column_stack concat concatenate dsplit "
        "dstack hsplit hstack row_stack split stack unstack vsplit vstack"
    ),
    "editing": ("delete insert repeat resize tile trim_zeros"),
    "sorting": ("argpartition argsort digitize lexsort partition searchsorted sort sort_complex"),
    "polynomials": ("poly polyadd polyder polydiv polyfit polyint polymul polysub polyval roots vander"),
    "poly1d": ("poly1d"),
    "grids": ("c_ index_exp mgrid ogrid r_ s_"),
    "memory": ("may_share_memory shares_memory"),
    "applying": ("apply_along_axis apply_over_axes ndenumerate ndindex piecewise vectorize"),
    "classes": ("asfortranarray common_type isfortran iterable min_scalar_type require typename"),
    "files": ("fromfile fromstring genfromtxt load loadtxt save savetxt savez savez_compressed"),
    "histograms": ("histogram2d histogramdd packbits unpackbits"),
    "printing": (
        "array2string array_repr array_str base_repr binary_repr format_float_positional "
        "format_float_scientific get_printoptions printoptions set_printoptions"
    ),
    "triangles": (
        "diag_indices diag_indices_from fill_diagonal mask_indices tril_indices tril_indices_from triu_indices "
        "triu_indices_from"
    ),
    "windows": ("bartlett blackman hamming hanning i0 kaiser sinc"),
    "sets": (
        "ediff1d intersect1d isin setdiff1d setxor1d union1d unique unique_all unique_counts unique_inverse "
        "unique_values"
    ),
}
_NAMES = {name: module for module, names in _FROM.items() for name in names.split()}
_DTYPES = [
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float32",
    "float64",
    "bfloat16",
    "complex64",
    "complex128",
]
_OTHER_DTYPES = {
    "bool": "bool",
    "bool_": "bool",
    "intp": "int64",
    "uintp": "uint64",
    "int_": "int64",
    "uint": "uint64",
    "byte": "int8",
    "ubyte": "uint8",
    "short": "int16",
    "ushort": "uint16",
    "intc": "int32",
    "uintc": "uint32",
    "long": "int64",
    "ulong": "uint64",
    "longlong": "int64",
    "ulonglong": "uint64",
    "half": "float16",
    "single": "float32",
    "double": "float64",
    "csingle": "complex64",
    "cdouble": "complex128",
}
# NumPy's families of dtypes, for `issubdtype`
_FAMILIES = (
    "generic", "number", "integer", "signedinteger", "unsignedinteger", "inexact", "floating", "complexfloating",
)  # fmt: skip
# What is about NumPy itself, or the host
_NUMPYS = ("errstate", "exceptions", "geterr", "little_endian", "seterr", "typecodes")
_MODULES = ("emath", "fft", "linalg", "polynomial", "random", "testing")

dtype = dtypes.DType
dtypes.set_maker(lambda value, kind: importlib.import_module("squall.numpy.creation").array(value, kind))
e, pi = 2.718281828459045, 3.141592653589793
euler_gamma = 0.5772156649015329
inf, nan = float("inf"), float("nan")
newaxis = None


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        value = getattr(importlib.import_module(f"squall.numpy.{_NAMES[name]}"), name)
    elif name in _MODULES:
        value = importlib.import_module(f"squall.numpy.{name}")
    elif name in _DTYPES or name in _OTHER_DTYPES:
        value = dtypes.dtype_named(_OTHER_DTYPES.get(name, name))
    elif name in _FAMILIES or name in _NUMPYS:
        value = getattr(importlib.import_module("numpy"), name)
    else:
        raise AttributeError(f"module 'squall.numpy' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_NAMES, *_DTYPES, *_OTHER_DTYPES, *_FAMILIES, *_NUMPYS, *_MODULES})


__all__ = ["Info", "__array_namespace_info__", "ndarray"]
