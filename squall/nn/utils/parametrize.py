"""Parameters that are functions of others: `squall.nn.utils.parametrize`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import squall as sq
from squall.nn.containers import ModuleDict, ModuleList
from squall.nn.module import Module
from squall.nn.parameter import Parameter
from squall.nn.utils.computed import compute, plain_type, stop_computing

_cache: dict[tuple[int, str], Any] = {}
_depth = 0


@contextmanager
def cached() -> Iterator[None]:
    """Inside, a parametrized Tensor is computed once, however often it is read."""
    global _depth
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1
        if not _depth:
            _cache.clear()


class ParametrizationList(ModuleList):
    """The functions that make one Tensor of a module, one after the other, and what they start from.

    Args:
        modules: the functions. original: the Tensor as it is. unsafe: leave shapes and dtypes unchecked.

    Attributes:
        original: the parameter that is trained, or original0, original1, ... where the first function's
            `right_inverse` gives several.
    """

    def __init__(self, modules: list[Module], original: Any, unsafe: bool = False) -> None:
        super().__init__(modules)
        self.unsafe, self.is_tensor, self.ntensors = unsafe, True, 0
        started = self._inverse(original, False)
        trained = isinstance(original, Parameter) and original.requires_grad
        self.is_tensor = isinstance(started, sq.Tensor)
        if self.is_tensor:
            self._hold("original", started, original, trained)
            return
        self.ntensors = len(started)
        for number, value in enumerate(started):
            self._hold(f"original{number}", value, original, trained)

    def _hold(self, name: str, value: Any, original: Any, trained: bool) -> None:
        if isinstance(original, Parameter):
            same = value is original
            self.register_parameter(name, original if same else Parameter(value, requires_grad=trained))
        else:
            self.register_buffer(name, value)

    def _inverse(self, value: Any, assigned: bool) -> Any:
        """What the functions turn into a value, which is assigned or was there before."""
        for position in reversed(range(len(self))):
            function = getattr(self[position], "right_inverse", None)
            if function is None:
                continue
            try:
                with sq.no_grad():
                    value = function(value)
            except NotImplementedError:  # what is there begins as it is
                if assigned:
                    raise
                return value
            if position and not isinstance(value, sq.Tensor):
                raise ValueError(
                    "right_inverse of every parametrization but the first gives one Tensor, not "
                    f"{type(value).__name__}"
                )
        return value

    def right_inverse(self, value: Any) -> None:
        """Give the originals the values that lead to this one."""
        started = self._inverse(value, True)
        with sq.no_grad():
            if self.is_tensor:
                self.original.copy_(started)
                return
            for number, part in enumerate(started):
                getattr(self, f"original{number}").copy_(part)

    def forward(self) -> Any:
        if self.is_tensor:
            value = self[0](self.original)
        else:
            value = self[0](*[getattr(self, f"original{number}") for number in range(self.ntensors)])
        for module in list(self)[1:]:
            value = module(value)
        return value


def _read(name: str) -> Any:
    def read(module: Any) -> Any:
        if not _depth:
            return module.parametrizations[name]()
        key = (id(module), name)
        if key not in _cache:
            _cache[key] = module.parametrizations[name]()
        return _cache[key]

    return read


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether a module, or one Tensor of it, is parametrized."""
    found = module._modules.get("parametrizations")
    if not isinstance(found, ModuleDict) or not len(found):
        return False
    return tensor_name is None or tensor_name in found


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Make a parameter or buffer of a module what `parametrization(original)` gives.

    Args:
        module: whose Tensor it is. tensor_name: of the Tensor. parametrization: a module of one Tensor; its
            `right_inverse(value)`, if it has one, says what the original becomes. unsafe: leave shape and dtype
            unchecked.

    Returns:
        The module.

    Raises:
        ValueError: for a name that is not a parameter or buffer, or a result of another shape or dtype.

    Example:
        >>> import squall as sq
        >>> class Symmetric(sq.nn.Module):
        ...     def forward(self, x):
        ...         return x.triu() + x.triu(1).t()
        >>> layer = register_parametrization(sq.nn.Linear(3, 3), "weight", Symmetric())
        >>> sq.equal(layer.weight, layer.weight.t())
        True
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        held = module.parametrizations[tensor_name]
        value = getattr(module, tensor_name)
        if not unsafe:
            _check(parametrization, value)
        held.append(parametrization)
        if hasattr(parametrization, "right_inverse"):
            held.right_inverse(value)
        return module
    original = module._parameters.get(tensor_name, module._buffers.get(tensor_name))
    if original is None:
        raise ValueError(
            f"Module '{module}' does not have a parameter, a buffer, or a parametrized element with name "
            f"'{tensor_name}'"
        )
    held = ParametrizationList([parametrization], original, unsafe)
    if not unsafe:
        with sq.no_grad():
            _same_kind(held(), original, parametrization)
    delattr(module, tensor_name)
    if "parametrizations" not in module._modules:
        module.add_module("parametrizations", ModuleDict())
    module.parametrizations[tensor_name] = held
    compute(module, tensor_name, _read(tensor_name), _write(tensor_name), "Parametrized")
    return module


def _write(name: str) -> Any:
    return lambda module, value: module.parametrizations[name].right_inverse(value)


def _check(parametrization: Module, value: Any) -> None:
    with sq.no_grad():
        _same_kind(parametrization(value), value, parametrization)


def _same_kind(made: Any, original: Any, parametrization: Module) -> None:
    if made.dtype is not original.dtype or tuple(made.shape) != tuple(original.shape):
        raise ValueError(
            "Registering a parametrization may not change the dtype or the shape of the tensor, unless the "
            f"`unsafe` flag is enabled: {type(parametrization).__name__} makes {made.dtype} of shape "
            f"{tuple(made.shape)} from {original.dtype} of shape {tuple(original.shape)}"
        )


def remove_parametrizations(
    module: Module, tensor_name: str, leave_parametrized: bool = True
) -> Module:
    """Make a Tensor an ordinary one again.

    Args:
        module: whose Tensor it is. tensor_name: of the Tensor. leave_parametrized: keep the value it has; otherwise the
            original's.

    Raises:
        ValueError: for a Tensor that is not parametrized, or several originals that are to be kept.
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"Module {type(module).__name__} does not have a parametrization on {tensor_name}")
    held = module.parametrizations[tensor_name]
    if not leave_parametrized and not held.is_tensor:
        raise ValueError("Cannot leave unparametrized (`leave_parametrized=False`) a tensor made from several.")
    first = held.original if held.is_tensor else held.original0
    with sq.no_grad():
        value = held() if leave_parametrized else held.original
        value = value.detach().clone()
    stop_computing(module, tensor_name)
    del module.parametrizations[tensor_name]
    if not len(module.parametrizations):
        del module.parametrizations
    if isinstance(first, Parameter):
        module.register_parameter(tensor_name, Parameter(value, requires_grad=first.requires_grad))
    else:
        module.register_buffer(tensor_name, value)
    return module


def type_before_parametrizations(module: Module) -> type:
    """The class that a module had before anything of it was parametrized, which gives it a class of its own.

    Example:
        >>> import squall as sq
        >>> layer = sq.nn.utils.parametrizations.weight_norm(sq.nn.Linear(2, 2))
        >>> type_before_parametrizations(layer) is sq.nn.Linear
        True
    """
    return plain_type(module)


def transfer_parametrizations_and_params(
    from_module: Module, to_module: Module, tensor_name: str | None = None
) -> Module:
    """Give a module the parametrizations of another, and the values they act on.

    Args:
        from_module: whose parametrizations are taken. to_module: gets them (the same objects); what is parametrized in
            it already gets those on top. tensor_name: of one Tensor; all by default.

    Returns:
        `to_module`.

    Raises:
        ValueError: when the Tensor is not parametrized, or `to_module` has none of its name.

    Example:
        >>> import squall as sq
        >>> a = sq.nn.utils.parametrizations.orthogonal(sq.nn.Linear(2, 2))
        >>> b = transfer_parametrizations_and_params(a, sq.nn.Linear(2, 2))
        >>> a.weight.equal(b.weight)
        True
    """
    if not is_parametrized(from_module, tensor_name):
        raise ValueError(f"transfer_parametrizations_and_params: {type(from_module).__name__} has no parametrization "
                         f"of {tensor_name or 'anything'}")
    names = [tensor_name] if tensor_name is not None else list(from_module.parametrizations)
    for name in names:
        if not hasattr(to_module, name):
            raise ValueError(f"transfer_parametrizations_and_params: {type(to_module).__name__} has no Tensor {name!r}")
        held = from_module.parametrizations[name]
        for rule in held:
            register_parametrization(to_module, name, rule, unsafe=True)
        other = to_module.parametrizations[name]
        with sq.no_grad():
            own = dict(other.named_parameters(recurse=False)) | dict(other.named_buffers(recurse=False))
            given = dict(held.named_parameters(recurse=False)) | dict(held.named_buffers(recurse=False))
            for key, value in given.items():
                own[key].copy_(value)
    return to_module
