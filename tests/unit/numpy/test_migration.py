"""The tables of the guide for those who come from NumPy: every row is run, and its cells agree."""

import numpy
import pytest

import squall as sq
import squall.nn.functional as F
import squall.numpy as snp
from tests import tables

PAGE = "docs/how-to/from-numpy.md"
DATA = [[3.0, 1.0, 2.0], [6.0, 5.0, 4.0]]


def value(code, np, dtype):
    """What a cell gives: `a` is an array of a library, `t` a Tensor."""
    a, t = np.array(DATA, dtype=dtype), sq.tensor(DATA, dtype=getattr(sq, dtype))
    return eval(code, {"numpy": numpy, "np": np, "sq": sq, "F": F, "a": a, "t": t})


def outcome(code, np, dtype):
    """What a cell gives, or the class of what it raises."""
    try:
        return value(code, np, dtype)
    except Exception as error:
        return type(error)


def plain(made):
    """Values as NumPy's, in tuples too."""
    if isinstance(made, tuple):
        return tuple(plain(m) for m in made)
    return numpy.asarray(made.detach().numpy() if isinstance(made, sq.Tensor) else made)


def same(made, wanted):
    """Whether values, shapes and dtypes agree."""
    if isinstance(wanted, tuple):
        return len(made) == len(wanted) and all(map(same, made, wanted))
    near = numpy.allclose(made, wanted, rtol=1e-6, atol=1e-12)
    return made.shape == wanted.shape and made.dtype == wanted.dtype and near


def holds(made, gives):
    """Whether a cell gives what the cell beside it says: a value, or a class of errors."""
    if isinstance(gives, type) and issubclass(gives, Exception):
        return isinstance(made, type) and issubclass(made, gives)
    if isinstance(made, (sq.Tensor, snp.ndarray)):
        return numpy.allclose(made.tolist(), gives, rtol=1e-6)
    return made == gives


@pytest.mark.parametrize("row", tables.rows(PAGE, "Names side by side"), ids=lambda row: row[0])
def test_names_side_by_side(row):
    wanted = plain(value(row[0], numpy, "float64"))
    for cell in row[1:]:
        assert same(plain(value(cell, snp, "float64")), wanted), cell


@pytest.mark.parametrize("row", tables.rows(PAGE, "Tensor or ndarray?"), ids=lambda row: row[0])
def test_tensor_or_ndarray(row):
    for cell, gives in (row[:2], row[2:]):
        made = outcome(cell, snp, "float32")
        assert holds(made, value(gives, snp, "float32")), f"{cell} gives {made}"


@pytest.mark.parametrize("row", tables.rows(PAGE, "Where it differs from NumPy"), ids=lambda row: row[0])
def test_where_it_differs(row):
    for np, gives in ((numpy, row[1]), (snp, row[2])):
        made = outcome(row[0], np, "float32")
        assert holds(made, value(gives, snp, "float32")), f"{np.__name__}: {row[0]} gives {made}"


def test_tables_are_read_whole():
    assert tables.split(r"| `a \| b` | words |") == ["`a | b`", "words"]
    assert [tables.cell(text) for text in ("`a | b`", "words", "`a` and `b`")] == ["a | b", "words", "`a` and `b`"]
    with pytest.raises(LookupError, match="no table under 'Nothing'"):
        tables.rows(PAGE, "Nothing")
