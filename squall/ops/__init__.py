"""One declaration per op. Importing this room fills the table `squall.ir.op.ops`."""

from squall.ir.op import ops
from squall.ops import arithmetic, control, movement, reduction  # isort: skip
from squall.ops import activation, comparison, conversion, power, selection, special, trigonometry, unary  # isort: skip
from squall.ops import channel_normalization, cross_entropy, embedding, loss, normalization, optimizer  # isort: skip
from squall.ops import rows, scan, statistics  # isort: skip
from squall.ops import attention, averaging, calls, contraction, convolution, counting, deconvolution, diagonals
from squall.ops import dropout, indexing, joining, pooling, products, random, scattering, slicing, sorting, windows

__all__ = ["ops", "arithmetic", "control", "indexing", "joining", "movement", "reduction", "scattering", "slicing",
           "windows"]
