"""State dictionaries of Modules: what PyTorch's keys and messages are, but nothing is half loaded.

Loading first compares everything and collects the errors; Tensors are written only when it will succeed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import squall as sq
from squall.base import epoch

EXTRA = "_extra_state"


class IncompatibleKeys(NamedTuple):
    """What a non-strict load found: keys the module has and the dictionary lacks, and the reverse."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


class _Load:
    """One load in progress: the dictionary, what was found wrong, and the writes to do at the end."""

    def __init__(self, state_dict: dict[str, Any], strict: bool, assign: bool):
        self.state_dict, self.strict, self.assign = state_dict, strict, assign
        self.missing: list[str] = []
        self.unexpected: list[str] = []
        self.errors: list[str] = []
        self.known: set[str] = set()
        self.writes: list[tuple[Any, str, str, Any, Any]] = []
        self.extra: list[tuple[Any, Any]] = []

    def visit(self, module: Any, prefix: str) -> None:
        """Compare the entries of one module, then of its children."""
        module._run_hooks(
            "load_pre", self.state_dict, prefix, {}, self.strict, self.missing, self.unexpected, self.errors
        )
        for registry in ("_parameters", "_buffers"):
            for name, target in getattr(module, registry).items():
                if target is None or name in module._non_persistent_buffers_set:
                    continue
                self._entry(module, registry, name, prefix + name, target)
        if type(module).set_extra_state is not StateDict.set_extra_state:
            key = prefix + EXTRA
            self.known.add(key)
            if key in self.state_dict:
                self.extra.append((module, self.state_dict[key]))
            else:
                self.missing.append(key)
        for name, child in module._modules.items():
            if child is not None:
                self.visit(child, f"{prefix}{name}.")

    def _entry(self, module: Any, registry: str, name: str, key: str, target: Any) -> None:
        self.known.add(key)
        if key not in self.state_dict:
            self.missing.append(key)
            return
        value = self.state_dict[key]
        if not isinstance(value, sq.Tensor):
            if not hasattr(value, "__array__"):
                self.errors.append(
                    f'While copying the parameter named "{key}", expected a squall.Tensor or an array from '
                    f"checkpoint but received {type(value).__name__}"
                )
                return
            value = sq.as_tensor(value)
        if tuple(value.shape) != tuple(target.shape):
            self.errors.append(
                f"size mismatch for {key}: copying a param with shape {tuple(value.shape)} from checkpoint, "
                f"the shape in current model is {tuple(target.shape)}."
            )
            return
        self.writes.append((module, registry, name, target, value))

    def finish(self, root: Any) -> IncompatibleKeys:
        """Raise what is wrong, else write everything."""
        self.unexpected += [key for key in self.state_dict if key not in self.known]
        keys = IncompatibleKeys(self.missing, self.unexpected)
        for module in root.modules():
            module._run_hooks("load_post", keys)
        errors = list(self.errors)
        if self.strict and self.unexpected:
            errors.insert(
                0,
                "Unexpected key(s) in state_dict: " + ", ".join(f'"{key}"' for key in self.unexpected) + ". ",
            )
        if self.strict and self.missing:
            errors.insert(
                0, "Missing key(s) in state_dict: " + ", ".join(f'"{key}"' for key in self.missing) + ". "
            )
        if errors:
            raise RuntimeError(
                f"Error(s) in loading state_dict for {type(root).__name__}:\n\t" + "\n\t".join(errors)
            )
        with sq.no_grad():
            for module, registry, name, target, value in self.writes:
                if self.assign:
                    self._put(module, registry, name, target, value)
                else:
                    target.copy_(value)
        for module, value in self.extra:
            module.set_extra_state(value)
        return keys

    @staticmethod
    def _put(module: Any, registry: str, name: str, target: Any, value: Any) -> None:
        if registry == "_parameters" and not isinstance(value, type(target)):
            value = type(target)(value, requires_grad=target.requires_grad)
        getattr(module, registry)[name] = value
        epoch.bump()


class StateDict:
    """The part of Module that gives and takes state dictionaries."""

    _parameters: dict[str, Any]
    _buffers: dict[str, Any]
    _modules: dict[str, Any]
    _non_persistent_buffers_set: set[str]

    def state_dict(
        self, *, destination: dict[str, Any] | None = None, prefix: str = "", keep_vars: bool = False
    ) -> dict[str, Any]:
        """All parameters and persistent buffers by dotted name; the Tensors share memory with the module.

        Args:
            destination: a dictionary to add to. prefix: put before each name. keep_vars: give the parameters
                themselves instead of Tensors without history.

        Example:
            >>> from squall import nn
            >>> list(nn.Sequential(nn.Linear(2, 3)).state_dict())
            ['0.weight', '0.bias']
        """
        destination = {} if destination is None else destination
        self._run_hooks("state_dict_pre", prefix, keep_vars)  # type: ignore[attr-defined]
        for registry in (self._parameters, self._buffers):
            for name, tensor in registry.items():
                if tensor is not None and name not in self._non_persistent_buffers_set:
                    destination[prefix + name] = tensor if keep_vars else tensor.detach()
        if type(self).get_extra_state is not StateDict.get_extra_state:
            destination[prefix + EXTRA] = self.get_extra_state()
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        self._run_hooks("state_dict", destination, prefix, {})  # type: ignore[attr-defined]
        return destination

    def get_extra_state(self) -> Any:
        """What a subclass wants stored beside its Tensors; it defines this and `set_extra_state`."""
        raise RuntimeError(
            "Reached a code path in Module.get_extra_state() that should never be called: define it in the subclass"
        )

    def set_extra_state(self, state: Any) -> None:
        """Take what `get_extra_state` of a subclass gave."""
        raise RuntimeError(
            "Reached a code path in Module.set_extra_state() that should never be called: define it in the subclass"
        )

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        """Copy values by name into parameters and buffers.

        Args:
            state_dict: Tensors or arrays by dotted name. strict: whether names must match exactly. assign:
                take the Tensors themselves instead of copying their values.

        Returns:
            The missing and unexpected keys.

        Raises:
            RuntimeError: naming every missing, unexpected or misshapen entry; then nothing was changed.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        load = _Load(dict(state_dict), strict, assign)
        load.visit(self, "")
        return load.finish(self)
