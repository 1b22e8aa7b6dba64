"""What is detached inside a loop or branch stays a constant to every order, in both modes, compiled or not."""

import pytest

import squall as sq
from squall.base.errors import TraceError
from squall.func import grad, jvp, stop_gradient

X, XS = sq.tensor(0.7), sq.tensor([0.3, 0.5, 0.2])
CUTS = {"detach": lambda v: v.detach(), "stop_gradient": stop_gradient}


def recurrence(h, u, cut):
    return h * cut(h) * u + h.sin()


def in_body(name, cut):
    return {
        "scan": lambda x: sq.scan(lambda h, u: (recurrence(h, u, cut), h), x, XS)[0],
        "stacked": lambda x: sq.scan(lambda h, u: (h * 1.5 + u, h**3 * cut(h * h)), x, XS)[1].sum(),
        "while_loop": lambda x: sq.while_loop(
            lambda s: s[1] < 3, lambda s: (recurrence(s[0], 0.5, cut), s[1] + 1), (x, sq.tensor(0)), 5)[0],
        "cond": lambda x: sq.cond(x > 0, lambda v: v**3 * cut(v * v), lambda v: v, x),
        "map": lambda x: sq.func.map(lambda u: (x * u) ** 2 * cut(x * u), XS).sum(),
    }[name]  # fmt: skip


def unrolled(name):
    def loop(x):
        h, total = x, 0
        for u in XS:
            total = total + h**3 * (h * h).detach()
            h = recurrence(h, u, CUTS["detach"]) if name == "scan" else h * 1.5 + u
        return h if name == "scan" else total

    def repeated(x):
        for _ in range(3):
            x = recurrence(x, 0.5, CUTS["detach"])
        return x

    return {
        "scan": loop, "stacked": loop, "while_loop": repeated, "cond": lambda x: x**3 * (x * x).detach(),
        "map": lambda x: sum((x * u) ** 2 * (x * u).detach() for u in XS),
    }[name]  # fmt: skip


def forward(f):
    return lambda x: jvp(f, (x,), (sq.ones_like(x),))[1]


ORDERS = {
    "reverse": grad, "forward": forward, "reverse over reverse": lambda f: grad(grad(f)),
    "forward over reverse": lambda f: forward(grad(f)), "reverse over forward": lambda f: grad(forward(f)),
    "forward over forward": lambda f: forward(forward(f)), "third": lambda f: grad(grad(grad(f))),
}  # fmt: skip


@pytest.mark.parametrize("name", ["scan", "stacked", "while_loop", "cond", "map"])
@pytest.mark.parametrize("kind", CUTS)
def test_cuts_hold_to_every_order(name, kind):
    for order, of in ORDERS.items():
        expected = of(unrolled(name))(X).item()
        derivative = of(in_body(name, CUTS[kind]))
        assert derivative(X).item() == pytest.approx(expected, rel=1e-4), order
        if order in ("forward", "reverse over reverse", "forward over reverse"):
            assert sq.compile(derivative)(X).item() == pytest.approx(expected, rel=1e-4), order


def test_history_agrees():
    x = X.clone().requires_grad_(True)
    (first,) = sq.autograd.grad(in_body("scan", CUTS["detach"])(x), x, create_graph=True)
    (second,) = sq.autograd.grad(first, x)
    assert second.item() == pytest.approx(grad(grad(unrolled("scan")))(X).item(), rel=1e-4)


def test_values_are_the_same_bits():
    plain = sq.scan(lambda h, u: (h * h * u + h.sin(), h), X, XS)
    cut = sq.scan(lambda h, u: (recurrence(h, u, CUTS["detach"]), h), X, XS)
    assert plain[0].item() == cut[0].item() and plain[1].tolist() == cut[1].tolist()


def test_a_write_through_what_was_detached_is_an_error_and_not_lost():
    def step(h, u):
        h.detach().mul_(2)
        return h + u, h

    with pytest.raises(TraceError, match=r"detached tensor does not share memory.*detach\(\).clone\(\)"):
        sq.scan(step, X, XS)
    doubled = sq.scan(lambda h, u: (h + h.detach().clone().mul_(2) * u, h), X, XS)[0]
    assert doubled.item() == pytest.approx(0.7 * 1.6 * 2.0 * 1.4)


# ---------------------------------------------------------------- what bodies read from outside
C = sq.tensor(0.4)
READING = {
    "scan": (lambda x: sq.scan(lambda h, u: (h + x**3 * h, u), C, XS)[0],
             lambda x: C * (1 + x**3) ** 3),
    "scan, two arguments": (lambda x: sq.scan(lambda h, u: (sq.atan2(h, x * x) + u, x.exp()), C, XS)[0],
                            lambda x: after(lambda h, u: sq.atan2(h, x * x) + u)),
    "scan, a weight turned": (lambda x: sq.scan(lambda h, u: (h @ (x * sq.eye(2)).t() * x, u), sq.ones(2), XS)[0].sum(),
                              lambda x: 2 * x**6),
    "stacked": (lambda x: sq.scan(lambda h, u: (h, x.sin() * x * u), C, XS)[1].sum(),
                lambda x: x.sin() * x),
    "while_loop": (lambda x: sq.while_loop(lambda s: s[1] < 3, lambda s: (s[0] + x.sin() * s[0], s[1] + 1),
                                           (C, sq.tensor(0)), 5)[0],
                   lambda x: C * (1 + x.sin()) ** 3),
    "cond": (lambda x: sq.cond(C > 0, lambda v: v * (x * x).sin() * x, lambda v: v * x, C),
             lambda x: C * (x * x).sin() * x),
    "map": (lambda x: sq.func.map(lambda u: u * x.exp() * x, XS).sum(), lambda x: x.exp() * x),
}  # fmt: skip


def after(step):
    h = C
    for u in XS:
        h = step(h, u)
    return h


@pytest.mark.parametrize("name", READING)
def test_functions_of_what_a_body_reads_from_outside_have_every_derivative(name):
    """They are worked out before the loop; a derivative of the loop's derivative took them for constants."""
    inside, known = READING[name]
    for order, of in ORDERS.items():
        expected = of(known)(X).item()
        assert of(inside)(X).item() == pytest.approx(expected, rel=1e-4), order
        if order == "reverse over reverse":
            assert sq.compile(of(inside))(X).item() == pytest.approx(expected, rel=1e-4)


def test_a_branch_not_taken_has_no_slope_of_its_own():
    def f(x):
        return sq.cond(x > 0, lambda v: v * x.sqrt(), lambda v: v * x, C)

    assert grad(f)(sq.tensor(0.0)).item() == pytest.approx(0.4)
