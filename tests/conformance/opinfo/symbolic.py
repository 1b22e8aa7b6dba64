"""OpInfo's float32 samples with one size declared as a `Dim`: compiled once, called at that size and at another one.

A sample's operators must give what they give uncompiled, at both sizes, or an error. Data of the other size repeats the
sample's; where the operator refuses it uncompiled, the compiled one must refuse it too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import squall as sq
from squall.base import pytree
from tests.conformance.opinfo.calls import BY_NAME, find, how_to_call
from tests.conformance.opinfo.convert import Converter, Missing, copy_sample
from tests.conformance.opinfo.run import operators

SAMPLES, SIZES = 2, 2  # of an operator; of a sample


def _tensors(tree: Any) -> list:
    return [leaf for leaf in pytree.flatten(tree)[0] if isinstance(leaf, sq.Tensor)]


def _with(tree: Any, tensors: tuple) -> Any:
    leaves, structure = pytree.flatten(tree)
    given = iter(tensors)
    return pytree.unflatten(structure, [next(given) if isinstance(v, sq.Tensor) else v for v in leaves])


def _resized(tensor: Any, size: int, other: int) -> Any:
    for dim, n in enumerate(tensor.shape):
        if n == size:
            tensor = tensor.index_select(dim, sq.arange(other) % size)
    return tensor.contiguous()


def _values(made: list) -> list:
    return [np.asarray(t.detach().numpy()) for t in made]


def _equal(made: list, expected: list) -> bool:
    return len(made) == len(expected) and all(
        a.shape == b.shape and np.allclose(a, b, rtol=1e-3, atol=1e-4, equal_nan=True)
        for a, b in zip(made, expected, strict=True)
    )


def _one(function: Any, tree: Any, size: int) -> str | None:
    """What is wrong when a size varies: the class of an error, or "values" and "missed error"; None when nothing is."""
    tensors = _tensors(tree)

    def flat(*given: Any) -> list:
        args, named = _with(tree, given)
        return _tensors(function(*args, **named))

    dims = [{d: sq.Dim("n", min=2) for d, n in enumerate(t.shape) if n == size} for t in tensors]
    compiled = sq.compile(flat, dynamic_shapes=dims)
    expected = _values(flat(*tensors))
    try:
        made = _values(compiled(*tensors))
    except Exception as error:
        return type(error).__name__
    if not _equal(made, expected):
        return "values"
    others = [_resized(t, size, size + 1) for t in tensors]
    try:
        expected = _values(flat(*others))
    except Exception:
        try:
            _values(compiled(*others))
        except Exception:
            return None
        return "missed error"
    try:
        return None if _equal(_values(compiled(*others)), expected) else "values"
    except Exception as error:
        return type(error).__name__


def failures(target: Any, listed: list) -> Iterator[tuple[str, str]]:
    """(operator, what is wrong) of each listed operator with a sample that fails; the first of them."""
    import torch

    for op in listed:
        if how_to_call(op) != BY_NAME:
            continue
        try:
            function = find(target, op)
        except Missing:
            continue
        found = None
        torch.manual_seed(0)
        for sample, _ in zip(op.sample_inputs("cpu", torch.float32), range(SAMPLES), strict=False):
            sample, convert = copy_sample(sample), Converter(target)
            try:
                named = {k: convert(v) for k, v in sample.kwargs.items()}
                tree = [convert(v) for v in (sample.input, *sample.args)], named
                made = _values(_tensors(function(*tree[0], **tree[1])))
            except Exception:
                continue
            sizes = list(dict.fromkeys(n for t in _tensors(tree) for n in t.shape if n >= 2))[:SIZES]
            found = next(filter(None, (_one(function, tree, n) for n in sizes)), None) if made and not found else found
        if found:
            yield ".".join(filter(None, (op.name, op.variant_test_name))), found


def listed() -> list:
    """The operators of OpInfo that take float32."""
    return operators("float32")
