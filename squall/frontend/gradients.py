"""`sq.autograd.grad` as users call it: for one cotangent an output, or for a batch of them."""

from __future__ import annotations

from typing import Any

from squall.frontend import autograd
from squall.frontend.batching import vmap
from squall.frontend.core import Handle
from squall.frontend.creation import zeros


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple:
    """The gradients of outputs with respect to inputs, without touching `.grad`.

    Args:
        outputs, inputs: a Tensor or a sequence. grad_outputs: of the outputs' shapes, None for scalars. retain_graph:
            keep what backward reads for another time (default: create_graph). create_graph: record the gradients' own
            history. only_inputs: must be True. allow_unused: whether an input may have no part in the outputs (default:
            materialize_grads). is_grads_batched: grad_outputs have one dimension more, in front, and so have the
            gradients: one pull back for each, all at once. materialize_grads: zeros for inputs without a part.

    Returns:
        tuple: one Tensor an input, None for an unused one when allowed.

    Raises:
        AutogradError: without history, for an unused input that is not allowed, or a second time through history that
            is gone.

    Example:
        >>> import squall as sq
        >>> x = sq.tensor([1.0, 2.0], requires_grad=True)
        >>> (g,) = sq.autograd.grad((x * x).sum(), x, create_graph=True)
        >>> sq.autograd.grad(g, x, sq.eye(2), is_grads_batched=True)[0].tolist()
        [[2.0, 0.0], [0.0, 2.0]]
    """
    unused = materialize_grads if allow_unused is None else allow_unused
    if not is_grads_batched:
        return autograd.grad(outputs, inputs, grad_outputs, retain_graph, create_graph, only_inputs, unused,
                             materialize_grads=materialize_grads)
    given = (grad_outputs,) if isinstance(grad_outputs, Handle) else tuple(grad_outputs or ())
    chosen = (inputs,) if isinstance(inputs, Handle) else tuple(inputs)
    used: list[bool] = []

    def pulled(*cotangents: Any) -> tuple:
        found = autograd.grad(outputs, inputs, cotangents, retain_graph, create_graph, only_inputs, unused,
                              materialize_grads=materialize_grads)
        used[:] = [g is not None for g in found]
        return tuple(zeros((), dtype=x.node.dtype) if g is None else g for x, g in zip(chosen, found, strict=True))

    blocks = vmap(pulled)(*given)
    return tuple(block if there else None for block, there in zip(blocks, used, strict=True))
