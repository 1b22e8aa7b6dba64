"""The two intermediate representations: the value graph (Node, Op) and the linear kernel IR, with their tools."""
