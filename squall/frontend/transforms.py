"""Functions made from functions by differentiating them: grad, vjp, jvp (`sq.func`).

Each runs the function once on its real arguments (`levels.py`), so Python may look at values. Results keep the history
of what is outside (captured parameters, outer transforms), so all of it composes, in any order, to any order.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from squall.base import pytree
from squall.base.errors import AutogradError, ShapeError
from squall.frontend.core import Handle, wrap
from squall.frontend.levels import Linearized, chosen_arguments, function_of_chosen
from squall.ir.op import constant


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


def _scalar_gradients(func: Callable, args: tuple, kwargs: dict, argnums: Any, has_aux: bool, name: str) -> tuple:
    chosen = chosen_arguments(args, argnums, name)
    made = Linearized(function_of_chosen(func, args, kwargs, chosen), tuple(args[n] for n in chosen), has_aux, name)
    if len(made.outputs) != 1 or made.out_structure.type is not None:
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
