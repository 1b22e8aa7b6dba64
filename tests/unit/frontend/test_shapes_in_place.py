"""Shapes changed in place (`t_`, `squeeze_` and their like): versions, histories, and views that were made before."""

import numpy as np
import pytest

import squall as sq

CHANGES = {
    "t_": lambda x: x.t_(),
    "transpose_": lambda x: x.transpose_(0, 1),
    "unsqueeze_": lambda x: x.unsqueeze_(0),
    "squeeze_": lambda x: x.squeeze_(),
}


@pytest.mark.parametrize("name", CHANGES)
def test_they_count_as_writes(name):
    x = sq.ones(1, 3)
    row = x[:1]
    CHANGES[name](x)
    assert (x._version, row._version) == (1, 1)


def test_what_was_saved_before_is_refused():
    x = sq.ones(2, 3, requires_grad=True)
    y = x * 2
    z = y.sin()
    y.t_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()


def test_written_afterwards_gradients_flow_through_older_views_too():
    x = sq.ones(2, 3, requires_grad=True)
    y = x * 2
    row = y[:1]
    y.t_()
    y.mul_(sq.arange(6.0).reshape(3, 2))
    (y * row.sum()).sum().backward()
    weights = np.arange(6.0).reshape(3, 2).T  # y is 2 * weights; its first row counts in both factors
    expected = 2 * weights * 2 * weights[0].sum() + np.array([[1], [0]]) * 2 * weights * 2 * weights.sum()
    np.testing.assert_allclose(x.grad.numpy(), expected)


def test_without_recording_a_history_goes_on_and_a_leaf_stays_one():
    x = sq.ones(2, 3, requires_grad=True)
    y = x * 2
    with sq.no_grad():
        y.t_()
    assert y.requires_grad and not y.is_leaf
    with sq.no_grad():
        x.t_()
    assert x.requires_grad and x.is_leaf
    (x * sq.arange(6.0).reshape(3, 2)).sum().backward()
    assert x.grad.tolist() == [[0, 1], [2, 3], [4, 5]]


def test_pieces_of_a_split_are_read_again_after_their_history_was_computed():
    x = sq.ones(4, 2, requires_grad=True)
    first, _ = x.split(2)
    y = first * 0.5 + x[2:]
    sq.flush()
    with sq.no_grad():
        x.mul_(3)
    assert first.detach().tolist() == [[3, 3], [3, 3]]
    y.sum().backward()
    assert x.grad.tolist() == [[0.5, 0.5]] * 2 + [[1, 1]] * 2


def test_an_index_smaller_than_the_source_scatters_a_part_of_it():
    source = sq.arange(6.0).reshape(2, 3).requires_grad_()
    index = sq.tensor([[1, 0]])
    out = sq.zeros(3, 3).scatter(0, index, source)
    assert out.tolist() == [[0, 1, 0], [0, 0, 0], [0, 0, 0]]
    sq.zeros(3, 3).scatter_add(1, index, source).square().sum().backward()
    assert source.grad.tolist() == [[0, 2, 0], [0, 0, 0]]
    with pytest.raises(RuntimeError, match="must have one shape"):
        sq.zeros(3, 3).scatter(0, sq.tensor([[1, 0, 2]]), source.detach()[:, :2])
