"""The layout pass: chains of convolutions hold their values with the channels last, and nothing is moved in between."""

import numpy as np

import squall as sq
from squall import nn
from squall.compiler import layout
from squall.compiler.nest import ISAS, Contraction, Dimension
from squall.compiler.nest.choose import choose
from squall.compiler.simplify import simplify
from squall.ir.graph import toposort
from squall.ir.node import Node, TensorType
from squall.ir.op import make, ops


def leaf(*shape):
    from squall.base.dtypes import float32

    return Node(ops.input, (), (0,), TensorType(shape, float32, "cpu"))


def turned(x):
    return make(ops.permute, (x,), ((0, 3, 1, 2),))


def names(root, leaves):
    return [n.op.name for n in toposort([root], lambda n: n in leaves)]


def test_turns_of_neighbours_cancel():
    x, c = leaf(2, 5, 5, 32), leaf(32, 1, 1)
    y = make(ops.add, (make(ops.mul, (turned(x), c), ()), turned(x)), ())
    back = make(ops.permute, (y,), ((0, 2, 3, 1),))
    (made,) = simplify([back], [x, c])
    assert made.op.name == "add" and tuple(made.shape) == (2, 5, 5, 32)
    assert made.inputs[0].op.name == "mul" and x in made.inputs and x in made.inputs[0].inputs


def test_a_turn_stays_where_most_operands_are_not_turned():
    x, p, m = leaf(3, 3, 8, 4), leaf(3, 4, 3, 8), leaf(3, 4, 3, 8)
    y = make(ops.where, (make(ops.gt, (p, m), ()), turned(x), m), ())
    (made,) = simplify([y], [x, p, m])
    assert made.op.name == "where" and layout.is_turned(made.inputs[1])


def test_pads_and_concats_are_turned():
    x, y = leaf(2, 5, 5, 32), leaf(2, 5, 5, 32)
    padded = make(ops.pad, (turned(x),), ((0, 0, 1, 1), (0, 0, 1, 1), (0, 0, 0, 0), 0.0))
    (made,) = simplify([padded], [x])
    assert layout.is_turned(made) and tuple(made.inputs[0].shape) == (2, 7, 7, 32)
    (made,) = simplify([make(ops.concat, (turned(x), turned(y)), (1,))], [x, y])
    assert layout.is_turned(made) and tuple(made.inputs[0].shape) == (2, 5, 5, 64)


def test_a_residual_block_moves_nothing_between_its_layers():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Conv2d(32, 32, 3, padding=1), nn.Conv2d(32, 32, 3, padding=1)
            self.norm = nn.BatchNorm2d(32)

        def forward(self, x):
            return self.second(nn.functional.relu(self.norm(self.first(x)))) + x

    block, x = Block(), sq.randn(2, 32, 8, 8)
    labels = [line for line in str(sq.explain(block, x)).splitlines() if "permute" in line]
    assert len(labels) <= 2, labels  # what is left are the running statistics' and the result's


def test_tiles_of_another_shape_for_widths_that_fit_them():
    dims = (Dimension("m", 25088, 64, 0, 64), Dimension("n", 64, 0, 576, 1), Dimension("k", 9, 64, 1),
            Dimension("k", 64, 1, 9))
    conv = Contraction("f32", "f32", dims, "f32")
    assert choose(conv, ISAS["avx512"]).isa == "avx512 by 64"
    small = Contraction("f32", "f32", (dims[0]._replace(extent=64), *dims[1:]), "f32")
    assert choose(small, ISAS["avx512"]).isa == ""


def test_the_other_tiles_give_the_same_bits():
    rng = np.random.default_rng(0)
    x = sq.tensor(rng.standard_normal((2, 64, 24, 24)).astype("f4"))
    w = sq.tensor(rng.standard_normal((64, 64, 3, 3)).astype("f4"))
    wide = sq.tensor(np.concatenate([w.numpy(), w.numpy()[:16]]))  # 80 filters: another choice
    y, z = (sq.nn.functional.conv2d(x, v, padding=1).numpy() for v in (w, wide))
    assert y.tobytes() == np.ascontiguousarray(z[:, :64]).tobytes()
