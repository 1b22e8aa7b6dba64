"""Graph to graph: gradients, tangents and batches of graphs, by the rules of op records; no op is named here.

Importing the room gives `call` its rules.
"""

from squall.transforms import calls as calls
