"""The Op record and the table of ops. How an op is added: `docs/how-to/add-an-op.md`.

An op is one frozen record, declared in one place under `squall/ops`: its family (which gives shape, vmap, lowering and
printing), how dtypes promote, what its gradient saves, gradient, jvp, lowering by exactly one of
scalar | decompose | nest | library | family, NumPy reference, samples that generate its tests, and doc.

Calling an op makes a Node; when an operand is something else that knows `__squall_apply__` (a Tensor, a tracer), that
class applies the op instead. So rules written over ops run on Nodes and Tensors alike, and compose to any order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from squall.base.dtypes import DType
from squall.base.errors import CompileError, DtypeError
from squall.ir.node import Node, TensorType, tensor_type


class _NonDifferentiable:
    """The explicit gradient of an op that has none."""

    def __repr__(self) -> str:
        return "NON_DIFFERENTIABLE"


NON_DIFFERENTIABLE = _NonDifferentiable()


class Scalar(NamedTuple):
    """Lowered element by element: a linear-IR instruction's name, or `build(builder, attrs, *registers) ->
    register`.
    """

    build: str | Callable


class Decompose(NamedTuple):
    """Expanded into other ops when a plan compiles: `expand(*operands, **attributes)` calls ops. With `kernel` plans
    have a kernel for the op as it is; the decomposition then says what it means, to oracles and to transforms."""

    expand: Callable
    kernel: bool = False


class Nest(NamedTuple):
    """Lowered to the contraction nest: `dims(types, attrs)` names the index space."""

    dims: Callable


class Library(NamedTuple):
    """A host step between native segments: `function(*arrays, **attributes)` on NumPy arrays, results written to
    the outputs.
    """

    function: Callable


class ByFamily(NamedTuple):
    """The family's own lowering: movement as index maps, reductions, indexing, random bits, control."""

    kind: str = ""


class Sample(NamedTuple):
    """One call that generates tests: NumPy arrays (or Python numbers) and attributes."""

    inputs: tuple
    attributes: dict = {}
    name: str = ""


class Indexed(NamedTuple):
    """An operand whose values must lie inside a dimension of operand 0: from 0 or, `signed`, from minus the size; the
    value `ignored` may be anything."""

    operand: int
    dim: int
    signed: bool = True
    ignored: int | None = None


def raises_itself(types: tuple, attrs: tuple) -> tuple[Indexed, ...]:
    """For `checks` of a library op: its function raises LinAlgError for some values, and no operand is an index."""
    return ()


class Context:
    """What a gradient or jvp rule sees.

    Attributes:
        op, attrs: the op and its attribute values in order. types, out_type: operand and result types.
        inputs: operands (Nodes or Tensors), None where the op does not save them. output: the result, None if not saved
            (a tuple for ops of several outputs). needs: which operands want a gradient.
    """

    __slots__ = ("op", "attrs", "types", "out_type", "inputs", "output", "needs")

    def __init__(self, op: Op, attrs: tuple, types: tuple, out_type: Any, inputs: tuple, output: Any, needs: tuple):
        self.op, self.attrs, self.types, self.out_type = op, attrs, types, out_type
        self.inputs, self.output, self.needs = inputs, output, needs

    def attribute(self, name: str) -> Any:
        """The value of a named attribute."""
        return self.attrs[self.op.attributes.index(name)]


@dataclass(frozen=True, eq=False, slots=True)
class Op:
    """One operation.

    Args:
        name: unique; what IR text, errors and `grad_fn` show. family: an instance from `families.py`.
        grad: `grad(ctx, g) -> one gradient or a tuple, one an operand (None: none)`, or NON_DIFFERENTIABLE. For several
            outputs g is a tuple with None where nothing arrived. Gradients of elementwise operands are summed back
            to the operand's shape by the family, so rules ignore broadcasting. Every use of an op in a rule goes
            through `ops`.
        lowering: exactly one of Scalar, Decompose, Nest, Library, ByFamily.
        reference: NumPy function of arrays and named attributes, exact in float64.
        samples: `samples() -> list[Sample]`, with size 0, zero-dim, broadcast, negative dims, NaN, inf, ties where
            they matter.
        doc: one paragraph. attributes: names of attribute values, in Node order.
        saves: operand positions and "out" that the gradient reads, or `saves(needs) -> such a tuple`.
        promotion: how a frontend prepares operand dtypes: "same" (PyTorch's promotion), "float" (and integers
            become the default float), "first" (operand 0 rules), "none" (as given), "sum" (small integers become
            int64).
        dtype: result dtype when it is not the operands': a DType or `dtype(types, attrs) -> DType`.
        infer: `infer(types, attrs) -> TensorType | tuple[TensorType, ...]` when the family's rule does not serve.
        jvp: `jvp(ctx, *tangents) -> tangent` (None tangents are zero); None: derived by the family or the
            decomposition.
        vmap: `vmap(op, operands, batched, size, attrs) -> (result, batched)` when the family's rule does not serve;
            a batched operand carries its batch at dimension 0.
        checks: `checks(types, attrs) -> tuple[Indexed, ...]`: operands whose values are checked when evaluated;
            `raises_itself` for a library op whose function raises LinAlgError.
        parts: how it acts on complex operands: `parts(*operands, **attributes)`, where a complex operand is a
            `Pair` of real values and so is a complex result; "each": on real and imaginary part alike; "library":
            its function takes complex arrays; "composite": its decomposition serves. None: complex is refused.
        codes: how it acts on float8 operands, which it gets as their codes in uint8: "same": on codes as on numbers
            (it only moves them); "composite": its decomposition serves; `codes(node, operands)` over what the operands
            became, the node telling their dtypes. None: float8 is refused.
        holomorphic: whether the gradient rule of complex operands is the one of real ones, conjugated; else the
            rule is given as it stands for both.
    """

    name: str
    family: Any
    grad: Any
    lowering: Any
    reference: Callable
    samples: Callable[[], list[Sample]]
    doc: str
    attributes: tuple[str, ...] = ()
    saves: Any = ()
    promotion: str = "same"
    dtype: Any = None
    infer: Callable | None = None
    jvp: Callable | None = None
    vmap: Callable | None = None
    checks: Callable | None = None
    parts: Any = None
    codes: Any = None
    holomorphic: bool = True
    defaults: dict[str, Any] = field(default_factory=dict)

    def pack(self, attributes: dict[str, Any]) -> tuple:
        """Attribute values in order; missing ones take their defaults."""
        if not self.attributes:
            if attributes:
                raise TypeError(f"{self.name} takes no attributes, not {sorted(attributes)}")
            return ()
        values = {**self.defaults, **attributes}
        try:
            packed = tuple(values.pop(name) for name in self.attributes)
        except KeyError as error:
            raise TypeError(f"{self.name}: attribute {error} is missing") from None
        if values:
            raise TypeError(f"{self.name} has no attributes {sorted(values)}; it has {list(self.attributes)}")
        return packed

    def named(self, attrs: tuple) -> dict[str, Any]:
        """Attribute values by name."""
        return dict(zip(self.attributes, attrs, strict=True))

    def result_type(self, types: tuple[TensorType, ...], attrs: tuple) -> Any:
        """The type, or types, of the result; raises ShapeError and DtypeError."""
        return self.infer(types, attrs)  # type: ignore[misc]

    def __call__(self, *operands: Any, **attributes: Any) -> Any:
        """Apply to Nodes (or to anything with `__squall_apply__`); Python numbers become constants of the
        operands' dtype.
        """
        attrs = self.pack(attributes)
        for operand in operands:
            apply = getattr(operand.__class__, "__squall_apply__", None)
            if apply is not None:
                return apply(self, operands, attrs)
        return make(self, lift(operands), attrs)

    def backward(self, context: Context, g: Any) -> Any:
        """The gradient rule, for complex values by PyTorch's convention: what arrives times the conjugate derivative.

        For a function of complex numbers that has a derivative, that is the conjugate of the rule for real numbers at
        the conjugate of what arrives."""
        if not self.holomorphic or not _any_complex(context.out_type, *context.types):
            return self.grad(context, g)
        parts = self.grad(context, _each(_conjugate, g))
        return _each(_conjugate, parts)

    def saved(self, needs: tuple[bool, ...]) -> tuple:
        """Operand positions and "out" that the gradient reads, given which operands need one."""
        return self.saves(needs) if callable(self.saves) else self.saves

    def __repr__(self) -> str:
        return f"<Op {self.name}>"

    def __reduce__(self):
        return (op_named, (self.name,))


class Pair(NamedTuple):
    """The real and imaginary part of a value."""

    re: Any
    im: Any


def _any_complex(*types: Any) -> bool:
    for t in types:
        if t.__class__ is tuple:
            if _any_complex(*t):
                return True
        elif t.dtype.category == 3:
            return True
    return False


def _each(function: Callable, values: Any) -> Any:
    if values.__class__ is tuple:
        return tuple(None if v is None else function(v) for v in values)
    return None if values is None else function(values)


def _conjugate(value: Any) -> Any:
    return ops.conj(value) if value.dtype.category == 3 else value


class OpTable:
    """All ops by name, as attributes: `ops.add(a, b)`. A name missing at import resolves when first used."""

    def __init__(self) -> None:
        self._ops: dict[str, Op] = {}

    def register(self, op: Op) -> Op:
        """Add an op; its name must be new and its record complete."""
        if op.name in self._ops:
            raise CompileError(f"op {op.name!r} is declared twice")
        if op.grad is not NON_DIFFERENTIABLE and not callable(op.grad):
            raise CompileError(f"op {op.name!r} has no gradient: give a rule or NON_DIFFERENTIABLE")
        if op.infer is None:
            object.__setattr__(op, "infer", op.family.infer_for(op))
        self._ops[op.name] = op
        setattr(self, op.name, op)
        return op

    def __getattr__(self, name: str) -> Op:
        if name.startswith("_"):
            raise AttributeError(name)
        raise AttributeError(f"no op is called {name!r}; there are {', '.join(sorted(self._ops))}")

    def __iter__(self):
        return iter(self._ops.values())

    def __len__(self) -> int:
        return len(self._ops)

    def get(self, name: str) -> Op | None:
        """The op of a name, or None."""
        return self._ops.get(name)


ops = OpTable()


def op_named(name: str) -> Op:
    """The op of a name; AttributeError lists what exists."""
    return getattr(ops, name)


def declare(name: str, family: Any, **fields: Any) -> Op:
    """Declare and register an op; see `Op` for the fields."""
    return ops.register(Op(name, family, **fields))


# (op, ids of operand types, attributes) -> (result type, operand types kept alive so that ids stay theirs)
_inferred: dict[tuple, tuple] = {}


def infer_type(op: Op, types: tuple, attrs: tuple) -> Any:
    """`op.result_type`, remembered: the same operand type objects give the same result type object."""
    key = (op, *map(id, types), attrs)
    found = _inferred.get(key)
    if found is None:
        if _any_complex(*types):
            _check_complex(op, types)
        if op.codes is None:
            refuse_float8(op.name, *types)
        if len(_inferred) > 50000:
            _inferred.clear()
        found = _inferred[key] = (_one_object(op.result_type(types, attrs)), types)
    return found[0]


def _check_complex(op: Op, types: tuple) -> None:
    """DtypeError when an op is not defined for complex numbers."""
    if op.parts is None:
        given = next(t.dtype for t in types if t.__class__ is not tuple and t.dtype.category == 3)
        raise DtypeError(f"{op.name}: not implemented for {given}; take .real, .imag or .abs() first")


def refuse_float8(function: str, *types: Any) -> None:
    """DtypeError in the name of an op or function that computes, when it is given floats of 8 bits."""
    for t in types:
        if t.__class__ is not tuple and t.dtype.is_float8:
            raise DtypeError(f"{function}: not implemented for {t.dtype}, which is a type to store values in; cast "
                             "them with .to(squall.float32) or another floating dtype first")


def _one_object(type: Any) -> Any:
    """The type every result of this content shares: chains of ops meet the same operand types again."""
    if type.__class__ is tuple:
        return tuple([_one_object(t) for t in type])
    return tensor_type(type.shape, type.dtype, type.device)


def make(op: Op, inputs: tuple[Node, ...], attrs: tuple) -> Any:
    """A Node of checked type; for several outputs a tuple of `pick` Nodes."""
    type = infer_type(op, tuple([n.type for n in inputs]), attrs)
    node = Node(op, inputs, attrs, type)
    if type.__class__ is tuple:
        return tuple(Node(ops.pick, (node,), (i,), t) for i, t in enumerate(type))
    return node


def lift(operands: tuple) -> tuple[Node, ...]:
    """Operands as Nodes: Python numbers become constants of the first Node's dtype (of its category at least)."""
    first = next((o for o in operands if o.__class__ is Node), None)
    if not operands:
        return ()
    if first is None:
        raise TypeError("an op needs at least one Node or Tensor operand")
    return tuple(o if o.__class__ is Node else constant(o, first.dtype, first.device) for o in operands)


def constant(value: Any, dtype: DType, device: str = "cpu") -> Node:
    """A zero-dimensional constant, part of the graph's structure. Compared by dtype and bits."""
    if dtype.category == 3:
        text = f"{complex(value).real.hex()} {complex(value).imag.hex()}"
    else:
        text = float(value).hex() if dtype.category == 2 else str(int(value))
    return Node(ops.constant, (), (text, dtype), tensor_type((), dtype, device))


def constant_value(node: Node) -> Any:
    """The Python value of a `constant` node."""
    text, dtype = node.attrs
    if dtype.category == 3:
        return complex(*map(float.fromhex, text.split()))  # type: ignore[return-value]
    return float.fromhex(text) if dtype.category == 2 else bool(int(text)) if dtype.category == 0 else int(text)
