"""Series of polynomials as vectors of coefficients, lowest first: arithmetic, values, calculus, roots, fits.

Each function takes the family first; `families.py` gives them NumPy's names.
"""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import float64
from squall.frontend import creation as making
from squall.frontend.state import local
from squall.numpy import creation, joining, linalg, sorting
from squall.numpy.core import arr, cast, lift, one_axis
from squall.numpy.kinds import common as joint
from squall.numpy.polynomial.bases import Basis


def as_series(c: Any, trim: bool = True) -> Any:
    """Coefficients as a floating vector without zeros at its end (inside compiled functions they stay)."""
    x = arr(c)
    x = cast(x, float64) if x.node.dtype.category < 2 else x
    x = x.reshape(1) if not x.ndim else x
    if x.ndim != 1:
        raise ValueError("Coefficient array is not 1-d")
    if not x.numel():
        raise ValueError("Coefficient array is empty")
    return trimmed(x) if trim else x


def trimmed(x: Any) -> Any:
    """Without zeros at the end; one coefficient at least."""
    if local.state.trace is not None:
        return x
    known = x.detach_array().nonzero()[0]
    return x[: int(known[-1]) + 1] if len(known) else x[:1]


def common(*series: Any) -> list:
    """Coefficient vectors of one dtype."""
    found = [as_series(c) for c in series]
    kind = joint(found)
    return [cast(x, kind) for x in found]


def longer(x: Any, size: int) -> Any:
    """With zeros at the end."""
    missing = size - x.node.shape[0]
    return x if missing <= 0 else arr(joining.concat([x, making.zeros(missing, dtype=x.node.dtype)]))


def moved(basis: Basis, x: Any, size: int | None = None) -> Any:
    """The coefficients of x times a series, one more than before, or `size` of them."""
    count = x.node.shape[0]
    made = longer(x[:0], count + 1)
    for shift, rule in ((1, basis.up), (0, basis.same), (-1, basis.down)):
        factors = [rule(k) for k in range(count)]
        if any(factors):
            part = x * making.tensor(factors, dtype=float64).to(x.node.dtype)
            part = part[1:] if shift < 0 else part
            before = making.zeros(max(shift, 0), dtype=x.node.dtype)
            made = made + longer(arr(joining.concat([before, part])), count + 1)
    return made if size is None else longer(made, size)[:size]


def combined(basis: Basis, c: Any, first: Any, step: Any) -> Any:
    """The sum of c_k P_k(X) on `first`, where `step(v)` is X v: values, products and changes of basis are such sums."""
    before, now, total = None, first, c[0] * first
    for k in range(len(c) - 1):
        after = step(now)
        if basis.same(k):
            after = after - basis.same(k) * now
        if before is not None and basis.down(k):
            after = after - basis.down(k) * before
        before, now = now, after / basis.up(k) if basis.up(k) != 1 else after
        total = total + c[k + 1] * now
    return total


def add(basis: Basis, c1: Any, c2: Any, sign: int = 1) -> Any:
    """The sum, or with sign -1 the difference."""
    x, y = common(c1, c2)
    size = max(x.node.shape[0], y.node.shape[0])
    return lift(trimmed(longer(x, size) + sign * longer(y, size)))


def mulx(basis: Basis, c: Any) -> Any:
    """x times a series."""
    x = as_series(c)
    if x.node.shape[0] == 1 and local.state.trace is None and not bool((x != 0).any()):
        return lift(x)
    return lift(moved(basis, x))


def mul(basis: Basis, c1: Any, c2: Any) -> Any:
    """The product."""
    x, y = common(c1, c2)
    x, y = (x, y) if x.node.shape[0] <= y.node.shape[0] else (y, x)
    size = x.node.shape[0] + y.node.shape[0] - 1
    made = combined(basis, x.unbind(0), longer(y, size), lambda v: moved(basis, v, size))
    return lift(trimmed(made))


def div(basis: Basis, c1: Any, c2: Any) -> tuple:
    """(quotient, remainder)."""
    x, y = common(c1, c2)
    if local.state.trace is None and not bool((y[-1:] != 0).all()):
        raise ZeroDivisionError("division by zero")
    steps = x.node.shape[0] - y.node.shape[0]
    if steps < 0:
        return lift(x[:1] * 0), lift(x)
    if y.node.shape[0] == 1:
        return lift(x / y[-1]), lift(x[:1] * 0)
    multiples, found = [y], []
    for k in range(steps):  # P_k y, by the recurrence
        unit = [0.0] * (k + 1) + [1.0]
        multiples.append(arr(mul(basis, y, creation.array(unit))))
    rest = x
    for multiple in reversed(multiples):
        multiple = longer(multiple, rest.node.shape[0])
        found.append(rest[-1] / multiple[-1])
        rest = (rest - found[-1] * multiple)[:-1]
    return lift(arr(joining.stack(found[::-1]))), lift(trimmed(rest))


def power(basis: Basis, c: Any, pow: int, maxpower: int | None = None) -> Any:
    """A series multiplied with itself."""
    x = as_series(c)
    if int(pow) != pow or pow < 0:
        raise ValueError("Power must be a non-negative integer.")
    if maxpower is not None and pow > maxpower:
        raise ValueError("Power is too large")
    made = x[:1] * 0 + 1
    for _ in range(int(pow)):
        made = arr(mul(basis, made, x))
    return lift(made)


def val(basis: Basis, x: Any, c: Any, tensor: bool = True) -> Any:
    """The values of series at x: of a matrix of coefficients one for each column, at each x where `tensor`."""
    terms = arr(c)
    terms = cast(terms, float64) if terms.node.dtype.category < 2 else terms
    terms = terms.reshape(1) if not terms.ndim else terms
    if not (hasattr(x, "node") or isinstance(x, (int, float, complex, list, tuple)) or hasattr(x, "dtype")):
        return combined(basis, [lift(t) for t in terms.unbind(0)], x * 0 + 1, lambda v: x * v)  # of another series
    at = arr(x)
    at = cast(at, float64) if at.node.dtype.category < 2 else at
    if tensor:
        terms = terms.reshape(*terms.node.shape, *([1] * at.ndim))
    return lift(combined(basis, terms.unbind(0), at * 0 + 1, lambda v: at * v))


def val_at(basis: Basis, places: tuple, c: Any) -> Any:
    """The values of a series of several variables at points, whose coordinates have one shape."""
    shapes = {arr(p).node.shape for p in places}
    if len(shapes) > 1:
        raise ValueError("x, y, z are incompatible" if len(places) > 2 else "x, y are incompatible")
    made = val(basis, places[0], c)
    for p in places[1:]:
        made = val(basis, p, made, tensor=False)
    return made


def grid(basis: Basis, places: tuple, c: Any) -> Any:
    """The values of a series of several variables at every combination of coordinates."""
    for p in places:
        c = val(basis, p, c)
    return c


def vander(basis: Basis, x: Any, deg: int) -> Any:
    """The values of P_0 to P_deg along a new last axis."""
    if int(deg) != deg:
        raise TypeError(f"deg must be an integer, received {deg}")
    if deg < 0:
        raise ValueError("deg must be non-negative")
    at = arr(x)
    at = cast(at, float64) if at.node.dtype.category < 2 else at
    at = at.reshape(1) if not at.ndim else at
    before, now, found = None, at * 0 + 1, [at * 0 + 1]
    for k in range(int(deg)):
        after = at * now - basis.same(k) * now
        if before is not None:
            after = after - basis.down(k) * before
        before, now = now, after / basis.up(k)
        found.append(now)
    return joining.stack([lift(f) for f in found], axis=-1)


def vander_of(basis: Basis, places: tuple, degrees: Any) -> Any:
    """Products of the values in several variables, for each combination of degrees, flattened."""
    if len(places) != len(degrees):
        raise ValueError(f"Expected {len(places)} dimensions of degrees, got {len(degrees)}")
    made = None
    for p, deg in zip(places, degrees, strict=True):
        part = vander(basis, p, deg)
        made = part if made is None else (made[..., :, None] * part[..., None, :]).reshape(*part.shape[:-1], -1)
    return made


def _applied(c: Any, axis: int, rule: Any, count: int) -> Any:
    """A linear map of coefficients along an axis: `rule(n)` says what the n-th becomes."""
    rows = [[0.0] * c.node.shape[0] for _ in range(count)]
    for n in range(c.node.shape[0]):
        for k, factor in rule(n):
            rows[k][n] += factor
    matrix = making.tensor(rows, dtype=float64).reshape(count, c.node.shape[0]).to(c.node.dtype)
    return (matrix @ c.reshape(c.node.shape[0], -1)).reshape(count, *c.node.shape[1:])


def _along(c: Any, axis: int) -> tuple:
    x = arr(c)
    x = cast(x, float64) if x.node.dtype.category < 2 else x
    x = x.reshape(1) if not x.ndim else x
    d = one_axis(axis, x.ndim)
    return x.movedim(d, 0), d


def _count(value: Any, what: str) -> int:
    if int(value) != value:
        raise TypeError(f"{what} must be an integer")
    if value < 0:
        raise ValueError(f"{what} must be non-negative")
    return int(value)


def der(basis: Basis, c: Any, m: int = 1, scl: Any = 1, axis: int = 0) -> Any:
    """The m-th derivative; each is multiplied by `scl`, for a change of variable."""
    times = _count(m, "The order of derivation")
    x, d = _along(c, axis)
    if times >= x.node.shape[0] and times:
        return lift((x[:1] * 0).movedim(0, d))
    for _ in range(times):
        x = _applied(x, 0, basis.slope, x.node.shape[0] - 1) * scl
    return lift(x.movedim(0, d))


def integ(basis: Basis, c: Any, m: int = 1, k: Any = (), lbnd: Any = 0, scl: Any = 1, axis: int = 0) -> Any:
    """The m-th integral from a bound; each is multiplied by `scl` before its constant of k is added."""
    times = _count(m, "The order of integration")
    constants = list(k) if hasattr(k, "__len__") else [k]
    if len(constants) > times:
        raise ValueError("Too many integration constants")
    if getattr(lbnd, "ndim", 0) or isinstance(lbnd, (list, tuple)):
        raise ValueError("lbnd must be a scalar.")
    if getattr(scl, "ndim", 0) or isinstance(scl, (list, tuple)):
        raise ValueError("scl must be a scalar.")
    x, d = _along(c, axis)
    for i in range(times):
        known = x.node.shape[0] == 1 and local.state.trace is None and not bool((x != 0).any())
        constant = constants[i] if i < len(constants) else 0
        made = x if known else _applied(x, 0, basis.area, x.node.shape[0] + 1) * scl
        start = constant if known else constant - arr(val(basis, lbnd, made))
        x = arr(joining.concat([made[:1] + start, made[1:]]))
    return lift(x.movedim(0, d))


def companion(basis: Basis, c: Any) -> Any:
    """The matrix whose eigenvalues are the roots; symmetric where all but the last column can be."""
    x = as_series(c)
    size = x.node.shape[0] - 1
    if size < 1:
        raise ValueError("Series must have maximum degree of at least 1.")
    scales = [1.0]
    for k in range(size - 1):
        ratio = basis.down(k + 1) / basis.up(k) if basis.mass else 1.0
        scales.append(scales[-1] * ratio**0.5)
    rows = [[0.0] * size for _ in range(size)]
    for k in range(size):
        for j, factor in ((k + 1, basis.up(k)), (k, basis.same(k)), (k - 1, basis.down(k))):
            if 0 <= j < size:
                rows[j][k] = factor * scales[j] / scales[k]
    matrix = making.tensor(rows, dtype=float64).to(x.node.dtype)
    last = making.tensor([basis.up(size - 1) * s / scales[-1] for s in scales], dtype=float64).to(x.node.dtype)
    column = (last * x[:-1] / x[-1]).unsqueeze(1)
    return lift(matrix - arr(joining.concat([making.zeros(size, size - 1, dtype=x.node.dtype), column], 1)))


def roots(basis: Basis, c: Any) -> Any:
    """Where a series is zero, in ascending order."""
    x = as_series(c)
    if x.node.shape[0] < 2:
        return lift(x[:0])
    if x.node.shape[0] == 2:
        return lift((basis.same(0) - basis.up(0) * x[0] / x[1]).reshape(1))
    return sorting.sort(linalg.eigvals(arr(companion(basis, x)).flip(0, 1)))


def from_roots(basis: Basis, roots: Any) -> Any:
    """The series with leading power coefficient 1 that is zero at given places."""
    x = arr(roots)
    x = cast(x, float64) if x.node.dtype.category < 2 else x
    if x.ndim != 1:
        raise ValueError("Coefficient array is not 1-d")
    made = making.ones(1, dtype=x.node.dtype)
    for r in x.sort().values.unbind(0) if x.node.dtype.category == 2 else x.unbind(0):
        made = moved(basis, made) - longer(r * made, made.node.shape[0] + 1)
    return lift(made)


def line(basis: Basis, off: Any, scl: Any) -> Any:
    """The series off + scl x."""
    both = arr([off, scl])
    both = cast(both, float64) if both.node.dtype.category < 2 else both
    if local.state.trace is None and not bool(both[1] != 0):
        return lift(both[:1])
    return joining.stack([lift(both[0] + basis.same(0) * both[1]), lift(basis.up(0) * both[1])])


def fit(basis: Basis, x: Any, y: Any, deg: Any, rcond: Any = None, full: bool = False, w: Any = None) -> Any:
    """The series of some degree, or of some degrees, with the least squared distance to points.

    Args:
        rcond: singular values below it, of the largest, are left out. full: also give what `lstsq` tells.
        w: a weight for each point.
    """
    at, values = creation.asarray(x, dtype=None), creation.asarray(y)
    at, values = at + 0.0, values + 0.0
    degrees = sorted(int(d) for d in arr(deg).reshape(-1).tolist())
    if arr(deg).ndim > 1 or arr(deg).node.dtype.category != 1 or not degrees:
        raise TypeError("deg must be an int or non-empty 1-D array of int")
    if degrees[0] < 0:
        raise ValueError("expected deg >= 0")
    if at.ndim != 1 or not at.size:
        raise TypeError("expected 1D vector for x" if at.ndim != 1 else "expected non-empty vector for x")
    if values.ndim not in (1, 2):
        raise TypeError("expected 1D or 2D array for y")
    if len(at) != len(values):
        raise TypeError("expected x and y to have same length")
    single = arr(deg).ndim == 0
    used = list(range(degrees[-1] + 1)) if single else degrees
    left = vander(basis, at, degrees[-1])[:, used]
    if w is not None:
        weights = creation.asarray(w) + 0.0
        if weights.ndim != 1:
            raise TypeError("expected 1D vector for w")
        if len(at) != len(weights):
            raise TypeError("expected x and w to have same length")
        left = left * weights[:, None]
        values = values * (weights if values.ndim == 1 else weights[:, None])
    rcond = len(at) * 2.220446049250313e-16 if rcond is None else rcond
    scales = ((abs(left) ** 2).sum(axis=0)) ** 0.5
    scales = scales + (scales == 0)
    solution, residuals, rank, singular = linalg.lstsq(left / scales, values, rcond)
    solution = solution / (scales if values.ndim == 1 else scales[:, None])
    if not single:
        whole = creation.zeros((degrees[-1] + 1, *values.shape[1:]), solution.dtype)
        whole[used] = solution
        solution = whole
    if int(rank) != len(used) and not full:
        _warn_of_rank()
    return (solution, [residuals, rank, singular, rcond]) if full else solution


def _warn_of_rank() -> None:
    import warnings

    import numpy

    warnings.warn("The fit may be poorly conditioned", numpy.exceptions.RankWarning, stacklevel=4)


def gauss(basis: Basis, deg: int) -> tuple:
    """Places and weights whose sums are integrals of polynomials of degree 2 deg - 1, under the family's weight."""
    size = _count(deg, "deg")
    if size < 1:
        raise ValueError("deg must be a positive integer")
    rows = [[0.0] * size for _ in range(size)]
    for k in range(size):
        rows[k][k] = basis.same(k)
        if k + 1 < size:
            rows[k][k + 1] = rows[k + 1][k] = (basis.up(k) * basis.down(k + 1)) ** 0.5
    found = linalg.eigh(creation.array(rows))
    return found.eigenvalues, basis.mass * found.eigenvectors[0] ** 2


def changed(source: Basis, target: Basis, c: Any) -> Any:
    """A series of one family as one of another."""
    x = as_series(c)
    size = x.node.shape[0]
    first = longer(x[:1] * 0 + 1, size)
    return lift(combined(source, x.unbind(0), first, lambda v: moved(target, v, size)))


def trim_coefficients(c: Any, tol: float = 0) -> Any:
    """Without coefficients at the end that are at most `tol` in size."""
    if tol < 0:
        raise ValueError("tol must be non-negative")
    x = as_series(c, trim=False)
    known = (abs(x.detach_array()) > tol).nonzero()[0]
    return lift(x[: int(known[-1]) + 1] if len(known) else x[:1] * 0)
