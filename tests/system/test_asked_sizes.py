"""What a compiled function asks of a size that varies: answered for the size at hand, and a guard of the program."""

import pytest

import squall as sq

WAYS = {
    "greater": lambda n: n > 5,
    "greater or equal": lambda n: n >= 5,
    "less": lambda n: n < 5,
    "at most": lambda n: n <= 5,
    "equal": lambda n: n == 5,
    "unequal": lambda n: n != 5,
    "odd": lambda n: n % 2,
    "halved": lambda n: n // 2 > 3,
    "larger": lambda n: max(n, 6) == 6,
    "in a tuple": lambda n: (n, 1) == (5, 1),
    "of two": lambda n: 2 * n < n + 4,
}
SIZES = (10, 3, 5, 8, 12, 2, 7, 4, 6, 20)


def asking(way):
    def function(x):
        return x * 2 if way(x.shape[0]) else x * 3 + x.shape[0]

    return function


@pytest.mark.parametrize("declared", [False, True], ids=["met", "declared"])
@pytest.mark.parametrize("name", WAYS)
def test_the_way_taken_is_that_of_the_size(name, declared):
    function = asking(WAYS[name])
    compiled = sq.compile(function, **({"dynamic_shapes": ({0: sq.Dim("n")},)} if declared else {}))
    for _ in range(2):
        for size in SIZES:
            x = sq.arange(size).float()
            assert compiled(x).tolist() == function(x).tolist(), size
    # one program for each answer; without a declaration also those made before the second size was met
    assert compiled.captures <= (3 if name == "larger" else 2) + 3 * (not declared)


def test_a_loop_over_halves_ends():
    def levels(x):
        n, count = x.shape[0], 0
        while n > 1:
            n, count = n // 2, count + 1
        return x + count

    compiled = sq.compile(levels, dynamic_shapes=({0: sq.Dim("n", min=1)},))
    for size in (9, 8, 7, 16, 1, 31):
        assert compiled(sq.zeros(size))[0].item() == size.bit_length() - 1


def test_two_symbols_are_compared():
    function = lambda x, y: x.sum() if x.shape[0] == y.shape[0] else y.sum() * 2
    compiled = sq.compile(function, dynamic_shapes=({0: sq.Dim("n")}, {0: sq.Dim("m")}))
    for n, m in ((3, 4), (5, 5), (7, 2), (6, 6)):
        assert compiled(sq.ones(n), sq.ones(m)).item() == function(sq.ones(n), sq.ones(m)).item()
    assert compiled.captures == 2


def test_explain_tells_what_was_asked():
    compiled = sq.compile(asking(lambda n: n > 5), dynamic_shapes=({0: sq.Dim("n")},))
    compiled(sq.ones(9)), compiled(sq.ones(2))
    told = str(sq.explain(compiled)(sq.ones(9)))
    assert "n > 5" in told and "not n > 5" in told


def test_what_is_asked_outside_of_a_capture_is_not_answered_by_its_sizes():
    n = sq.Dim("n", min=2)
    compiled = sq.compile(lambda x: x * (2 if x.shape[0] > 5 else 3), dynamic_shapes=({0: n},))
    assert compiled(sq.ones(9))[0].item() == 2.0
    assert n > 1 and n != 9 and n == sq.Dim("n", min=2)
