"""Every public name of PyTorch is here, or stands in a list with the reason; arguments are the same or listed.

A list that has a name too many must lose it, and a name that squall loses fails: so neither comes or goes unseen.
"""

import pytest
import torch

import squall
from tests.conformance import overloads, surface


def by_space(names) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in sorted(names):
        space, _, last = name.rpartition(".")
        found.setdefault(space, []).append(last)
    return found


def test_absent_names_are_the_listed_ones():
    listed, absent = set(surface.listed("absent.txt")), surface.absent()
    assert not absent - listed, f"PyTorch has these names, squall has not: {by_space(absent - listed)}"
    assert not listed - absent, f"squall has these; take them out of absent.txt: {by_space(listed - absent)}"


def test_every_absent_name_has_a_reason():
    assert all(len(reason) > 10 for reason in surface.listed("absent.txt").values())


def test_the_audit_sees_what_is_there_and_what_is_not():
    assert not {"torch.add", "torch.nn.Linear", "torch.Tensor.add_", "torch.linalg.svd"} & surface.absent()
    assert "torch.sparse_coo_tensor" in surface.absent()
    assert {"torch.nn.Linear", "torch.Tensor.__add__", "torch.fft.rfft"} <= {
        f"{space}.{name}" for space in surface.PLACES for name in surface.public(space)
    }


def test_arguments_are_pytorchs_or_listed():
    listed, found = set(surface.argument_list()), surface.differences()
    assert not found - listed, f"PyTorch takes these arguments, squall does not: {sorted(found - listed)}"
    assert not listed - found, f"squall takes these; take them out of arguments.txt: {sorted(listed - found)}"


def test_every_argument_that_is_missing_has_a_reason():
    assert all(len(reason) > 10 for reason in surface.argument_list().values())


@pytest.mark.parametrize("entry", overloads.calls())
def test_calls_that_both_libraries_take(entry):
    expression, refused = overloads.calls()[entry]
    theirs, ours = overloads.outcome(torch, expression), overloads.outcome(squall, expression)
    if refused:
        assert isinstance(theirs, Exception), f"PyTorch takes {expression} after all"
        assert isinstance(ours, Exception), f"PyTorch refuses {expression}: {theirs}"
    else:
        assert not isinstance(theirs, Exception), theirs
        assert not isinstance(ours, Exception), ours
        assert overloads.same(ours, theirs), f"{expression}: {ours}, PyTorch {theirs}"


def test_outcomes_are_compared_by_value_dtype_and_kind():
    def given(expression):
        return overloads.outcome(squall, expression)

    assert overloads.same(given("(x, 3, [None])"), given("[x.clone(), 3, (None,)]"))
    for other in ("(y, 3)", "(x.double(), 3)", "(x, 3.0)", "(x,)", "(x.T, 3)"):
        assert not overloads.same(given("(x, 3)"), given(other))


def test_the_comparison_sees_arguments():
    def own(input, other): ...

    seen = surface._compared("torch", "sum", surface.torch.sum, own)
    assert {"dim", "keepdim", "dtype="} <= seen
    assert not any(text.startswith("torch.relu:") for text in surface.differences())
