"""Backward passes met before: the Nodes that the rules make of a tape, as a template that native code fills in.

The rules of ops see types, attributes and which operands need gradients, never values; so a tape that looks the same
leads to the same graph (`native_backward.py` says what is the same). The first pass over a tape runs the rules, and
what they made is written down here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from squall.frontend.core import Native
from squall.frontend.state import no_grad
from squall.frontend.tape import FREED, GradientPlace, GradRecord, NodeRules, run_backward
from squall.ir.node import Node, toposort
from squall.ir.op import ops

# by the tape's key: None where Python must run the rules, else (for each Node to make: op, attributes, type, operands,
# the record whose line it belongs to or None; leaf, gradient, leaf, gradient, ...; records to free; what keeps the
# types that the key knows by their addresses). All but ops, attributes and types are numbers: of an object in the walk,
# then of a Node made.
known: dict[tuple, tuple | None] = {}


def gradient_place(record: GradRecord) -> GradientPlace:
    """The place of what the rule of a record makes."""
    return GradientPlace(record.where, record.op.name)


def run(root: Any, seed: Node, on_leaf: Callable, retain: bool) -> bool:
    """Do what `run_backward` does for one root with rules on Nodes, if the tape is everyday."""
    native = Native.backward
    if native is None or seed.__class__ is not Node:
        return False
    found = native(root, seed, retain)
    if found is None:
        return False
    with no_grad():
        if found.__class__ is tuple:
            _learn(*found, root, seed, on_leaf, retain)  # type: ignore[call-arg]  the native tuple has both
        else:
            for leaf, gradient in zip(found[::2], found[1::2], strict=True):
                on_leaf(leaf, gradient)
    return True


def _learn(key: tuple, objects: list, root: Any, seed: Node, on_leaf: Callable, retain: bool) -> None:
    reached: list = []
    owners: dict[int, GradRecord] = {}

    def note(leaf: Any, gradient: Node) -> None:
        reached.append((leaf, gradient))

    def look(record: GradRecord, parts: tuple) -> None:
        if record.op.checks is not None:
            for node in toposort([p for p in parts if p is not None], lambda n: n.buffer is not None):
                if getattr(node, "where", None).__class__ is GradientPlace:
                    owners.setdefault(id(node), record)

    types = [(o.types, o.out_type) if o.__class__ is GradRecord else getattr(o, "type", None) for o in objects]
    run_backward([root], [seed], NodeRules, note, retain, None, look)
    if not retain:  # what is freed is not known otherwise
        if len(known) > 4096:
            known.clear()
        known[key] = _template(objects, reached, owners, types)
    for leaf, gradient in reached:
        on_leaf(leaf, gradient)


def _template(objects: list, reached: list, owners: dict[int, GradRecord], types: list) -> tuple | None:
    numbers = {id(o): i for i, o in enumerate(objects)}
    entries: list = []
    for node in toposort([g for _, g in reached], lambda n: id(n) in numbers):
        if id(node) in numbers:
            continue
        if node.buffer is not None or node.op is ops.scalar:
            return None
        owner = owners.get(id(node))
        refs = tuple([numbers[id(n)] for n in node.inputs])
        entries.append((node.op, node.attrs, node.type, refs, None if owner is None else numbers[id(owner)]))
        numbers[id(node)] = len(objects) + len(entries) - 1
    gradients = tuple([numbers[id(o)] for pair in reached for o in pair])
    freed = tuple([i for i, o in enumerate(objects) if o.__class__ is GradRecord and o.state == FREED])
    return tuple(entries), gradients, freed, types
