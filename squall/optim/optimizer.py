"""Optimizer: parameter groups, state of each parameter, and state dictionaries in PyTorch's form.

A rule is a subclass with `_update_group`. The hyper-parameters stay Python numbers in the groups and reach
the recorded ops as run-time arguments, so a learning rate that changes every step is the same program.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable
from math import prod
from mmap import ACCESS_COPY, mmap
from typing import Any

import squall as sq
from squall.base import epoch
from squall.base.dtypes import numpy_dtype
from squall.engine.copying import POOLED
from squall.frontend.arrays import computed
from squall.frontend.core import scalar_node, wrap
from squall.optim.group import ParamGroup

_numbers = itertools.count()


class StepHook:
    """What registering a step hook returns; `remove()` detaches it."""

    def __init__(self, hooks: dict[int, Callable], number: int):
        self._hooks, self._number = hooks, number

    def remove(self) -> None:
        """Detach the hook; doing so twice is harmless."""
        self._hooks.pop(self._number, None)


class Optimizer:
    """The base of all optimizers.

    Args:
        params: Tensors, (name, Tensor) pairs, or dictionaries with "params" and options of their own.
        defaults: options of groups that do not set them.

    Attributes:
        param_groups: dictionaries with "params" and the options; numbers in them may be changed at any time.
        state: what the rule keeps for each parameter, by the parameter.
        structure_version: how often groups or the Tensors of the state were replaced; compiled functions watch it.

    Raises:
        ValueError: for no parameters, or one in two groups. TypeError: for something that is no Tensor.
    """

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        if isinstance(params, sq.Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, but got a Tensor; "
                "put it in a list"
            )
        _check_ordered(params)
        self.defaults = defaults
        self.state: defaultdict[Any, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        self.structure_version = 0
        self._before: dict[int, Callable] = {}
        self._after: dict[int, Callable] = {}
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group: a dictionary with "params" and whatever options differ from the defaults."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group).__name__}")
        group = dict(param_group)
        given = [group["params"]] if isinstance(group["params"], sq.Tensor) else group["params"]
        _check_ordered(given)
        given = list(given)
        names = [entry[0] for entry in given if isinstance(entry, tuple)]
        params = [entry[1] if isinstance(entry, tuple) else entry for entry in given]
        if names:
            if len(names) != len(params):
                raise ValueError(
                    "all optimizer params should be with/without names. Some param names are missing"
                )
            group["param_names"] = names
        for parameter in params:
            self._check_parameter(parameter)
        if len({id(p) for p in params}) != len(params):
            raise ValueError("some parameters appear twice in one parameter group")
        known = {id(p) for other in self.param_groups for p in other["params"]}
        if any(id(p) in known for p in params):
            raise ValueError("some parameters appear in more than one parameter group")
        merged = {**self.defaults, **group, "params": params}
        self._check_options(merged)
        self.param_groups.append(ParamGroup(merged))
        self._restructured()

    def _restructured(self) -> None:
        """Tell compiled functions that they must look at groups and state again."""
        self.structure_version += 1
        epoch.bump()

    @staticmethod
    def _check_parameter(parameter: Any) -> None:
        if not isinstance(parameter, sq.Tensor):
            raise TypeError(
                f"optimizer can only optimize Tensors, but one of the params is {type(parameter).__name__}"
            )
        if not parameter.is_leaf:
            raise ValueError("can't optimize a non-leaf Tensor")

    def _check_options(self, group: dict[str, Any]) -> None:
        """ValueError for an option the rule cannot take."""

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients, or with `set_to_none=False` fill them with zeros."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                if set_to_none:
                    parameter.grad = None
                else:
                    parameter.grad.detach_()
                    parameter.grad.zero_()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient, and evaluate what is pending.

        Args:
            closure: computes the loss and the gradients anew; its result is returned.
        """
        for hook in tuple(self._before.values()):
            hook(self, (closure,), {})
        loss = None
        if closure is not None:
            with sq.enable_grad():
                loss = closure()
        with sq.no_grad():
            for group in self.param_groups:
                parameters = [p for p in group["params"] if p.grad is not None]
                if parameters:
                    self._update_group(group, parameters)
        for hook in tuple(self._after.values()):
            hook(self, (closure,), {})
        sq.flush()
        return loss

    def _update_group(self, group: dict[str, Any], parameters: list[Any]) -> None:
        """Apply the rule to the parameters of a group that have gradients."""
        raise TypeError(f"{type(self).__name__} has no rule: define _update_group or step")

    def register_step_pre_hook(self, hook: Callable) -> StepHook:
        """Call `hook(optimizer, args, kwargs)` before each step."""
        self._before[number := next(_numbers)] = hook
        return StepHook(self._before, number)

    def register_step_post_hook(self, hook: Callable) -> StepHook:
        """Call `hook(optimizer, args, kwargs)` after each step."""
        self._after[number := next(_numbers)] = hook
        return StepHook(self._after, number)

    def state_dict(self) -> dict[str, Any]:
        """{"state": by parameter number, "param_groups": options and parameter numbers}; Tensors share
        memory."""
        numbers: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            for parameter in group["params"]:
                numbers.setdefault(id(parameter), len(numbers))
            packed = {key: value for key, value in group.items() if key != "params"}
            packed["params"] = [numbers[id(p)] for p in group["params"]]
            groups.append(packed)
        state = {numbers[id(p)]: dict(entries) for p, entries in self.state.items() if id(p) in numbers}
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take options and state from a dictionary of `state_dict`'s form; Tensors are copied.

        Raises:
            ValueError: when groups or parameters differ in number, or a Tensor in shape; then nothing was
            changed.
        """
        saved = state_dict["param_groups"]
        if len(saved) != len(self.param_groups):
            raise ValueError(
                f"loaded state dict has a different number of parameter groups: {len(saved)}, and the optimizer has "
                f"{len(self.param_groups)}"
            )
        by_number: dict[int, Any] = {}
        for position, (theirs, ours) in enumerate(zip(saved, self.param_groups, strict=True)):
            if len(theirs["params"]) != len(ours["params"]):
                raise ValueError(
                    "loaded state dict contains a parameter group that doesn't match the size of optimizer's group: "
                    f"group {position} has {len(theirs['params'])} parameters, ours {len(ours['params'])}"
                )
            by_number.update(zip(theirs["params"], ours["params"], strict=True))
        state: defaultdict[Any, dict[str, Any]] = defaultdict(dict)
        for number, entries in state_dict["state"].items():
            parameter = by_number.get(number)
            if parameter is not None:
                state[parameter] = {
                    name: self._adopt(parameter, name, value) for name, value in entries.items()
                }
        for theirs, ours in zip(saved, self.param_groups, strict=True):
            ours.update({key: value for key, value in theirs.items() if key != "params"})
        self.state = state
        self._restructured()

    @staticmethod
    def _adopt(parameter: Any, name: str, value: Any) -> Any:
        """A loaded state value as this parameter keeps it."""
        if not isinstance(value, sq.Tensor):
            return value
        if name == "step" or value.dim() == 0:
            return value.detach().clone()
        if tuple(value.shape) != tuple(parameter.shape):
            raise ValueError(
                f"loaded state {name!r} has shape {tuple(value.shape)}, and its parameter {tuple(parameter.shape)}"
            )
        value = value.detach()
        return value.to(parameter.dtype).clone() if value.is_floating_point() else value.clone()

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for position, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {position}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join([*lines, ")"])


def _check_ordered(params: Any) -> None:
    if isinstance(params, (set, frozenset)):
        raise TypeError(
            "optimizer parameters need to be organized in ordered collections, but the ordering of tensors in "
            "sets will change between runs. Please use a list instead."
        )


def zeros_for(parameter: Any) -> Any:
    """Zeros like a parameter that are there at once, so that the first step records the same ops as the
    later ones. Large ones are mapped by themselves: they take no pages until something is written, and leave none."""
    import numpy

    shape, dtype = tuple(parameter.shape), numpy_dtype(parameter.dtype)
    nbytes = prod(shape) * dtype.itemsize
    if nbytes < POOLED:
        return wrap(computed(numpy.zeros(shape, dtype)))
    return wrap(computed(numpy.frombuffer(mmap(-1, nbytes, access=ACCESS_COPY), dtype).reshape(shape)))


def precise(value: Any) -> Any:
    """A hyper-parameter (number, or scalar Tensor) as a float64 run-time scalar."""
    return (
        value.to(sq.float64) if isinstance(value, sq.Tensor) else wrap(scalar_node(float(value), sq.float64))
    )


def check_at_least_zero(**options: Any) -> None:
    """ValueError for a negative number, in PyTorch's words."""
    for name, value in options.items():
        if not isinstance(value, sq.Tensor) and not value >= 0.0:
            raise ValueError(f"Invalid {name.replace('_', ' ')}: {value}")


def check_not_differentiable(differentiable: bool) -> None:
    """ValueError when history through the update itself is asked for."""
    if differentiable:
        raise ValueError(
            "differentiable=True: the update itself keeps no history; write the update with Tensors to "
            "differentiate through it"
        )
