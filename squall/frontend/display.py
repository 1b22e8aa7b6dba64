"""How tensors print: PyTorch's layout, summarised beyond a thousand elements."""

from __future__ import annotations

from typing import Any, NamedTuple

from squall.base.dtypes import FOREIGN
from squall.base.errors import ArgumentError
from squall.frontend.state import local


class PrintOptions(NamedTuple):
    """Digits after the point, elements before summarising, elements shown at each end, characters a line, and whether
    floats are written with exponents (None: where they need them)."""

    precision: int = 4
    threshold: int = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


_options = [PrintOptions()]
_PROFILES = {
    "default": {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80},
    "short": {"precision": 2, "threshold": 1000, "edgeitems": 2, "linewidth": 80},
    "full": {"precision": 4, "threshold": float("inf"), "edgeitems": 3, "linewidth": 80},
}


def set_printoptions(precision: int | None = None, threshold: int | None = None, edgeitems: int | None = None,
                     linewidth: int | None = None, profile: str | None = None, sci_mode: bool | None = None) -> None:
    """Change how tensors print; None leaves an option as it is.

    Args:
        precision: digits after the point. threshold: elements before the middle is left out. edgeitems: elements shown
            at each end then. linewidth: characters a line. profile: "default", "short" or "full", which the others
            change. sci_mode: floats with exponents always (True), never (False), or where they need them (None, which
            every call that leaves it out goes back to, as in PyTorch).

    Raises:
        ArgumentError: for another profile.

    Example:
        >>> import squall as sq
        >>> sq.set_printoptions(precision=2, sci_mode=True)
        >>> sq.tensor([1.5, 20.0])
        tensor([1.50e+00, 2.00e+01])
        >>> sq.set_printoptions(profile="default")
        >>> sq.tensor([1.5, 20.0])
        tensor([ 1.5000, 20.0000])
    """
    if profile is not None and profile not in _PROFILES:
        raise ArgumentError(f"set_printoptions: profile must be one of {', '.join(_PROFILES)}, got {profile!r}")
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    chosen = {**_PROFILES.get(profile or "", {}), **{k: v for k, v in given.items() if v is not None}}
    _options[0] = _options[0]._replace(**chosen, sci_mode=sci_mode)


def render(tensor: Any) -> str:
    """The text of a Tensor: values, dtype when it is not the usual one, and history."""
    node = tensor.node
    suffix = []
    trace = local.state.trace
    if trace is not None and node.buffer is None and not trace.knows(tensor):
        return f"tensor(<traced {node.type}>)"
    array = tensor.detach_array()
    if 0 in node.shape and len(node.shape) > 1:
        suffix.append(f"size={tuple(node.shape)}")
    usual = ("float32", "int64", "bool", "complex64")
    if node.dtype.name not in usual or (node.dtype.name == "int64" and 0 in node.shape):
        suffix.append(f"dtype={node.dtype}")
    edge = tensor.edge
    if edge is not None:
        suffix.append("requires_grad=True" if tensor.is_leaf else f"grad_fn={edge!r}")
    text = "tensor(" + _body(array, node.dtype.category, len("tensor("))
    for part in suffix:  # on a line of its own where the last one would get too long
        line = len(text) - text.rfind("\n") + 1
        text += f", {part}" if line + len(part) <= _options[0].linewidth - 2 else f",\n       {part}"
    return text + ")"


def _body(array: Any, category: int, indent: int) -> str:
    import numpy

    options = _options[0]
    if array.size == 0:
        return "[]"
    summarise = array.size > options.threshold
    if array.dtype.name in (*FOREIGN, "float16"):
        array = array.astype(numpy.float32)
    shown = _shown(array, options.edgeitems) if summarise else array
    formatter = _formatter(shown, category, options.precision)
    return _nested(array, formatter, indent, options, summarise)


def _shown(array: Any, edge: int) -> Any:
    import numpy

    for axis in range(array.ndim):
        if array.shape[axis] > 2 * edge:
            array = numpy.concatenate([array.take(range(edge), axis), array.take(range(-edge, 0), axis)], axis)
    return array


def _formatter(values: Any, category: int, precision: int) -> Any:
    import numpy

    if category == 3:
        return _complex_formatter(values, precision)
    if category < 2:
        texts = [str(v) for v in values.reshape(-1).tolist()]
        width = max(map(len, texts))
        return lambda v: str(v.item()).rjust(width)
    finite = values[numpy.isfinite(values) & (values != 0)].astype(numpy.float64)
    absolute = numpy.abs(finite)
    whole = bool((finite == numpy.ceil(finite)).all())
    forced = _options[0].sci_mode
    scientific = forced if forced is not None else finite.size > 0 and (
        absolute.max() / absolute.min() > 1000.0 or absolute.max() > 1e8 or absolute.min() < 1e-4
    )
    if scientific:
        text = f"{{:.{precision}e}}".format
    elif whole:
        text = _whole
    else:
        text = f"{{:.{precision}f}}".format
    width = max((len(text(float(v))) for v in finite), default=0)  # only what is finite and not zero counts
    return lambda v: text(float(v)).rjust(width)


def _complex_formatter(values: Any, precision: int) -> Any:
    """Both parts as floats of their own width, the imaginary one with a j."""
    re, im = (_formatter(part.reshape(-1), 2, precision) for part in (values.real, abs(values.imag)))

    def text(v: Any) -> str:
        sign = "-" if v.imag < 0 or (v.imag == 0 and str(v.imag)[0] == "-") else "+"
        return f"{re(v.real)}{sign}{im(abs(v.imag)).strip()}j"

    return text


def _whole(value: float) -> str:
    """A whole number with a point that says it is floating; nan and inf as they are."""
    return f"{value:.0f}." if value - value == 0 else f"{value:.0f}"


def _nested(array: Any, formatter: Any, indent: int, options: PrintOptions, summarise: bool) -> str:
    if array.ndim == 0:
        return formatter(array).strip()
    edge = options.edgeitems
    cut = summarise and array.shape[0] > 2 * edge
    if array.ndim == 1:
        cells = [formatter(v) for v in (array[:edge] if cut else array)]
        if cut:
            cells += [" ..."] + [formatter(v) for v in array[-edge:]]
        width = len(cells[0]) + 2
        per_line = max((options.linewidth - indent) // width, 1)
        lines = [", ".join(cells[i:i + per_line]) for i in range(0, len(cells), per_line)]
        return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"
    parts = [_nested(a, formatter, indent + 1, options, summarise) for a in (array[:edge] if cut else array)]
    if cut:
        parts += ["..."] + [_nested(a, formatter, indent + 1, options, summarise) for a in array[-edge:]]
    return "[" + ("," + "\n" * (array.ndim - 1) + " " * (indent + 1)).join(parts) + "]"
