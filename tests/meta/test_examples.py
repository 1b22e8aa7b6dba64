"""Public names have examples, in their docstrings or in `tools/examples`; what the latter show is what runs gives."""

import subprocess
import sys
from types import ModuleType

import pytest

from tests.meta import tree
from tools import examples, reference


def bare_names() -> set[str]:
    found = set()
    for name, module in reference.public_modules().items():
        known = examples.table(name)
        for own in reference.public_names(module):
            if isinstance(getattr(module, own), ModuleType):
                continue
            if own not in known and ">>>" not in (getattr(module, own).__doc__ or ""):
                found.add(f"{name}.{own}")
    return found


def test_every_public_name_has_an_example():
    bare = sorted(bare_names())
    assert not bare, tree.report("a public name has an example in its docstring or in tools/examples", bare)


def test_examples_may_have_several_statements():
    code = "def f(x):\n    return x + 1\nf(1), sq.ones(1).shape"
    assert examples.shown_by(code) == "(2, squall.Size([1]))"
    assert examples.prompted(code) == ">>> def f(x):\n...     return x + 1\n>>> f(1), sq.ones(1).shape"
    with pytest.raises(ValueError, match="ends with an expression"):
        examples.shown_by("x = 1")


def test_examples_are_of_names_that_exist():
    modules = reference.public_modules()
    for path in examples.FOLDER.glob("squall*.txt"):
        left = set(examples.table(path.stem)) - set(reference.public_names(modules[path.stem]))
        assert not left, f"{path.name}: {' '.join(sorted(left))} is nothing public"


@pytest.mark.parametrize("module", sorted(path.stem for path in examples.FOLDER.glob("squall*.txt")))
def test_examples_show_what_is_written(module):
    done = subprocess.run(
        [sys.executable, "-m", "tools.examples", "--check", module],
        cwd=tree.ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]


def test_the_reference_has_a_page_for_every_namespace():
    import squall

    wanted = {f"squall.{name}" for name in squall._MODULES} - set(reference.INNER) - {"squall.signal"}
    assert not wanted - set(reference.MODULES)
    assert len(reference.public_names(squall)) > 500
