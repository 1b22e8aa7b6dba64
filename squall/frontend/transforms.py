"""`sq.func`: functions made from functions by differentiating them: grad, vjp, jvp, jacobians, hessian.

Each runs the function once on its real arguments under fresh histories, so Python may look at values, then pulls
cotangents back along the tape. Forward mode is the transpose of that: what pulls back is linear in the cotangent, and
pulling back along it pushes tangents forward; nothing but what the tangents need is ever computed. Results keep the
history of what is outside (captured parameters, outer transforms), so all of it composes, in any order, to any order.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from squall.base import pytree
from squall.base.errors import AutogradError, ShapeError
from squall.base.shapes import numel
from squall.frontend.autograd import walk_back
from squall.frontend.batching import vmap
from squall.frontend.core import Handle, record, result, wrap
from squall.frontend.creation import eye
from squall.frontend.state import enable_grad, inference_mode, is_grad_enabled, local
from squall.frontend.tape import GradRecord, Leaf
from squall.ir.families import zeros
from squall.ir.op import ops


class _Level:
    """One differentiation: the Tensors a function is run on, whose history begins anew, and the tape it leaves.

    Attributes:
        arguments: stand-ins for the given Tensors. edges: where their gradients arrive.
    """

    def __init__(self, tensors: Sequence[Any], function: str):
        for tensor in tensors:
            if not isinstance(tensor, Handle):
                raise TypeError(f"{function}: expected Tensors to differentiate by, got {type(tensor).__name__}")
            if tensor.node.dtype.category < 2:
                raise AutogradError(f"{function}: only Tensors of floating point dtype can require gradients, not "
                                    f"{tensor.node.dtype}")
        self.outer = is_grad_enabled()
        self.edges = [_begin(t, self.outer) for t in tensors]
        self.arguments = [wrap(t.node, e) for t, e in zip(tensors, self.edges, strict=True)]
        state = local.state
        if state.trace is not None:
            state.trace.saw(tuple(tensors), tuple(t.node for t in tensors))
            state.trace.made(tuple(self.arguments))
        self.own = {id(e) for e in self.edges if e.__class__ is Leaf}

    def run(self, function: Callable, *args: Any, **kwargs: Any) -> Any:
        """Call the function with history on."""
        with inference_mode(False), enable_grad():
            return function(*args, **kwargs)

    def outside(self, edges: Sequence[Any], own: set[int] | frozenset = frozenset()) -> bool:
        """Whether some history ends anywhere but in this level's own arguments (and in `own`)."""
        mine = self.own | own
        seen: set[int] = set()
        stack = [e for e in edges if e is not None]
        while stack:
            edge = stack.pop()
            if id(edge) in seen:
                continue
            seen.add(id(edge))
            if edge.__class__ is Leaf:
                if id(edge) not in mine:
                    return True
            else:
                stack.extend(e for e in edge.edges if e is not None)
        return False

    def released(self, tensor: Any, own: set[int] | frozenset = frozenset()) -> Any:
        """A result as the caller sees it: with history only if that leads outside."""
        if not isinstance(tensor, Handle) or tensor.edge is None:
            return tensor
        if self.outer and self.outside((tensor.edge,), own):
            return tensor
        node = tensor.node
        return wrap(node) if node.buffer is not None else result(node)


def _begin(tensor: Any, outer: bool) -> Any:
    """A fresh edge for a Tensor: a leaf, or a step that passes gradients on to the history it has outside."""
    node, edge = tensor.node, tensor.edge
    if edge is None or not outer:
        return Leaf(node.type)
    return GradRecord(ops.reshape, (tuple(node.shape),), (edge,), (node.type,), node.type)


def _ignore(leaf: Leaf, gradient: Any) -> None:
    """Gradients are returned, not gathered."""


def pull(outputs: Sequence[Any], cotangents: Sequence[Any], edges: Sequence[Any], create: bool) -> list[Any]:
    """Gradients at edges, given those of the outputs; None where nothing arrives. The tape stays usable.

    Args:
        create: whether the gradients get history of their own.
    """
    pairs = [(t, c) for t, c in zip(outputs, cotangents, strict=True) if t.edge is not None and c is not None]
    roots, seeds = [t.edge for t, _ in pairs], [c if create else c.node for _, c in pairs]
    found = walk_back(roots, seeds, create, _ignore, True, {id(e): e for e in edges})
    gradients = [found.get(id(e)) for e in edges]
    return [g if g is None or isinstance(g, Handle) else result(g) for g in gradients]


def _zeros(tensor: Any) -> Any:
    return wrap(zeros(tensor.node.type))


def _flat_outputs(made: Any, function: str) -> tuple[list, Any]:
    leaves, structure = pytree.flatten(made)
    for leaf in leaves:
        if not isinstance(leaf, Handle):
            raise TypeError(f"{function}: expected the function to return only Tensors, got {type(leaf).__name__}; use "
                            "has_aux=True for other results")
    return leaves, structure


def _split_aux(made: Any, has_aux: bool, function: str) -> tuple[Any, Any]:
    if not has_aux:
        return made, None
    if not (isinstance(made, tuple) and len(made) == 2):
        raise TypeError(f"{function}: with has_aux the function must return a tuple (output, aux)")
    return made


class _Linearized:
    """A function run once at a point, with what pulls cotangents back and pushes tangents forward."""

    def __init__(self, function: Callable, primals: tuple, has_aux: bool, name: str):
        leaves, self.structure = pytree.flatten(primals)
        self.name = name
        self.level = _Level(leaves, name)
        made = self.level.run(function, *pytree.unflatten(self.structure, self.level.arguments))
        made, aux = _split_aux(made, has_aux, name)
        self.outputs, self.out_structure = _flat_outputs(made, name)
        self.aux = pytree.map_leaves(self.level.released, aux)
        self._back: tuple | None = None
        self._create: bool | None = None

    def value(self) -> Any:
        """The function's result."""
        return pytree.unflatten(self.out_structure, [self.level.released(t) for t in self.outputs])

    def create(self, given: Sequence[Any]) -> bool:
        """Whether gradients need history: when the tape or what is pulled back leads outside."""
        if not (self.level.outer and is_grad_enabled()):
            return False
        if any(g is not None and g.edge is not None for g in given):
            return True
        if self._create is None:
            self._create = self.level.outside([t.edge for t in self.outputs])
        return self._create

    def back(self, cotangents: Sequence[Any], create: bool | None = None) -> list[Any]:
        """One gradient a primal leaf; cotangents of None are zeros."""
        wanted = self.create(cotangents) if create is None else create
        gradients = pull(self.outputs, cotangents, self.level.edges, wanted)
        return [_zeros(a) if g is None else self.level.released(g)
                for g, a in zip(gradients, self.level.arguments, strict=True)]

    def transposed(self) -> tuple[list, list]:
        """Stand-ins for cotangents of the outputs (None where no gradient flows), and the gradients they give."""
        if self._back is None:
            holders = [None if t.edge is None else wrap(zeros(t.node.type), Leaf(t.node.type)) for t in self.outputs]
            if local.state.trace is not None:
                local.state.trace.made(tuple(h for h in holders if h is not None))
            self._back = holders, pull(self.outputs, holders, self.level.edges, True)
        return self._back

    def forth(self, tangents: Sequence[Any]) -> list[Any]:
        """One tangent an output; tangents of None are zeros."""
        holders, gradients = self.transposed()
        pairs = [(g, t) for g, t in zip(gradients, tangents, strict=True) if g is not None and t is not None]
        edges = [h.edge for h in holders if h is not None]
        pushed = iter(pull([g for g, _ in pairs], [t for _, t in pairs], edges, self.create(tangents)))
        own = frozenset(map(id, edges))
        out = []
        for holder, output in zip(holders, self.outputs, strict=True):
            tangent = None if holder is None else next(pushed)
            out.append(_zeros(output) if tangent is None else self.level.released(tangent, own))
        return out


def vjp(func: Callable, *primals: Any, has_aux: bool = False) -> tuple:
    """The result of a function, and the function that pulls cotangents back to the primals.

    Args:
        func: takes the primals. primals: Tensors in nested containers. has_aux: func returns (output, aux).

    Returns:
        tuple: (output, vjp_fn) or (output, vjp_fn, aux); vjp_fn takes cotangents like the output and gives one gradient
            a primal (alone when there is one), as often as it is called.

    Example:
        >>> import squall as sq
        >>> out, pullback = sq.vjp(sq.sin, sq.tensor([0.0, 1.0]))
        >>> pullback(sq.ones(2))[0].tolist() == sq.cos(sq.tensor([0.0, 1.0])).tolist()
        True
    """
    made = _Linearized(func, primals, has_aux, "vjp")

    def vjp_fn(cotangents: Any, retain_graph: bool = True, create_graph: bool | None = None) -> tuple:
        """Gradients of the primals for cotangents of the output."""
        given, structure = pytree.flatten(cotangents)
        if structure != made.out_structure:
            raise ShapeError("vjp: expected the cotangents to have the structure of the output")
        _check_like(given, made.outputs, "vjp", "cotangent")
        return pytree.unflatten(made.structure, made.back(given))

    return (made.value(), vjp_fn, made.aux) if has_aux else (made.value(), vjp_fn)


def _check_like(given: list, outputs: list, function: str, what: str) -> None:
    for g, o in zip(given, outputs, strict=True):
        if not isinstance(g, Handle) or tuple(g.node.shape) != tuple(o.node.shape) or g.node.dtype is not o.node.dtype:
            got = f"{list(g.node.shape)} of {g.node.dtype}" if isinstance(g, Handle) else type(g).__name__
            raise ShapeError(f"{function}: expected a {what} of shape {list(o.node.shape)} and dtype {o.node.dtype}, "
                             f"got {got}")


def jvp(func: Callable, primals: tuple, tangents: tuple, *, strict: bool = False, has_aux: bool = False) -> tuple:
    """The result of a function, and its derivative in a direction (forward mode).

    Args:
        primals, tangents: tuples of one structure, of Tensors of equal shapes and dtypes. strict: refuse outputs that
            do not depend on the primals. has_aux: func returns (output, aux).

    Returns:
        tuple: (output, tangent of it) or (output, tangent, aux).

    Example:
        >>> import squall as sq
        >>> sq.jvp(lambda x: x * x, (sq.tensor(3.0),), (sq.tensor(1.0),))
        (tensor(9.), tensor(6.))
    """
    if not isinstance(primals, tuple) or not isinstance(tangents, tuple):
        raise TypeError(f"jvp: expected primals and tangents to be tuples, got {type(primals).__name__} and "
                        f"{type(tangents).__name__}")
    given, structure = pytree.flatten(tangents)
    made = _Linearized(func, primals, has_aux, "jvp")
    if structure != made.structure:
        raise ShapeError("jvp: expected primals and tangents to have the same structure")
    _check_like(given, made.level.arguments, "jvp", "tangent")
    if strict and any(t.edge is None for t in made.outputs):
        raise AutogradError("jvp: the output does not depend on the primals, and strict=True")
    pushed = pytree.unflatten(made.out_structure, made.forth(given))
    return (made.value(), pushed, made.aux) if has_aux else (made.value(), pushed)


def _chosen(args: tuple, argnums: Any, function: str) -> tuple[int, ...]:
    numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    for n in numbers:
        if not -len(args) <= n < len(args):
            raise AutogradError(f"{function}: got argnum={n}, but only {len(args)} positional inputs")
    return tuple(n % len(args) for n in numbers)


def _partial(func: Callable, args: tuple, kwargs: dict, chosen: tuple[int, ...]) -> Callable:
    def of_chosen(*values: Any) -> Any:
        full = list(args)
        for n, value in zip(chosen, values, strict=True):
            full[n] = value
        return func(*full, **kwargs)

    return of_chosen


def _scalar_gradients(func: Callable, args: tuple, kwargs: dict, argnums: Any, has_aux: bool, name: str) -> tuple:
    chosen = _chosen(args, argnums, name)
    made = _Linearized(_partial(func, args, kwargs, chosen), tuple(args[n] for n in chosen), has_aux, name)
    if len(made.outputs) != 1 or made.out_structure.type is not None:
        raise AutogradError(f"{name}: expected the function to return a scalar Tensor, got "
                            f"{'a structure of ' + str(len(made.outputs)) + ' Tensors'}")
    (output,) = made.outputs
    if output.node.shape != ():
        raise AutogradError(f"{name}: Expected f(*args) to return a scalar tensor, got tensor with "
                            f"{len(output.node.shape)} "
                            "dims. Maybe you wanted to use the vjp or jacrev APIs instead?")
    gradients = pytree.unflatten(made.structure, made.back([wrap(_one(output))]))
    return made.value(), gradients[0] if isinstance(argnums, int) else gradients, made.aux


def _one(output: Any) -> Any:
    from squall.ir.op import constant

    return constant(1, output.node.dtype, output.node.device)


def grad(func: Callable, argnums: Any = 0, has_aux: bool = False) -> Callable:
    """The gradient of a function that returns a scalar, as a function.

    Args:
        argnums: the position, or positions, of the arguments to differentiate by; they may be nested containers of
            Tensors.
        has_aux: func returns (output, aux), and the result is (gradients, aux).

    Example:
        >>> import squall as sq
        >>> sq.func.grad(sq.func.grad(sq.sin))(sq.tensor(0.0)).item()
        -0.0
    """

    @functools.wraps(func)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        _, gradients, aux = _scalar_gradients(func, args, kwargs, argnums, has_aux, "grad")
        return (gradients, aux) if has_aux else gradients

    return gradient


def value_and_grad(func: Callable, argnums: Any = 0, has_aux: bool = False) -> Callable:
    """A function that gives both the value and the gradient of a function that returns a scalar.

    Args:
        argnums: as for `grad`. has_aux: func returns (output, aux), and the result is ((output, aux), gradients).
    """

    @functools.wraps(func)
    def both(*args: Any, **kwargs: Any) -> Any:
        value, gradients, aux = _scalar_gradients(func, args, kwargs, argnums, has_aux, "value_and_grad")
        return ((value, aux) if has_aux else value), gradients

    return both


def grad_and_value(func: Callable, argnums: Any = 0, has_aux: bool = False) -> Callable:
    """As `value_and_grad` in PyTorch's order: (gradients, output), or (gradients, (output, aux))."""
    both = value_and_grad(func, argnums, has_aux)

    @functools.wraps(func)
    def turned(*args: Any, **kwargs: Any) -> Any:
        value, gradients = both(*args, **kwargs)
        return gradients, value

    return turned


def _basis(tensor: Any) -> Any:
    """Unit vectors of a Tensor's space: [elements, *shape]."""
    node = tensor.node
    count = numel(node.shape)
    return record(ops.reshape, (eye(count, dtype=node.dtype),), ((count, *node.shape),))


def _split_basis(blocks: Any, tensor: Any) -> Any:
    """[elements, *rest] as [*shape of tensor, *rest]."""
    shape = tuple(blocks.node.shape)
    return record(ops.reshape, (blocks,), ((*tensor.node.shape, *shape[1:]),))


def jacrev(func: Callable, argnums: Any = 0, *, has_aux: bool = False, chunk_size: int | None = None) -> Callable:
    """The jacobian of a function by reverse mode: one pull back an output element, all at once.

    Args:
        argnums: the position, or positions, of the arguments to differentiate by. has_aux: func returns (output, aux),
            and the result is (jacobian, aux). chunk_size: output elements at a time.

    Returns:
        Callable: gives, in the structure of the output and inside it of the arguments, Tensors of the output's shape
        followed by the argument's.
    """

    @functools.wraps(func)
    def jacobian(*args: Any, **kwargs: Any) -> Any:
        chosen = _chosen(args, argnums, "jacrev")
        made = _Linearized(_partial(func, args, kwargs, chosen), tuple(args[n] for n in chosen), has_aux, "jacrev")
        rows = []
        for k, output in enumerate(made.outputs):
            def row(v: Any, k: int = k) -> tuple:
                return tuple(made.back([v if i == k else None for i in range(len(made.outputs))]))

            blocks = vmap(row, randomness="same", chunk_size=chunk_size)(_basis(output))
            rows.append(_by_argument(made, [_split_basis(b, output) for b in blocks], argnums))
        whole = pytree.unflatten(made.out_structure, rows)
        return (whole, made.aux) if has_aux else whole

    return jacobian


def _by_argument(made: _Linearized, blocks: list, argnums: Any) -> Any:
    arguments = pytree.unflatten(made.structure, blocks)
    return arguments[0] if isinstance(argnums, int) else arguments


def jacfwd(func: Callable, argnums: Any = 0, has_aux: bool = False, *, randomness: str = "error",
           chunk_size: int | None = None) -> Callable:
    """The jacobian of a function by forward mode: one push forward an input element, all at once.

    Args and result as for `jacrev`; cheaper where outputs are more than inputs.
    """

    @functools.wraps(func)
    def jacobian(*args: Any, **kwargs: Any) -> Any:
        chosen = _chosen(args, argnums, "jacfwd")
        made = _Linearized(_partial(func, args, kwargs, chosen), tuple(args[n] for n in chosen), has_aux, "jacfwd")
        arguments = made.level.arguments
        made.transposed()
        columns = []
        for k, argument in enumerate(arguments):
            def column(t: Any, k: int = k) -> tuple:
                return tuple(made.forth([t if i == k else None for i in range(len(arguments))]))

            blocks = vmap(column, randomness="same", chunk_size=chunk_size)(_basis(argument))
            columns.append([_outputs_first(b, argument) for b in blocks])
        rows = [_by_argument(made, [c[i] for c in columns], argnums) for i in range(len(made.outputs))]
        whole = pytree.unflatten(made.out_structure, rows)
        return (whole, made.aux) if has_aux else whole

    return jacobian


def _outputs_first(blocks: Any, argument: Any) -> Any:
    """[elements, *output] as [*output, *shape of the argument]."""
    shape = tuple(blocks.node.shape)
    turned = record(ops.permute, (blocks,), ((*range(1, len(shape)), 0),))
    return record(ops.reshape, (turned,), ((*shape[1:], *argument.node.shape),))


def hessian(func: Callable, argnums: Any = 0) -> Callable:
    """The second derivatives of a function: forward mode over reverse mode.

    Example:
        >>> import squall as sq
        >>> sq.hessian(lambda x: (x**3).sum())(sq.tensor([1.0, 2.0])).tolist()
        [[6.0, 0.0], [0.0, 12.0]]
    """
    return jacfwd(jacrev(func, argnums), argnums)
