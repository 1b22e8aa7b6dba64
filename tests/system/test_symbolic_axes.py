"""Named dimensions and arithmetic on them through compiled programs: captured once, right at every size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import squall as sq
from squall.base.errors import ShapeError
from squall.nn import functional as F

SIZES = (4, 9, 1, 16, 33, 5)


def draw(*shape: int) -> Any:
    return sq.tensor(np.random.default_rng(sum(shape)).normal(size=shape).astype("float32"))


WEIGHT = draw(6, 3, 3)
KEYS = draw(4, 8)

# Functions of [n, 8] (or [2, 3, n] where the name begins with "images"), with sizes that are expressions in n.
FUNCTIONS: dict[str, Any] = {
    "reshape to 2*n": lambda x: x.reshape(2 * x.shape[0], 4).cumsum(0),
    "reshape by -1": lambda x: x.reshape(-1, 2).softmax(0),
    "concat to 2*n + 1": lambda x: sq.cat([x, sq.ones(1, 8), x * 2]).sort(0).values,
    "zeros of 2*n + 1": lambda x: sq.zeros(2 * x.shape[0] + 1, 8) + x.sum(),
    "pad": lambda x: F.pad(x, (1, 2, 3, 0)).exp().sum(0),
    "slice to n // 4": lambda x: x[: x.shape[0] // 4] * 2,
    "slice from n // 2": lambda x: x[x.shape[0] // 2 :].flip(0),
    "the last three": lambda x: x[-3:] * 2,
    "from the third": lambda x: x[3:].sum(1),
    "up to the fifth": lambda x: x[:5].cumsum(0),
    "between": lambda x: x[1:-1:2] + 1,
    "a view": lambda x: x[1::3],
    "views": lambda x: (x[2:], x.T[3], x[:7])[1],
    "the size as a number": lambda x: x.sum(0) / x.shape[0] + 2 * x.shape[0],
    "every other": lambda x: x[::2].mean(1),
    "positions": lambda x: x * sq.arange(x.shape[0])[:, None] / x.shape[0],
    "outer": lambda x: (x @ x.T).tril().sum(1),
    "diagonal": lambda x: x.diagonal() * 3,
    "split": lambda x: x.chunk(2, dim=1)[1].amax(0),
    "mean and variance": lambda x: (x - x.mean(0)) * x.var(0, correction=0),
    "attention": lambda x: F.scaled_dot_product_attention(x[None], x[None], x[None], is_causal=True),
    "attention to fixed keys": lambda x: F.scaled_dot_product_attention(x[None], KEYS[None], KEYS[None]),
    "images convolved": lambda x: F.conv1d(x, WEIGHT, padding=1).relu(),
    "images convolved in steps": lambda x: F.conv1d(x, WEIGHT, stride=2, padding=1).sum(1),
    "images transposed convolution": lambda x: F.conv_transpose1d(x, WEIGHT.permute(1, 0, 2), stride=2),
    "images pooled": lambda x: F.avg_pool1d(x, 3, stride=2, padding=1),
    "images repeated": lambda x: x.repeat_interleave(2, dim=2)[..., : 2 * x.shape[2] - 1],
}


def check(made: np.ndarray, expected: np.ndarray, name: str) -> None:
    """Bits, but for convolutions, whose layout is chosen by size."""
    if name.startswith("images"):
        np.testing.assert_allclose(made, expected, rtol=1e-5, atol=1e-5, err_msg=name)
    else:
        np.testing.assert_array_equal(made, expected, err_msg=name)


@pytest.mark.parametrize("name", list(FUNCTIONS))
def test_arithmetic_on_sizes(name: str) -> None:
    function, images = FUNCTIONS[name], name.startswith("images")
    n = sq.Dim("n", min=1, max=64)
    compiled = sq.compile(function, dynamic_shapes=({2 if images else 0: n},))
    for size in SIZES:
        x = draw(2, 3, size) if images else draw(size, 8)
        made, expected = compiled(x).numpy(), function(x).numpy()
        assert made.shape == expected.shape
        check(made, expected, f"{name} at {size}")
    assert compiled.captures == 1


@pytest.mark.parametrize(
    "name", ["concat to 2*n + 1", "attention", "images convolved in steps", "reshape to 2*n", "pad", "every other"]
)
def test_gradients_over_arithmetic_on_sizes(name: str) -> None:
    function, images = FUNCTIONS[name], name.startswith("images")
    n = sq.Dim("n", min=1, max=64)
    gradient = sq.func.grad(lambda x: (function(x) ** 2).sum())
    compiled = sq.compile(gradient, dynamic_shapes=({2 if images else 0: n},))
    for size in SIZES:
        x = draw(2, 3, size) if images else draw(size, 8)
        check(compiled(x).numpy(), gradient(x).numpy(), f"{name} at {size}")
    assert compiled.captures == 1


def test_results_have_the_sizes_of_their_call() -> None:
    n = sq.Dim("n", min=1, max=64)
    compiled = sq.compile(lambda x: (x[1:], x.T, x.shape[0], x * 2), dynamic_shapes=({0: n},))
    for size in SIZES:
        x = draw(size, 8)
        rest, turned, count, doubled = compiled(x)
        assert (rest.shape, turned.shape, count, doubled.shape) == ((size - 1, 8), (8, size), size, (size, 8))
        np.testing.assert_array_equal(rest.numpy(), x.numpy()[1:])
        turned[0] = 5.0  # a view of the argument
        assert x[:, 0].tolist() == [5.0] * size
    assert compiled.captures == 1


def test_a_transformer_serves_every_batch_and_length() -> None:
    sq.manual_seed(0)
    layer = sq.nn.TransformerEncoderLayer(16, 4, dim_feedforward=32, dropout=0.0, batch_first=True)
    model = sq.nn.TransformerEncoder(layer, 2).eval()
    embedding, positions = sq.nn.Embedding(50, 16), sq.nn.Embedding(64, 16)

    def apply(tokens: Any) -> Any:
        x = embedding(tokens) + positions(sq.arange(tokens.shape[1]))
        return model(x) @ embedding.weight.T

    batch, length = sq.Dim("batch", min=1, max=32), sq.Dim("length", min=1, max=64)
    compiled = sq.compile(apply, dynamic_shapes=({0: batch, 1: length},))
    with sq.no_grad():
        for b, t in ((2, 7), (1, 1), (3, 64), (32, 5), (1, 33), (5, 8)):
            tokens = sq.tensor(np.random.default_rng(b * t).integers(0, 50, (b, t)))
            np.testing.assert_allclose(compiled(tokens).numpy(), apply(tokens).numpy(), rtol=1e-5, atol=1e-5)
        assert compiled.captures == 1
        with pytest.raises(ShapeError, match=r"argument 0, dimension 1 \(length\) has size 65.*1 to 64"):
            compiled(sq.zeros(2, 65, dtype=sq.int64))
        with pytest.raises(ShapeError, match=r"dimension 0 \(batch\) has size 33"):
            compiled(sq.zeros(33, 2, dtype=sq.int64))
    assert compiled.captures == 1


def test_two_arguments_of_one_name_must_agree() -> None:
    n = sq.Dim("n", min=1)
    both = sq.compile(lambda x, y: x @ y, dynamic_shapes=({1: n}, {0: n}))
    assert both(sq.ones(2, 5), sq.ones(5, 3)).tolist() == [[5.0] * 3] * 2
    with pytest.raises(ShapeError, match="n is 5 in argument 0, dimension 1, but 4 in argument 1, dimension 0"):
        both(sq.ones(2, 5), sq.ones(4, 3))
    assert both.captures == 1


def test_sizes_that_depend_on_values_are_evaluated_and_explained() -> None:
    def kept(x: Any) -> Any:
        return x[x > 0].sort().values * 2

    x = draw(5, 8)
    assert kept(x).tolist() == sorted((x.numpy()[x.numpy() > 0] * 2).tolist())
    told = str(sq.explain(kept)(x))
    assert "test_symbolic_axes.py" in told and "evaluat" in told, told


@pytest.mark.parametrize(
    "function",
    [
        lambda x: sq.nn.functional.pad(x, (0, 0, 1, x.shape[0])).reshape(2 * x.shape[0] + 1, -1).sum(1),
        lambda x: sq.roll(x, 1, 0) + sq.roll(x, -1, 0) + sq.roll(x, 0, 0),
        lambda x: sq.eye(x.shape[0]) @ x + (x @ x.T).diagonal(1).sum() + sq.eye(x.shape[0], 3),
    ],
)
def test_sizes_of_several_terms_divide_roll_and_make_unit_matrices(function):
    n = sq.Dim("n", min=2, max=64)
    program = sq.compile(function, dynamic_shapes=[{0: n}])
    for size in (2, 5, 12):
        x = sq.arange(3.0 * size).reshape(size, 3) / 7
        assert sq.allclose(program(x), function(x), atol=1e-4)


def test_polynomials_of_sizes_divide_where_nothing_is_left():
    n, m = sq.Dim("n", min=1), sq.Dim("m", min=1)
    assert (6 * n + 3) // (2 * n + 1) == 3 and (n * n - 1) // (n + 1) == n - 1
    assert (n * m + n + m + 1) // (m + 1) == n + 1 and (n * n - 1) % (n - 1) == 0
    assert 0 % n == 0 and str((n * n) // (n + 1)).count("//") == 1
