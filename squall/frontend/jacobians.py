"""Whole derivatives: jacobians by reverse and forward mode, and the hessian.

The function runs once; its rows or columns are pulled back or pushed forward all at once, by `vmap` over unit vectors.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from squall.base import pytree
from squall.base.shapes import numel
from squall.frontend.batching import vmap
from squall.frontend.core import record
from squall.frontend.creation import eye
from squall.frontend.levels import Linearized, chosen_arguments, function_of_chosen
from squall.ir.op import ops


def _basis(tensor: Any) -> Any:
    """Unit vectors of a Tensor's space: [elements, *shape]."""
    node = tensor.node
    count: Any = numel(node.shape)
    return record(ops.reshape, (eye(count, dtype=node.dtype),), ((count, *node.shape),))


def _split_basis(blocks: Any, tensor: Any) -> Any:
    """[elements, *rest] as [*shape of tensor, *rest]."""
    shape = tuple(blocks.node.shape)
    return record(ops.reshape, (blocks,), ((*tensor.node.shape, *shape[1:]),))


def rows(made: Linearized, chunk_size: int | None = None) -> list[list]:
    """For each output its derivatives by each argument, by reverse mode: the output's shape and then the argument's."""
    found = []
    for k, output in enumerate(made.outputs):
        def row(v: Any, k: int = k) -> tuple:
            return tuple(made.back([v if i == k else None for i in range(len(made.outputs))]))

        blocks = vmap(row, randomness="same", chunk_size=chunk_size)(_basis(output))
        found.append([_split_basis(b, output) for b in blocks])
    return found


def columns(made: Linearized, chunk_size: int | None = None) -> list[list]:
    """What `rows` gives, by forward mode."""
    arguments = made.level.arguments
    if not made.by_rules(()):
        made.transposed()
    found = []
    for k, argument in enumerate(arguments):
        def column(t: Any, k: int = k) -> tuple:
            return tuple(made.forth([t if i == k else None for i in range(len(arguments))]))

        blocks = vmap(column, randomness="same", chunk_size=chunk_size)(_basis(argument))
        found.append([_outputs_first(b, argument) for b in blocks])
    return [[c[i] for c in found] for i in range(len(made.outputs))]


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
        chosen = chosen_arguments(args, argnums, "jacrev")
        of_chosen = function_of_chosen(func, args, kwargs, chosen)
        made = Linearized(of_chosen, tuple(args[n] for n in chosen), has_aux, "jacrev")
        found = [_by_argument(made, blocks, argnums) for blocks in rows(made, chunk_size)]
        whole = pytree.unflatten(made.out_structure, found)
        return (whole, made.aux) if has_aux else whole

    return jacobian


def _by_argument(made: Linearized, blocks: list, argnums: Any) -> Any:
    arguments = pytree.unflatten(made.structure, blocks)
    return arguments[0] if isinstance(argnums, int) else arguments


def jacfwd(func: Callable, argnums: Any = 0, has_aux: bool = False, *, randomness: str = "error",
           chunk_size: int | None = None) -> Callable:
    """The jacobian of a function by forward mode: one push forward an input element, all at once.

    Args and result as for `jacrev`; cheaper where outputs are more than inputs.
    """

    @functools.wraps(func)
    def jacobian(*args: Any, **kwargs: Any) -> Any:
        chosen = chosen_arguments(args, argnums, "jacfwd")
        of_chosen = function_of_chosen(func, args, kwargs, chosen)
        made = Linearized(of_chosen, tuple(args[n] for n in chosen), has_aux, "jacfwd", forward=True)
        found = [_by_argument(made, blocks, argnums) for blocks in columns(made, chunk_size)]
        whole = pytree.unflatten(made.out_structure, found)
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
