"""Convolutions, pooling and batch_norm that compute with the channels last: values, gradients, bits."""

import numpy as np
import pytest

import squall as sq


def _numpy_gradients(x, w, g, stride, padding, groups):
    """Gradients of input and weight by the definition, in float64."""
    x, w, g = (v.astype(np.float64) for v in (x, w, g))
    c, h = x.shape[1:3]
    padded = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    gx, gw = np.zeros_like(padded), np.zeros_like(w)
    out, inside, size = w.shape[0] // groups, c // groups, g.shape[-1]
    for k in range(groups):
        o, i = slice(k * out, (k + 1) * out), slice(k * inside, (k + 1) * inside)
        for a in range(w.shape[2]):
            for b in range(w.shape[3]):
                box = (slice(None), i, slice(a, a + size * stride - stride + 1, stride),
                       slice(b, b + size * stride - stride + 1, stride))
                gw[o, :, a, b] += np.einsum("nopq,ncpq->oc", g[:, o], padded[box])
                gx[box] += np.einsum("nopq,oc->ncpq", g[:, o], w[o, :, a, b])
    return gx[:, :, padding:padding + h, padding:padding + h], gw


@pytest.mark.parametrize("channels, filters, size, kernel, stride, padding, groups", [
    (32, 32, 7, 3, 1, 1, 1), (33, 32, 8, 3, 2, 1, 1), (32, 64, 9, 1, 2, 0, 1), (3, 32, 11, 7, 2, 3, 1),
    (32, 3, 6, 3, 1, 1, 1), (64, 64, 6, 3, 1, 2, 2), (32, 32, 7, 3, 1, 1, 32), (64, 64, 8, 3, 2, 1, 64),
    (32, 64, 6, 3, 1, 1, 32), (4, 6, 9, 3, 3, 1, 1), (5, 4, 8, 2, 2, 0, 1)])
def test_gradients_by_definition(channels, filters, size, kernel, stride, padding, groups):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((2, channels, size, size)).astype("f4")
    w = rng.standard_normal((filters, channels // groups, kernel, kernel)).astype("f4")
    xs, ws = sq.tensor(x, requires_grad=True), sq.tensor(w, requires_grad=True)
    y = sq.nn.functional.conv2d(xs, ws, stride=stride, padding=padding, groups=groups)
    g = rng.standard_normal(tuple(y.shape)).astype("f4")
    y.backward(sq.tensor(g))
    gx, gw = _numpy_gradients(x, w, g, stride, padding, groups)
    np.testing.assert_allclose(xs.grad.numpy(), gx, rtol=2e-4, atol=2e-4)
    np.testing.assert_allclose(ws.grad.numpy(), gw, rtol=2e-4, atol=2e-4)


def _block(x, w, weight, bias):
    functional = sq.nn.functional
    y = functional.relu(functional.batch_norm(functional.conv2d(x, w, padding=1), None, None, weight, bias, True))
    return functional.max_pool2d(functional.conv2d(y, w, padding=1, stride=2) + y[:, :, ::2, ::2], 3, 2, 1)


def test_bits_do_not_depend_on_where_a_chain_is_evaluated():
    rng = np.random.default_rng(2)
    x, w = (sq.tensor(rng.standard_normal(s).astype("f4")) for s in ((2, 32, 9, 9), (32, 32, 3, 3)))
    weight, bias = sq.ones(32), sq.zeros(32)
    whole = _block(x, w, weight, bias).numpy().tobytes()
    assert sq.compile(_block)(x, w, weight, bias).numpy().tobytes() == whole
    sq.set_eager(True)
    try:
        assert _block(x, w, weight, bias).numpy().tobytes() == whole
    finally:
        sq.set_eager(False)
    sq.set_num_threads(1)
    try:
        assert _block(x, w, weight, bias).numpy().tobytes() == whole
    finally:
        sq.set_num_threads(2)
