"""Which values are stored by any strides, each element a sum that is never -0.0: contractions and attention's results.

They are written where their movements belong, and placed into zeros without an addition.
"""

from __future__ import annotations

from squall.ir.node import Node
from squall.ir.op import Decompose


def is_strided(node: Node) -> bool:
    """Whether what computes a node stores it by any strides."""
    if node.op.name != "pick":
        return node.op.name == "contract"
    (source,), (number,) = node.inputs, node.attrs
    lowering = source.op.lowering
    if not isinstance(lowering, Decompose) or not lowering.kernel:
        return False
    return number == 0 or source.op.name.endswith("_backward")  # the logarithms of sums are read row-major
