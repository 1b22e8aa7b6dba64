"""Helpers that PyTorch keeps for older programs, and a module made without drawing its weights."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import squall as sq
from squall.nn.module import Module
from squall.nn.utils.gradients import clip_grad_norm_
from squall.nn.utils.parametrize import is_parametrized, remove_parametrizations


def clip_grad_norm(
    parameters: Any, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Any:  # fmt: skip
    """`clip_grad_norm_` under its old name, with a FutureWarning; arguments and result are the same.

    Example:
        >>> import squall as sq
        >>> weight = sq.nn.Parameter(sq.ones(1))
        >>> weight.grad = sq.tensor([3.0])
        >>> import warnings
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore")
        ...     sq.nn.utils.clip_grad_norm([weight], 1.0)
        tensor(3.)
    """
    warnings.warn("clip_grad_norm is now deprecated in favor of clip_grad_norm_.", FutureWarning, stacklevel=2)
    return clip_grad_norm_(parameters, max_norm, norm_type, error_if_nonfinite, foreach)


def remove_spectral_norm(module: Module, name: str = "weight") -> Module:
    """Make a weight that `spectral_norm` divides an ordinary one again, of the value it has.

    Args:
        module: whose weight it is. name: of the weight.

    Raises:
        ValueError: for a weight that is not so divided.

    Example:
        >>> import squall as sq
        >>> layer = sq.nn.utils.remove_spectral_norm(sq.nn.utils.spectral_norm(sq.nn.Linear(2, 2)))
        >>> [key for key, _ in layer.named_parameters()]
        ['bias', 'weight']
    """
    if not is_parametrized(module, name):
        raise ValueError(f"spectral_norm of '{name}' not found in {module}")
    remove_parametrizations(module, name)
    return module


def skip_init(module_cls: type, *args: Any, **kwargs: Any) -> Any:
    """A module whose parameters were not drawn: they are made by `empty`, and no random numbers are used up.

    Args:
        module_cls: a class of modules that takes `device`. args, kwargs: what it is made with.

    Raises:
        RuntimeError: for what is no class of modules, or takes no device.

    Example:
        >>> import squall as sq
        >>> sq.nn.utils.skip_init(sq.nn.Linear, 2, 3).weight.shape
        squall.Size([3, 2])
    """
    if not (isinstance(module_cls, type) and issubclass(module_cls, Module)):
        raise RuntimeError(f"skip_init: expected a class of modules, got {module_cls}")
    known = inspect.signature(module_cls).parameters
    if "device" not in known and not any(p.kind is p.VAR_KEYWORD for p in known.values()):
        raise RuntimeError(f"skip_init: {module_cls.__name__} must take a 'device'")
    state = sq.get_rng_state()
    made = module_cls(*args, **kwargs)
    sq.set_rng_state(state)
    for module in made.modules():
        for name, value in list(module._parameters.items()):
            if value is not None:
                module._parameters[name] = sq.nn.Parameter(sq.empty_like(value), value.requires_grad)
    return made
