"""One declaration per op. Importing this room fills the table `squall.ir.op.ops`."""

from squall.ir.op import ops
from squall.ops import arithmetic, control, movement, reduction

__all__ = ["ops", "arithmetic", "control", "movement", "reduction"]
