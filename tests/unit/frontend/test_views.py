"""Views and in-place writes: one storage, many handles."""

import time

import numpy as np
import pytest

import squall as sq


def test_a_write_through_a_view_of_a_view_changes_the_base():
    x = sq.arange(12.0).reshape(4, 3)
    y = x[1:3].T
    y += 1
    assert x.tolist() == [[0, 1, 2], [4, 5, 6], [7, 8, 9], [9, 10, 11]]
    assert y.tolist() == [[4, 7], [5, 8], [6, 9]]


def test_every_alias_sees_a_write_to_the_base():
    x = sq.zeros(3, 4)
    aliases = [x[1], x.T, x[:, ::2], x.view(12), x.view(2, 6)[1:], x.unsqueeze(0), x.detach(), x.data, x.diagonal()]
    x.copy_(sq.arange(12.0).view(3, 4))
    expected = [[4, 5, 6, 7], [[0, 4, 8], [1, 5, 9], [2, 6, 10], [3, 7, 11]], [[0, 2], [4, 6], [8, 10]],
                list(range(12)), [[6, 7, 8, 9, 10, 11]]]
    assert [a.tolist() for a in aliases[:5]] == expected
    assert aliases[5][0].tolist() == aliases[6].tolist() == aliases[7].tolist() == x.tolist()
    assert aliases[8].tolist() == [0, 5, 10]


@pytest.mark.parametrize("evaluate", [False, True])
def test_writes_through_each_kind_of_view(evaluate):
    def fresh():
        x = sq.zeros(3, 4) * 1
        if evaluate:
            sq.flush()
        return x

    x = fresh()
    x.diagonal().fill_(1)
    assert x.tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]
    x = fresh()
    x.T[1:3, 0] = 5
    assert x[0].tolist() == [0, 5, 5, 0]
    x = fresh()
    x.view(2, 6)[1, 2:4].add_(7)
    assert x.tolist()[2] == [7, 7, 0, 0]
    x = fresh()
    x[..., -1].copy_(sq.tensor([1, 2, 3]))
    assert x[:, 3].tolist() == [1, 2, 3]
    x = fresh()
    x.unbind(1)[2].fill_(4)
    assert x[:, 2].tolist() == [4, 4, 4]
    x = fresh()
    x[::2, 1::2] = sq.ones(2)
    assert x.tolist() == [[0, 1, 0, 1], [0, 0, 0, 0], [0, 1, 0, 1]]


def test_masks_and_index_tensors_write():
    x = sq.arange(6.0)
    x[x > 3] = -1
    assert x.tolist() == [0, 1, 2, 3, -1, -1]
    x[sq.tensor([0, -1])] = sq.tensor([8.0, 9.0])
    assert x.tolist() == [8, 1, 2, 3, -1, 9]
    m = sq.zeros(2, 3)
    m[sq.tensor([True, False])] = sq.tensor([1.0, 2.0, 3.0])
    m[:, 1][sq.tensor([False, True])] = 6
    assert m.tolist() == [[1, 2, 3], [0, 6, 0]]


def test_detach_data_and_clone():
    x = sq.ones(3)
    x.detach().add_(1)
    x.data.mul_(2)
    copy = x.clone()
    copy.zero_()
    assert x.tolist() == [4, 4, 4] and copy.tolist() == [0, 0, 0]
    assert x._version == 1
    x.data[0] = 9
    assert x.tolist() == [9, 4, 4] and x._version == 1


def test_setting_data_keeps_the_handle_and_its_gradient():
    p = sq.zeros(2, requires_grad=True)
    new = sq.tensor([1.0, 2.0])
    p.data = new
    assert p.requires_grad and p.is_leaf and p.tolist() == [1, 2]
    (p * p).sum().backward()
    assert p.grad.tolist() == [2, 4]
    p.data = p.data + 1
    assert p.tolist() == [2, 3]
    with pytest.raises(RuntimeError):
        p.data = sq.tensor([1, 2])


def test_an_in_place_write_that_does_not_fit_is_refused_and_changes_nothing():
    x = sq.zeros(3)
    with pytest.raises(RuntimeError, match=r"output with shape \[3\] doesn't match the broadcast shape \[2, 3\]"):
        x.add_(sq.ones(2, 3))
    with pytest.raises(RuntimeError, match="result type"):
        sq.zeros(2, dtype=sq.int64).add_(0.5)
    with pytest.raises(RuntimeError, match="single memory location"):
        x.expand(2, 3).add_(1)
    assert x.tolist() == [0, 0, 0] and x._version == 0


def test_strides_offsets_and_view_errors():
    x = sq.arange(24).reshape(2, 3, 4)
    assert x.stride() == (12, 4, 1) and x.is_contiguous()
    t = x.transpose(0, 2)
    assert t.stride() == (1, 4, 12) and not t.is_contiguous() and t.contiguous().is_contiguous()
    assert x[1, 1:].storage_offset() == 16 and x[:, ::2, 1].stride() == (12, 8)
    assert x[0].expand(5, 3, 4).stride() == (0, 4, 1)
    assert x.view(2, 12).stride() == (12, 1)
    with pytest.raises(RuntimeError, match="not compatible with input tensor's size and stride"):
        t.view(24)
    assert t.reshape(24).tolist()[:3] == [0, 12, 4]
    assert x.stride() == (12, 4, 1), "the same before and after evaluation"


def test_filling_column_by_column_takes_linear_time():
    def fill(steps):
        out = sq.zeros(4, steps)
        start = time.thread_time()
        for t in range(steps):
            h = sq.ones(4) * t
            out[:, t] = h
        total = out.sum().item()
        return total, time.thread_time() - start

    few, many = (min(fill(steps)[1] for _ in range(6)) for steps in (250, 1000))  # the first ones compile
    assert fill(1000)[0] == 4 * 999 * 500
    assert many < 4 * 3 * few, f"{few:.3f} s for 250 columns, {many:.3f} s for 1000"


def test_versions_count_writes_to_the_storage():
    x = sq.zeros(4)
    view = x[:2]
    view.add_(1)
    x.mul_(2)
    with sq.no_grad():
        x[0] = 1
    assert x._version == view._version == x.detach()._version == 3
    assert x.clone()._version == 0


def test_writes_into_a_fresh_product():
    a, b = np.random.default_rng(0).standard_normal((2, 64, 64)).astype("float32")
    for write in ([(slice(1, 3), 1.0)], [((slice(None), 1), 2.0), (2, 3.0)]):
        product, expected = sq.tensor(a) @ sq.tensor(b), a @ b
        for place, value in write:
            product[place] = value
            expected[place] = value
        assert np.allclose(product.numpy(), expected, atol=1e-4)
