"""Positions: divided exactly, split where a loop must become two, refused where no affine answer exists."""

import pytest

from squall.base.dim import Dim
from squall.compiler.affine import Affine, Atom, Run, Split, Unfit, flatten, of, quotient, unravel
from squall.compiler.movement import segments


def value(expression, at):
    return expression.constant + sum(c * at[v] for v, c in expression.terms.items())


def test_quotient_of_a_mixed_radix_position():
    i, j = Atom(5), Atom(6)
    flat = of(i) * 6 + of(j)
    high, low = quotient(flat, 6)
    assert (high, low) == (of(i), of(j))
    high, low = quotient(flat * 2 + 1, 12)
    assert high == of(i) and low == of(j) * 2 + 1


def test_quotient_asks_for_a_split():
    j = Atom(12)
    with pytest.raises(Split) as asked:
        quotient(of(j), 4)
    assert asked.value.atom is j and asked.value.inner == 4


@pytest.mark.parametrize("size", [5, 7])
def test_quotient_refuses(size):
    with pytest.raises(Unfit):
        quotient(of(Atom(12)), size)
    with pytest.raises(Unfit):
        quotient(of(Run(0)) + of(Atom(3)), size)


def test_symbolic_sizes_divide():
    n = Dim("n", min=1)
    i, j = Atom(n), Atom(4 * n)
    assert quotient(of(i) * (4 * n) + of(j), 4 * n) == (of(i), of(j))
    with pytest.raises(Split):
        quotient(of(j), n)


def test_unravel_is_the_inverse_of_flatten():
    atoms = [Atom(3), Atom(4), Atom(5)]
    index = tuple(map(of, atoms))
    assert unravel(flatten(index, (20, 5, 1)), (3, 4, 5)) == index


def test_substitution_after_a_split_keeps_the_value():
    atom, outer, inner = Atom(12), Atom(3), Atom(4)
    before = of(atom) * 5 + 2
    after = before.substitute(atom, outer, inner)
    assert value(before, {atom: 11}) == value(after, {outer: 2, inner: 3})
    assert Affine({}, 3) == Affine({}, 3) != Affine({}, 4)


@pytest.mark.parametrize("old, new, runs", [
    ((6, 4), (24,), [((0, 2), (0, 1))]),
    ((2, 3, 4), (6, 4), [((0, 2), (0, 1)), ((2, 3), (1, 2))]),
    ((4, 1, 5), (4, 5, 1), [((0, 2), (0, 1)), ((2, 3), (1, 3))]),
    ((6,), (2, 3), [((0, 1), (0, 2))]),
    ((), (1, 1), [((0, 0), (0, 2))]),
])  # fmt: skip
def test_segments_of_a_reshape(old, new, runs):
    assert segments(old, new) == runs
