"""Derivatives of functions as `torch.autograd.functional` names them: jacobian, hessian, vjp, jvp, vhp, hvp.

They run on what `sq.func` runs on (`levels.py`, `jacobians.py`): the function is called once, and whole jacobians are
always pulled back or pushed forward all at once, whether `vectorize` is asked for or not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from squall.base.errors import ArgumentError, AutogradError, DtypeError, ShapeError
from squall.frontend.core import Handle
from squall.frontend.creation import ones_like
from squall.frontend.jacobians import columns, rows
from squall.frontend.levels import Linearized
from squall.frontend.transforms import value_and_grad


def _tensors(values: Any, function: str, what: str) -> tuple[tuple, bool]:
    """A Tensor or a tuple of Tensors as a tuple, and whether it was one."""
    several = isinstance(values, (tuple, list))
    given = tuple(values) if several else (values,)
    for i, value in enumerate(given):
        if not isinstance(value, Handle):
            place = f"the value at index {i} of the {what}" if several else f"the {what}"
            raise TypeError(f"{function}: {what} must be a Tensor or a tuple of Tensors, but {place} "
                            f"is of type {type(value).__name__}")
    return given, several


class _Run:
    """A function run once for its derivatives, with the checks of `strict`.

    Attributes:
        made: what pulls back and pushes forward. several_inputs, several_outputs: whether they came as tuples.
    """

    def __init__(self, name: str, func: Callable, inputs: Any, create_graph: bool, strict: bool, forward: bool = False,
                 what: str = "user-provided function"):
        given, self.several_inputs = _tensors(inputs, name, "inputs")
        self.name, self.create_graph, self.several_outputs, self.what = name, create_graph, False, what
        given = given if create_graph else tuple(t.detach() for t in given)

        def tupled(*args: Any) -> tuple:
            outputs, self.several_outputs = _tensors(func(*args), name, f"outputs of the {what}")
            return outputs

        self.made = Linearized(tupled, given, False, name, forward)
        if strict:
            self._check_strict()

    def _check_strict(self) -> None:
        for i, output in enumerate(self.made.outputs):
            found = _history(output)
            if not found:
                raise AutogradError(f"{self.name}: output {i} of the {self.what} has no history, which `strict` asks "
                                    "for: compute it from the inputs by differentiable functions")
            for j, edge in enumerate(self.made.level.edges):
                if id(edge) not in found:
                    raise AutogradError(f"{self.name}: output {i} of the {self.what} does not depend on input {j}, "
                                        "as `strict` asks")

    def single(self) -> Any:
        """The one output of one element of a function whose second derivatives are wanted."""
        if len(self.made.outputs) != 1 or self.several_outputs:
            raise AutogradError(f"{self.name}: the function must return one Tensor")
        return _single(self.made.outputs[0], self.name)

    def vectors(self, v: Any, like: Sequence[Any], several: bool, what: str) -> tuple:
        """The given vectors, or 1 where they may be left out; checked against what they go along."""
        if v is None:
            if len(like) != 1 or like[0].numel() != 1:
                raise AutogradError(f"{self.name}: v may be left out only where {what} one Tensor of one element")
            return (ones_like(like[0].detach()),)
        given, _ = _tensors(v, self.name, "vector v")
        if len(given) != len(like):
            raise AutogradError(f"{self.name}: v must hold {len(like)} Tensors, got "
                                f"{len(given)}")
        for i, (vector, one) in enumerate(zip(given, like, strict=True)):
            if tuple(vector.node.shape) != tuple(one.node.shape):
                entry = f"Entry {i} in v" if several else "v"
                raise ShapeError(f"{entry} must have shape {list(one.node.shape)}, got "
                                 f"{list(vector.node.shape)}")
            if vector.node.dtype is not one.node.dtype:
                raise DtypeError(f"{self.name}: v must have the dtype {one.node.dtype}, got {vector.node.dtype}")
        return given

    def outputs(self) -> Any:
        """The function's result."""
        return self.released([self.made.level.released(t) for t in self.made.outputs], self.several_outputs)

    def released(self, values: Sequence[Any], several: bool) -> Any:
        """Results as the caller sees them: with history only if a graph was asked for, and in a tuple or alone."""
        out = tuple(v if self.create_graph else v.detach() for v in values)
        return out if several else out[0]


def _history(tensor: Any) -> set[int]:
    """The ids of all edges that a history leads to."""
    seen: set[int] = set()
    stack = [tensor.edge]
    while stack:
        edge = stack.pop()
        if edge is not None and id(edge) not in seen:
            seen.add(id(edge))
            stack.extend(getattr(edge, "edges", ()))
    return seen


def _single(output: Any, name: str) -> Any:
    if not isinstance(output, Handle):
        raise TypeError(f"{name}: the function must return one Tensor, got {type(output).__name__}")
    if output.numel() != 1:
        raise AutogradError(f"{name}: the function must return one element, got "
                            f"shape {list(output.node.shape)}")
    return output.reshape(())


def _strategy(value: str, argument: str, name: str) -> bool:
    """Whether it is forward mode."""
    if value not in ("reverse-mode", "forward-mode"):
        raise ArgumentError(f"{name}: expected {argument} to be 'reverse-mode' or 'forward-mode', got {value!r}")
    return value == "forward-mode"


def _not_both(strict: bool, vectorize: bool, name: str) -> None:
    if strict and vectorize:
        raise AutogradError(f"squall.autograd.functional.{name}: `strict` cannot be checked where `vectorize` "
                            "takes all rows at once: leave one of them out")


def jacobian(func: Callable, inputs: Any, create_graph: bool = False, strict: bool = False, vectorize: bool = False,
             strategy: str = "reverse-mode") -> Any:
    """The jacobian of a function at a point.

    Args:
        func: takes Tensors and gives a Tensor or a tuple of them. inputs: a Tensor or a tuple of them.
        create_graph: give results a history, so that they can be differentiated. strict: an error where an output does
            not depend on an input, instead of zeros.
        vectorize: accepted; all elements are differentiated at once either way. strategy: "reverse-mode", or
            "forward-mode" where outputs are more than inputs.

    Returns:
        Tensors of the output's shape followed by the input's, in tuples over outputs and over inputs where those are
        tuples.

    Raises:
        AutogradError: when `strict` finds an output that is independent. TypeError: for what is no Tensor.

    Example:
        >>> import squall as sq
        >>> sq.autograd.functional.jacobian(lambda x: x * x, sq.tensor([1.0, 2.0])).tolist()
        [[2.0, 0.0], [0.0, 4.0]]
    """
    _not_both(strict, vectorize, "jacobian")
    forward = _strategy(strategy, "strategy", "jacobian")
    return _whole(_Run("jacobian", func, inputs, create_graph, strict, forward), forward)


def _whole(run: _Run, forward: bool) -> Any:
    blocks = columns(run.made) if forward else rows(run.made)
    found = tuple(run.released(row, run.several_inputs) for row in blocks)
    return found if run.several_outputs else found[0]


def _gradient(func: Callable, name: str, count: int) -> Callable:
    """The gradients of a function of one element, as a function to a tuple."""
    both = value_and_grad(lambda *args: _single(func(*args), name), tuple(range(count)))
    return lambda *args: both(*args)[1]


def _count(inputs: Any) -> int:
    return len(inputs) if isinstance(inputs, (tuple, list)) else 1


def hessian(func: Callable, inputs: Any, create_graph: bool = False, strict: bool = False, vectorize: bool = False,
            outer_jacobian_strategy: str = "reverse-mode") -> Any:
    """The second derivatives of a function of one element.

    Args:
        func: takes Tensors and gives a Tensor of one element. inputs: a Tensor or a tuple of them.
        create_graph, strict, vectorize: as for `jacobian`. outer_jacobian_strategy: how the gradient is differentiated.

    Returns:
        A Tensor of the input's shape twice; of a tuple of inputs a tuple of tuples of Tensors.

    Example:
        >>> import squall as sq
        >>> sq.autograd.functional.hessian(lambda x: (x**3).sum(), sq.tensor([1.0, 2.0])).tolist()
        [[6.0, 0.0], [0.0, 12.0]]
    """
    _not_both(strict, vectorize, "hessian")
    forward = _strategy(outer_jacobian_strategy, "outer_jacobian_strategy", "hessian")
    if strict:
        _Run("hessian", func, inputs, create_graph, True).single()
    run = _Run("hessian", _gradient(func, "hessian", _count(inputs)), inputs, create_graph, strict, forward,
               "jacobian of the user-provided function")
    run.several_outputs = run.several_inputs
    return _whole(run, forward)


def vjp(func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple:
    """(outputs, vector times jacobian): what `backward` computes.

    Args:
        func, inputs, create_graph, strict: as for `jacobian`. v: like the outputs; may be left out for one output of
            one element.

    Raises:
        ShapeError: when v has not the shape of the outputs.

    Example:
        >>> import squall as sq
        >>> sq.autograd.functional.vjp(lambda x: x * x, sq.tensor([1.0, 2.0]), sq.tensor([1.0, 1.0]))[1].tolist()
        [2.0, 4.0]
    """
    run = _Run("vjp", func, inputs, create_graph, strict)
    vectors = run.vectors(v, run.made.outputs, run.several_outputs, "the user-provided function returns")
    return run.outputs(), run.released(run.made.back(vectors, create_graph), run.several_inputs)


def jvp(func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple:
    """(outputs, jacobian times vector): the derivative in a direction, by forward mode.

    Args:
        func, inputs, create_graph, strict: as for `jacobian`. v: like the inputs; may be left out for one input of one
            element.

    Example:
        >>> import squall as sq
        >>> sq.autograd.functional.jvp(lambda x: x * x, sq.tensor([1.0, 2.0]), sq.tensor([1.0, 0.0]))[1].tolist()
        [2.0, 0.0]
    """
    run = _Run("jvp", func, inputs, create_graph, strict, forward=True)
    vectors = run.vectors(v, run.made.level.arguments, run.several_inputs, "the input to the user-provided function is")
    return run.outputs(), run.released(run.made.forth(vectors), run.several_outputs)


def _second(name: str, func: Callable, inputs: Any, v: Any, create_graph: bool, strict: bool, forward: bool) -> tuple:
    value = _Run(name, func, inputs, create_graph, strict)
    value.single()
    run = _Run(name, _gradient(func, name, _count(inputs)), inputs, create_graph, strict, forward,
               "jacobian of the user-provided function")
    vectors = run.vectors(v, run.made.level.arguments, run.several_inputs, "the input to the user-provided function is")
    found = run.made.forth(vectors) if forward else run.made.back(vectors, create_graph)
    return value.outputs(), run.released(found, run.several_inputs)


def vhp(func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple:
    """(output, vector times hessian) of a function of one element, by reverse mode twice.

    Args:
        func, inputs, create_graph, strict: as for `hessian`. v: like the inputs.
    """
    return _second("vhp", func, inputs, v, create_graph, strict, False)


def hvp(func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple:
    """(output, hessian times vector) of a function of one element, by forward mode over reverse mode.

    Args:
        func, inputs, create_graph, strict: as for `hessian`. v: like the inputs.

    Example:
        >>> import squall as sq
        >>> sq.autograd.functional.hvp(lambda x: (x**3).sum(), sq.tensor([1.0, 2.0]), sq.tensor([1.0, 1.0]))[1].tolist()
        [6.0, 12.0]
    """
    return _second("hvp", func, inputs, v, create_graph, strict, True)


__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]
