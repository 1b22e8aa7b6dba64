"""Contractions that leave out the blocks of a triangle: bit for bit what zeros in their place give, and less work."""

import numpy as np
import pytest

from squall.base.errors import ShapeError
from squall.compiler import nest
from squall.compiler.nest.spec import BLOCK, Contraction, Dimension
from squall.ir.op import ops
from tests.unit.compiler.nest_support import Problem, host_isas, interpreted
from tests.unit.engine.harness import Built, Leaf, compiled, expected

ORDER = {"k<=m": ("m", "k"), "k>=m": ("k", "m"), "n<=m": ("m", "n")}


def contraction(triangle, dtype, m=101, n=70, k=99, transposed=False):
    """Two batches of matrices."""
    a = (1, m) if transposed else (k, 1)
    dims = (Dimension("batch", 2, m * k, k * n, m * n), Dimension("m", m, a[0], 0, n), Dimension("n", n, 0, 1, 1),
            Dimension("k", k, a[1], n, 0))
    return Contraction(dtype, nest.ACCUMULATE[dtype], dims, dtype, triangle)


def kept(triangle, extents):
    """Which pairs of the two indices take part, by (later, earlier) of `ORDER`."""
    later, earlier = ORDER[triangle]
    grid = np.arange(extents[later])[:, None] // BLOCK >= np.arange(extents[earlier])[None, :] // BLOCK
    return grid if later == "m" else grid.T


@pytest.mark.parametrize("triangle", ORDER)
@pytest.mark.parametrize("isa", host_isas())
@pytest.mark.parametrize("dtype", ["f32", "f64", "bf16"])
def test_left_out_products_are_zeros(triangle, isa, dtype):
    for transposed in (False, True):
        c = contraction(triangle, dtype, transposed=transposed)
        problem, plain = Problem(c), Problem(c._replace(triangle=""))
        extents = {d.kind: d.extent for d in c.dims}
        grid = kept(triangle, extents)
        wanted = plain
        if triangle != "n<=m":
            flat = grid.T if transposed else grid
            wanted.a.data[:] = (wanted.a.data.reshape(2, *flat.shape) * flat).reshape(-1).astype(wanted.a.data.dtype)
        result = wanted.run(nest.plan(plain.contraction, isa))
        if triangle == "n<=m":
            result = np.where(grid, result, np.zeros((), result.dtype))
        assert np.array_equal(problem.run(nest.plan(c, isa)), result)
        assert np.array_equal(problem.run(nest.plan(c, isa, 3), split=5), result)


@pytest.mark.parametrize("triangle", ORDER)
def test_neon(triangle):
    c = contraction(triangle, "f32", 53, 50, 51)
    here = Problem(c).run(nest.plan(c, host_isas()[0]))
    assert np.array_equal(here, Problem(c).run(nest.plan(c, "neon"), interpreted))


def test_what_is_left_out_is_not_read():
    """A NaN of the second operand that only left-out products meet does not reach the result."""
    c = contraction("k<=m", "f32")
    problem = Problem(c)
    b = problem.b.data.reshape(2, 99, 70)
    b[:, BLOCK:] = np.nan
    got = problem.run(nest.plan(c, host_isas()[0]))
    assert np.isfinite(got[:, :BLOCK]).all() and np.isnan(got[:, BLOCK:]).all()


def test_decomposed_causal_attention_is_made_of_triangles():
    leaves = Leaf()
    q, k, v = (leaves(np.random.default_rng(i).normal(size=(2, 3, 130, 16)).astype("f4")) for i in range(3))
    roots = [ops.attention.lowering.expand(q, k, v, causal=True, scale=0.25)[0]]
    for x, y in zip(compiled(roots), expected(roots, leaves), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5)
    plan = Built(roots).plan
    found = [s.contraction.triangle for s in plan.steps if hasattr(s, "contraction")]
    assert found == ["n<=m", "k<=m"]


def test_a_triangle_of_the_second_operand_is_told_by_its_rows():
    leaves = Leaf()
    a, b = (leaves(np.random.default_rng(i).normal(size=s).astype("f4")) for i, s in enumerate(((90, 20), (101, 90))))
    roots = [ops.contract(a, b, equation="ke,lk->el", triangle="lk"), ops.contract(a, b, equation="ke,lk->el",
                                                                                 triangle="kl")]
    for x, y in zip(compiled(roots), expected(roots, leaves), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-4)
    with pytest.raises(ShapeError, match="triangle"):
        ops.contract(a, b, equation="ke,lk->el", triangle="ex")


def test_blocks_are_whole_tiles_everywhere():
    others = {isa.other for isa in nest.ISAS.values()}  # never chosen for a triangle
    for isa in (isa for name, isa in nest.ISAS.items() if name not in others):
        assert BLOCK % isa.tile.rows == 0
        assert all(BLOCK % isa.columns(scalar) == 0 for scalar in ("f32", "f64", "i32", "i64"))
