"""Module: a tree of parameters, buffers and submodules with a `forward`. All layers derive from it.

Attributes that are a Parameter, Buffer or Module are kept in the three ordered dictionaries `_parameters`, `_buffers`,
`_modules`; everything else is an ordinary attribute. Whatever a compiled function may have baked in (the mode, who the
parameters are, a plain attribute) moves `squall.base.epoch` when it changes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import squall as sq
from squall.base import epoch
from squall.nn.hooks import Hooks
from squall.nn.parameter import Buffer, Parameter
from squall.nn.state import StateDict
from squall.nn.traversal import Traversal

T = TypeVar("T", bound="Module")
_REGISTRIES = ("_parameters", "_buffers", "_modules")
_PLAIN = (bool, int, float, str, type(None))


class Module(Traversal, StateDict, Hooks):
    """The base of all layers and models.

    Subclasses call `super().__init__()` first, assign layers and parameters to attributes, and define `forward`.

    Attributes:
        training: whether the module trains (True) or evaluates; set by `train()` and `eval()`.

    Example:
        >>> import squall as sq
        >>> from squall import nn
        >>> class Twice(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.layer = nn.Linear(3, 3)
        ...     def forward(self, x):
        ...         return self.layer(self.layer(x))
        >>> Twice()(sq.zeros(2, 3)).shape
        squall.Size([2, 3])
    """

    training: bool

    def __init__(self) -> None:
        store = self.__dict__
        store["training"] = True
        store["_parameters"], store["_buffers"], store["_modules"] = {}, {}, {}
        store["_non_persistent_buffers_set"] = set()
        self._clear_hooks()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(
            f'Module [{type(self).__name__}] is missing the required "forward" function: define forward(self, ...)'
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.__dict__["_hooked"]:
            return self._call_with_hooks(args, kwargs)
        return self.forward(*args, **kwargs)

    # Attributes

    def __setattr__(self, name: str, value: Any) -> None:
        store = self.__dict__
        if isinstance(value, Parameter):
            self._replace(name, value, "_parameters")
        elif isinstance(value, Module):
            self._replace(name, value, "_modules")
        elif isinstance(value, Buffer):
            self.register_buffer(name, value, value.persistent)
        elif store.get("_parameters") and name in store["_parameters"]:
            self._assign(name, value, "_parameters", Parameter)
        elif store.get("_modules") and name in store["_modules"]:
            self._assign(name, value, "_modules", Module)
        elif store.get("_buffers") and name in store["_buffers"]:
            self._assign(name, value, "_buffers", sq.Tensor)
        else:
            before = store.get(name, Module)
            object.__setattr__(self, name, value)
            if before is not value and not (
                type(before) in _PLAIN and type(before) is type(value) and before == value
            ):
                epoch.bump()

    def _replace(self, name: str, value: Any, registry: str) -> None:
        """Put a parameter or submodule under a name that may have held something else."""
        if registry not in self.__dict__:
            kind = "parameters" if registry == "_parameters" else "module"
            raise AttributeError(
                f"cannot assign {kind} before Module.__init__() call: begin with super().__init__()"
            )
        self.__dict__.pop(name, None)
        for other in _REGISTRIES:
            if other != registry:
                self.__dict__[other].pop(name, None)
        self._non_persistent_buffers_set.discard(name)
        if registry == "_parameters":
            self.register_parameter(name, value)
        else:
            self.__dict__[registry][name] = value
            epoch.bump()

    def _assign(self, name: str, value: Any, registry: str, wanted: type) -> None:
        """Give a registered name a value that must be None or of the registry's type."""
        if value is not None and not isinstance(value, wanted):
            kind = {"_parameters": "parameter", "_modules": "child module", "_buffers": "buffer"}[registry]
            raise TypeError(
                f"cannot assign {type(value).__name__} as {kind} '{name}' of {type(self).__name__} "
                f"({wanted.__module__}.{wanted.__name__} or None expected)"
            )
        self.__dict__[registry][name] = value
        epoch.bump()

    def __getattr__(self, name: str) -> Any:
        store = self.__dict__
        for registry in _REGISTRIES:
            if registry in store and name in store[registry]:
                return store[registry][name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __delattr__(self, name: str) -> None:
        for registry in _REGISTRIES:
            if name in self.__dict__.get(registry, ()):
                del self.__dict__[registry][name]
                self._non_persistent_buffers_set.discard(name)
                break
        else:
            object.__delattr__(self, name)
        epoch.bump()

    def __dir__(self) -> list[str]:
        names = set(super().__dir__())
        for registry in _REGISTRIES:
            names.update(self.__dict__.get(registry, ()))
        return sorted(names)

    # Registration

    def _check_name(self, kind: str, name: str, registry: str) -> None:
        if registry not in self.__dict__:
            raise AttributeError(
                f"cannot assign {kind} before Module.__init__() call: begin with super().__init__()"
            )
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string, not {type(name).__name__}")
        if "." in name:
            raise KeyError(f'{kind} name can\'t contain ".", got: {name}')
        if not name:
            raise KeyError(f'{kind} name can\'t be empty string ""')
        if hasattr(self, name) and name not in self.__dict__[registry]:
            raise KeyError(f"attribute '{name}' already exists")

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter under a name; None reserves the name. TypeError unless `param` is a Parameter."""
        self._check_name("parameter", name, "_parameters")
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"cannot assign '{type(param).__name__}' object to parameter '{name}' "
                "(squall.nn.Parameter or None required)"
            )
        if param is not None and param.grad_fn is not None:
            raise ValueError(
                f"cannot assign a Tensor with history to parameter '{name}': model parameters are leaves; "
                "to express it as a function of another Tensor, compute it in forward()"
            )
        self._parameters[name] = param
        epoch.bump()

    def register_buffer(self, name: str, tensor: Any, persistent: bool = True) -> None:
        """Add a Tensor that is state but not trained; with `persistent` it is part of `state_dict`."""
        self._check_name("buffer", name, "_buffers")
        if tensor is not None and not isinstance(tensor, sq.Tensor):
            raise TypeError(
                f"cannot assign '{type(tensor).__name__}' object to buffer '{name}' (squall.Tensor or None required)"
            )
        self._buffers[name] = tensor
        (self._non_persistent_buffers_set.discard if persistent else self._non_persistent_buffers_set.add)(
            name
        )
        epoch.bump()

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a submodule under a name; None reserves the name."""
        self._check_name("module", name, "_modules")
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{type(module).__name__} is not a Module subclass")
        self._modules[name] = module
        epoch.bump()

    def register_module(self, name: str, module: Module | None) -> None:
        """Another name of `add_module`."""
        self.add_module(name, module)

    # Modes and conversions

    def train(self: T, mode: bool = True) -> T:
        """Set training mode here and in all submodules; returns the module."""
        if not isinstance(mode, bool):
            raise ValueError(f"training mode is expected to be boolean, not {mode!r}")
        for module in self.modules():
            if module.__dict__["training"] is not mode:
                module.training = mode
        return self

    def eval(self: T) -> T:
        """Set evaluation mode: dropout off, batch normalisation by its running statistics."""
        return self.train(False)

    def requires_grad_(self: T, requires_grad: bool = True) -> T:
        """Turn gradients of all parameters on or off, in place."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        epoch.bump()
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or with `set_to_none=False` fill them with zeros."""
        for parameter in self.parameters():
            if parameter.grad is None:
                continue
            if set_to_none:
                parameter.grad = None
            else:
                parameter.grad.detach_()
                parameter.grad.zero_()

    def apply(self: T, fn: Callable[[Module], Any]) -> T:
        """Call `fn` on every submodule, children first, then on the module itself."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def _apply(self: T, convert: Callable[[Any], Any], recurse: bool = True) -> T:
        """Replace the values of all parameters, their gradients and buffers; the handles stay."""
        for child in self.children() if recurse else ():
            child._apply(convert)
        for parameter in self._parameters.values():
            if parameter is None:
                continue
            gradient = parameter.grad
            parameter.data = convert(parameter.data)
            if gradient is not None:
                parameter.grad = convert(gradient.detach()).requires_grad_(gradient.requires_grad)
        for name, buffer in self._buffers.items():
            if buffer is not None:
                self._buffers[name] = convert(buffer)
        epoch.bump()
        return self

    def to(self: T, *args: Any, **kwargs: Any) -> T:
        """Move to a device and/or convert floating parameters and buffers to a dtype, in place; returns the module.

        Args:
            as for `Tensor.to`: a device, a dtype, both, or a Tensor whose device and dtype are taken.
        """
        device, dtype = _device_and_dtype(args, kwargs)
        if dtype is not None and not dtype.is_floating_point:
            raise TypeError(f"nn.Module.to only accepts floating point dtypes, but got desired dtype={dtype}")

        def convert(tensor: Any) -> Any:
            return tensor.to(
                device or tensor.device,
                dtype if tensor.is_floating_point() and dtype is not None else tensor.dtype,
            )

        return self._apply(convert)

    def float(self: T) -> T:
        """Convert floating parameters and buffers to float32."""
        return self.to(sq.float32)

    def double(self: T) -> T:
        """Convert floating parameters and buffers to float64."""
        return self.to(sq.float64)

    def half(self: T) -> T:
        """Convert floating parameters and buffers to float16."""
        return self.to(sq.float16)

    def type(self: T, dst_type: Any) -> T:
        """Convert all parameters and buffers to a dtype."""
        return self._apply(lambda tensor: tensor.to(dst_type))

    def to_empty(self: T, *, device: Any, recurse: bool = True) -> T:
        """Move to a device without copying: the values are whatever the new memory holds."""
        return self._apply(lambda tensor: sq.empty_like(tensor, device=device), recurse)

    def bfloat16(self: T) -> T:
        """Convert floating parameters and buffers to bfloat16."""
        return self.to(sq.bfloat16)

    def cpu(self: T) -> T:
        """Move parameters and buffers to the CPU."""
        return self.to("cpu")

    # Printing

    def extra_repr(self) -> str:
        """What `repr` shows between the parentheses of this layer."""
        return ""

    def _get_name(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        lines = self.extra_repr().split("\n") if self.extra_repr() else []
        children = []
        for name, module in self._modules.items():
            text = repr(module).split("\n")
            children.append(f"({name}): " + "\n".join([text[0]] + ["  " + line for line in text[1:]]))
        if not children and len(lines) <= 1:
            return f"{self._get_name()}({''.join(lines)})"
        return f"{self._get_name()}(\n  " + "\n  ".join(lines + children) + "\n)"


def _device_and_dtype(args: tuple, kwargs: dict) -> tuple[Any, Any]:
    """The device and dtype meant by the arguments of `to`."""
    device, dtype = kwargs.pop("device", None), kwargs.pop("dtype", None)
    kwargs.pop("non_blocking", None)
    if kwargs:
        raise TypeError(f"to() got unexpected keyword arguments {sorted(kwargs)}")
    for argument in args:
        if isinstance(argument, sq.Tensor):
            device, dtype = argument.device, argument.dtype
        elif isinstance(argument, sq.dtype):
            dtype = argument
        elif isinstance(argument, bool):
            continue  # non_blocking: every copy here is synchronous
        elif argument is not None:
            device = argument
    return device, dtype
