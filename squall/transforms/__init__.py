"""Graph to graph: gradients, tangents and batches of graphs, by the rules of op records.

Importing the room gives the ops that carry graphs (`call`, `scan`, `cond`, `while_loop`) their rules.
"""

from squall.transforms import branches as branches
from squall.transforms import calls as calls
from squall.transforms import loops as loops
