"""`sq.autograd.functional` and `forward_ad` give what PyTorch's give: values, structures, errors."""

import numpy
import pytest
import torch

import squall as sq
import squall.autograd.forward_ad as own_forward

pytestmark = pytest.mark.peer
BOTH = (sq, torch)


def values(*shapes):
    chance = numpy.random.default_rng(5)
    return [chance.normal(size=s) for s in shapes]


def several(m):
    def function(x, y):
        return (x.sin() * y.sum(), (y * y).exp().mean() * x[0])

    return function


def scalar(m):
    def function(x, y):
        return (x * x * x).sum() * y.sum().cos() + (y ** 3).sum()

    return function


def agree(got, wanted, history=True):
    if isinstance(wanted, (tuple, list)):
        assert isinstance(got, tuple) and len(got) == len(wanted)
        for a, b in zip(got, wanted, strict=True):  # in forward mode PyTorch gives lists, and history nobody asked for
            agree(a, b, history and isinstance(wanted, tuple))
    else:
        assert tuple(got.shape) == tuple(wanted.shape)
        assert got.requires_grad == wanted.requires_grad or not history
        numpy.testing.assert_allclose(got.detach().numpy(), wanted.detach().numpy(), rtol=1e-11, atol=1e-12)


def of_both(call, *arrays, requires_grad=False, history=True):
    agree(*(call(m, [m.tensor(a, requires_grad=requires_grad) for a in arrays]) for m in BOTH), history)


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("options", [{}, {"vectorize": True}, {"strict": True},
                                     {"vectorize": True, "strategy": "forward-mode"}])
def test_jacobian(options, create_graph):
    if create_graph and "strategy" in options:
        pytest.skip("PyTorch has none with both")

    def call(m, inputs):
        return m.autograd.functional.jacobian(several(m), tuple(inputs), create_graph=create_graph, **options)

    of_both(call, *values((3,), (2, 2)), requires_grad=create_graph)
    of_both(lambda m, i: m.autograd.functional.jacobian(lambda x: x.exp(), i[0], create_graph, **options),
            *values((2, 2)), requires_grad=create_graph)


@pytest.mark.parametrize("options", [{}, {"vectorize": True}, {"strict": True},
                                     {"vectorize": True, "outer_jacobian_strategy": "forward-mode"}])
def test_hessian(options):
    of_both(lambda m, i: m.autograd.functional.hessian(scalar(m), tuple(i), **options), *values((3,), (2,)))
    of_both(lambda m, i: m.autograd.functional.hessian(lambda x: (x ** 4).sum().reshape(1), i[0], **options),
            *values((3,)), history="outer_jacobian_strategy" not in options)


@pytest.mark.parametrize("create_graph", [False, True])
def test_products(create_graph):
    for name in ("vhp", "hvp", "jvp"):
        def call(m, i, name=name):
            return getattr(m.autograd.functional, name)(scalar(m), tuple(i[:2]), tuple(i[2:]), create_graph)

        of_both(call, *values((3,), (2,), (3,), (2,)), requires_grad=create_graph)
    of_both(lambda m, i: m.autograd.functional.vjp(several(m), tuple(i[:2]), (i[2], i[3]), create_graph),
            *values((3,), (2, 2), (3,), ()), requires_grad=create_graph)
    of_both(lambda m, i: m.autograd.functional.jvp(lambda x: x.sin(), i[0]), *values((1,)))
    of_both(lambda m, i: m.autograd.functional.vjp(lambda x: x.sin().sum(), i[0]), *values((4,)))


WRONG = {
    "independent": lambda f, m, x: f.jacobian(lambda a, b: a * 2, (x, x), strict=True),
    "constant": lambda f, m, x: f.vjp(lambda a: m.ones(2), x, m.ones(2), strict=True),
    "linear": lambda f, m, x: f.hessian(lambda a: a.sum(), x, strict=True),
    "strict and vectorized": lambda f, m, x: f.jacobian(lambda a: a, x, strict=True, vectorize=True),
    "no v": lambda f, m, x: f.vjp(lambda a: a, x),
    "shape of v": lambda f, m, x: f.jvp(lambda a: a, x, m.ones(3)),
    "number of v": lambda f, m, x: f.jvp(lambda a, b: a, (x, x), (x,)),
    "many elements": lambda f, m, x: f.hessian(lambda a: a * a, x),
    "no Tensor in": lambda f, m, x: f.jacobian(lambda a: a, 3.0),
    "no Tensor out": lambda f, m, x: f.jacobian(lambda a: 3.0, x),
    "several": lambda f, m, x: f.hvp(lambda a: (a.sum(), a.sum()), x, x),
}


@pytest.mark.parametrize("name", WRONG)
def test_errors(name):
    for m in (torch, sq):
        with pytest.raises((RuntimeError, TypeError)) as raised:
            WRONG[name](m.autograd.functional, m, m.ones(2))
        if m is torch:
            kind = TypeError if raised.errisinstance(TypeError) else RuntimeError
        else:
            assert raised.errisinstance(kind)


def test_dual_tensors():
    x, t, w = values((3,), (3,), (2, 3))
    found = []
    for m, forward in ((sq, own_forward), (torch, torch.autograd.forward_ad)):
        with forward.dual_level():
            primal = m.tensor(x, requires_grad=True)
            dual = forward.make_dual(primal, m.tensor(t))
            y = m.nn.functional.linear(dual.sin(), m.tensor(w)).exp()
            with m.no_grad():
                unrecorded = forward.unpack_dual(dual * dual).tangent
            written = m.zeros(3, dtype=m.float64)
            written[1:] = dual[:2]
            written.mul_(dual)
            (slope,) = m.autograd.grad(y.sum(), primal, create_graph=True)
            assert forward.unpack_dual(y.detach()).tangent is None
            assert forward.unpack_dual(forward.unpack_dual(y).primal).tangent is None
            assert forward.unpack_dual(m.ones(2)).tangent is None
            made = (y, forward.unpack_dual(y).tangent, unrecorded, forward.unpack_dual(written).tangent,
                    forward.unpack_dual(slope).tangent)
            found.append([v.detach().numpy().copy() for v in made])
        assert forward.unpack_dual(y).tangent is None
    for own, theirs in zip(*found, strict=True):
        numpy.testing.assert_allclose(own, theirs, rtol=1e-12)
