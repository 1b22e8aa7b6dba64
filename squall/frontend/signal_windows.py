"""Windows of signals, under PyTorch's names (`torch.signal.windows`): M points, symmetric unless `sym` is False."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import Parameter, Signature, signature
from math import pi, sqrt
from typing import Any

from squall.base.dtypes import as_dtype, default_dtype, numpy_dtype
from squall.base.errors import ArgumentError
from squall.frontend import creation
from squall.frontend.arrays import computed
from squall.frontend.core import wrap


def _window(function: Callable) -> Callable[..., Any]:
    """A window from a function of its points 0 ... M - 1 and their number less 1."""

    @wraps(function)
    def run(M: int, *, sym: bool = True, dtype: Any = None, device: Any = None,
            requires_grad: bool = False, layout: Any = None, **keywords: Any) -> Any:
        import numpy

        name = function.__name__.lstrip("_")
        creation.check_device(device, name)
        kind = default_dtype() if dtype is None else as_dtype(dtype)
        if M < 0:
            raise ArgumentError(f"{name}: requires non-negative window length, got M={M}")
        if str(kind).rpartition(".")[2] not in ("float32", "float64"):
            raise ArgumentError(f"{name}: argument 'dtype' must be float32 or float64, got {kind}")
        span = float(max(M - 1 if sym else M, 1))
        points = numpy.arange(M, dtype=numpy.float64)
        values = function(points, span, **keywords) if M > 1 else numpy.ones(M)
        out = wrap(computed(numpy.asarray(values).astype(numpy_dtype(kind))))
        return creation.require_grad(out, requires_grad, name)

    shown = [p for p in signature(run, follow_wrapped=False).parameters.values() if p.kind is not Parameter.VAR_KEYWORD]
    own = [p for p in signature(function).parameters.values() if p.kind is Parameter.KEYWORD_ONLY]
    run.__signature__ = Signature([shown[0], *own, *shown[1:]])  # type: ignore[attr-defined]  # for `inspect`
    return run


def _cosines(n: Any, span: float, factors: Any) -> Any:
    import numpy

    return sum((-1) ** k * a * numpy.cos(2 * pi * k * n / span) for k, a in enumerate(factors))


@_window
def general_cosine(n: Any, span: float, *, a: Any) -> Any:
    """The sum of (-1)^k a[k] cos(2 pi k n / N)."""
    if not isinstance(a, (list, tuple)) or not a:
        raise (ArgumentError if isinstance(a, (list, tuple)) else TypeError)(
            f"general_cosine: argument 'a' must be a list or tuple of at least one number, got {a!r}")
    return _cosines(n, span, a)


@_window
def general_hamming(n: Any, span: float, *, alpha: float = 0.54) -> Any:
    """alpha - (1 - alpha) cos(2 pi n / N)."""
    return _cosines(n, span, (alpha, 1 - alpha))


@_window
def hamming(n: Any, span: float) -> Any:
    """0.54 - 0.46 cos(2 pi n / N)."""
    return _cosines(n, span, (0.54, 0.46))


@_window
def hann(n: Any, span: float) -> Any:
    """A raised cosine that falls to 0 at its ends."""
    return _cosines(n, span, (0.5, 0.5))


@_window
def blackman(n: Any, span: float) -> Any:
    """0.42 - 0.5 cos(2 pi n / N) + 0.08 cos(4 pi n / N)."""
    return _cosines(n, span, (0.42, 0.5, 0.08))


@_window
def nuttall(n: Any, span: float) -> Any:
    """Nuttall's minimum four-term window."""
    return _cosines(n, span, (0.3635819, 0.4891775, 0.1365995, 0.0106411))


@_window
def bartlett(n: Any, span: float) -> Any:
    """A triangle that falls to 0 at its ends."""
    return 1 - abs(2 * n / span - 1)


@_window
def cosine(n: Any, span: float) -> Any:
    """Half a wave of a sine."""
    import numpy

    return numpy.sin(pi * (n + 0.5) / (span + 1))


@_window
def _exponential(n: Any, span: float, *, center: float | None = None, tau: float = 1.0) -> Any:
    """exp(-|n - center| / tau)."""
    import numpy

    if tau <= 0:
        raise ArgumentError(f"exponential: tau must be positive, got {tau}")
    return numpy.exp(-abs(n - (span / 2 if center is None else center)) / tau)


def exponential(M: int, *, center: float | None = None, tau: float = 1.0, sym: bool = True, **keywords: Any) -> Any:
    """exp(-|n - center| / tau); a symmetric window has its center in the middle, so that none may be given.

    Args:
        M: how many points. center: of a window with `sym=False`; None: the middle. tau: the decay, positive. sym:
            whether the window is symmetric. keywords: dtype, device, requires_grad, layout.

    Raises:
        ArgumentError: for a center of a symmetric window, or a decay that is not positive.
    """
    if sym and center is not None:
        raise ArgumentError(f"exponential: argument 'center' must be None for symmetric windows, got {center}; give "
                            "sym=False")
    return _exponential(M, center=center, tau=tau, sym=sym, **keywords)


@_window
def gaussian(n: Any, span: float, *, std: float = 1.0) -> Any:
    """exp(-(n / std)^2 / 2) about the middle."""
    import numpy

    if std <= 0:
        raise ArgumentError(f"gaussian: standard deviation must be positive, got {std}")
    return numpy.exp(-(((n - span / 2) / (std * sqrt(2))) ** 2))


@_window
def kaiser(n: Any, span: float, *, beta: float = 12.0) -> Any:
    """I0(beta sqrt(1 - x^2)) / I0(beta) over [-1, 1]."""
    import numpy

    if beta < 0:
        raise ArgumentError(f"kaiser: beta must be non-negative, got {beta}")
    place = 2 * n / span - 1
    return numpy.i0(beta * numpy.sqrt(numpy.maximum(1 - place**2, 0))) / numpy.i0(numpy.asarray(float(beta)))
