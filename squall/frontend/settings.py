"""PyTorch's switches that ask nothing of squall, and Tensors of other memory: `asarray`, `frombuffer`.

Results are the same from run to run whatever is asked, products of float32 are never rounded to less, and there is one
device: programs that set these run as they are, and what is set is what is told.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from squall.base.dtypes import as_dtype, numpy_dtype
from squall.base.errors import ArgumentError
from squall.frontend import creation
from squall.frontend.conversion import Device, clone
from squall.frontend.core import Handle, cast
from squall.frontend.interop import from_dlpack, from_numpy
from squall.frontend.random import default_generator
from squall.frontend.state import local

_told: dict[str, Any] = {"deterministic": False, "warn_only": False, "precision": "highest"}


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Ask for the same results from run to run, which squall always gives; only what is told changes.

    Example:
        >>> import squall as sq
        >>> sq.use_deterministic_algorithms(True)
        >>> sq.are_deterministic_algorithms_enabled()
        True
        >>> sq.use_deterministic_algorithms(False)
    """
    _told.update(deterministic=bool(mode), warn_only=bool(warn_only))


def are_deterministic_algorithms_enabled() -> bool:
    """What `use_deterministic_algorithms` was given; results are the same from run to run either way."""
    return _told["deterministic"]


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    """The `warn_only` that `use_deterministic_algorithms` was given."""
    return _told["deterministic"] and _told["warn_only"]


def set_float32_matmul_precision(precision: str) -> None:
    """Allow products of float32 to be less exact ("high", "medium"), which squall makes no use of on CPUs.

    Raises:
        ArgumentError: for another name.
    """
    if precision not in ("highest", "high", "medium"):
        raise ArgumentError(f"set_float32_matmul_precision: expected 'highest', 'high' or 'medium', got {precision!r}")
    _told["precision"] = precision


def get_float32_matmul_precision() -> str:
    """What `set_float32_matmul_precision` was given, "highest" unless it was."""
    return _told["precision"]


def get_default_device() -> Device:
    """The device new Tensors are on: the CPU."""
    return Device("cpu")


def set_default_device(device: Any) -> None:
    """Choose the device of new Tensors.

    Raises:
        DeviceError: for one that is not there.
    """
    creation.check_device(device, "set_default_device")


def is_anomaly_enabled() -> bool:
    """Whether backward checks every gradient (`autograd.set_detect_anomaly`)."""
    return bool(local.state.anomaly)


def initial_seed() -> int:
    """The seed of the default generator."""
    return default_generator.initial_seed()


def can_cast(from_: Any, to: Any) -> bool:
    """Whether PyTorch's rules of promotion let a dtype become another in place: complex not real, floats not integers,
    numbers not bool.

    Example:
        >>> import squall as sq
        >>> sq.can_cast(sq.float64, sq.float16), sq.can_cast(sq.float32, sq.int64)
        (True, False)
    """
    before, after = as_dtype(from_).category, as_dtype(to).category
    return before <= after


def asarray(obj: Any, *, dtype: Any = None, device: Any = None, copy: bool | None = None,
            requires_grad: bool = False) -> Any:
    """A Tensor of a Tensor, array, buffer, number or nested sequence, which shares the memory where that can be.

    Args:
        obj: anything of numbers. dtype: by default its own. copy: True for memory of its own always, False for an error
            where sharing cannot be. requires_grad: whether gradients gather in the result.

    Raises:
        ArgumentError: with `copy=False` when the numbers must be copied.

    Example:
        >>> import numpy, squall as sq
        >>> a = numpy.zeros(2)
        >>> sq.asarray(a)[0] = 5.0
        >>> a.tolist()
        [5.0, 0.0]
    """
    creation.check_device(device, "asarray")
    kind = None if dtype is None else as_dtype(dtype)
    shared = _sharing(obj)
    if shared is None or (kind is not None and shared.node.dtype is not kind):
        if copy is False:
            raise ArgumentError(f"asarray: copy=False, but {type(obj).__name__} cannot be shared"
                                f"{'' if kind is None else f' as {kind}'}")
        out = creation.tensor(obj, dtype=kind) if shared is None else cast(shared, kind)  # type: ignore[arg-type]
    else:
        out = clone(shared) if copy else shared
    if requires_grad != out.requires_grad:
        out = creation.require_grad(out.detach(), requires_grad)
    return out


def _sharing(obj: Any) -> Any:
    """The Tensor over memory that an object lets others see; None when it has none."""
    import numpy

    if isinstance(obj, Handle):
        return obj
    if isinstance(obj, numpy.ndarray):
        return from_numpy(obj) if obj.flags.writeable else None
    if hasattr(obj, "__dlpack__"):
        return from_dlpack(obj)
    if isinstance(obj, (bytearray, memoryview)) or type(obj).__module__ == "array":
        view = memoryview(obj)
        return None if view.readonly else from_numpy(numpy.asarray(view))
    return None


def frombuffer(buffer: Any, *, dtype: Any, count: int = -1, offset: int = 0, requires_grad: bool = False) -> Any:
    """A vector over the memory of a buffer: writes to either are seen by both. Of a read-only one (bytes) a copy.

    Args:
        buffer: bytes, bytearray, memoryview, mmap. dtype: of the elements. count: how many, -1 for all. offset: bytes
            before the first.

    Raises:
        ArgumentError: when the buffer has not so many, or no whole number of them.

    Example:
        >>> import squall as sq
        >>> sq.frombuffer(bytearray([1, 2, 3, 4]), dtype=sq.uint8, offset=1, count=2).tolist()
        [2, 3]
    """
    import numpy

    kind = as_dtype(dtype)
    try:
        array = numpy.frombuffer(buffer, numpy_dtype(kind), count, offset)
    except ValueError as error:
        raise ArgumentError(f"frombuffer: dtype {kind}, count {count}, offset {offset}: {error}") from None
    made = from_numpy(array) if array.flags.writeable else creation.tensor(array)
    return creation.require_grad(made, requires_grad)


def get_deterministic_debug_mode() -> int:
    """0, 1 (warn) or 2 (error): what was asked of operations that are not deterministic; there are none here."""
    return 0 if not _told["deterministic"] else 1 if _told["warn_only"] else 2


def set_deterministic_debug_mode(debug_mode: int | str) -> None:
    """Ask for the same results from run to run: 0 or "default", 1 or "warn", 2 or "error".

    Raises:
        TypeError: for neither a number nor a name. RuntimeError: for another one.

    Example:
        >>> import squall as sq
        >>> sq.set_deterministic_debug_mode("warn")
        >>> sq.get_deterministic_debug_mode(), sq.is_deterministic_algorithms_warn_only_enabled()
        (1, True)
        >>> sq.set_deterministic_debug_mode(0)
    """
    if not isinstance(debug_mode, (int, str)):
        raise TypeError(f"set_deterministic_debug_mode: expected str or int, got {type(debug_mode).__name__}")
    known = {"default": 0, "warn": 1, "error": 2}
    level = known.get(debug_mode, -1) if isinstance(debug_mode, str) else debug_mode
    if level not in (0, 1, 2):
        raise RuntimeError(f"set_deterministic_debug_mode: expected 0, 1, 2 or {', '.join(known)}, got {debug_mode!r}")
    use_deterministic_algorithms(level > 0, warn_only=level == 1)


def set_warn_always(b: bool) -> None:
    """Show every warning each time rather than once a place (`warnings.simplefilter`); False goes back.

    Example:
        >>> import squall as sq
        >>> sq.set_warn_always(True)
        >>> sq.is_warn_always_enabled()
        True
        >>> sq.set_warn_always(False)
    """
    if b and not is_warn_always_enabled():
        warnings.simplefilter("always")
        _told["warn_filter"] = warnings.filters[0]
    elif not b and is_warn_always_enabled():
        kept = _told.pop("warn_filter")
        if kept in warnings.filters:
            warnings.filters.remove(kept)  # type: ignore[attr-defined]  # a list, as the module says


def is_warn_always_enabled() -> bool:
    """Whether `set_warn_always(True)` holds."""
    return "warn_filter" in _told


def set_anomaly_enabled(mode: bool, check_nan: bool = True) -> None:
    """Turn checks of every gradient in backward on or off, as `autograd.set_detect_anomaly` does for a block.

    Args:
        check_nan: must be True: NaN is what is checked.

    Raises:
        ArgumentError: for `check_nan=False`.

    Example:
        >>> import squall as sq
        >>> sq.set_anomaly_enabled(True)
        >>> sq.is_anomaly_enabled(), sq.is_anomaly_check_nan_enabled()
        (True, True)
        >>> sq.set_anomaly_enabled(False)
    """
    if not check_nan:
        raise ArgumentError("set_anomaly_enabled: check_nan=False leaves nothing to check; pass mode=False instead")
    local.state.anomaly = bool(mode)
    local.state.update()


def is_anomaly_check_nan_enabled() -> bool:
    """Whether backward looks for NaN, which it does whenever anomaly mode is on."""
    return is_anomaly_enabled()


@contextmanager
def fork_rng(devices: Any = None, enabled: bool = True) -> Iterator[None]:
    """Inside, random numbers are drawn from where the default generator stands, which then goes back there.

    Args:
        devices: other devices' numbers; there are none. enabled: False does nothing.

    Raises:
        DeviceError: when devices are given.

    Example:
        >>> import squall as sq
        >>> with sq.random.fork_rng():
        ...     a = sq.rand(2)
        >>> a.equal(sq.rand(2))
        True
    """
    for device in devices or ():
        creation.check_device(device, "fork_rng")
    state = default_generator.get_state() if enabled else None
    try:
        yield
    finally:
        if state is not None:
            default_generator.set_state(state)
