"""An index found out of range when values are computed: the error names op, operand, value, size and line."""

import inspect

import pytest

import squall as sq
from squall import nn
from squall.base.errors import IndexRangeError
from squall.nn import functional as F


def here(offset=0):
    """file:line of the caller, some lines further on."""
    frame = inspect.currentframe().f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno + offset}"


def message_of(work):
    with pytest.raises(IndexRangeError) as caught:
        work()
    return str(caught.value)


def later(values):
    """Indices whose values are not known while recording."""
    return sq.tensor(values) * 1


def check(text, op, operand, value, size, line):
    assert text.startswith(f"{op}: "), text
    assert operand in text and f"index {value} is out of range" in text and f"of size {size}" in text, text
    assert text.endswith(f"recorded at {line}."), (text, line)


CASES = [
    ("gather", "operand 1 (index)", 4, 3, lambda x, j: x.gather(0, j.reshape(2, 1))),
    ("take", "operand 1 (index)", 4, 3, lambda x, j: x[j]),
    ("take", "operand 1 (index)", 4, 3, lambda x, j: x.index_select(0, j)),
    ("index", "operand 1 (of indices)", 4, 3, lambda x, j: x[j, j * 0]),
    ("scatter", "operand 1 (index)", 4, 3, lambda x, j: x.scatter(0, j.reshape(2, 1), 1.0)),
    ("scatter_add", "operand 1 (index)", 4, 3, lambda x, j: x.scatter_add(0, j.reshape(2, 1), sq.ones(2, 1))),
    ("index_add", "operand 1 (index)", 4, 3, lambda x, j: x.index_add(0, j, sq.ones(2, 5))),
    ("embedding", "operand 1 (index)", 4, 3, lambda x, j: F.embedding(j, x)),
    ("cross_entropy", "operand 1 (target)", 4, 4, lambda x, j: F.cross_entropy(x[:2, :4], j)),
    ("nll_loss", "operand 1 (target)", 4, 4, lambda x, j: F.nll_loss(x[:2, :4], j)),
]


@pytest.mark.parametrize("case", CASES, ids=lambda c: c[0])
@pytest.mark.parametrize("compiled", [False, True], ids=["uncompiled", "compiled"])
def test_the_error_names_op_operand_value_size_and_line(case, compiled):
    op, operand, value, size, function = case
    line = f"{__file__}:{function.__code__.co_firstlineno}"

    def work(x, j):
        return function(x, j) * 1

    run = sq.compile(work) if compiled else work
    x = sq.ones(3, 5)
    run(x, later([0, 1])).sum().item()
    check(message_of(lambda: run(x, later([1, 4])).sum().item()), op, operand, value, size, line)
    run(x, later([2, 1])).sum().item()


def test_one_plan_for_two_lines_names_the_line_of_the_run():
    x = sq.ones(3)
    j = later([0, 1])
    x[j].tolist()
    first = x[later([0, 5])]
    a = here(-1)
    text = message_of(first.tolist)
    del first
    second = x[later([-4, 1])]
    b = here(-1)
    check(text, "take", "operand 1 (index)", 5, 3, a)
    check(message_of(second.tolist), "take", "operand 1 (index)", -4, 3, b)
    assert a != b


def test_of_two_ops_that_fail_the_first_recorded_is_named():
    x, j = sq.ones(3), later([0, 3])
    a = x[j]
    line = here(-1)
    b = a[j + 7]
    check(message_of(b.tolist), "take", "operand 1 (index)", 3, 3, line)


def test_backward_of_an_embedding_names_the_line_of_the_embedding():
    table = nn.Embedding(4, 2)
    loss = table(later([[0, 1], [2, 9]])).sum()
    line = here(-1)
    loss.backward()
    del loss
    text = message_of(table.weight.grad.tolist)
    assert text.startswith("index_add: operand 1 (index) holds 9 at [3]") and "of size 4" in text
    assert f"recorded at {line} by embedding, of whose gradient" in text


def test_a_compiled_step_names_the_line_of_the_embedding_and_changes_nothing():
    table = nn.Embedding(4, 2)
    optimizer = sq.optim.SGD(table.parameters(), lr=0.1)

    def step(j):
        optimizer.zero_grad()
        loss = (table(j) ** 2).sum()
        loss.backward()
        optimizer.step()
        return loss

    line = f"{__file__}:{step.__code__.co_firstlineno + 2}"
    step = sq.compile(step)
    step(later([0, 1]))
    before = table.weight.tolist()
    check(message_of(lambda: step(later([3, 4])).item()), "embedding", "operand 1 (index)", 4, 4, line)
    assert table.weight.tolist() == before
    step(later([3, 2]))


def test_targets_below_zero_are_named_as_they_are_and_ignored_ones_pass():
    x = sq.ones(3, 4)
    F.cross_entropy(x, later([1, -100, 2])).item()
    text = message_of(lambda: F.cross_entropy(x, later([1, -100, -2])).item())
    assert "holds -2 at [2]: index -2 is out of range for dimension 1 of size 4" in text


def test_a_compiled_function_with_history_names_its_lines():
    w = sq.ones(3, 2, requires_grad=True)

    def read(j):
        return w[j].exp()

    line = f"{__file__}:{read.__code__.co_firstlineno + 1}"
    read = sq.compile(read)
    read(later([0, 2])).sum().backward()
    check(message_of(lambda: read(later([0, 3])).sum().item()), "take", "operand 1 (index)", 3, 3, line)


def test_vmap_keeps_the_line():
    x = sq.ones(2, 3)

    def pick(row, j):
        return row[j]

    line = f"{__file__}:{pick.__code__.co_firstlineno + 1}"
    assert line in message_of(lambda: sq.vmap(pick)(x, later([[0, 1], [2, 3]])).tolist())


def test_sizes_that_vary_are_named_by_their_value():
    for n in (3, 4, 5):
        x = sq.ones(n)
        x[later([0, 1])].tolist()
    text = message_of(sq.ones(7)[later([0, 7])].tolist)
    assert "index 7 is out of range for dimension 0 of size 7" in text


def test_an_index_into_equal_values_is_checked():
    for work in (lambda x: x[later([0, 3])], lambda x: x.gather(0, later([3])), lambda x: x[later([0, -4])] + 1,
                 lambda x: x[later([0, 3])].sum(), lambda x: (x * 0)[later([0, 3])].softmax(0)):
        assert "of size 3" in message_of(lambda work=work: work(sq.ones(3)).tolist())


@pytest.mark.parametrize("loss", [F.cross_entropy, F.nll_loss])
@pytest.mark.parametrize("wrong", [5, -1])
def test_a_gradient_whose_loss_nobody_asks_for_checks_targets_too(loss, wrong):
    x = sq.randn(3, 5, requires_grad=True)
    loss(x, sq.tensor([4, wrong, 0])).backward()
    with pytest.raises(IndexError, match="out of range for dimension 1 of size 5"):
        x.grad.numpy()
    x = sq.randn(3, 5, requires_grad=True)
    loss(x, sq.tensor([4, -100, 0])).backward()
    assert x.grad[1].tolist() == [0.0] * 5
