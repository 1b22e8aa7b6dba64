"""squall: deep learning in Python that records programs lazily, differentiates, fuses and compiles them.

The public names are loaded on first touch (`_NAMES` below is the table of contents), so that `import squall` stays
quick and loads neither numpy nor llvmlite.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

from squall.base import numpy_names, torch_names
from squall.base.version import VERSION as __version__  # noqa: N811

_MODULES = (
    "nn", "optim", "data", "io", "models", "cli", "autograd", "func", "linalg", "special", "signal", "masked", "fft",
    "base", "ir", "ops", "numpy", "interop", "amp", "testing", "random", "distributions",
)  # fmt: skip
_DTYPES = (
    "complex64", "complex128", "cfloat", "cdouble",
    "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float16", "bfloat16",
    "float8_e4m3fn", "float8_e5m2", "float32", "float64", "half", "float", "double", "short", "int", "long",
)  # fmt: skip
_FROM = {
    "frontend.tensor": "Tensor",
    "frontend.size": "Size",
    "frontend.storage": "UntypedStorage is_storage",
    "nn.functional.shuffle": "native_channel_shuffle",
    "nn.functional.convolution": "conv_tbc",
    "frontend.typed": (
        "FloatTensor DoubleTensor HalfTensor BFloat16Tensor ByteTensor CharTensor ShortTensor IntTensor LongTensor "
        "BoolTensor typename set_default_tensor_type"
    ),
    "frontend.conversion": "Device",
    "frontend.creation": (
        "tensor as_tensor full zeros ones empty full_like zeros_like ones_like empty_like arange linspace "
        "eye tril triu"
    ),
    "frontend.interop": "from_numpy from_dlpack",
    "frontend.joining": "stack",
    "frontend.random": (
        "Generator default_generator manual_seed seed get_rng_state set_rng_state rand randn rand_like "
        "randn_like randint randint_like randperm bernoulli multinomial normal"
    ),
    "frontend.random_counts": ("binomial poisson"),
    "frontend.state": (
        "no_grad enable_grad set_grad_enabled inference_mode set_detect_anomaly is_grad_enabled "
        "is_inference_mode_enabled set_eager"
    ),
    "frontend.autocast": (
        "autocast autocast_decrement_nesting autocast_increment_nesting clear_autocast_cache get_autocast_cpu_dtype "
        "get_autocast_dtype is_autocast_cache_enabled is_autocast_cpu_enabled is_autocast_enabled "
        "set_autocast_cache_enabled set_autocast_cpu_dtype set_autocast_cpu_enabled set_autocast_dtype "
        "set_autocast_enabled"
    ),
    "frontend.grad_scaling": "GradScaler",
    "frontend.evaluation": "flush",
    "frontend.display": "set_printoptions",
    "frontend.functions": "allclose equal isclose is_tensor numel result_type promote_types finfo iinfo",
    "frontend.functions_unary": (
        "abs neg sign sqrt rsqrt exp exp2 expm1 log log2 log10 log1p sin cos tan asin acos atan sinh cosh "
        "tanh asinh acosh atanh erf erfc erfinv floor ceil round trunc sigmoid relu isnan isinf isfinite "
        "square reciprocal logical_not bitwise_not lgamma digamma absolute negative fix arccos arccosh arcsin arcsinh "
        "arctan arctanh"
    ),
    "frontend.functions_arithmetic": (
        "where add sub mul div pow matmul mm bmm dot outer maximum minimum clamp clip lerp addmm eq ne lt "
        "le gt ge logical_and logical_or logical_xor bitwise_and bitwise_or bitwise_xor fmod remainder "
        "floor_divide atan2 addcmul addcdiv copysign subtract multiply divide masked_fill true_divide "
        "arctan2 greater greater_equal less less_equal not_equal"
    ),
    "frontend.functions_reduction": (
        "sum prod mean amax amin any all argmax argmin max min var std norm logsumexp softmax log_softmax "
        "cumsum cumprod median sort argsort topk"
    ),
    "frontend.functions_movement": (
        "cat concat concatenate meshgrid broadcast_to broadcast_tensors reshape permute transpose t squeeze "
        "unsqueeze flatten movedim flip roll split chunk unbind narrow select diagonal gather scatter "
        "scatter_add index_select index_add masked_select nonzero clone detach repeat_interleave tile "
        "hstack vstack swapaxes ravel unflatten moveaxis swapdims row_stack"
    ),
    "frontend.functions_elementwise": (
        "fmax fmin hypot logaddexp logaddexp2 xlogy heaviside ldexp float_power gcd lcm nextafter rsub "
        "bitwise_left_shift bitwise_right_shift clamp_min clamp_max frac signbit positive deg2rad rad2deg sinc "
        "logit nan_to_num isposinf isneginf frexp i0 "
        "polygamma mvlgamma"
    ),
    "frontend.functions_complex": (
        "complex polar conj conj_physical resolve_conj resolve_neg angle isreal sgn"
    ),
    "frontend.linalg_norms": "frobenius_norm nuclear_norm norm_except_dim",
    "frontend.complex_views": "view_as_real_copy view_as_complex_copy real imag view_as_real view_as_complex",
    "frontend.functions_matrix": (
        "addmv addr addbmm baddbmm mv vdot ger inner kron chain_matmul trace dist renorm cdist cross block_diag "
        "cartesian_prod combinations cov corrcoef vander matrix_power"
    ),
    "frontend.functions_layout": (
        "diag diagflat diag_embed diagonal_scatter select_scatter slice_scatter rot90 fliplr flipud adjoint "
        "tensor_split hsplit vsplit dsplit split_with_sizes unsafe_split unsafe_chunk atleast_1d atleast_2d "
        "atleast_3d dstack column_stack broadcast_shapes tril_indices triu_indices fill constant_pad_nd "
        "as_strided as_strided_scatter as_strided_copy alias_copy detach_copy diagonal_copy expand_copy narrow_copy "
        "permute_copy select_copy split_copy split_with_sizes_copy squeeze_copy t_copy transpose_copy unbind_copy "
        "slice_copy unfold_copy unsqueeze_copy view_copy"
    ),
    "frontend.functions_statistics": (
        "var_mean std_mean aminmax nansum nanmean count_nonzero nanmedian kthvalue mode quantile nanquantile msort "
        "bincount histc histogram histogramdd cummax cummin logcumsumexp"
    ),
    "frontend.functions_searching": (
        "searchsorted bucketize isin argwhere nonzero_static unique unique_consecutive"
    ),
    "frontend.hashing": "hash_tensor",
    "frontend.settings": (
        "get_deterministic_debug_mode set_deterministic_debug_mode set_warn_always is_warn_always_enabled "
        "set_anomaly_enabled is_anomaly_check_nan_enabled "
        "are_deterministic_algorithms_enabled asarray can_cast frombuffer get_default_device "
        "get_float32_matmul_precision initial_seed is_anomaly_enabled is_deterministic_algorithms_warn_only_enabled "
        "set_default_device set_float32_matmul_precision use_deterministic_algorithms"
    ),
    "frontend.functions_indexing": (
        "take put take_along_dim index_copy index_fill index_put index_reduce masked_scatter scatter_reduce "
        "segment_reduce unravel_index"
    ),
    "nn.functional": (
        "celu celu_ hardshrink prelu rrelu_ selu_ threshold_ adaptive_avg_pool1d adaptive_max_pool1d "
        "avg_pool1d bilinear channel_shuffle conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d "
        "cosine_similarity max_pool1d max_pool1d_with_indices max_pool2d max_pool3d pairwise_distance "
        "pdist pixel_shuffle pixel_unshuffle rms_norm selu"
    ),
    "nn.functional.top_level": (
        "batch_norm group_norm layer_norm embedding embedding_bag threshold rrelu dropout alpha_dropout ctc_loss "
        "kl_div binary_cross_entropy_with_logits cosine_embedding_loss hinge_embedding_loss margin_ranking_loss "
        "poisson_nll_loss triplet_margin_loss instance_norm embedding_renorm_ dropout_ alpha_dropout_ feature_dropout "
        "feature_dropout_ feature_alpha_dropout feature_alpha_dropout_ native_dropout convolution"
    ),
    "nn.functional.vision": "affine_grid_generator grid_sampler grid_sampler_2d grid_sampler_3d",
    "nn.functional.spectra": "stft istft",
    "nn.functional.native_normalization": "native_layer_norm native_group_norm native_batch_norm",
    "nn.recurrent_functions": (
        "lstm lstm_cell gru gru_cell rnn_tanh rnn_tanh_cell rnn_relu rnn_relu_cell"
    ),
    "frontend.functions_special": "igamma igammac",
    "frontend.linalg_systems": "logdet inverse slogdet det triangular_solve cholesky_solve cholesky_inverse",
    "frontend.linalg_factors": "geqrf orgqr ormqr svd_lowrank pca_lowrank lu_unpack matrix_exp",
    "frontend.linalg_older": "cholesky lobpcg pinverse qr svd lu lu_solve",
    "frontend.creation_more": (
        "logspace range scalar_tensor empty_permuted empty_strided hann_window hamming_window blackman_window "
        "bartlett_window kaiser_window"
    ),
    "frontend.functions_calculus": "diff gradient trapezoid trapz cumulative_trapezoid",
    "frontend.einsum": "einsum tensordot",
    "io": "save load",
    "frontend.transforms": "vjp jvp value_and_grad",
    "frontend.jacobians": "jacrev jacfwd hessian",
    "frontend.batching": "vmap",
    "frontend.checkpointing": "checkpoint",
    "frontend.branching": "cond",
    "frontend.repeating": "while_loop",
    "frontend.scanning": "scan",
    "frontend.functional": "functional_call",
    "frontend.jit": "compile",
    "frontend.explain": "explain",
    "frontend.tuning": "tune",
    "frontend.profiler": "profile",
    "base.dim": "Dim",
    "base.dtypes": "set_default_dtype",
    "base.formats": "legacy_contiguous_format contiguous_format preserve_format channels_last channels_last_3d strided",
    "base.config": "set_option options",
    "runtime.native": "set_num_threads get_num_threads",
    "runtime.memory": "empty_cache",
}
# Methods of Tensor that PyTorch has as functions too.
_METHODS = {
    "frontend.tensor": (
        "arccos_ arccosh_ arcsin_ arcsinh_ arctan_ arctanh_ clip_ conj_physical_ fix_ i0_ negative_ "
        "as_strided_ abs_ acos_ acosh_ addmv_ asin_ asinh_ atan_ atanh_ ceil_ clamp_ clamp_max_ clamp_min_ cos_ cosh_ "
        "deg2rad_ detach_ erf_ erfc_ exp_ exp2_ expm1_ fill_ floor_ frac_ gcd_ index_put_ lcm_ ldexp_ log_ "
        "log10_ log1p_ log2_ logit_ nan_to_num_ neg_ rad2deg_ reciprocal_ relu_ resize_as_ round_ rsqrt_ "
        "sigmoid_ sin_ sinc_ sinh_ sqrt_ square_ tan_ tanh_ trunc_ xlogy_ zero_ is_floating_point is_complex "
        "is_conj is_neg is_nonzero is_same_size is_signed is_inference get_device unsafe_split_with_sizes"
    )
}
# Classes under the names that PyTorch has for them.
_TYPES = {"layout": "Layout", "memory_format": "MemoryFormat"}
_METHODS_AS_FUNCTIONS = _METHODS["frontend.tensor"].split()
# Functions of `sq.linalg` whose matrix is called `input` here.
_OF_INPUT = ("det", "slogdet", "matrix_exp")
_NAMES = {name: module for module, names in _FROM.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        value = getattr(importlib.import_module(f"squall.{_NAMES[name]}"), name)
        if name in numpy_names.FUNCTIONS or name in _OF_INPUT:
            declaring = importlib.import_module("squall.frontend.declaring")
            value = declaring.renamed(value, name) if name in _OF_INPUT else declaring.with_numpy_names(value)
        elif name in torch_names.FUNCTIONS:
            declaring = importlib.import_module("squall.frontend.declaring")
            value = declaring.taking_both(value, torch_names.FUNCTIONS[name])
    elif name in _METHODS_AS_FUNCTIONS:
        method = getattr(importlib.import_module("squall.frontend.tensor").Tensor, name)
        value = importlib.import_module("squall.frontend.declaring").renamed(method, name)
    elif name in _MODULES:
        value = importlib.import_module(
            {"autograd": "squall.autograd", "func": "squall.func"}.get(name, f"squall.{name}")
        )
    elif name in _DTYPES:
        from squall.base.dtypes import dtype_named

        value = dtype_named(name)
    elif name in _TYPES:
        value = getattr(importlib.import_module("squall.base.formats"), _TYPES[name])
    elif name in ("bool", "dtype", "device"):
        from squall.base import dtypes

        value = {"bool": dtypes.bool_, "dtype": dtypes.DType}.get(name) or importlib.import_module(
            "squall.frontend.conversion").Device
    elif name == "get_default_dtype":
        from squall.base.dtypes import default_dtype as value
    elif name in ("pi", "inf", "nan", "e", "newaxis"):
        import math

        value = None if name == "newaxis" else getattr(math, name)
    else:
        raise AttributeError(f"module 'squall' has no attribute {name!r}")
    globals()[name] = value
    if "einops._backends" in sys.modules and name != "interop":
        importlib.import_module("squall.interop").register_einops()
    return value


def __dir__() -> list[str]:
    own = ("bool", "dtype", "device", "get_default_dtype")
    return sorted({*globals(), *_NAMES, *_METHODS_AS_FUNCTIONS, *_MODULES, *_DTYPES, *_TYPES, *own})


def synchronize() -> None:
    """Evaluate everything pending; CPU evaluation is synchronous, so that is all. For timing."""
    __getattr__("flush")()
