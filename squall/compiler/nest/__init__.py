"""The contraction nest: matrix products, convolutions and their gradients from one set of kernels.

How a contraction becomes a call (each file one stage):

    spec         the contraction as data; its normal form (merged, ordered, oriented)
    choose       cost model: orientation, what is packed, blocks and units (`tile_choose` for matrix tiles)
    plan         `plan(contraction, isa, threads) -> NestPlan`: steps with args words, units, scratch
    driver       the kernel of a step, for any extents and strides (`prepack`: packs B beforehand; `tile_driver`,
                 `tile_prepack`: matrix tiles, `dots`: what stands in for them, `part_driver`: float32 on them, in three
                 `pieces`); calls
    tables       offsets of many strided dimensions as one flat index
    pack         blocks of an operand into vectors, dtypes converted on the way (`tile_pack`, `part_pack`)
    microkernel  the tile: registers, multiply-adds (few rows: `stream`, B transposed as it is read; `sweep`)
    store        staged tiles to a C of any strides
    arguments    the args block, word by word
    isa          tiles and vector widths per instruction set
    quick        short paths: one row against packed B, a few elements
    variants     other choices than the cost model's, to be timed
    convolution  convolutions and their gradients, written as contractions

Nothing is compiled per shape, stride or epilogue: `program(step.library)` is the linear IR of a step's kernel and
depends on dtypes and instruction set only. An epilogue is a function of `EPILOGUE_PARAMETERS` that receives each
finished strip of the result and stores it where and how it likes.
"""

from squall.compiler.nest.common import Library, entry_name
from squall.compiler.nest.isa import ACCUMULATE, ISAS
from squall.compiler.nest.plan import (
           EPILOGUE_PARAMETERS,
           NestPlan,
           Step,
           assemble,
           assemble_tiles,
           plan,
           program,
)
from squall.compiler.nest.spec import Contraction, Dimension, matmul
from squall.compiler.nest.tile_driver import BYTES_ONLY, DOTS, PARTS, TILES

__all__ = ["ACCUMULATE", "BYTES_ONLY", "DOTS", "EPILOGUE_PARAMETERS", "ISAS", "PARTS", "TILES", "Contraction",
           "Dimension", "Library", "NestPlan", "Step", "assemble", "assemble_tiles", "entry_name", "matmul", "plan",
           "program"]
