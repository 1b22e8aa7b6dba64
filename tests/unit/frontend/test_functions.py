"""Functions of the public namespace: they exist, agree with the methods, take `out=`, and einsum takes any equation."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import squall as sq

rng = np.random.default_rng(0)


def floats(*shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype("float32")


def test_every_function_of_the_table_loads_and_is_documented() -> None:
    for name, module in sq._NAMES.items():
        if module.startswith("frontend.functions") or module == "frontend.einsum":
            function = getattr(sq, name)
            assert function.__doc__, name
            assert callable(function)


# Other names of these are the same functions.
UNARY = [n for n, m in sq._NAMES.items() if m == "frontend.functions_unary" and getattr(sq, n).__name__ == n]


@pytest.mark.parametrize("name", UNARY)
def test_unary_functions_are_the_methods(name: str) -> None:
    x = sq.tensor([1, 2, 3]) if name == "bitwise_not" else sq.tensor([0.25, 0.5, 0.75]) + (name == "acosh")
    function, method = getattr(sq, name), getattr(x, name)
    expected = method()
    assert np.array_equal(function(x).numpy(), expected.numpy())
    if "out" in inspect.signature(function).parameters:
        out = sq.empty(3, dtype=expected.dtype)
        assert function(x, out=out) is out
        assert np.array_equal(out.numpy(), expected.numpy())
    with pytest.raises(TypeError, match=f"{name}.*must be Tensor, not float"):
        function(0.5)


@pytest.mark.parametrize("name", ["add", "sub", "mul", "fmod", "remainder", "floor_divide", "maximum", "minimum"])
def test_binary_functions_promote_and_take_numbers(name: str) -> None:
    x, y = sq.tensor([1.5, -2.0]), sq.tensor([[2], [3]])
    function = getattr(sq, name)
    made = function(x, y)
    assert made.dtype is sq.float32 and tuple(made.shape) == (2, 2)
    assert np.array_equal(made.numpy(), getattr(x, name)(y).numpy())
    if name in ("maximum", "minimum"):  # as in PyTorch, where these take Tensors only
        with pytest.raises(TypeError, match=f"{name}.*'other' must be Tensor, not int"):
            function(x, 2)
        return
    assert np.allclose(function(x, 2).numpy(), function(x, sq.full_like(x, 2)).numpy())


def test_comparisons_and_logic() -> None:
    x, y = sq.tensor([1, 2, 3]), sq.tensor([3, 2, 1])
    assert sq.lt(x, y).tolist() == [True, False, False]
    assert sq.ge(x, 2).tolist() == [False, True, True]
    assert sq.logical_xor(x, sq.tensor([0, 1, 0])).tolist() == [True, False, True]
    assert sq.bitwise_and(x, y).tolist() == [1, 2, 1]


def test_out_checks_shape_dtype_and_history() -> None:
    x = sq.ones(3)
    with pytest.raises(RuntimeError, match="out has shape"):
        sq.sin(x, out=sq.empty(2))
    with pytest.raises(RuntimeError, match="can't be cast"):
        sq.sin(x, out=sq.empty(3, dtype=sq.int64))
    with pytest.raises(RuntimeError, match="automatic differentiation"):
        sq.sin(sq.ones(3, requires_grad=True), out=sq.empty(3))
    grown = sq.empty(0)
    sq.add(x, x, out=grown)
    assert grown.tolist() == [2.0, 2.0, 2.0]
    base = sq.zeros(2, 3)
    sq.mul(x, 4, out=base[1])
    assert base.tolist() == [[0, 0, 0], [4, 4, 4]]
    double = sq.empty(3, dtype=sq.float64)
    assert sq.exp(x, out=double).dtype is sq.float64
    values, indices = sq.empty(2), sq.empty(2, dtype=sq.int64)
    sq.sort(sq.tensor([2.0, 1.0]), out=(values, indices))
    assert values.tolist() == [1.0, 2.0] and indices.tolist() == [1, 0]


EQUATIONS = [
    ("ij,jk->ik", (2, 3), (3, 4)), ("ij,jk", (2, 3), (3, 4)), ("ba,cb", (2, 3), (4, 2)), ("ii", (3, 3)),
    ("ii->i", (3, 3)),
    ("ij->ji", (2, 3)), ("ij->", (2, 3)), ("ij->j", (2, 3)), ("i,i", (3,), (3,)), ("i,j->ij", (2,), (3,)),
    ("ij,ij->ij", (2, 3), (2, 3)), ("bij,bjk->bik", (2, 3, 4), (2, 4, 2)), ("...ij,...jk->...ik", (2, 3, 4), (4, 5)),
    ("...ij,...jk", (2, 1, 3, 4), (5, 4, 2)), ("i...->...", (2, 3, 4)), ("...->...", (2, 3)),
    ("iij,jk->ik", (2, 2, 3), (3, 4)),
    ("iijj->ij", (2, 2, 3, 3)), ("iiij->j", (2, 2, 2, 3)), ("ij,jk,kl->il", (2, 3), (3, 4), (4, 2)),
    ("ab,bc,cd,da->", (2, 3), (3, 2), (2, 4), (4, 2)), ("abc,cd->ab", (2, 3, 4), (4, 5)), ("ab,cd->ac", (2, 3), (4, 5)),
    ("bhqd,bhkd->bhqk", (2, 3, 4, 5), (2, 3, 6, 5)), ("ij,ij->", (2, 3), (2, 3)), ("i,->i", (3,), ()),
    ("...,...->...", (2, 3), (3,)),
    ("ij , jk -> ki", (2, 3), (3, 4)), ("zij,j->zi", (1, 3, 4), (4,)), ("ij,ij->i", (2, 3), (2, 3)),
]


@pytest.mark.parametrize("case", EQUATIONS, ids=lambda c: c[0])
def test_einsum_agrees_with_numpy(case: tuple) -> None:
    equation, *shapes = case
    arrays = [floats(*s).astype("float64") for s in shapes]
    expected = np.einsum(equation.replace(" ", ""), *arrays)
    made = sq.einsum(equation, *(sq.tensor(a) for a in arrays))
    assert made.shape == expected.shape
    assert np.allclose(made.numpy(), expected, atol=1e-12)


def test_einsum_broadcasts_ones_and_reports_what_does_not_fit() -> None:
    a, b = floats(2, 1), floats(3, 4)
    assert np.allclose(sq.einsum("ij,jk->ik", sq.tensor(a), sq.tensor(b)).numpy(), (a * np.ones((1, 3))) @ b, atol=1e-5)
    assert tuple(sq.einsum("ij->ij", sq.ones(1, 1)).shape) == (1, 1)
    for equation, shapes, message in [("ij,jk->ik", [(2, 3), (4, 5)], "is 3 and 4"), ("ij->ik", [(2, 3)], "in no "
                                                                                                          "operand"),
                                      ("ij->ii", [(2, 3)], "twice in the result"), ("i", [(2, 3)], "does not name"),
                                      ("ij,jk", [(2, 3)], "names 2 operands"), ("i1", [(2, 3)], "letters and one "
                                                                                                "ellipsis"),
                                      ("ii", [(2, 3)], "of one operand")]:
        with pytest.raises(RuntimeError, match=message):
            sq.einsum(equation, *(sq.ones(*s) for s in shapes))


def test_einsum_differentiates() -> None:
    a, b = sq.tensor(floats(3, 3), requires_grad=True), sq.tensor(floats(3, 4), requires_grad=True)
    sq.einsum("ii,ij,kj->k", a, b, b).sum().backward()
    diagonal, weight = np.diag(a.detach().numpy()), b.detach().numpy()
    columns = weight.sum(0)
    assert np.allclose(a.grad.numpy(), np.diag(weight @ columns), atol=1e-5)
    assert np.allclose(b.grad.numpy(), np.outer(diagonal, columns) + diagonal @ weight, atol=1e-5)


def test_tensordot() -> None:
    a, b = floats(2, 3, 4), floats(3, 4, 5)
    assert np.allclose(sq.tensordot(sq.tensor(a), sq.tensor(b)).numpy(), np.tensordot(a, b), atol=1e-5)
    named = sq.tensordot(sq.tensor(a), sq.tensor(b), dims=([1, 2], [0, 1]))
    assert np.allclose(named.numpy(), np.tensordot(a, b), atol=1e-5)
    assert tuple(sq.tensordot(sq.tensor(a), sq.tensor(b), dims=0).shape) == (2, 3, 4, 3, 4, 5)
    with pytest.raises(RuntimeError, match="need to match"):
        sq.tensordot(sq.tensor(a), sq.tensor(b), dims=1)


def test_movement_functions() -> None:
    x = sq.tensor(floats(2, 3))
    assert sq.cat((x, x), 1).shape == (2, 6) and sq.concat is sq.cat
    assert sq.hstack((x, x)).shape == (2, 6) and sq.vstack((x[0], x)).shape == (3, 3)
    assert sq.hstack((sq.tensor(1.0), sq.ones(2))).tolist() == [1.0, 1.0, 1.0]
    assert sq.tile(x, (2,)).shape == (2, 6) and sq.tile(x, (2, 2, 1)).shape == (2, 4, 3)
    i, j = sq.meshgrid(sq.arange(2), sq.arange(3), indexing="ij")
    assert i.tolist() == [[0, 0, 0], [1, 1, 1]] and j.tolist() == [[0, 1, 2], [0, 1, 2]]
    u, v = sq.meshgrid(sq.arange(2), sq.arange(3), indexing="xy")
    assert np.array_equal(u.numpy(), np.meshgrid(range(2), range(3))[0]) and v.shape == (3, 2)
    a, b = sq.broadcast_tensors(sq.ones(2, 1), sq.ones(3))
    assert a.shape == b.shape == (2, 3)
    assert sq.repeat_interleave(sq.tensor([1, 2]), 2).tolist() == [1, 1, 2, 2]
    assert sq.repeat_interleave(sq.tensor([1, 2]), sq.tensor([3, 1])).tolist() == [1, 1, 1, 2]
    assert sq.repeat_interleave(x, 3, dim=1).shape == (2, 9)
    with pytest.raises(RuntimeError, match="same size"):
        sq.repeat_interleave(x, sq.tensor([1, 2]), dim=1)
    assert sq.where(sq.tensor([0, 1, 1]))[0].tolist() == [1, 2]


def test_closeness_and_equality() -> None:
    a, nan = sq.tensor([1.0, float("inf")]), sq.tensor([1.0, float("nan")])
    assert sq.allclose(a, a + 1e-9) and not sq.allclose(a, a * 1.1)
    assert not sq.allclose(a, -a) and not sq.allclose(nan, nan) and sq.allclose(nan, nan, equal_nan=True)
    assert sq.isclose(sq.tensor([10, 20]), sq.tensor([10, 21]), rtol=0.0, atol=1.0).tolist() == [True, True]
    assert sq.equal(a, a.clone()) and not sq.equal(a, sq.ones(3)) and not sq.equal(nan, nan)
    with pytest.raises(RuntimeError, match="did not match"):
        sq.isclose(sq.ones(1), sq.ones(1, dtype=sq.float64))


def test_number_types() -> None:
    assert sq.finfo(sq.float32).eps == np.finfo("float32").eps and sq.finfo(sq.bfloat16).bits == 16
    assert sq.finfo().dtype == "float32" and sq.finfo("float64").max == np.finfo("float64").max
    assert sq.iinfo(sq.int8).min == -128 and sq.iinfo(sq.uint8).max == 255 and sq.iinfo(sq.int64).max == 2**63 - 1
    with pytest.raises(TypeError):
        sq.finfo(sq.int32)
    with pytest.raises(TypeError):
        sq.iinfo(sq.float32)
    assert sq.result_type(sq.ones(2, dtype=sq.int32), 1.5) is sq.float32
    assert sq.promote_types(sq.uint8, sq.int8) is sq.int16
    assert sq.is_tensor(sq.ones(1)) and not sq.is_tensor(np.ones(1)) and sq.numel(sq.ones(2, 3)) == 6


def test_an_op_that_lowers_only_for_known_sizes_serves_several_of_them():
    for rows, columns in ((3, 4), (2, 5), (4, 7)):
        x = sq.tensor([[1.0 + i + j for j in range(columns)] for i in range(rows)], requires_grad=True)
        x.cumprod(1).sum().backward()
        expected = sq.tensor([[1.0 + i + j for j in range(columns)] for i in range(rows)])
        running = expected.cumprod(1)
        wanted = running.flip(1).cumsum(1).flip(1) / expected
        assert sq.allclose(x.grad, wanted)


def test_functions_of_two_tensors_refuse_numbers_where_pytorch_does() -> None:
    x = sq.tensor([1, 2, 3])
    for name in ("eq", "lt", "fmod", "copysign"):
        with pytest.raises(TypeError, match=f"{name}.*'input' must be Tensor, not int"):
            getattr(sq, name)(2, x)
    for name in ("bitwise_and", "remainder"):
        getattr(sq, name)(2, x)
        with pytest.raises(TypeError, match=f"{name}.*'input' must be Tensor, not int"):
            getattr(sq, name)(2, 3)
    for name in ("fmax", "gcd", "logical_or", "hypot", "logaddexp"):
        with pytest.raises(TypeError, match=f"{name}.*'other' must be Tensor, not int"):
            getattr(sq, name)(x, 2)


def test_errors_name_the_function_and_the_argument() -> None:
    x = sq.ones(3, 3)
    wrong = {
        "narrow": lambda: x.narrow(0, 4, 1),
        "movedim": lambda: x.movedim((0, 1), (0,)),
        "roll": lambda: x.roll((1, 2), (0,)),
        "tril.*'input'": lambda: sq.tril(x[0]),
        "eye.*'n'": lambda: sq.eye(-1),
        "linspace.*'steps'": lambda: sq.linspace(0, 1, -1),
        "uniform_.*'from_'": lambda: x.uniform_(2, 1),
        "exponential_.*'lambd'": lambda: x.exponential_(0),
        "multinomial.*'input'": lambda: sq.multinomial(x[None], 1),
        "unravel_index.*'shape'": lambda: sq.unravel_index(sq.tensor([1]), (2, -1)),
        "gradient.*twice": lambda: sq.gradient(x, dim=(0, 0)),
        "cov.*'fweights'": lambda: sq.cov(x, fweights=sq.ones(2, dtype=sq.int64)),
        "linalg.cross.*length 3": lambda: sq.linalg.cross(x[:, :2], x[:, :2]),
        "max_pool1d.*dilation": lambda: sq.nn.functional.max_pool1d(x[None], 1, dilation=0),
        "hann.*'dtype'": lambda: sq.signal.windows.hann(3, dtype=sq.float16),
        "exponential.*'center'": lambda: sq.signal.windows.exponential(3, center=1.0),
        "general_cosine.*'a'": lambda: sq.signal.windows.general_cosine(3, a=[]),
        "masked_fill.*'value' is complex": lambda: x.masked_fill(x > 0, 1j),
        "narrow.*'start'": lambda: x.narrow(0, sq.tensor([1, 2]), 1),
        "narrow.*'start'.*bool": lambda: x.narrow(0, sq.tensor(True), 1),
        "arange.*step": lambda: sq.arange(0, 4, 0.5, out=sq.empty(0, dtype=sq.int64)),
        "conv1d.*padding": lambda: sq.nn.functional.conv1d(x[None], x[:, :, None], padding=-1),
        "linear_cross_entropy.*'input'": lambda: sq.nn.functional.linear_cross_entropy(
            x[0], sq.ones(2, 4, 3), sq.zeros(4, dtype=sq.int64)),
        "multinomial.*negative": lambda: sq.multinomial(sq.tensor([1.0, -1.0]), 1),
        "multinomial.*zeros": lambda: sq.multinomial(sq.tensor([[1.0, 1.0], [0.0, 0.0]]), 1, True),
        "multinomial.*inf": lambda: sq.multinomial(sq.tensor([1.0, float("nan")]), 1),
        "multinomial.*without replacement": lambda: sq.multinomial(x[0], 4),
        "gather.*'out'.*float32.*float64": lambda: sq.gather(
            x, 0, sq.tensor([[0]]), out=sq.empty(1, 1, dtype=sq.float64)),
        "complex.*'out'": lambda: sq.complex(x, x, out=sq.empty(3, 3, dtype=sq.complex128)),
    }
    for message, call in wrong.items():
        with pytest.raises((RuntimeError, ValueError), match=message):
            call()


def test_wrong_dimensions_and_kinds_are_index_and_type_errors() -> None:
    x = sq.ones(3, 0)
    for call, error, message in (
            (lambda: x.amax(1), IndexError, "amax.*size 0"), (lambda: sq.fft.fft(sq.tensor(1.0)), IndexError, "dim"),
            (lambda: sq.cat(x), TypeError, "cat.*'tensors'"), (lambda: sq.pow(2, 3), TypeError, "pow.*'input'")):
        with pytest.raises(error, match=message):
            call()


def test_results_are_written_to_out() -> None:
    positions, numbers = sq.empty(2, dtype=sq.int64), sq.empty(0, dtype=sq.float64)
    assert sq.multinomial(sq.tensor([0.0, 1.0]), 2, True, out=positions) is positions
    assert positions.tolist() == [1, 1]
    assert sq.arange(3, out=numbers).tolist() == [0.0, 1.0, 2.0]


def test_segments_are_reduced_by_length_and_offset() -> None:
    data = np.arange(1.0, 9.0, dtype=np.float32).reshape(4, 2)
    lengths, parts = sq.tensor([1, 0, 3]), (data[:1], data[1:1], data[1:])
    for name, reference in (("sum", np.sum), ("prod", np.prod)):
        wanted = np.stack([reference(part, axis=0) for part in parts])
        assert np.allclose(sq.segment_reduce(sq.tensor(data), name, lengths=lengths).numpy(), wanted)
    x = sq.tensor(data, requires_grad=True)
    largest = sq.segment_reduce(x, "max", offsets=sq.tensor([0, 1, 1, 4]))
    assert largest.tolist() == [[1, 2], [-np.inf, -np.inf], [7, 8]]
    sq.segment_reduce(x, "mean", lengths=lengths, initial=2.0).sum().backward()
    assert np.allclose(x.grad.numpy(), [[1, 1]] + [[1 / 3, 1 / 3]] * 3)
    with pytest.raises(ValueError, match=r"segment_reduce.*'lengths' must sum to 4"):
        sq.segment_reduce(x, "sum", lengths=sq.tensor([1, 1]))
    with pytest.raises(ValueError, match=r"segment_reduce.*'reduce'"):
        sq.segment_reduce(x, "most", lengths=lengths)
