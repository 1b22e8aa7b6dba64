"""Weights packed once for many runs: a plan bound with the packed forms of inputs that stay the values they are.

Values never change: a write gives its storage another Node, and memory is only taken over or shown to NumPy where
nobody else holds the Node that lies in it. So a packed form belongs to a Node, holds it, and is never stale; whoever
runs such a binding sees to it that the input is still that Node.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any

from squall.base.dim import evaluate
from squall.compiler.contract import packing
from squall.engine.bind import Binding
from squall.engine.execute import Executable
from squall.engine.ready import Ready, ready_of
from squall.engine.resplit import watch
from squall.ir.node import Node
from squall.ir.plan import ContractStep, KernelStep
from squall.runtime.memory import allocate
from squall.runtime.plan_image import PlanImage, Step


class Packed:
    """The packed form of a Node: `block` is its memory."""

    __slots__ = ("__weakref__", "block", "node")

    def __init__(self, block: Any, node: Node):
        self.block, self.node = block, node


_packed: weakref.WeakValueDictionary[tuple, Packed] = weakref.WeakValueDictionary()


class KeptBinding(Binding):
    """A binding whose contractions read packed forms of some inputs, where that is worth it.

    Args:
        nodes: computed, row-major Nodes by the number of the input that is to stay this value.

    Attributes:
        held: the packed forms.
    """

    def __init__(self, executable: Executable, nodes: Mapping[int, Node]):
        self.nodes, self.held = nodes, []
        super().__init__(executable.plan, executable.kernels, {}, executable.backend)
        held = {id(p.node) for p in self.held}
        self.nodes = {number: node for number, node in nodes.items() if id(node) in held}  # also when split anew
        watch(self)

    def _packed_at(self, step: ContractStep) -> int:
        packed = self._packed(step)
        if packed is None:
            return 0
        self.held.append(packed)
        return packed.block.pointer

    def _packed(self, step: ContractStep) -> Packed | None:
        """The packed form of the second operand of a contraction."""
        word = step.operands[1]
        slot = self.plan.slots[word.value]
        node = self.nodes.get(slot.index) if word.kind == "slot" and slot.kind == "input" else None
        found = packing(step, self.sizes) if node is not None else None
        if node is None or found is None:
            return None
        key = (id(node), word.offset, found.form)
        packed = _packed.get(key)
        if packed is None:
            packed = _packed[key] = Packed(allocate(found.nbytes), node)
            self._pack(found.call, node.buffer.pointer + word.offset, packed)
        return packed

    def _pack(self, call: KernelStep, source: int, packed: Packed) -> None:
        """Run the kernel that packs."""
        self._built([call])
        places = {"b": source, "packed": packed.block.pointer}
        args = tuple(places.get(w.value, 0) if w.kind == "name" else w.value for w in call.words)
        units, grain, beyond = (evaluate(n, self.sizes) for n in (call.units, call.grain, call.scratch_bytes))
        scratch = max(beyond, call.program.scratch_bytes)
        PlanImage([Step(self.kernels[call.key], args, units, grain, scratch)], 0).run(())


def keep(executable: Any, nodes: Mapping[int, Node]) -> Ready | None:
    """A plan as native code runs it, with packed forms of inputs; None where nothing is worth packing.

    Args:
        executable: its plan takes no sizes or strides. nodes: see `KeptBinding`.
    """
    if not isinstance(executable, Executable) or executable.backend != "cpu" or executable.plain is None:
        return None
    binding = KeptBinding(executable, nodes)
    return ready_of(binding) if binding.held else None
