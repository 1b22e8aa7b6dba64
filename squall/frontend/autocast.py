"""Autocast: inside `with sq.autocast("cpu")` products take bfloat16 (or float16), losses and factorizations float32.

`lowered` gives operands of matrix products in the lower precision, `@full_precision` gives a function its 16-bit
operands in float32, and joins (`cat`, `stack`) promote as they do anyway. All others run in the dtypes that they are
given. Which function is of which kind is PyTorch's list for the CPU. Casts are recorded ops, so gradients come back in
the dtypes of the leaves. The mode is part of what `compile` guards.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

from squall.base.dtypes import DType, as_dtype, bfloat16, float16, float32, float64
from squall.base.errors import ArgumentError
from squall.frontend.core import Handle, cast, common_dtype
from squall.frontend.state import local
from squall.frontend.tape import Leaf

LOWER = (bfloat16, float16)
_CPU = "cpu"
# Device types that PyTorch knows; on all but the CPU autocast does nothing here, with a warning.
_ELSEWHERE = ("cuda", "mps", "xpu", "mtia", "maia", "hpu", "xla", "ipu")


class Cast(NamedTuple):
    """What autocast does now: the dtype of products. Compared as text by `compile`."""

    dtype: DType


class _Settings:
    """What holds for a process beside the mode: the dtype asked for by default, and the cache of casts.

    Attributes:
        cached: by id of a leaf, (it, the version it had, whether history was recorded, dtype, the cast).
        nesting: how many `with` blocks are open.
    """

    def __init__(self) -> None:
        self.dtype: DType = bfloat16
        self.cache = True
        self.cached: dict[int, tuple] = {}
        self.nesting = 0


_settings = _Settings()


# ---------------------------------------------------------------- what functions ask
def _lower(value: Any, dtype: DType) -> Any:
    given = value.node.type.dtype
    if given.category != 2 or given is float64 or given.is_float8:
        return value
    state = local.state
    if given is not float32 or value._edge.__class__ is not Leaf or not _settings.cache or state.trace is not None:
        return cast(value, dtype)
    kept = _settings.cached.get(id(value))
    if kept is not None and kept[0] is value and kept[1:4] == (value.version, state.grad, dtype):
        return kept[4]
    made = cast(value, dtype)
    _settings.cached[id(value)] = (value, value.version, state.grad, dtype, made)
    return made


def lowered(*values: Any) -> tuple:
    """The values, floating Tensors (but not float64) cast to autocast's dtype when that is on."""
    now = local.state.autocast
    if now is None:
        return values
    return tuple([_lower(v, now.dtype) if isinstance(v, Handle) else v for v in values])


def _widened(value: Any) -> Any:
    if isinstance(value, Handle):
        return cast(value, float32) if value.node.type.dtype in LOWER else value
    if isinstance(value, (list, tuple)) and any(isinstance(v, Handle) for v in value):
        return type(value)(_widened(v) for v in value)
    return value


def widened(value: Any) -> Any:
    """A 16-bit floating Tensor in float32 when autocast is on."""
    return value if local.state.autocast is None else _widened(value)


def promoted(*values: Any) -> tuple:
    """Tensors in the dtype they promote to when autocast is on."""
    if local.state.autocast is None:
        return values
    dtype = common_dtype(values)
    return tuple([cast(v, dtype) for v in values])


def full_precision(function: Callable) -> Callable[..., Any]:
    """A function that gets 16-bit floating operands in float32 when autocast is on."""

    @functools.wraps(function)
    def run(*args: Any, **keywords: Any) -> Any:
        now = local.state.autocast
        if now is None:
            return function(*args, **keywords)
        args = tuple([_widened(a) for a in args])
        keywords = {name: _widened(a) for name, a in keywords.items()}
        _set(None)
        try:
            return function(*args, **keywords)
        finally:
            _set(now)

    return run


def once_rounded(function: Callable) -> Callable[..., Any]:
    """A function of several steps that computes 16-bit floats in float32, and rounds once: its result.

    It is left alone when its Tensors are of several floating dtypes.
    """

    @functools.wraps(function)
    def run(*args: Any, **keywords: Any) -> Any:
        kinds = {a.node.dtype for a in (*args, *keywords.values()) if isinstance(a, Handle)}
        kind = kinds.pop() if len(kinds) == 1 else None
        if kind is None or kind.category != 2 or kind.itemsize != 2:
            return function(*args, **keywords)
        args = tuple([_widened(a) for a in args])
        return cast(function(*args, **{name: _widened(a) for name, a in keywords.items()}), kind)

    return run


# ---------------------------------------------------------------- the mode
def _check_device_type(device_type: Any, function: str) -> None:
    if not isinstance(device_type, str):
        raise ValueError(f"{function}: Expected `device_type` of type `str`, got: `{type(device_type)}`")
    if device_type != _CPU and device_type not in _ELSEWHERE:
        raise ArgumentError(f"{function}: unsupported autocast device_type {device_type!r}; squall has 'cpu'")


class autocast:
    """Run matrix products in bfloat16 (or float16) and what needs it in float32: a context manager and decorator.

    Args:
        device_type: "cpu". Another device's type turns autocast off, with a warning. dtype: bfloat16 or float16; by
            default what `get_autocast_dtype` gives; another one turns autocast off, with a warning. enabled: False
            turns autocast off inside. cache_enabled: whether casts of leaves that require gradients are kept until the
            outermost block ends.

    Raises:
        ArgumentError: for a device type that nobody knows.

    Example:
        >>> import squall as sq
        >>> layer = sq.nn.Linear(3, 2)
        >>> with sq.autocast("cpu"):
        ...     out = layer(sq.ones(1, 3))
        >>> out.dtype, layer.weight.dtype
        (squall.bfloat16, squall.float32)
    """

    def __init__(
        self, device_type: str = _CPU, dtype: Any = None, enabled: bool = True, cache_enabled: bool | None = None
    ):
        _check_device_type(device_type, "autocast")
        self.device = device_type
        self.fast_dtype = _settings.dtype if dtype is None else as_dtype(dtype)
        self._enabled, self._cache = bool(enabled), cache_enabled
        if self._enabled and device_type != _CPU:
            warnings.warn(f"autocast: device_type {device_type!r} is not available; autocast is off", stacklevel=2)
            self._enabled = False
        if self._enabled and self.fast_dtype not in LOWER:
            warnings.warn(
                f"autocast: dtype must be bfloat16 or float16 on the CPU, got {self.fast_dtype}; autocast is off",
                stacklevel=2,
            )
            self._enabled = False
        self._before: list[tuple] = []

    def __enter__(self) -> autocast:
        self._before.append((local.state.autocast, _settings.cache))
        if self.device == _CPU:
            _set(Cast(self.fast_dtype) if self._enabled else None)
        if self._cache is not None:
            _settings.cache = bool(self._cache)
        _settings.nesting += 1
        return self

    def __exit__(self, *error: Any) -> None:
        _settings.nesting -= 1
        if not _settings.nesting:
            clear_autocast_cache()
        before, _settings.cache = self._before.pop()
        _set(before)

    def __call__(self, function: Callable) -> Callable[..., Any]:
        """The function, run inside."""

        @functools.wraps(function)
        def run(*args: Any, **keywords: Any) -> Any:
            with self:
                return function(*args, **keywords)

        return run


def _set(now: Cast | None) -> None:
    local.state.autocast = now
    local.state.update()


# ---------------------------------------------------------------- questions and settings
def is_autocast_available(device_type: str) -> bool:
    """Whether autocast works on a device type: on "cpu".

    Raises:
        ArgumentError: for a device type that nobody knows.
    """
    _check_device_type(device_type, "is_autocast_available")
    return device_type == _CPU


def is_autocast_enabled(device_type: str = _CPU) -> bool:
    """Whether autocast is on in this thread (PyTorch asks about "cuda" by default).

    Raises:
        ArgumentError: for a device type that nobody knows.
    """
    _check_device_type(device_type, "is_autocast_enabled")
    return device_type == _CPU and local.state.autocast is not None


def set_autocast_enabled(device_type: Any, enabled: bool | None = None) -> None:
    """Turn autocast on or off in this thread: `set_autocast_enabled("cpu", True)`, or `set_autocast_enabled(True)`.

    Raises:
        ArgumentError: for a device type that nobody knows, or another than the CPU's turned on.
    """
    device_type, enabled = (_CPU, device_type) if enabled is None else (device_type, enabled)
    _check_device_type(device_type, "set_autocast_enabled")
    if device_type != _CPU:
        if enabled:
            raise ArgumentError(f"set_autocast_enabled: device_type {device_type!r} is not available; use 'cpu'")
        return
    _set(Cast(_settings.dtype) if enabled else None)


def get_autocast_dtype(device_type: str = _CPU) -> DType:
    """The dtype that products take: inside autocast that of the block, else the default for new blocks.

    Raises:
        ArgumentError: for another device type than "cpu".
    """
    if not is_autocast_available(device_type):
        raise ArgumentError(f"get_autocast_dtype: device_type {device_type!r} is not available; use 'cpu'")
    now = local.state.autocast
    return _settings.dtype if now is None else now.dtype


def set_autocast_dtype(device_type: str, dtype: Any) -> None:
    """Set the dtype that products take in blocks that name none.

    Args:
        device_type: "cpu". dtype: bfloat16 or float16.

    Raises:
        ArgumentError: for another device type or dtype.
    """
    if not is_autocast_available(device_type) or as_dtype(dtype) not in LOWER:
        raise ArgumentError(
            f"set_autocast_dtype: expected 'cpu' and bfloat16 or float16, got {device_type!r} and {dtype}"
        )
    _settings.dtype = as_dtype(dtype)
    if local.state.autocast is not None:
        _set(Cast(_settings.dtype))


def is_autocast_cpu_enabled() -> bool:
    """Whether autocast is on in this thread."""
    return is_autocast_enabled(_CPU)


def set_autocast_cpu_enabled(enabled: bool) -> None:
    """Turn autocast on or off in this thread."""
    set_autocast_enabled(_CPU, enabled)


def get_autocast_cpu_dtype() -> DType:
    """The dtype that products take under autocast."""
    return get_autocast_dtype(_CPU)


def set_autocast_cpu_dtype(dtype: Any) -> None:
    """Set the dtype that products take under autocast: bfloat16 or float16.

    Raises:
        ArgumentError: for another dtype.
    """
    set_autocast_dtype(_CPU, dtype)


def is_autocast_cache_enabled() -> bool:
    """Whether casts of leaves that require gradients are kept until the outermost block ends."""
    return _settings.cache


def set_autocast_cache_enabled(enabled: bool) -> None:
    """Keep casts of leaves that require gradients until the outermost block ends, or do not."""
    _settings.cache = bool(enabled)


def clear_autocast_cache() -> None:
    """Forget the casts that are kept."""
    _settings.cached.clear()


def autocast_increment_nesting() -> int:
    """Count one more block as open; casts are kept until all are closed. Gives how many are."""
    _settings.nesting += 1
    return _settings.nesting


def autocast_decrement_nesting() -> int:
    """Count one block less as open. Gives how many are."""
    _settings.nesting -= 1
    return _settings.nesting


# ---------------------------------------------------------------- custom Functions
def custom_fwd(
    fwd: Callable | None = None, *, device_type: str = _CPU, cast_inputs: Any = None
) -> Callable[..., Any]:
    """Decorates `forward` of a custom `autograd.Function` so that it knows of autocast.

    Args:
        device_type: "cpu". cast_inputs: None lets `forward` run in the mode that is on; a dtype casts floating Tensors
            to it when autocast is on, and turns autocast off inside.

    Returns:
        The decorated function; `custom_bwd` runs `backward` in the mode that `forward` ran in.

    Raises:
        ArgumentError: for a device type that nobody knows.
    """
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)
    _check_device_type(device_type, "custom_fwd")
    given = fwd

    @functools.wraps(given)
    def run(ctx: Any, *args: Any, **keywords: Any) -> Any:
        now = local.state.autocast
        ctx._autocast = now if cast_inputs is None else None
        if cast_inputs is None or now is None:
            return given(ctx, *args, **keywords)
        dtype = as_dtype(cast_inputs)
        args = tuple([_to(a, dtype) for a in args])
        with autocast(_CPU, enabled=False):
            return given(ctx, *args, **{name: _to(a, dtype) for name, a in keywords.items()})

    return run


def _to(value: Any, dtype: DType) -> Any:
    eligible = isinstance(value, Handle) and value.node.type.dtype.category == 2
    return cast(value, dtype) if eligible and value.node.type.dtype is not float64 else value


def custom_bwd(bwd: Callable | None = None, *, device_type: str = _CPU) -> Callable[..., Any]:
    """Decorates `backward` of a custom `autograd.Function`: it runs in the mode that `forward` ran in.

    Args:
        device_type: "cpu".

    Raises:
        ArgumentError: for a device type that nobody knows.
    """
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)
    _check_device_type(device_type, "custom_bwd")
    given = bwd

    @functools.wraps(given)
    def run(ctx: Any, *args: Any) -> Any:
        mode = getattr(ctx, "_autocast", None)
        with autocast(_CPU, dtype=None if mode is None else mode.dtype, enabled=mode is not None):
            return given(ctx, *args)

    return run
