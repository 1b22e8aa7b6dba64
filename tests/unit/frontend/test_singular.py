"""Matrices without an inverse, solution or factor raise LinAlgError when evaluated, named at the user's line."""

import re

import numpy
import pytest

import squall as sq
from squall import numpy as snp
from squall.base import config

SINGULAR = [[1.0, 2.0], [2.0, 4.0]]
INDEFINITE = [[1.0, 2.0], [2.0, 1.0]]
FINE = [[2.0, 0.0], [0.0, 1.0]]
ONE = sq.tensor([[1.0], [2.0]])
ZERO_AT_2 = r"singular: element 2 on the diagonal of its factor U is zero"


def stack(*matrices, dtype=None):
    return sq.tensor(list(matrices), dtype=dtype or sq.float32)


CASES = {  # function, its name in messages, matrix, what is said
    "inv": (sq.linalg.inv, "linalg.inv", SINGULAR, ZERO_AT_2),
    "inverse": (sq.inverse, "linalg.inv", SINGULAR, ZERO_AT_2),
    "solve": (lambda a: sq.linalg.solve(a, ONE.to(a.dtype)), "linalg.solve", SINGULAR, ZERO_AT_2),
    "from the right": (lambda a: sq.linalg.solve(a, ONE.mT.to(a.dtype), left=False), "linalg.solve", SINGULAR, ""),
    "cholesky": (sq.linalg.cholesky, "linalg.cholesky", INDEFINITE, "leading minor of order 2 is not positive"),
    "upper": (lambda a: sq.linalg.cholesky(a, upper=True), "linalg.cholesky", INDEFINITE, "order 2 is not"),
    "older": (sq.cholesky, "cholesky", INDEFINITE, "order 2 is not positive"),
    "lu_factor": (lambda a: sq.linalg.lu_factor(a)[0], "linalg.lu_factor", SINGULAR, re.escape("zero at [2, 2]")),
    "matrix_power": (lambda a: sq.linalg.matrix_power(a, -2), "linalg.matrix_power", SINGULAR, ZERO_AT_2),
    "svd": (sq.linalg.svdvals, "linalg.svd", [[1.0, float("nan")], [0.0, 1.0]], "infinite or NaN values"),
    "pinv": (sq.linalg.pinv, "linalg.pinv", [[1.0, float("nan")], [0.0, 1.0]], "infinite or NaN values"),
}


def raised(function, *arguments):
    with pytest.raises(sq.linalg.LinAlgError) as caught:
        function(*arguments).tolist()
    return str(caught.value)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64"])
@pytest.mark.parametrize("case", CASES)
def test_the_message_names_function_matrix_place_and_line(case, dtype):
    function, name, matrix, words = CASES[case]
    dtype = getattr(sq, dtype)
    message = raised(function, sq.tensor(matrix, dtype=dtype))
    assert re.match(rf"{re.escape(name)}: .*{words}", message), message
    assert "Batch element" not in message and "test_singular.py:" in message
    message = raised(function, stack(FINE, FINE, matrix, matrix, dtype=dtype))
    assert re.match(rf"{re.escape(name)}: \(Batch element 2\): .*{words}", message), message
    assert function(stack(FINE, FINE, dtype=dtype)).isfinite().all()


@pytest.mark.parametrize("case", ["inv", "solve", "cholesky", "svd"])
@pytest.mark.parametrize("through", ["compile", "vmap", "both"])
def test_compiled_and_batched_calls_raise_too(case, through):
    function, name, matrix, words = CASES[case]
    run = function if through == "compile" else sq.vmap(function)
    run = run if through == "vmap" else sq.compile(run)
    for _ in range(2):
        message = raised(run, stack(FINE, matrix))
        wanted = rf"{re.escape(name)}: \(Batch element 1\): .*{words}.* recorded at .*test_singular.py:\d+"
        assert re.match(wanted, message)
        assert run(stack(FINE, FINE)).isfinite().all()


@pytest.mark.parametrize("case", ["inv", "solve", "cholesky"])
def test_both_modes_of_differentiation_raise(case):
    function, name, matrix, words = CASES[case]
    a, wanted = sq.tensor(matrix), rf"{re.escape(name)}: .*{words}.* recorded at .*test_singular.py:\d+"
    assert re.match(wanted, raised(sq.func.grad(lambda x: function(x).sum()), a))
    assert re.match(wanted, raised(lambda x: sq.func.jvp(function, (x,), (x,))[1], a))
    assert re.match(wanted, raised(sq.compile(sq.func.grad(lambda x: function(x).sum())), a))


def test_the_gradient_of_a_right_side_alone_raises():
    a = sq.tensor(SINGULAR)
    assert "linalg.solve" in raised(sq.func.grad(lambda b: sq.linalg.solve(a, b).sum()), ONE)
    assert "linalg.solve" in raised(lambda b: sq.func.jvp(lambda b: sq.linalg.solve(a, b), (b,), (b,))[1], ONE)


def test_loops_raise_with_the_line_of_their_body():
    def step(carry, a):
        return carry, sq.linalg.inv(a)

    for run in (sq.func.scan, sq.compile(lambda f, c, a: sq.func.scan(f, c, a), static_argnums=(0,))):
        message = raised(lambda run=run: run(step, sq.zeros(2), stack(FINE, SINGULAR))[1])
        assert re.match(r"linalg.inv: .*singular.* recorded at .*test_singular.py:\d+", message)


def test_of_several_calls_the_one_that_failed_is_named():
    fine, a = sq.tensor(FINE), sq.tensor(SINGULAR)
    lines = [
        int(re.search(r"test_singular.py:(\d+)", raised(f))[1])
        for f in (
            lambda: sq.linalg.inv(fine) +
            sq.linalg.inv(a),
            lambda: sq.linalg.inv(a) +
            sq.linalg.inv(fine),
        )
    ]  # fmt: skip
    assert lines[1] - lines[0] == 1


def test_nothing_is_raised_before_a_value_is_asked_for_and_a_failure_leaves_tensors_as_they_were():
    kept = sq.ones(3)
    kept += 1
    bad = sq.linalg.inv(sq.tensor(SINGULAR))
    with pytest.raises(RuntimeError, match="singular"):
        bad.tolist()
    with pytest.raises(RuntimeError, match="singular"):
        bad.tolist()
    assert kept.tolist() == [2.0, 2.0, 2.0]


def test_ex_functions_give_info():
    found, info = sq.linalg.inv_ex(stack(FINE, SINGULAR, [[0.0, 1.0], [0.0, 2.0]]))
    assert info.tolist() == [0, 2, 1] and info.dtype is sq.int32
    assert found[0].tolist() == [[0.5, 0.0], [0.0, 1.0]] and found[1:].isnan().all()
    found, info = sq.linalg.solve_ex(stack(FINE, SINGULAR), ONE)
    assert info.tolist() == [0, 2] and found[1].isnan().all()
    found, info = sq.linalg.cholesky_ex(stack(FINE, INDEFINITE, [[-1.0, 0.0], [0.0, 1.0]]))
    assert info.tolist() == [0, 2, 1] and found[1:].isnan().all()
    assert sq.linalg.lu_factor_ex(stack(FINE, SINGULAR)).info.tolist() == [0, 2]
    assert sq.vmap(lambda a: sq.linalg.inv_ex(a).info)(stack(FINE, SINGULAR)).tolist() == [0, 2]
    assert sq.linalg.cholesky_ex(sq.tensor([[float("nan")]])).info == 1
    big = sq.eye(9)
    big[6, 6] = -1.0
    assert sq.linalg.cholesky_ex(big).info == 7


@pytest.mark.parametrize(
    ("function", "matrix"),
    [
        (sq.linalg.inv_ex, SINGULAR),
        (lambda a, **k: sq.linalg.solve_ex(a, ONE, **k), SINGULAR),
        (sq.linalg.cholesky_ex, INDEFINITE),
        (sq.linalg.lu_factor_ex, SINGULAR),
        (sq.linalg.ldl_factor_ex, [[0.0, 0.0], [0.0, 0.0]]),
    ],
)
def test_check_errors_raises_at_once(function, matrix):
    assert function(sq.tensor(FINE), check_errors=True)[-1] == 0
    with pytest.raises(sq.linalg.LinAlgError, match=r"linalg.*_ex"):
        function(sq.tensor(matrix), check_errors=True)


def test_condition_numbers_of_singular_matrices():
    a = sq.tensor(SINGULAR)
    assert all(sq.linalg.cond(a, p) == float("inf") for p in (1, -1, "fro", float("inf")))
    assert sq.linalg.cond(a, "nuc") > 1e7 and sq.linalg.det(a) == 0.0
    assert sq.linalg.cond(sq.tensor(FINE), "nuc") == pytest.approx(3 * 1.5)


@pytest.mark.parametrize(
    "call",
    [
        lambda: snp.linalg.inv(SINGULAR),
        lambda: snp.linalg.solve(SINGULAR, [1.0, 2.0]),
        lambda: snp.linalg.cholesky(INDEFINITE),
    ],
)
def test_numpy_raises_its_own_class_at_once(call):
    with pytest.raises(numpy.linalg.LinAlgError) as caught:
        call()
    assert isinstance(caught.value, sq.linalg.LinAlgError) and isinstance(caught.value, RuntimeError)
    compiled = sq.compile(lambda a: snp.linalg.inv(a) * 2)
    with pytest.raises(numpy.linalg.LinAlgError, match="singular"):
        compiled(snp.asarray(SINGULAR)).tolist()


def test_the_error_can_be_pickled():
    import pickle

    with pytest.raises(sq.linalg.LinAlgError) as caught:
        sq.linalg.inv(sq.tensor(SINGULAR)).tolist()
    again = pickle.loads(pickle.dumps(caught.value))
    assert isinstance(again, sq.linalg.LinAlgError) and str(again) == str(caught.value)


def test_the_oracle_raises_the_same():
    with config.options(backend="numpy"):
        message = raised(sq.linalg.inv, stack(FINE, SINGULAR))
    assert re.match(r"linalg.inv: \(Batch element 1\): .*singular.* recorded at .*test_singular.py:\d+", message)
