"""Ints that only say where: in a compiled function they are inputs of the program, not part of it."""

import numpy as np
import pytest

import squall as sq
from squall import nn
from squall.nn import functional as F


def compare(function, calls, most):
    """Call a function with and without `compile`; all results have the same bits."""
    compiled = sq.compile(function)
    for arguments in calls:
        expected, found = function(*arguments), compiled(*arguments)
        assert expected.numpy().tobytes() == found.numpy().tobytes(), arguments
    assert compiled.captures <= most, compiled.captures
    return compiled


X = np.arange(240, dtype="float32").reshape(20, 12)


@pytest.mark.parametrize(
    "function",
    [
        lambda x, i: x[i] * 2,
        lambda x, i: x[:, i] + 1,
        lambda x, i: x[i, i - 1],
        lambda x, i: x[i:i + 4].sum(0),
        lambda x, i: x[None, i:i + 4, 2:5].exp(),
        lambda x, i: x.select(1, i) - x.narrow(0, i, 2).sum(),
        lambda x, i: x[-i, :3] * x[i:i + 3, -i],
        lambda x, i: x[i:i + 8:2],
    ],
)
def test_positions_are_inputs(function):
    compare(function, [(sq.tensor(X), i) for i in (3, 1, 5, 2, 7, 4, 6)], 2)


def test_numbers_take_part_in_arithmetic_too():
    compare(lambda x, i: x[i] * i + (sq.arange(12) < i), [(sq.tensor(X), i) for i in range(1, 9)], 2)


def test_a_slice_that_is_cut_off_is_another_program():
    compiled = compare(lambda x, i: x[i:i + 4].sum(0), [(sq.tensor(X), i) for i in (0, 5, 9, 17, 18, 4, 17)], 4)
    assert compiled.captures == 4  # the first number, any number, three rows, two rows


def test_writes_go_where_the_number_says():
    def put(x, i, v):
        x = x.clone()
        x[i] = v
        x[:, i:i + 2] += v
        return x

    compare(put, [(sq.tensor(X), i, float(v)) for i, v in enumerate((5, 3, 8, 1, 2))], 3)


def test_an_index_outside_is_an_error_of_the_call():
    def read(x, i):
        return x[i] * 2

    read = sq.compile(read)
    for i in (1, 2, -20, 19):
        read(sq.tensor(X), i)
    for i in (20, -21):
        with pytest.raises(IndexError, match=f"index {i} is out of bounds for dimension 0 with size 20"):
            read(sq.tensor(X), i)
    assert read(sq.tensor(X), 4)[0].item() == 96 and read.captures <= 2


def test_gradients_come_back_to_where_they_were_read():
    def run(f):
        seen = []
        for i in (0, 3, 5, 2):
            x = sq.tensor(X, requires_grad=True)
            (f(x, i) ** 2).sum().backward()
            seen.append(x.grad.numpy().tobytes())
        return seen

    def window(x, i):
        return x[i:i + 3, i]

    compiled = sq.compile(window)
    assert run(window) == run(compiled) and compiled.captures <= 2


class Attention(nn.Module):
    """One head with a cache of fixed size."""

    def __init__(self, width, length):
        super().__init__()
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.keys, self.values = sq.zeros(length, width), sq.zeros(length, width)

    def forward(self, x, pos):
        q, k, v = self.qkv(x).chunk(3)
        self.keys[pos] = k
        self.values[pos] = v
        seen = sq.arange(self.keys.shape[0]) <= pos
        scores = (self.keys @ q).masked_fill(~seen, float("-inf"))
        return self.out(F.softmax(scores, 0) @ self.values)


def test_decoding_with_a_cache_is_captured_at_most_three_times():
    def decode(compiled):
        sq.manual_seed(0)
        embedding, attention = nn.Embedding(11, 8), Attention(8, 200)
        head = nn.Linear(8, 11)

        def step(token, pos):
            x = embedding(token) + attention(embedding(token), pos)
            return head(x).argmax()

        run = sq.compile(step) if compiled else step
        token, tokens = sq.tensor(1), []
        with sq.no_grad():
            for pos in range(200):
                token = run(token, pos)
                tokens.append(token.item())
        return tokens, run

    expected, _ = decode(False)
    found, run = decode(True)
    assert expected == found
    assert run.captures <= 3
