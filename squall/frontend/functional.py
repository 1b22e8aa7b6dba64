"""`functional_call`: a module run with other parameters and buffers than its own, without changing it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from squall.frontend.core import Handle


def functional_call(module: Any, parameter_and_buffer_dicts: Any, args: Any = None, kwargs: dict | None = None, *,
                    tie_weights: bool = True, strict: bool = False) -> Any:
    """Call a module with the Tensors of a dictionary in place of its parameters and buffers.

    Args:
        module: a `nn.Module`. parameter_and_buffer_dicts: Tensors by dotted name, or a sequence of such dictionaries
            whose names differ. args: positional arguments, a tuple or one value. kwargs: keyword arguments.
            tie_weights: a parameter known under several names is replaced under all of them. strict: every parameter
            and buffer must be given, and nothing else.

    Returns:
        What the module returns. Gradients flow to the given Tensors.

    Raises:
        ValueError: for a name given twice, and for tied names given different Tensors. RuntimeError: with strict, for
            missing and unexpected names.

    Example:
        >>> import squall as sq
        >>> from squall import nn
        >>> layer = nn.Linear(2, 1)
        >>> given = {"weight": sq.ones(1, 2), "bias": sq.zeros(1)}
        >>> sq.functional_call(layer, given, sq.ones(2)).tolist()
        [2.0]
    """
    given = _merged(parameter_and_buffer_dicts)
    places = _places(module)
    _check_names(given, places, strict, module)
    chosen = _chosen(given, places, tie_weights)
    arguments = () if args is None else args if isinstance(args, tuple) else (args,)
    before = [(registry, key, registry[key]) for registry, key, _ in chosen]
    try:
        for registry, key, value in chosen:
            registry[key] = value
        return module(*arguments, **(kwargs or {}))
    finally:
        for registry, key, value in before:
            registry[key] = value


def _merged(dicts: Any) -> dict[str, Any]:
    if isinstance(dicts, Mapping):
        return dict(dicts)
    out: dict[str, Any] = {}
    for part in dicts:
        twice = set(out) & set(part)
        if twice:
            raise ValueError(f"functional_call: {sorted(twice)} appeared in multiple dictionaries; behavior of "
                             "functional call is ambiguous")
        out.update(part)
    return out


def _places(module: Any) -> dict[str, tuple[dict, str]]:
    """Where each parameter and buffer of a module is kept, by dotted name."""
    out: dict[str, tuple[dict, str]] = {}
    stack = [("", module)]
    while stack:
        prefix, part = stack.pop()
        for registry in (part._parameters, part._buffers):
            for key, value in registry.items():
                if value is not None:
                    out[prefix + key] = (registry, key)
        stack.extend((f"{prefix}{name}.", child) for name, child in part._modules.items() if child is not None)
    return out


def _check_names(given: dict, places: dict, strict: bool, module: Any) -> None:
    for name, value in given.items():
        if not isinstance(value, Handle):
            raise TypeError(f"functional_call: {name!r} must be a Tensor, got {type(value).__name__}")
    unexpected = sorted(set(given) - set(places))
    missing = sorted(set(places) - set(given)) if strict else []
    if missing or (strict and unexpected):
        raise RuntimeError(f"Error(s) in replacing state of {type(module).__name__}: missing {missing}, unexpected "
                           f"{unexpected}")
    if unexpected:
        raise ValueError(f"functional_call: {type(module).__name__} has no parameters or buffers named {unexpected}")


def _chosen(given: dict, places: dict, tie_weights: bool) -> list[tuple[dict, str, Any]]:
    """(registry, key, Tensor) for every place to fill."""
    chosen: dict[tuple[int, str], tuple[dict, str, Any]] = {}
    tied: dict[int, tuple[str, Any]] = {}
    for name, value in given.items():
        registry, key = places[name]
        own = id(registry[key])
        if tie_weights and own in tied and tied[own][1] is not value:
            raise ValueError(f"functional_call got multiple values for keys {[tied[own][0], name]}, which are tied. "
                             "Consider using tie_weights=False")
        tied[own] = (name, value)
        chosen[id(registry), key] = (registry, key, value)
    if tie_weights:
        for registry, key in places.values():
            if id(registry[key]) in tied:
                chosen.setdefault((id(registry), key), (registry, key, tied[id(registry[key])][1]))
    return list(chosen.values())
