"""Whether the module's gradients are torch's, for a weighted sum of a sample's outputs."""

from functools import partial

import numpy as np
import torch

from tests.conformance.opinfo.calls import draws, is_random, run_target, run_torch
from tests.conformance.opinfo.convert import Converter, Target, Unsupported, flatten, is_torch, sample_tree
from tests.conformance.opinfo.options import Options
from tests.conformance.opinfo.target import torch_to_numpy
from tests.conformance.opinfo.tolerance import WIDER, as_near, widened


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


def check_grad(op, sample, how: str, target: Target, options: Options):
    """What compares the gradients (None when they agree), or what differs before that; raises Unsupported when the
    sample says nothing."""
    leaves, outputs, factors, reference, calls = torch_forward(op, sample, how)
    wanted = torch_backward(leaves, outputs, factors)

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
    got = [target.grad(leaf) for leaf in own_leaves]
    wide = partial(wide_gradients, op, sample, how, factors) if leaves[0].dtype in WIDER else None
    return partial(compare_grads, wanted, got, target, options, wide)


def torch_forward(op, sample, how: str) -> tuple:
    """The leaves of a sample, torch's differentiable outputs, their weights in the loss, the result and its calls."""
    leaves = [leaf for leaf in differentiable(sample_tree(sample)) if leaf.is_leaf]
    if not leaves:
        raise Unsupported("no leaf")
    if op.name.startswith("as_strided"):
        raise Unsupported("depends on the storage")
    (reference, calls), drew = draws(lambda: run_torch(op, sample, how))
    if drew and is_random(op, sample, how, reference):
        raise Unsupported("random")
    outputs = differentiable(sample.output_process_fn_grad(reference))
    if not outputs:
        raise Unsupported("not differentiable here")
    if any(output.dtype is torch.complex32 for output in outputs):
        raise Unsupported("complex32")
    factors = [weights(tuple(output.shape), output.dtype, index) for index, output in enumerate(outputs)]
    return leaves, outputs, factors, reference, calls


def torch_backward(leaves: list, outputs: list, factors: list) -> tuple:
    """torch's gradients of the loss."""
    loss = sum(weighted(output, factor, output) for output, factor in zip(outputs, factors, strict=True))
    return torch.autograd.grad(loss, leaves, allow_unused=True)


def wide_gradients(op, sample, how: str, factors: list) -> tuple:
    """torch's gradients of the same sample and weights in wider floats."""
    leaves, outputs, _, _, _ = torch_forward(op, widened(sample), how)
    return torch_backward(leaves, outputs, [factor.to(WIDER.get(factor.dtype, factor.dtype)) for factor in factors])


def compare_grads(wanted, got, target: Target, options: Options, wide) -> str | None:
    """None when all gradients agree, else what differs; wider floats are the judge where they do not."""
    whys = [compare_grad(x, y, target, options) for x, y in zip(wanted, got, strict=True)]
    index = next((index for index, why in enumerate(whys) if why), None)
    if index is None:
        return None
    if wide is not None and all("differ" in why for why in whys if why):
        try:
            wides = wide()
        except Exception:  # no wider form: torch's own result is the only judge
            return f"grad {index}: {whys[index]}"
        trios = [trio for trio, why in zip(zip(wides, wanted, got, strict=True), whys, strict=True) if why]
        if all(near(*trio, target, options) for trio in trios):
            return None
    return f"grad {index}: {whys[index]}"


def near(wide, wanted, got, target: Target, options: Options) -> bool:
    """Whether a gradient lies as near to the wider one as tolerance or torch's own does."""
    if wide is None:
        return False
    x = torch_to_numpy(wide)
    scale = max(1.0, float(np.nanmax(np.abs(x))) if x.size else 1.0)
    return as_near(x, torch_to_numpy(wanted), target.to_numpy(got), options.grad_rtol, options.grad_rtol * scale)


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
