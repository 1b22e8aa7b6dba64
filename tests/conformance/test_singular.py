"""Singular and indefinite matrices: what PyTorch refuses squall refuses, by the same class, and `info` is the same."""

import pytest
import torch

import squall as sq

pytestmark = pytest.mark.peer

NAN, INF = float("nan"), float("inf")
MATRICES = {
    "fine": [[2.0, 1.0], [1.0, 3.0]],
    "singular": [[1.0, 2.0], [2.0, 4.0]],
    "first pivot": [[0.0, 1.0], [0.0, 2.0]],
    "indefinite": [[1.0, 2.0], [2.0, 1.0]],
    "negative": [[-1.0, 0.0], [0.0, 1.0]],
    "nan": [[1.0, NAN], [NAN, 1.0]],
}
B = [[1.0], [2.0]]
FUNCTIONS = {
    "inv": lambda m, a, b: m.linalg.inv(a),
    "inverse": lambda m, a, b: m.inverse(a),
    "solve": lambda m, a, b: m.linalg.solve(a, b),
    "from the right": lambda m, a, b: m.linalg.solve(a, b.mT, left=False),
    "cholesky": lambda m, a, b: m.linalg.cholesky(a),
    "older cholesky": lambda m, a, b: m.cholesky(a),
    "lu_factor": lambda m, a, b: m.linalg.lu_factor(a).LU,
    "matrix_power": lambda m, a, b: m.linalg.matrix_power(a, -1),
    "tensorinv": lambda m, a, b: m.linalg.tensorinv(a, ind=1) if a.ndim == 2 else m.linalg.inv(a),
    "svdvals": lambda m, a, b: m.linalg.svdvals(a),
    "eigvalsh": lambda m, a, b: m.linalg.eigvalsh(a),
    "inv_ex": lambda m, a, b: m.linalg.inv_ex(a, check_errors=True).inverse,
    "cholesky_ex": lambda m, a, b: m.linalg.cholesky_ex(a, check_errors=True).L,
    "solve_ex": lambda m, a, b: m.linalg.solve_ex(a, b, check_errors=True).result,
    "cond": lambda m, a, b: m.linalg.cond(a, 1),
    "lu": lambda m, a, b: m.linalg.lu(a).U,
}
INFOS = {
    "inv_ex": lambda m, a, b: m.linalg.inv_ex(a).info,
    "solve_ex": lambda m, a, b: m.linalg.solve_ex(a, b).info,
    "cholesky_ex": lambda m, a, b: m.linalg.cholesky_ex(a).info,
    "lu_factor_ex": lambda m, a, b: m.linalg.lu_factor_ex(a).info,
}


def outcome(m, function, a):
    """What a function gives, or that it raises: PyTorch's class, and the element of the stack."""
    try:
        return torch.tensor(function(m, m.tensor(a, dtype=m.float64), m.tensor(B, dtype=m.float64)).tolist())
    except RuntimeError as error:
        if not isinstance(error, m.linalg.LinAlgError) and "lu_factor" not in str(error):
            raise
        element = str(error).partition("(Batch element ")[2].partition(")")[0]
        return "raised", element


@pytest.mark.parametrize("stacked", [False, True], ids=["one", "stack"])
@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_same_matrices_are_refused(function, matrix, stacked):
    a = [MATRICES["fine"], MATRICES[matrix], MATRICES["fine"]] if stacked else MATRICES[matrix]
    wanted, found = (outcome(m, FUNCTIONS[function], a) for m in (torch, sq))
    if isinstance(wanted, tuple) or isinstance(found, tuple):
        assert found == wanted
    elif matrix != "nan":  # pivots beside NaN are whichever comparisons give
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("matrix", [name for name in MATRICES if name != "nan"])
@pytest.mark.parametrize("function", INFOS)
def test_info_is_the_same(function, matrix):
    a = [MATRICES["fine"], MATRICES[matrix]]
    assert outcome(sq, INFOS[function], a).equal(outcome(torch, INFOS[function], a))
