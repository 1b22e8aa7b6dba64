"""The NumPy oracle of the graph level: each node's value by its op's `reference`, one node after the other.

It says what a graph means; compiled programs are compared with it. 16-bit floats are computed in float32 and rounded
after each op, integers wrap around, and every result is checked against the type its node was recorded with.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from squall.base.dim import Dim
from squall.base.dim import evaluate as evaluate_size
from squall.base.dtypes import FOREIGN, DType, numpy_dtype
from squall.base.errors import CompileError, LinAlgError
from squall.ir.graph import expand_composites
from squall.ir.node import Node, TensorType, toposort
from squall.ir.op import ops

# Ops whose reference reads the bits of 16-bit floats rather than their value.
_RAW = frozenset({"bitcast"})


def evaluate(
    roots: Iterable[Node],
    bindings: Mapping | Callable[[Node], Any] | None = None,
    *,
    decompose: bool = False,
    sizes: Mapping[str, int] | None = None,
) -> list:
    """The value of each root as a NumPy array (a tuple of arrays for a node of several outputs).

    Args:
        roots: what to compute.
        bindings: the arrays of `buffer` and `input` leaves and of computed nodes, and numbers of `scalar` leaves
            that differ from their slot: a map from the Node (or an input's index), or `function(node)`. A leaf that
            is not bound is read from its buffer slot.
        decompose: expand composites by their lowering instead of taking their own reference.
        sizes: the value of each symbol, where shapes are symbolic.

    Returns:
        list: arrays of the roots' shapes and dtypes. They may share memory with what was bound.

    Raises:
        CompileError: when a leaf has no value, or a result has not the shape or dtype of its node.

    Example:
        >>> import numpy, squall.ops
        >>> from squall.base.dtypes import float32
        >>> x = Node(ops.input, (), (0,), TensorType((3,), float32))
        >>> evaluate([ops.add(x, 1.0)], {x: numpy.arange(3, dtype="float32")})
        [array([1., 2., 3.], dtype=float32)]
    """
    import numpy

    roots = list(roots)
    wanted = expand_composites(roots) if decompose else roots
    with warnings.catch_warnings(), numpy.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return _run(wanted, _reader(bindings), sizes)


def _reader(bindings: Any) -> Callable[[Node], Any]:
    if bindings is None:
        return lambda node: None
    if callable(bindings):
        return bindings

    def read(node: Node) -> Any:
        found = bindings.get(node)
        return bindings.get(node.attrs[0]) if found is None and node.op is ops.input else found

    return read


def _run(roots: list[Node], read: Callable[[Node], Any], sizes: Mapping[str, int] | None) -> list:
    order = toposort(roots, lambda n: n.buffer is not None)
    remaining: dict[int, int] = {}
    for node in order:
        for operand in node.inputs if node.buffer is None else ():
            remaining[id(operand)] = remaining.get(id(operand), 0) + 1
    for node in roots:
        remaining[id(node)] = remaining.get(id(node), 0) + 1
    values: dict[int, Any] = {}
    for node in order:
        values[id(node)] = _value(node, values, read, sizes)
        for operand in node.inputs if node.buffer is None else ():
            remaining[id(operand)] -= 1
            if not remaining[id(operand)]:
                del values[id(operand)]
    return [values[id(n)] for n in roots]


def _value(node: Node, values: dict[int, Any], read: Callable[[Node], Any], sizes: Any) -> Any:
    if node.op is ops.scalar:
        return _scalar(node, read(node))
    if node.op is ops.buffer or node.op is ops.input or node.buffer is not None:
        return _leaf(node, read(node), sizes)
    if node.op is ops.pick:
        return values[id(node.inputs[0])][node.attrs[0]]
    operands = [values[id(n)] for n in node.inputs]
    if node.op.name not in _RAW:
        operands = [_widen(v) for v in operands]
    try:
        result = node.op.reference(*operands, **_attributes(node, sizes))
    except (CompileError, LinAlgError):
        raise
    except (ValueError, TypeError) as error:
        shapes = ", ".join(repr(n.type) for n in node.inputs)
        raise CompileError(f"the reference of {node.op.name} failed on ({shapes}): {error}") from error
    if node.type.__class__ is not tuple:
        return _checked(node, result, node.type, sizes)
    if not isinstance(result, tuple) or len(result) != len(node.type):
        raise CompileError(f"the reference of {node.op.name} must return {len(node.type)} arrays")
    return tuple(_checked(node, r, t, sizes) for r, t in zip(result, node.type, strict=True))


def _attributes(node: Node, sizes: Any) -> dict[str, Any]:
    named = node.op.named(node.attrs)
    return {k: _concrete(v, sizes) for k, v in named.items()} if sizes else named


def _concrete(value: Any, sizes: Any) -> Any:
    if isinstance(value, Dim):
        return evaluate_size(value, sizes)
    return tuple(_concrete(v, sizes) for v in value) if value.__class__ is tuple else value


def compute_dtype(dtype: DType) -> Any:
    """The NumPy dtype values of a dtype are computed in: float32 for 16-bit floats, else the type itself."""
    import numpy

    small = dtype.category == 2 and dtype.itemsize <= 2
    return numpy.dtype(numpy.float32) if small else numpy_dtype(dtype)


def _widen(value: Any) -> Any:
    import numpy

    dtype = value.dtype
    is_small_float = (dtype.itemsize == 2 and dtype.kind == "f") or dtype.name in FOREIGN
    return value.astype(numpy.float32) if is_small_float else value


def _scalar(node: Node, bound: Any) -> Any:
    import numpy

    number = node.buffer if bound is None else bound
    if number is None:
        raise CompileError("a scalar leaf has no number in its slot and none was bound")
    if node.dtype.category == 2:
        return numpy.asarray(float(number)).astype(compute_dtype(node.dtype))
    bits = int(number) & ((1 << 64) - 1)
    return numpy.asarray(bits, dtype=numpy.uint64).astype(numpy_dtype(node.dtype))


def _leaf(node: Node, bound: Any, sizes: Any) -> Any:
    import numpy

    value = node.buffer if bound is None else bound
    if value is None:
        raise CompileError(f"no value was bound for {node!r}")
    if node.type.__class__ is tuple:
        return tuple(map(numpy.asarray, value))
    value = numpy.asarray(value)
    shape = _concrete(tuple(node.shape), sizes)
    if value.shape != shape or value.dtype != numpy_dtype(node.dtype):
        raise CompileError(f"{node!r} was bound to an array {value.dtype}{list(value.shape)}")
    return value


def _checked(node: Node, result: Any, type: TensorType, sizes: Any) -> Any:
    """The result in its node's dtype, after checking shape and kind of number."""
    import numpy

    result = numpy.asarray(result)
    shape = _concrete(tuple(type.shape), sizes)
    if result.shape != shape:
        raise CompileError(f"the reference of {node.op.name} gave shape {result.shape}, its type is {type}")
    target = numpy_dtype(type.dtype)
    if result.dtype == target:
        return result
    category = _category(result.dtype)
    if category != type.dtype.category:
        raise CompileError(f"the reference of {node.op.name} gave {result.dtype}, its type is {type}")
    if category == 2 and result.dtype.itemsize < target.itemsize:
        raise CompileError(f"the reference of {node.op.name} lost precision: {result.dtype} for {type}")
    return result.astype(target)


def _category(dtype: Any) -> int:
    if dtype.name in FOREIGN:
        return 2
    return {"b": 0, "i": 1, "u": 1, "f": 2, "c": 3}.get(dtype.kind, -1)
