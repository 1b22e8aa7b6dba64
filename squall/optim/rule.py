"""Optimizers whose step is one op over all parameters of a group: they name the op, its numbers and its states.

Zero-dim states such as the step count are shared by the parameters that step together, so that one written Tensor
serves them all; a parameter that gets no gradient parts from the rest.
"""

from __future__ import annotations

from typing import Any

import squall as sq
from squall.base.epoch import number
from squall.frontend.core import Native, record
from squall.frontend.state import local
from squall.frontend.views import write
from squall.ir.node import SharedType
from squall.ir.op import make, ops
from squall.optim.optimizer import Optimizer, precise, zeros_for


class Rule(Optimizer):
    """The base of rules that work element by element.

    Attributes:
        update: name of the op. numbers: its numbers in order, each a name in `counts`, an option of the group, or
            (option, position). counts: the zero-dim states, with what they begin with.
    """

    update = ""
    numbers: tuple[Any, ...] = ()
    counts: dict[str, float] = {"step": 0.0}

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        """The states of a parameter's shape, in the op's order."""
        return ()

    def _flags(self, group: dict[str, Any]) -> dict[str, bool]:
        """The op's flags that are not False."""
        return {}

    def _begin(self, p: Any, group: dict[str, Any], name: str) -> Any:
        """A state as it begins."""
        return zeros_for(p)

    def _advance(self, group: dict[str, Any], counts: dict[str, Any]) -> dict[str, Any]:
        """Move the zero-dim states on by one step, in place.

        Returns:
            Further float64 scalars that `numbers` may name.
        """
        counts["step"].add_(1)
        return {}

    def _joint(
        self, group: dict[str, Any], parameters: list[Any]
    ) -> list[tuple[dict[str, Any], list[Any]]]:
        """Parameters that have stepped together, with their zero-dim states; states that are missing begin."""
        if not self.counts:
            for p in parameters:
                self._complete(p, group, {})
            return [({}, parameters)]
        first = next(iter(self.counts))
        holders: dict[int, int] = {}
        for p in group["params"]:
            if state := self.state.get(p):
                holders[id(state[first])] = holders.get(id(state[first]), 0) + 1
        started: dict[str, Any] = {}
        members: dict[int, tuple[dict[str, Any], list[Any]]] = {}
        for p in parameters:
            if not self.state[p]:
                started = started or self._counts_at_start(group)
                holders[id(started[first])] = holders.get(id(started[first]), 0) + 1
            state = self._complete(p, group, started)
            counts = {name: state[name] for name in self.counts}
            members.setdefault(id(counts[first]), (counts, []))[1].append(p)
        out = []
        for key, (counts, joint) in members.items():
            if holders[key] != len(joint):
                counts = {name: value.clone() for name, value in counts.items()}
                self._restructured()
                for p in joint:
                    self.state[p].update(counts)
            out.append((counts, joint))
        return out

    def _counts_at_start(self, group: dict[str, Any]) -> dict[str, Any]:
        return {name: sq.tensor(value, dtype=sq.float32) for name, value in self.counts.items()}

    def _complete(self, p: Any, group: dict[str, Any], started: dict[str, Any]) -> dict[str, Any]:
        """The state of a parameter with all that the rule needs."""
        state = self.state[p]
        if not state:
            state.update(started)
        for name in self._state_names(group):
            if state.get(name) is None:
                self._restructured()
                state[name] = self._begin(p, group, name)
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As `Optimizer.load_state_dict`; equal step counts become one again."""
        super().load_state_dict(state_dict)
        for group in self.param_groups:
            shared: dict[tuple, dict[str, Any]] = {}
            for p in group["params"]:
                if not self.state.get(p) or not self.counts:
                    continue
                state = self.state[p]
                values = tuple(float(state[name]) for name in self.counts)
                if values not in shared:
                    shared[values] = {name: sq.tensor(value) for name, value in zip(self.counts, values, strict=True)}
                state.update(shared[values])
        self._restructured()

    def _update_group(self, group: dict[str, Any], parameters: list[Any]) -> None:
        flags = self._flags(group)
        for counts, members in self._joint(group, parameters):
            scalars = {**counts, **self._advance(group, counts)}
            numbers = [self._number(group, scalars, name) for name in self.numbers]
            self._record(members, self._state_names(group), numbers, flags)

    @staticmethod
    def _number(group: dict[str, Any], scalars: dict[str, Any], name: Any) -> Any:
        """One number of the op as a float64 scalar."""
        if name in scalars:
            return scalars[name].to(sq.float64)
        return precise(number(group, name))

    def _record(
        self, members: list[Any], names: tuple[str, ...], numbers: list[Any], flags: dict[str, bool]
    ) -> None:
        """Record the op over all members and write its results."""
        op = getattr(ops, self.update)
        states = [self.state[p][name] for name in names for p in members]
        operands = (*members, *[p.grad for p in members], *states, *numbers)
        targets = (*members, *states)
        attrs = op.pack(flags)
        native = Native.write
        if native is not None and local.state.level == 0:
            nodes = tuple([o.node for o in operands])
            if not any(n.type.__class__ is SharedType for n in nodes) and native(targets, make(op, nodes, attrs)):
                return
        for target, value in zip(targets, record(op, operands, attrs), strict=True):
            write(target, value)


def decay_flags(group: dict[str, Any]) -> dict[str, bool]:
    """The flags that most rules have."""
    return {"decay": group["weight_decay"] != 0, "maximize": bool(group["maximize"])}


def check_betas(betas: Any) -> None:
    """ValueError for a running mean that keeps nothing or everything."""
    for position, beta in enumerate(betas):
        if not 0.0 <= beta < 1.0:
            raise ValueError(f"Invalid beta parameter at index {position}: {beta}")
