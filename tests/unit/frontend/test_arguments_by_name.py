"""Functions take PyTorch's names of arguments, and NumPy's where PyTorch does; results go to `out=`."""

import pytest

import squall as sq

X = sq.tensor([[1.26, 2.5], [3.0, 4.0]])
M = sq.tensor([[2.0, 1.0], [1.0, 3.0]])


def same(a, b) -> bool:
    a, b = (v if isinstance(v, (tuple, list)) else (v,) for v in (a, b))
    return len(a) == len(b) and all(x.equal(y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        (lambda: X.round(decimals=1), lambda: sq.round(X, decimals=1)),
        (lambda: X.clone().round_(decimals=1), lambda: sq.round(X, decimals=1)),
        (lambda: sq.max(X, other=M), lambda: sq.maximum(X, M)),
        (lambda: X.min(other=M), lambda: sq.minimum(X, M)),
        (lambda: X.norm(dtype=sq.float64), lambda: X.double().norm()),
        (lambda: X.broadcast_to(3, 2, 2), lambda: X.expand(3, 2, 2)),
        (lambda: X.swapdims(dim0=0, dim1=1), lambda: X.T),
        (lambda: sq.swapaxes(X, axis0=0, axis1=1), lambda: X.T),
        (lambda: X.tensor_split(sections=2), lambda: X.tensor_split(2)),
        (lambda: sq.tensor_split(X, indices=[1], dim=1), lambda: X.tensor_split([1], 1)),
        (lambda: X.hsplit(indices=[1]), lambda: X.hsplit([1])),
        (lambda: sq.vsplit(X, sections=2), lambda: X.vsplit(2)),
        (lambda: sq.det(input=M), lambda: sq.linalg.det(A=M)),
        (lambda: sq.inverse(input=M), lambda: sq.linalg.inv(M)),
        (lambda: sq.matrix_exp(input=M), lambda: sq.linalg.matrix_exp(A=M)),
        (lambda: sq.abs_(input=X.neg()), lambda: X),
        (lambda: sq.sum(X, axis=0), lambda: X.sum(0)),
        (lambda: sq.mean(X, 1, keepdims=True), lambda: X.mean(1, True)),
        (lambda: sq.cat([X, M], axis=1), lambda: sq.cat([X, M], 1)),
        (lambda: X.sum(axis=0, keepdims=True), lambda: X.sum(0, True)),
        (lambda: X.mean(axis=1), lambda: X.mean(1)),
        (lambda: X.max(axis=1, keepdims=True).values, lambda: X.max(1, True).values),
        (lambda: X.softmax(axis=0), lambda: X.softmax(0)),
        (lambda: X.var(axis=0, correction=0), lambda: X.var(0, correction=0)),
        (lambda: X.argmax(axis=1), lambda: X.argmax(1)),
        (lambda: X.cumsum(axis=1), lambda: X.cumsum(1)),
        (lambda: X.unsqueeze(axis=0), lambda: X.unsqueeze(0)),
        (lambda: sq.ones(1, 2, 1).squeeze(0, 2), lambda: sq.ones(2)),
        (lambda: sq.ones(1, 2, 1).squeeze(dim=(0, -1)), lambda: sq.ones(2)),
        (lambda: sq.ones(1, 2, 1).squeeze(axis=0), lambda: sq.ones(2, 1)),
        (lambda: sq.ones(1, 2, 1).squeeze_(0, 2), lambda: sq.ones(2)),
        (lambda: X.view(size=(4,)), lambda: X.view(4)),
        (lambda: X.view(dtype=sq.int32), lambda: X.view(sq.int32)),
        (lambda: sq.repeat_interleave(sq.tensor([2, 0, 1])), lambda: sq.tensor([0, 0, 2])),
        (lambda: sq.dot(X[0], tensor=X[1]), lambda: X[0] @ X[1]),
        (lambda: sq.clone(X, memory_format=sq.preserve_format), lambda: X),
        (lambda: sq.gather(X, 0, sq.tensor([[1, 0]]), sparse_grad=False), lambda: X.gather(0, sq.tensor([[1, 0]]))),
    ],
)
def test_arguments_by_pytorchs_names(made, wanted):
    assert same(made(), wanted())


@pytest.mark.parametrize(
    ("run", "out"),
    [
        (lambda out: sq.argmax(X, 1, out=out), sq.zeros(2, dtype=sq.int64)),
        (lambda out: sq.argmin(X, out=out), sq.zeros((), dtype=sq.int64)),
        (lambda out: sq.argsort(X, 0, True, out=out), sq.zeros(2, 2, dtype=sq.int64)),
        (lambda out: sq.nonzero(X, out=out), sq.empty(0, dtype=sq.int64)),
        (lambda out: sq.stack([X, M], 1, out=out), sq.empty(0)),
        (lambda out: sq.bernoulli(X, 1.0, out=out), sq.empty(2, 2)),
    ],
)
def test_results_are_written_to_out(run, out):
    assert run(out) is out
    assert out.equal(run(None))


def test_bernoulli_with_one_probability():
    assert X.bernoulli(1.0).equal(sq.ones(2, 2)) and X.bernoulli(0.0).equal(sq.zeros(2, 2))
    assert 0.4 < sq.bernoulli(sq.zeros(4000), 0.5).mean().item() < 0.6
    with pytest.raises(RuntimeError, match="between 0 and 1"):
        sq.bernoulli(X, 1.5)


def test_backward_and_grad_take_pytorchs_names():
    x = sq.ones(2).requires_grad_()
    sq.autograd.backward(x * 3, grad_tensors=sq.tensor([1.0, 2.0]))
    assert x.grad.tolist() == [3.0, 6.0]
    (g,) = sq.autograd.grad((x * 2).sum(), x, None, None, False, True, False)
    assert g.tolist() == [2.0, 2.0]
    with pytest.raises(RuntimeError, match="only_inputs"):
        sq.autograd.grad((x * 2).sum(), x, only_inputs=False)


def test_names_that_contradict():
    with pytest.raises(TypeError, match="both 'dim' and 'axis'"):
        sq.sum(X, dim=0, axis=1)
    with pytest.raises(TypeError, match="both 'dim' and 'axis'"):
        X.sum(dim=0, axis=1)
    with pytest.raises(TypeError, match="expected one of"):
        sq.tensor_split(X)
    assert sq.histogram(X.flatten()).hist.shape == (100,)
