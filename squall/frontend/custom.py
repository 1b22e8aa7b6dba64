"""Functions whose gradient the user writes: `sq.autograd.Function`.

Applying one runs its forward without history and hangs one GradRecord on the results, whose rule calls the user's
backward. It is never a Node: what forward records is fused and compiled like anything else, also inside `compile`,
`vmap` and every other transform. With `create_graph`, backward runs on Tensors with history, so it can be
differentiated again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from squall.base.errors import AutogradError, ShapeError
from squall.frontend.core import Handle, ensure_cell, require_no_grad_leaf, wrap
from squall.frontend.state import local, no_grad
from squall.frontend.tape import GradRecord, NodeRules
from squall.ir.families import zeros
from squall.ir.node import Node
from squall.ir.op import ops
from squall.ops.movement import sum_to


class FunctionContext:
    """What forward and backward of a Function share; attributes of your own may be set on it.

    Attributes:
        needs_input_grad: for each argument of apply, whether a gradient is wanted.
    """

    def __init__(self, needs: tuple[bool, ...]):
        self.needs_input_grad = needs
        self._to_save: tuple = ()
        self._constant: tuple = ()
        self._dirty: tuple = ()
        self._materialize = True
        self._record: GradRecord | None = None
        self._slots: list[tuple] = []

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep Tensors (or None) for backward; in-place changes to them until then are an error."""
        for tensor in tensors:
            if tensor is not None and not isinstance(tensor, Handle):
                raise TypeError("save_for_backward can only save variables, but argument is of type "
                                f"{type(tensor).__name__}")
        self._to_save = tensors

    save_for_forward = save_for_backward

    @property
    def saved_tensors(self) -> tuple:
        """What `save_for_backward` kept, with the history it had."""
        record = self._record
        if record is None:
            return self._to_save
        return tuple(_unpack(record, number, slot) for number, slot in enumerate(self._slots))

    def mark_non_differentiable(self, *outputs: Any) -> None:
        """These outputs get no gradient."""
        self._constant = outputs

    def mark_dirty(self, *inputs: Any) -> None:
        """These inputs were modified in place and are returned."""
        self._dirty = inputs

    def set_materialize_grads(self, value: bool) -> None:
        """Whether gradients that do not arrive reach backward as zeros (the default) or as None."""
        self._materialize = bool(value)


def _unpack(record: GradRecord, number: int, slot: tuple) -> Any:
    kind, where = slot
    if kind == "none":
        return None
    if record.inputs is None:
        raise AutogradError("Trying to read saved tensors of a Function after they have already been freed.")
    node = record.inputs[number]
    if kind == "input":
        return wrap(node, record.edges[where])
    if kind == "output":
        return wrap(node, _output_edge(record, where, node))
    return wrap(node, where)


def _output_edge(record: GradRecord, index: int, node: Node) -> Any:
    if record.out_type.__class__ is not tuple:
        return record
    return GradRecord(ops.pick, (index,), (record,), (node.type,), node.type)


class _History:
    """The rule of a custom function's record."""

    def __init__(self, function: type[Function], context: FunctionContext, several: bool):
        self.function, self.context, self.several = function, context, several
        self.name = function.__name__

    def backward(self, record: GradRecord, gradient: Any, rules: Any) -> tuple:
        """Call the user's backward on Tensors and give back what the rules work on."""
        context = self.context
        types = record.out_type if self.several else (record.out_type,)
        given = gradient if self.several else (gradient,)
        arguments = [self._argument(g, type) for g, type in zip(given, types, strict=True)]
        context._record = record
        try:
            made = self.function.backward(context, *arguments)
        finally:
            context._record = None
        parts = list(made) if isinstance(made, (tuple, list)) else [made]
        count = len(record.edges)
        if len(parts) < count or any(p is not None for p in parts[count:]):
            raise AutogradError(f"function {self.name}Backward returned an incorrect number of gradients (expected "
                                f"{count}, got {len(parts)})")
        plain = rules is NodeRules
        return tuple(self._part(i, p, record, plain) for i, p in enumerate(parts[:count]))

    def release(self) -> None:
        """Backward will not be called again."""

    def _argument(self, gradient: Any, type: Any) -> Any:
        if gradient is None:
            return wrap(zeros(type)) if self.context._materialize and type is not None else None
        return gradient if isinstance(gradient, Handle) else wrap(gradient)

    def _part(self, index: int, part: Any, record: GradRecord, plain: bool) -> Any:
        type = record.types[index]
        if part is None or record.edges[index] is None:
            return None
        if not isinstance(part, Handle):
            raise TypeError(f"{self.name}.backward: expected a Tensor or None for argument {index}, got "
                            f"{part.__class__.__name__}")
        value = part.node if plain else part
        if tuple(value.shape) != tuple(type.shape):
            if not _expands(tuple(type.shape), tuple(value.shape)):
                raise ShapeError(f"Function {self.name}Backward returned an invalid gradient at index {index} - got "
                                 f"{list(value.shape)} but expected shape compatible with {list(type.shape)}")
            value = sum_to(value, tuple(type.shape))
        return value


def _expands(shape: tuple, larger: tuple) -> bool:
    lead = len(larger) - len(shape)
    return lead >= 0 and all(a == b or a == 1 for a, b in zip(shape, larger[lead:], strict=True))


class Function:
    """Base of functions with a gradient of their own; subclasses give static `forward` and `backward`.

    `forward(ctx, *args)` computes Tensors and may save some for backward; or `forward(*args)` with a static
    `setup_context(ctx, inputs, output)`. `backward(ctx, *grads)` takes one gradient an output and returns one (or None)
    an argument. Call it by `apply`.

    Example:
        >>> import squall as sq
        >>> class Cube(sq.autograd.Function):
        ...     @staticmethod
        ...     def forward(ctx, x):
        ...         ctx.save_for_backward(x)
        ...         return x**3
        ...     @staticmethod
        ...     def backward(ctx, g):
        ...         (x,) = ctx.saved_tensors
        ...         return 3 * x**2 * g
        >>> x = sq.tensor(2.0, requires_grad=True)
        >>> Cube.apply(x).backward()
        >>> x.grad.item()
        12.0
    """

    setup_context: Callable | None = None
    jvp: Callable | None = None

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """What the function computes; to be overridden."""
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """The gradients of the arguments; to be overridden."""
        raise NotImplementedError("You must implement either the backward or vjp method for your custom "
                                  "autograd.Function to use it with backward mode AD.")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise AutogradError("Legacy autograd function with non-static forward method is deprecated. Please use "
                            "new-style autograd function with static forward method, through .apply.")

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Run forward and record the gradient.

        Args:
            args: Tensors take part in differentiation; anything else is passed on.

        Returns:
            What forward returns: a Tensor or a tuple.
        """
        state = local.state
        edges = tuple(a.edge if isinstance(a, Handle) else None for a in args)
        versions = {id(a): a.version for a in args if isinstance(a, Handle)}
        nodes = tuple(a.node if isinstance(a, Handle) else None for a in args)
        context = FunctionContext(tuple(e is not None for e in edges))
        with no_grad():
            if cls.setup_context is not None:
                output = cls.forward(*args)
                cls.setup_context(context, args, output)
            else:
                output = cls.forward(context, *args)
        if state.trace is not None:
            several = isinstance(output, (tuple, list))
            made = state.trace.custom(cls, context, nodes, tuple(output) if several else (output,))
            output = made if several else made[0]
        if not state.grad or state.inference or not any(edges):
            return output
        return _Applied(cls, context, args, edges, nodes, versions).finish(output)


class _Applied:
    """One application of a Function in grad mode: its arguments as they were before forward ran."""

    def __init__(self, function: type[Function], context: FunctionContext, args: tuple, edges: tuple, nodes: tuple,
                 versions: dict[int, int]):
        self.function, self.context, self.args = function, context, args
        self.edges, self.nodes, self.versions = edges, nodes, versions

    def finish(self, output: Any) -> Any:
        """Hang the record on the outputs that are floating and not marked otherwise."""
        context, several = self.context, isinstance(output, (tuple, list))
        given = tuple(output) if several else (output,)
        outputs = [self._own(o) for o in given]
        constant = set(map(id, context._constant))
        types = tuple(o.node.type if isinstance(o, Handle) else None for o in outputs)
        arguments = tuple(None if n is None else n.type for n in self.nodes)
        record = GradRecord(None, (), self.edges, arguments, types if several else types[0])
        record.extra = _History(self.function, context, several)
        tracked = [i for i, (o, made) in enumerate(zip(given, outputs, strict=True)) if isinstance(made, Handle)
                   and made.node.dtype.category >= 2 and id(o) not in constant]
        for index in tracked:
            self._attach(outputs[index], _output_edge(record, index, outputs[index].node))
        self._save(record, given, outputs)
        if local.state.trace is not None:
            local.state.trace.made(tuple(outputs[i] for i in tracked))
        return tuple(outputs) if several else outputs[0]

    def _own(self, output: Any) -> Any:
        """The output as a handle of its own: an argument, or what sees its memory, gets a new one, unless dirty."""
        if not isinstance(output, Handle) or any(output is d for d in self.context._dirty):
            return output
        is_argument = any(output is a for a in self.args)
        shared = is_argument or output._view is not None or output._edge is not None
        return wrap(output.node) if shared else output

    def _attach(self, tensor: Any, edge: Any) -> None:
        if any(tensor is d for d in self.context._dirty):
            if tensor._view is not None:
                raise AutogradError(f"{self.function.__name__}: mark_dirty on a view is not supported; clone() it "
                                    "first, or write to its base outside of the Function")
            require_no_grad_leaf(tensor)
        tensor._edge = edge

    def _save(self, record: GradRecord, given: tuple, outputs: list) -> None:
        """Keep what was to be saved; in-place writes to it until backward are found by its version."""
        context = self.context
        saved, holders, versions, cells = [], [], [], []
        for tensor in context._to_save:
            position = next((i for i, o in enumerate(given) if o is tensor), None)
            argument = next((i for i, a in enumerate(self.args) if a is tensor), None)
            holder = None
            if tensor is None:
                slot: tuple = ("none", None)
            elif position is not None and argument is None:
                slot = ("output", position)
                cell = ensure_cell(outputs[position])
                cells.append((cell, cell.version))
            elif argument is not None and not any(tensor is d for d in context._dirty):
                slot, holder = ("input", argument), tensor
            else:
                slot, holder = ("other", tensor.edge), tensor
            context._slots.append(slot)
            saved.append(None if tensor is None else tensor.node)
            holders.append(holder)
            versions.append(0 if holder is None else self.versions.get(id(holder), holder.version))
        context._to_save = ()
        record.inputs, record.holders = tuple(saved), tuple(holders)
        record.versions, record.cells = tuple(versions), tuple(cells)
