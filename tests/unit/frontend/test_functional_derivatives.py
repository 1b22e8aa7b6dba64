"""`sq.autograd.functional` against differences; the structure of results, history, strictness."""

import numpy as np
import pytest

import squall as sq
from squall.autograd import functional

RNG = np.random.default_rng(8)
X, Y, U, V = RNG.normal(size=3), RNG.normal(size=(2, 2)), RNG.normal(size=3), RNG.normal(size=(2, 2))


def pair(x, y):
    return x.sin() * y.sum(), (y * y).exp().mean() * x[0]


def scalar(x, y):
    return (x * x * x).sum() * y.sum().cos() + (y**3).sum() * x[0]


def differences(function, arrays, position, step=1e-6):
    """Derivatives of each output by one argument, as arrays of the output's shape and then the argument's."""
    columns = []
    for at in np.ndindex(arrays[position].shape):
        ends = []
        for s in (step, -step):
            moved = [a.copy() for a in arrays]
            moved[position][at] += s
            made = function(*map(sq.tensor, moved))
            ends.append([t.detach().numpy().copy() for t in (made if isinstance(made, tuple) else (made,))])
        columns.append([(a - b) / (2 * step) for a, b in zip(*ends, strict=True)])
    shape = arrays[position].shape
    return [np.stack([c[i] for c in columns], -1).reshape(*columns[0][i].shape, *shape) for i in range(len(columns[0]))]


@pytest.mark.parametrize("strategy", ["reverse-mode", "forward-mode"])
def test_jacobian(strategy):
    found = functional.jacobian(pair, (sq.tensor(X), sq.tensor(Y)), strategy=strategy)
    for j in range(2):
        for i, want in enumerate(differences(pair, [X, Y], j)):
            np.testing.assert_allclose(found[i][j].numpy(), want, rtol=1e-7, atol=1e-8)
    assert isinstance(functional.jacobian(lambda x: x * 2, sq.tensor(X)), sq.Tensor)
    assert len(functional.jacobian(lambda x: (x, x), sq.tensor(X))) == 2


@pytest.mark.parametrize("strategy", ["reverse-mode", "forward-mode"])
def test_hessian(strategy):
    found = functional.hessian(scalar, (sq.tensor(X), sq.tensor(Y)), outer_jacobian_strategy=strategy)
    gradient = sq.func.grad(scalar, (0, 1))
    for j in range(2):
        for i, want in enumerate(differences(gradient, [X, Y], j)):
            np.testing.assert_allclose(found[i][j].numpy(), want, rtol=1e-6, atol=1e-7)
    alone = functional.hessian(lambda x: (x**3).sum().reshape(1, 1), sq.tensor(X))
    np.testing.assert_allclose(alone.numpy(), np.diag(6 * X))


def test_products():
    inputs, vectors = (sq.tensor(X), sq.tensor(Y)), (sq.tensor(U), sq.tensor(V))
    jacobian = functional.jacobian(pair, inputs)
    value, moved = functional.jvp(pair, inputs, vectors)
    pulled = functional.vjp(pair, inputs, (sq.tensor(U), sq.tensor(0.5, dtype=sq.float64)))[1]
    wide = [[b.numpy().reshape(-1, v.size) for b, v in zip(row, (U, V), strict=True)] for row in jacobian]
    for i in range(2):
        assert value[i].tolist() == pair(*inputs)[i].tolist()
        np.testing.assert_allclose(moved[i].numpy().ravel(), wide[i][0] @ U + wide[i][1] @ V.ravel())
        want = U @ wide[0][i] + 0.5 * wide[1][i][0]
        np.testing.assert_allclose(pulled[i].numpy().ravel(), want)
    hessian = functional.hessian(scalar, inputs)
    for product in (functional.vhp, functional.hvp):
        value, found = product(scalar, inputs, vectors)
        assert float(value) == float(scalar(*inputs))
        for i, size in enumerate((3, 4)):
            want = hessian[i][0].numpy().reshape(size, 3) @ U + hessian[i][1].numpy().reshape(size, 4) @ V.ravel()
            np.testing.assert_allclose(found[i].numpy().ravel(), want)


def test_history():
    """Results have one exactly when a graph is asked for; it leads to the inputs and to what the function captured."""
    x, w = sq.tensor(X, requires_grad=True), sq.tensor(2.0, dtype=sq.float64, requires_grad=True)
    for name, extra in (("jacobian", ()), ("hessian", ()), ("hvp", (sq.tensor(U),)), ("vhp", (sq.tensor(U),)),
                        ("jvp", (sq.tensor(U),)), ("vjp", (sq.tensor(1.0, dtype=sq.float64),))):
        function = getattr(functional, name)
        results = [function(lambda v: (v**3).sum() * w, x, *extra, create_graph=c) for c in (False, True)]
        without, with_one = (r[-1] if isinstance(r, tuple) else r for r in results)
        assert not without.requires_grad and without.tolist() == with_one.tolist()
        by_x, by_w = sq.autograd.grad(with_one.sum(), (x, w))
        assert by_x.abs().sum() > 0 and float(by_w) == pytest.approx(float(with_one.sum()) / 2)


@pytest.mark.parametrize("call, said", [
    (lambda f, x: f.jacobian(lambda a, b: a * 2, (x, x), strict=True), "output 0 .* does not depend on input 1"),
    (lambda f, x: f.vjp(lambda a: sq.ones(2), x, sq.ones(2), strict=True), "output 0 of the .* has no history"),
    (lambda f, x: f.hessian(lambda a: a.sum(), x, strict=True), "jacobian of the user-provided function"),
    (lambda f, x: f.jacobian(lambda a: a, x, strict=True, vectorize=True), "cannot be checked where `vectorize`"),
    (lambda f, x: f.jacobian(lambda a: a, x, strategy="sideways"), "expected strategy"),
    (lambda f, x: f.vjp(lambda a: a, x), "v may be left out only where"),
    (lambda f, x: f.jvp(lambda a: a, x, sq.ones(3)), "v must have shape"),
    (lambda f, x: f.jvp(lambda a: a, x, sq.ones(2, dtype=sq.float64)), "v must have the dtype squall.float32"),
    (lambda f, x: f.jvp(lambda a, b: a, (x, x), (x,)), "v must hold 2 Tensors, got 1"),
    (lambda f, x: f.hessian(lambda a: a * a, x), "must return one element, got shape"),
    (lambda f, x: f.hvp(lambda a: (a.sum(), a.sum()), x, x), "must return one Tensor"),
])
def test_errors(call, said):
    with pytest.raises(RuntimeError, match=said):
        call(functional, sq.ones(2))


def test_only_tensors():
    for call in (lambda: functional.jacobian(lambda a: a, 3.0), lambda: functional.jacobian(lambda a: 3.0, sq.ones(1))):
        with pytest.raises(TypeError, match="must be a Tensor or a tuple of Tensors"):
            call()
    assert functional.jacobian(lambda a, b: a, (sq.ones(1), sq.ones(1)))[1].tolist() == [[0.0]]
