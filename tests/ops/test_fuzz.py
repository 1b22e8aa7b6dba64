"""Random calls of ops against NumPy; `make fuzz` runs many more (`tools/fuzz.py`)."""

from __future__ import annotations

import pytest

from tools import fuzz, fuzz_cases

BLOCKS, CASES = 8, 250


@pytest.mark.parametrize("number", range(BLOCKS))
def test_random_calls_are_numpys(number: int) -> None:
    compared, failure = fuzz.block(number, 2026, CASES)
    assert failure is None, failure
    assert compared > CASES * 0.85


def test_every_op_is_drawn() -> None:
    left_out = [op.name for op in fuzz_cases.all_ops() if not fuzz_cases.samples_of(op)]
    assert not left_out


def test_a_wrong_result_is_found_and_made_small(monkeypatch: pytest.MonkeyPatch) -> None:
    right = fuzz.reference

    def wrong(op: object, arrays: list, attributes: dict) -> tuple | None:
        made = right(op, arrays, attributes)
        return made if made is None or arrays[0].size < 3 else tuple(m + 1 for m in made)

    monkeypatch.setattr(fuzz, "reference", wrong)
    _, failure = fuzz.block(0, 1, 50, [fuzz.ops.neg])
    assert failure is not None and failure.count("Case(") == 1 and "Operand" in failure


def test_gradients_of_values_without_dimensions() -> None:
    scalar = fuzz_cases.Operand((), "float32", "plain")
    case = fuzz_cases.Case("update_slice", 3, {"dims": (), "steps": ()}, (scalar, scalar), "sample", 0, True)
    fuzz.run(case)
    assert fuzz.Attempt(case).slope.gradients


def test_slopes_of_matrices_read_in_one_triangle_are_along_symmetric_changes() -> None:
    matrix = fuzz_cases.Operand((3, 3), "float64", "plain")
    for upper in (False, True):
        case = fuzz_cases.Case("eigh", 2, {"upper": upper}, (matrix,), "sample", 0, True)
        assert fuzz.run(case) and fuzz.Attempt(case).slope.gradients


def test_vectors_that_complete_a_basis_have_no_slope() -> None:
    (svd,) = (op for op in fuzz_cases.all_ops() if op.name == "svd")
    compared, failure = fuzz.block(0, 5, 150, [svd])
    assert failure is None and compared > 100, failure
