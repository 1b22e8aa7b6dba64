"""How many floating-point operations a layer's forward takes, by its kind: a multiplication and an addition are two."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import squall as sq


def _first_shape(values: Any) -> tuple:
    """The shape of the first Tensor in arguments or results."""
    if isinstance(values, sq.Tensor):
        return tuple(values.shape)
    for value in values if isinstance(values, (tuple, list)) else ():
        if isinstance(value, sq.Tensor):
            return tuple(value.shape)
    return ()


def _linear(layer: Any, args: tuple, output: Any) -> int:
    return 2 * prod(_first_shape(output)) * layer.in_features + _bias(layer, output)


def _bias(layer: Any, output: Any) -> int:
    return prod(_first_shape(output)) if getattr(layer, "bias", None) is not None else 0


def _convolution(layer: Any, args: tuple, output: Any) -> int:
    return 2 * prod(_first_shape(output)) * prod(layer.weight.shape[1:]) + _bias(layer, output)


def _transposed(layer: Any, args: tuple, output: Any) -> int:
    return 2 * prod(_first_shape(args)) * prod(layer.weight.shape[1:]) + _bias(layer, output)


def _attention(layer: Any, args: tuple, output: Any) -> int:
    """Projections, scores and the weighted sum; the last projection is a layer of its own."""
    query, key = (tuple(args[i].shape) for i in (0, 1))
    rows = prod(query[:-1])
    others = prod(key[:-1])
    size = layer.embed_dim
    seen = key[-2] if layer.batch_first or len(key) == 2 else key[0]
    projections = 2 * size * (rows * size + others * (layer.kdim + layer.vdim))
    return projections + 4 * rows * seen * size


def _recurrent(layer: Any, args: tuple, output: Any) -> int:
    gates = {"LSTM": 4, "GRU": 3}.get(type(layer).__name__.removesuffix("Cell"), 1)
    shape = _first_shape(args)
    steps = prod(shape[:-1])
    if type(layer).__name__.endswith("Cell"):
        return 2 * steps * gates * layer.hidden_size * (layer.input_size + layer.hidden_size)
    both = 2 if layer.bidirectional else 1
    total, size = 0, layer.input_size
    for _ in range(layer.num_layers):
        total += both * 2 * steps * gates * layer.hidden_size * (size + layer.hidden_size)
        size = both * layer.hidden_size
    return total


def _elements(times: int) -> Callable:
    return lambda layer, args, output: times * prod(_first_shape(output))


def _window(layer: Any, args: tuple, output: Any) -> int:
    size = layer.kernel_size
    spatial = int(type(layer).__name__[-2])
    return prod(_first_shape(output)) * (prod(size) if isinstance(size, tuple) else size**spatial)


_RULES: tuple[tuple[str, Callable], ...] = (
    ("ConvTranspose", _transposed),
    ("Conv", _convolution),
    ("Linear", _linear),
    ("Bilinear", lambda layer, args, output: 2 * prod(_first_shape(output)) * prod(layer.weight.shape[1:])),
    ("MultiheadAttention", _attention),
    ("LSTM", _recurrent),
    ("GRU", _recurrent),
    ("RNN", _recurrent),
    ("MaxPool", _window),
    ("AvgPool", _window),
    ("BatchNorm", _elements(2)),
    ("InstanceNorm", _elements(8)),
    ("LayerNorm", _elements(8)),
    ("GroupNorm", _elements(8)),
    ("RMSNorm", _elements(5)),
    ("ReLU", _elements(1)),
    ("Softmax", _elements(5)),
    ("LogSoftmax", _elements(5)),
    ("GELU", _elements(8)),
    ("SiLU", _elements(4)),
    ("Sigmoid", _elements(3)),
    ("Tanh", _elements(5)),
)


def flops_of(layer: Any, args: tuple, output: Any) -> int:
    """Operations of one call of a layer.

    Args:
        layer: a module without submodules, or MultiheadAttention. args, output: of the call.

    Returns:
        int: 0 for layers that only move elements, and for kinds that are not known.
    """
    name = type(layer).__name__.removeprefix("Parametrized").removeprefix("Lazy")
    for kind, rule in _RULES:
        if name.startswith(kind):
            return int(rule(layer, args, output))
    return 0
