"""Every public name of PyTorch is here, or stands in a list with the reason; arguments are the same or listed.

A list that has a name too many must lose it, and a name that squall loses fails: so neither comes or goes unseen.
"""

from tests.conformance import surface


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
    listed, found = surface.argument_list(), surface.differences()
    assert not found - listed, f"PyTorch takes these arguments, squall does not: {sorted(found - listed)}"
    assert not listed - found, f"squall takes these; take them out of arguments.txt: {sorted(listed - found)}"


def test_the_comparison_sees_arguments():
    def own(input, other): ...

    seen = surface._compared("torch", "sum", surface.torch.sum, own)
    assert {"dim", "keepdim", "dtype="} <= seen
    assert not any(text.startswith("torch.relu:") for text in surface.differences())
