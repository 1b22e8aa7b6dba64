"""In-place writes, views and history against PyTorch: generated programs end in the same error or the same
gradients.
"""

import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import squall as sq
from tests.conformance import programs

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.peer

COUNT = int(os.environ.get("SQUALL_PROGRAMS", "200"))
NUMBER = st.integers(0, 11)


def instruction(kind, names):
    """One instruction: which op, on which variables, and (not for views) whether inside no_grad."""
    quiet = st.just(False) if kind == "view" else st.integers(0, 6).map(lambda n: n == 0)
    return st.tuples(st.just(kind), st.sampled_from(sorted(names)), NUMBER, NUMBER, quiet)


INSTRUCTIONS = st.one_of(
    instruction("view", programs.VIEWS), instruction("pure", programs.PURE), instruction("write", programs.IN_PLACE)
)


def same(a, b):
    """Whether two nested lists of numbers (or None) are close."""
    if a is None or b is None:
        return a is b
    return np.allclose(np.array(a, dtype=float), np.array(b, dtype=float), rtol=1e-4, atol=1e-5, equal_nan=True)


@settings(max_examples=COUNT, suppress_health_check=list(HealthCheck))
@given(st.lists(INSTRUCTIONS, min_size=2, max_size=9), st.integers(0, 1000))
def test_programs_end_as_in_pytorch(program, seed):
    random = np.random.default_rng(seed)
    start = [random.standard_normal(programs.SHAPE).astype("float32").tolist() for _ in range(programs.LEAVES)]
    theirs, ours = programs.run(torch, program, start), programs.run(sq, program, start)
    assert (ours.error, ours.at) == (theirs.error, theirs.at)
    assert ours.versions == theirs.versions
    assert all(same(a, b) for a, b in zip(ours.values, theirs.values, strict=True))
    assert all(same(a, b) for a, b in zip(ours.gradients, theirs.gradients, strict=True))


# Each line is run after `w` (a leaf of 3 ones that requires grad) and `a = w * 2`; both libraries must agree.
CASES = [
    "a.mul_(a); a.sum().backward()",
    "b = a * 1; a.mul_(b); a.sum().backward()",
    "a.exp_(); a.sum().backward()",
    "a.exp_(); a.add_(1); a.sum().backward()",
    "b = a.exp(); b.add_(1); b.sum().backward()",
    "b = a.exp(); c = b[:2]; del b; c.add_(1); c.sum().backward()",
    "a.pow_(2); a.sum().backward()",
    "a.div_(a); a.sum().backward()",
    "d = a.detach(); b = a * w; d.zero_(); b.sum().backward()",
    "b = a * w; a.data.add_(0); b.sum().backward()",
    "b = a * a\nwith L.no_grad(): a.add_(1)\nb.sum().backward()",
    "b = a * w\nwith L.no_grad(): w.add_(1)\nb.sum().backward()",
    "b = a.relu(); b.relu_(); b.sum().backward()",
    "b = a + w; a.zero_(); b.sum().backward()",
    "b = a.sigmoid(); b.zero_(); b.sum().backward()",
    "w.add_(1)",
    "w[0] = 1",
    "w[:2].add_(1)",
    "w.data.add_(1); (w * w).sum().backward()",
    "a.unbind(0)[0].add_(1)",
    "a.split(1)[1].mul_(2)",
    "a.chunk(3)[0].zero_()",
    "with L.no_grad(): v = a[:2]\nv.mul_(2)",
    "with L.no_grad(): v = a[:2]\nwith L.no_grad(): v.mul_(2)\na.sum().backward()",
    "with L.no_grad(): v = w[:2]\nv.mul_(2)",
    "a[a.detach() > 0] = 0; a.sum().backward()",
    "a.masked_fill_(a.detach() > 0, 0.0); a.sum().backward()",
    "b = a.clone(); b[1] = w[0]; b.sum().backward()",
    "b = L.zeros(3); b[1] = w[0]; b[2] = a[1]; (b * b).sum().backward()",
    "b = L.zeros(3); v = b[:2]; v.copy_(w[:2]); (b * 3).sum().backward()",
    "b = L.zeros(3); v = b[:2]; b.mul_(w); v.sum().backward()",
    "b = a[:2]; a.mul_(3); (b * b).sum().backward()",
    "b = a[:2]; c = b * b; a.mul_(3); c.sum().backward()",
    "b = a[:2]; c = b.sin(); a[2] = 5; c.sum().backward()",
    "a.sum().backward(); (a * a).sum().backward()",
    "b = (a * a).sum(); b.backward(); b.backward()",
    "b = a.sum(); b.backward(); b.backward()",
    "b = (a * a).sum(); b.backward(retain_graph=True); b.backward()",
    "a.requires_grad_(False)",
    "a.detach_().mul_(2); w.grad",
    "a.backward()",
    "a.detach().sum().backward()",
    "L.tensor([1, 2]).requires_grad_()",
    "b = w.view(3); b.detach().add_(1); (w * w).sum().backward()",
    "b = a.view(3); c = b.exp(); a.add_(1); c.sum().backward()",
    "b = a.softmax(0); b.mul_(2); b.sum().backward()",
    "b = a.softmax(0); (b * 2).sum().backward()",
    "b = a.cumsum(0); b.mul_(2); b.sum().backward()",
    "b = a @ w; a.mul_(2); b.backward()",
    "b = a.max(); a.mul_(2); b.backward()",
    "b = a.clamp(0, 1); a.mul_(2); b.sum().backward()",
    "b = a.clamp(0, 1); b.mul_(2); b.sum().backward()",
    "b = a.tanh(); c = b.relu(); b.add_(1); c.sum().backward()",
    "a.clamp_(min=0.5).mul_(w); a.sum().backward()",
    "a.add_(w, alpha=2); a.sum().backward()",
    "a.addcmul_(w, w); a.sum().backward()",
    "b = a.where(a.detach() > 1, w); b.add_(1); b.sum().backward()",
    "L.cat([a, w]).mul_(2).sum().backward()",
    "a.copy_(w); a.mul_(w); a.sum().backward()",
    "a.copy_(w); a.register_hook(lambda g: g * 10); a.sum().backward()",
    "a.fill_(2.0); (a * w).sum().backward()",
    "a.T.mul_(2) if a.dim() == 2 else a.unsqueeze(0).mul_(2); a.sum().backward()",
    "b = a.expand(2, 3); b.add_(1)",
    "b = a.unsqueeze(0).expand(2, 3).sum(); a.mul_(2); b.backward()",
    "a.retain_grad(); (a * a).sum().backward(); w.grad.copy_(a.grad)",
]


def outcome(library, program):
    """What one line comes to: an error's kind, or the gradient of w."""
    w = library.tensor([1.0, 2.0, 3.0], requires_grad=True)
    names = {"L": library, "w": w, "a": w * 2}
    try:
        exec(program, names)
    except (RuntimeError, IndexError, ValueError) as error:
        return programs.kind_of(error)
    return None if w.grad is None else w.grad.tolist()


@pytest.mark.parametrize("program", CASES)
def test_cases_end_as_in_pytorch(program):
    ours, theirs = outcome(sq, program), outcome(torch, program)
    assert ours == (pytest.approx(theirs, rel=1e-5, abs=1e-6) if isinstance(theirs, list) else theirs)
