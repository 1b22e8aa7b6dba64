"""Functions made from functions by differentiating them: grad, vjp, jvp, linearize, hvp (`sq.func`).

Each runs the function once on its real arguments (`levels.py`), so Python may look at values. Results keep the history
of what is outside (captured parameters, outer transforms), so all of it composes, in any order, to any order.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from squall.base import pytree
from squall.base.errors import AutogradError, ShapeError
from squall.frontend.core import Handle, result, wrap
from squall.frontend.levels import Linearized, chosen_arguments, function_of_chosen, zeros_of
from squall.frontend.lifting import opaque
from squall.frontend.state import local
from squall.ir.graph import placeholder, rebuild
from squall.ir.node import tensor_type, toposort
from squall.ir.op import constant, ops
from squall.transforms.walk import depending


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
    made = Linearized(func, primals, has_aux, "vjp")

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
    made = Linearized(func, primals, has_aux, "jvp", forward=True)
    if structure != made.structure:
        raise ShapeError("jvp: expected primals and tangents to have the same structure")
    _check_like(given, made.level.arguments, "jvp", "tangent")
    if strict and any(t.edge is None for t in made.outputs):
        raise AutogradError("jvp: the output does not depend on the primals, and strict=True")
    pushed = pytree.unflatten(made.out_structure, made.forth(given))
    return (made.value(), pushed, made.aux) if has_aux else (made.value(), pushed)


# What a function may return besides a Tensor: registered classes that hold one (squall.numpy's ndarray).
def _is_scalar_holder(structure: Any) -> bool:
    held = structure.type not in (tuple, list, dict) and structure.children == (pytree.LEAF,)
    return structure.type is None or held


def _scalar_gradients(func: Callable, args: tuple, kwargs: dict, argnums: Any, has_aux: bool, name: str) -> tuple:
    chosen = chosen_arguments(args, argnums, name)
    made = Linearized(function_of_chosen(func, args, kwargs, chosen), tuple(args[n] for n in chosen), has_aux, name)
    if len(made.outputs) != 1 or not _is_scalar_holder(made.out_structure):
        raise AutogradError(f"{name}: expected the function to return a scalar Tensor, got "
                            f"{'a structure of ' + str(len(made.outputs)) + ' Tensors'}")
    (output,) = made.outputs
    if output.node.shape != ():
        raise AutogradError(f"{name}: Expected f(*args) to return a scalar tensor, got tensor with "
                            f"{len(output.node.shape)} "
                            "dims. Maybe you wanted to use the vjp or jacrev APIs instead?")
    gradients = pytree.unflatten(made.structure, made.back([wrap(constant(1, output.node.dtype, output.node.device))]))
    return made.value(), gradients[0] if isinstance(argnums, int) else gradients, made.aux


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


def linearize(func: Callable, *primals: Any) -> tuple:
    """The result of a function, and the linear function that pushes tangents forward at that point.

    The function runs once; what the tangents read of it is computed once and kept, so each call of the linear function
    costs no more than the tangents.

    Args:
        func: takes the primals. primals: Tensors in nested containers.

    Returns:
        tuple: (output, jvp_fn); jvp_fn takes tangents like the primals and gives the tangent of the output.

    Raises:
        ShapeError: when tangents are not like the primals.

    Example:
        >>> import squall as sq
        >>> out, pushforward = sq.func.linearize(lambda x: x * x, sq.tensor([1.0, 2.0]))
        >>> pushforward(sq.tensor([1.0, 1.0])).tolist(), pushforward(sq.tensor([0.0, 2.0])).tolist()
        ([2.0, 4.0], [0.0, 8.0])
    """
    made = Linearized(func, primals, False, "linearize", forward=True)
    program = _Pushing(made) if local.state.trace is None and made.by_rules(()) else None

    def jvp_fn(*tangents: Any) -> Any:
        """The tangent of the output for tangents of the primals."""
        given, structure = pytree.flatten(tangents)
        if structure != made.structure:
            raise ShapeError("linearize: expected tangents in the structure of the primals")
        _check_like(given, made.level.arguments, "linearize", "tangent")
        pushed = made.forth(given) if program is None or made.create(given) else program(given)
        return pytree.unflatten(made.out_structure, pushed)

    return made.value(), jvp_fn


class _Pushing:
    """The linear function of a function that was run, recorded once.

    Attributes:
        kept: Tensors of what it reads of the function, held so that they are computed once.
    """

    def __init__(self, made: Linearized):
        assert made.trace is not None
        self.made = made
        self.seeds = [placeholder(i, tensor_type(tuple(a.node.shape), a.node.dtype, a.node.device))
                      for i, a in enumerate(made.level.arguments)]
        self.tangents = made.trace.push([t.node for t in made.outputs], self.seeds)
        roots = [t for t in self.tangents if t is not None]
        order = toposort(roots)
        moving = depending(order, self.seeds)
        self.order = [n for n in order if id(n) in moving and n.inputs]
        self.fixed = {id(n): n for node in self.order for n in node.inputs if id(n) not in moving}
        read = {i: n for i, n in self.fixed.items() if n.inputs}
        sources = {id(n): n.inputs[0] if n.op is ops.pick else n for n in read.values()}
        self.kept = [result(n) for n in read.values() if n.buffer is None and sources[id(n)].op is not ops.expand]

    def __call__(self, given: list) -> list:
        """Tangents of the outputs."""
        state = local.state
        if state.trace is not None:
            state.trace.saw((*given, *self.kept), tuple(t.node for t in (*given, *self.kept)))
        replaced = {**self.fixed, **{id(s): t.node for s, t in zip(self.seeds, given, strict=True)}}
        rebuild(self.order, replaced)
        return [zeros_of(output) if t is None else result(replaced.get(id(t), t))
                for t, output in zip(self.tangents, self.made.outputs, strict=True)]


def hvp(func: Callable, primals: Any, tangents: Any) -> tuple:
    """The result of a scalar function, and its Hessian times a vector: forward mode over reverse mode.

    Args:
        func: takes the primals and gives a scalar. primals, tangents: a Tensor or container, or a tuple of them for
            several arguments, both alike.

    Returns:
        tuple: (output, product), the product in the structure of the primals. The Hessian is never made.

    Raises:
        AutogradError: when the function does not give a scalar. ShapeError: when tangents are not like the primals.

    Example:
        >>> import squall as sq
        >>> sq.func.hvp(lambda x: (x**3).sum(), sq.tensor([1.0, 2.0]), sq.tensor([1.0, 1.0]))
        (tensor(9.), tensor([ 6., 12.]))
    """
    several = isinstance(primals, tuple)
    points, moves = (primals, tangents) if several else ((primals,), (tangents,))
    both = value_and_grad(func, tuple(range(len(points))))
    (value, _), (_, product) = jvp(both, points, moves)
    return value, product if several else product[0]


def stop_gradient(tree: Any) -> Any:
    """Tensors in nested containers as constants: the same values, through which no gradient flows.

    Example:
        >>> import squall as sq
        >>> sq.func.grad(lambda x: x * sq.func.stop_gradient(x))(sq.tensor(3.0)).item()
        3.0
    """
    return pytree.map_leaves(lambda leaf: _constant(leaf) if isinstance(leaf, Handle) else leaf, tree)


def _constant(x: Any) -> Any:
    """A Tensor without history; while a function is traced also without a way for later derivatives of what was
    traced."""
    cut = x.detach()
    made = None if local.state.trace is None else opaque(cut)
    return cut if made is None else made
