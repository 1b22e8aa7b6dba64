"""Which op a function of Tensors records, remembered for native code (`native_calls.py`).

`Native.call(function, *arguments)` is how functions that users call often reach their own body: `F.linear` calls
`Native.call(_linear, input, weight, bias)`. The body must decide by the types and shapes of Tensors and by its other
arguments alone (not by the default dtype, which is that of numbers without Tensors), and neither detach operands nor
draw random numbers. Its first call with arguments of a kind runs in Python; if it came to one op on the Tensors it was
given and on numbers, that is written down here, and native code records the op from then on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from squall.frontend import core
from squall.frontend.core import Handle
from squall.frontend.state import local
from squall.frontend.tape import GradRecord, saving_of
from squall.ir.op import ops

# by kind (the function; a Tensor's type and whether its history counts, as a number; other arguments as they are):
# None where Python does it, else (op, attributes, for each operand which Tensor it is or a number's (type, value), what
# `core._known` has, how many Tensors there are, what is saved: None without history, `op` for nothing, else what
# `tape._savings` has)
known: dict[tuple, tuple | None] = {}


def learn(key: tuple, function: Callable, *arguments: Any) -> Any:
    """What a function gives, and what it came to put down under a key."""
    tensors: list[Any] = []
    for value in arguments:
        tensors += value if value.__class__ in (tuple, list) and value and isinstance(value[0], Handle) else [value]
    tensors = [t for t in tensors if isinstance(t, Handle)]
    nodes, edges = [t.node for t in tensors], [t.edge for t in tensors]
    out = function(*arguments)
    if len({id(n) for n in nodes}) == len(nodes):  # else nobody can tell which operand was which
        if len(known) > 50000:
            known.clear()
        known[key] = _described(nodes, edges, out)
    return out


def _described(nodes: list, edges: list, out: Any) -> tuple | None:
    state = local.state
    if not isinstance(out, Handle) or out._cell is not None or state.level > 1:
        return None
    node = out._node
    number = {id(n): i for i, n in enumerate(nodes)}
    if node.buffer is not None or not any(id(n) in number for n in node.inputs):
        return None
    if any(id(n) not in number and n.op is not ops.scalar for n in node.inputs):
        return None
    places = tuple([number.get(id(n), (n.type, n.buffer)) for n in node.inputs])
    found = core._known.get((node.op, node.attrs, *[id(n.type) for n in node.inputs]))
    if found is None or not found[4] or found[0] is not node.type:
        return None
    expected = tuple([None if i.__class__ is tuple else edges[i] for i in places]) if state.level and found[3] else ()
    saving: Any = None
    if any(e is not None for e in expected):
        edge = out._edge
        if edge.__class__ is not GradRecord or edge.op is not node.op or edge.edges != expected:
            return None
        saving = node.op if node.op.saves == () else saving_of(node.op, expected)
    elif out._edge is not None:
        return None
    return node.op, node.attrs, places, found, len(nodes), saving
