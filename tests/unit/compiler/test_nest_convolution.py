"""Convolution, its gradients and epilogues through the nest, against sums written out in NumPy."""

import itertools

import numpy as np
import pytest

from squall.backends import ssa_text
from squall.backends.cpu.build import compile_functions
from squall.backends.cpu.table import table_for
from squall.backends.cpu.target import host_target
from squall.compiler import nest
from squall.compiler.nest import convolution
from squall.compiler.nest.convolution import Convolution
from squall.ir.linear import F32, I64, PTR, Builder, Program
from tests.unit.compiler.nest_support import Problem, host_isas, native

ISA = host_isas()[0]
CASES = [
    Convolution(2, 3, 5, (9, 8), (3, 3), (1, 1), (1, 1)),
    Convolution(1, 4, 20, (11, 30), (3, 2), (2, 2), (1, 1)),
    Convolution(3, 2, 3, (10, 9), (2, 3), (3, 2), (2, 1), groups=2),
    Convolution(2, 7, 33, (8, 8), (1, 1), (2, 1), (1, 1), channels_last=True),
    Convolution(2, 6, 4, (12, 13), (3, 3), (2, 2), (2, 3), channels_last=True),
    Convolution(2, 3, 4, (20,), (5,), (2,), (1,)),
    Convolution(1, 2, 3, (5, 6, 7), (2, 3, 2), (1, 2, 1), (1, 1, 1)),
    Convolution(4, 1, 1, (9, 9), (3, 3), (1, 1), (1, 1), groups=6),
]


def axes_last(array, last):
    """[outer, channels, *spatial] stored contiguously, channels last in memory or not."""
    return np.ascontiguousarray(np.moveaxis(array, 1, -1) if last else array)


def axes_back(flat, shape, last):
    if not last:
        return flat.reshape(shape)
    return np.moveaxis(flat.reshape(shape[0], *shape[2:], shape[1]), -1, 1)


def slices(c, tap):
    return tuple(slice(t * d, t * d + s * (o - 1) + 1, s)
                 for t, d, s, o in zip(tap, c.dilation, c.stride, c.out, strict=True))


def by_hand(c, x, w, gradient):
    """Output, gradient of the weight, gradient of the padded input, in float64."""
    x, w, gradient = (v.astype("f8") for v in (x, w, gradient))
    spatial = range(3, 3 + len(c.kernel))
    x = x.reshape(c.batch, c.groups, c.channels, *c.padded)
    w = w.reshape(c.groups, c.filters, c.channels, *c.kernel)
    gradient = gradient.reshape(c.batch, c.groups, c.filters, *c.out)
    y, dw, dx = np.zeros_like(gradient), np.zeros_like(w), np.zeros_like(x)
    for tap in itertools.product(*map(range, c.kernel)):
        at = (slice(None),) * 3 + slices(c, tap)
        part = w[(slice(None),) * 3 + tap]
        y += np.einsum("bgc...,gfc->bgf...", x[at], part)
        summed = [[0, *(i - 1 for i in spatial)]] * 2
        dw[(slice(None),) * 3 + tap] = [np.tensordot(gradient[:, g], x[at][:, g], summed) for g in range(c.groups)]
        dx[at] += np.einsum("bgf...,gfc->bgc...", gradient, part)
    return (y.reshape(c.batch, -1, *c.out), dw.reshape(-1, c.channels, *c.kernel),
            dx.reshape(c.batch, -1, *c.padded))


def run(placed, a, b, out):
    for part in placed:
        names = {name: array.ctypes.data + offset * array.itemsize for name, array, offset in
                 zip("abc", (a, b, out), part[1:], strict=True)}
        for step in nest.plan(part.contraction, ISA, 2).steps:
            words = np.array([names[w] if isinstance(w, str) else w for w in step.words], "i8")
            scratch = np.full(step.scratch_bytes + 64, 255, "u1")
            native(step.library)(words.ctypes.data, 0, step.units, (scratch.ctypes.data + 63) // 64 * 64)
    return out


@pytest.mark.parametrize("c", CASES, ids=str)
def test_convolutions(c):
    rng = np.random.default_rng(0)
    shape = (c.batch, c.groups * c.channels, *c.padded)
    x = rng.standard_normal(shape).astype("f4")
    w = rng.standard_normal((c.groups * c.filters, c.channels, *c.kernel)).astype("f4")
    gradient = rng.standard_normal((c.batch, c.groups * c.filters, *c.out)).astype("f4")
    y, dw, dx = by_hand(c, x, w, gradient)
    a, b, g = (axes_last(v, c.channels_last) for v in (x, w, gradient))

    got = run([convolution.forward(c)], a, b, np.full(y.size, np.nan, "f4"))
    np.testing.assert_allclose(axes_back(got, y.shape, c.channels_last), y, atol=1e-4)
    got = run([convolution.weight_gradient(c)], g, a, np.full(dw.size, np.nan, "f4"))
    np.testing.assert_allclose(axes_back(got, dw.shape, c.channels_last), dw, atol=2e-4)

    before, extents = tuple(min(1, p - 1) for p in c.padded), tuple(p - 2 for p in c.padded)
    pad, room = convolution.gradient_padding(c), convolution.gradient_extents(c, extents, before)
    padded = np.zeros((c.batch, c.groups * c.filters, *room), "f4")
    padded[(slice(None),) * 2 + tuple(slice(p, p + o) for p, o in zip(pad, c.out, strict=True))] = gradient
    wanted = dx[(slice(None),) * 2 + tuple(slice(p, p + e) for p, e in zip(before, extents, strict=True))]
    got = run(convolution.input_gradient(c, extents, before), axes_last(padded, c.channels_last), b,
              np.full(wanted.size, np.nan, "f4"))
    np.testing.assert_allclose(axes_back(got, wanted.shape, c.channels_last), wanted, atol=2e-4)


def bias_and_relu():
    """An epilogue: out[row, column] = max(tile + bias[column], 0); its args are bias, out, out's row stride."""
    b = Builder("bias_and_relu", nest.EPILOGUE_PARAMETERS)
    args, tile, stride, _, row, column, rows, columns = b.parameters
    bias, out = (b.load(PTR, b.gep(args, b.int(i), "ptr")) for i in range(2))
    width = b.load(I64, b.gep(args, b.int(2), "i64"))
    zero = b.const(0.0, F32)
    with b.loop(b.int(0), rows) as i, b.loop(b.int(0), columns) as j:
        value = b.load(F32, b.gep(tile, b.add(b.mul(i, stride), j), "f32"))
        at = b.add(column, j)
        value = b.op("max", b.add(value, b.load(F32, b.gep(bias, at, "f32"))), zero)
        b.store(value, b.gep(out, b.add(b.mul(b.add(row, i), width), at), "f32"))
    return Program((b.finish(),), "bias_and_relu")


@pytest.mark.parametrize("m, n, k", [(64, 100, 64), (5, 33, 900), (300, 700, 40)])
def test_epilogues_see_every_element_once(m, n, k):
    target = host_target()
    text = ssa_text.write(bias_and_relu(), table_for(target.architecture, target.features))
    epilogue = compile_functions({text: (text, ["bias_and_relu"])})[text]["bias_and_relu"]
    problem = Problem(nest.matmul(m, n, k))
    plain = problem.run(nest.plan(problem.contraction, ISA))[0]
    bias, out = np.linspace(-3, 3, n).astype("f4"), np.full((m, n), np.nan, "f4")
    args = np.array([bias.ctypes.data, out.ctypes.data, n], "i8")
    plan = nest.plan(problem.contraction, ISA, threads=3, epilogue=True, swapped=False)
    assert (plan.rows, plan.columns) == ((0,), (1,))
    problem.run(plan, split=2, pointers={"epilogue": epilogue, "epilogue_args": args.ctypes.data})
    np.testing.assert_array_equal(out, np.maximum(plain + bias, 0))
