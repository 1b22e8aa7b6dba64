"""Attention as one kernel forward and one backward.

    spec      what kernels are keyed on, and their args; workspace
    tiles     products in registers, rows loaded, turned and stored
    softmax   scores to weights inside a block, masks, dropout
    modify    functions of the user's on a block of scores
    block     what both kernels do with a block of queries and of keys
    forward, backward
              the kernels
    pieces, pieces_backward, forward_tiles, backward_tiles
              the same on matrix tiles
    few       forward of few queries: stretches of keys, and their sum
    dots      its dot products
    lowering  from the op's node to a plan step

Blocks of 64 queries meet blocks of 64 keys. Inside a block every query is a lane, from its scores to its result, and
an element is a chain of multiply-adds in ascending order of keys or features; so neither threads nor vector width nor
what else the plan holds reach the bits. No size or stride is in a kernel's code.
"""

from squall.compiler.attend.lowering import attend

__all__ = ["attend"]
