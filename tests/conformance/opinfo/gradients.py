"""Whether the module's gradients are torch's, for a weighted sum of a sample's outputs."""

import numpy as np
import torch

from tests.conformance.opinfo.calls import is_random, run_target, run_torch
from tests.conformance.opinfo.convert import Converter, Target, Unsupported, flatten, is_torch, sample_tree
from tests.conformance.opinfo.options import Options
from tests.conformance.opinfo.target import torch_to_numpy


def weights(shape: tuple, dtype: torch.dtype, seed: int) -> torch.Tensor:
    """Fixed weights away from zero, so that no gradient vanishes by chance."""
    draw = np.random.RandomState(seed)
    values = draw.uniform(0.5, 1.5, size=shape)
    if dtype.is_complex:
        values = values + 1j * draw.uniform(0.5, 1.5, size=shape)
    return torch.as_tensor(np.asarray(values)).to(dtype)


def differentiable(tree) -> list:
    """The tensors of a tree that take part in differentiation."""
    tensors = [leaf for leaf in flatten(tree, is_torch) if is_torch(leaf) and leaf.requires_grad]
    return [leaf for leaf in tensors if leaf.is_floating_point() or leaf.is_complex()]


def check_grad(op, sample, how: str, target: Target, options: Options) -> str | None:
    """None when the gradients agree, else what differs; Unsupported when the sample says nothing."""
    leaves = [leaf for leaf in differentiable(sample_tree(sample)) if leaf.is_leaf]
    if not leaves:
        raise Unsupported("no leaf")
    if op.name.startswith("as_strided"):
        raise Unsupported("depends on the storage")
    torch.manual_seed(0)
    reference, calls = run_torch(op, sample, how)
    if is_random(op, sample, how, reference):
        raise Unsupported("random")
    outputs = differentiable(sample.output_process_fn_grad(reference))
    if not outputs:
        raise Unsupported("not differentiable here")
    if any(output.dtype is torch.complex32 for output in outputs):
        raise Unsupported("complex32")
    factors = [weights(tuple(output.shape), output.dtype, index) for index, output in enumerate(outputs)]
    loss = sum(weighted(output, factor, output) for output, factor in zip(outputs, factors, strict=True))
    wanted = torch.autograd.grad(loss, leaves, allow_unused=True)

    converter = Converter(target)
    own_leaves = [converter(leaf) for leaf in leaves]
    own = run_target(op, sample, calls, converter, reference)
    own_outputs = own_differentiable(sample, own, target)
    if len(own_outputs) != len(outputs):
        return f"{len(own_outputs)} differentiable outputs, wanted {len(outputs)}"
    own_loss = None
    for output, own_output, factor in zip(outputs, own_outputs, factors, strict=True):
        term = weighted(own_output, target.tensor(factor), output)
        own_loss = term if own_loss is None else own_loss + term
    target.backward(own_loss)
    for index, (gradient, leaf) in enumerate(zip(wanted, own_leaves, strict=True)):
        why = compare_grad(gradient, target.grad(leaf), target, options)
        if why:
            return f"grad {index}: {why}"
    return None


def weighted(output, factor, reference: torch.Tensor):
    """One output's share of the loss: a real number in either library."""
    total = (output * factor).sum()
    return total.abs() if reference.is_complex() else total


def own_differentiable(sample, result, target: Target) -> list:
    """The module's outputs that the loss is made of."""
    try:
        leaves = flatten(sample.output_process_fn_grad(result), target.is_tensor)
    except Exception as error:  # the function is the sample's own and may know torch tensors only
        raise Unsupported("output_process_fn_grad") from error
    return [leaf for leaf in leaves if target.is_tensor(leaf) and getattr(leaf, "requires_grad", True)]


def compare_grad(wanted, got, target: Target, options: Options) -> str | None:
    """None when two gradients agree; an absent one and zeros mean the same here."""
    if wanted is None or got is None:
        present = wanted if got is None else torch.as_tensor(target.to_numpy(got))
        if present is None or not bool((present != 0).any()):
            return None
        return "None, wanted a value" if got is None else "a value, wanted None"
    x, y = torch_to_numpy(wanted), target.to_numpy(got)
    if x.shape != y.shape:
        return f"shape {y.shape}, wanted {x.shape}"
    scale = max(1.0, float(np.nanmax(np.abs(x))) if x.size else 1.0)
    close = np.isclose(y, x, rtol=options.grad_rtol, atol=options.grad_rtol * min(scale, 1e3), equal_nan=True)
    return None if close.all() else f"{int((~close).sum())} of {x.size} differ"
