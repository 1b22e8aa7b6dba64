"""Symbolic sizes: `Dim` and the arithmetic of shapes over it.

A Dim is a polynomial with integer coefficients over symbols and opaque quotients, kept in one normal form, so
equal expressions compare equal. A declared symbol carries its range. To squall a symbolic size is never equal to an
int: it is treated as different from 0 and 1, and kernels that are generic in size make that right at 0 and 1 too. What
code of the user's asks of a size is answered for the one at hand, see `deciding`.
"""

from __future__ import annotations

from math import floor, lcm

from squall.base.deciding import ask
from squall.base.errors import TraceError

Monomial = tuple[object, ...]  # sorted atoms, repeated for powers; () is the constant

MOST_TERMS = 64  # of a quotient of polynomials
MOST_EXACT = 1 << 16  # numerator and denominator of a factor that is a quotient of integers


class Symbol:
    """A named size with a range. Equal ones have both the same: types are shared among all programs of a process, and
    what another one declared under the name is nothing to this one."""

    __slots__ = ("name", "minimum", "maximum")

    def __init__(self, name: str, minimum: int = 0, maximum: int | None = None):
        self.name, self.minimum, self.maximum = name, minimum, maximum

    def evaluate(self, sizes: dict[str, int]) -> int:
        return sizes[self.name]

    def symbols(self) -> set[Symbol]:
        return {self}

    def bounds(self) -> tuple[int, int | None]:
        return self.minimum, self.maximum

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Symbol) and other.name == self.name and other.bounds() == self.bounds()

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return self.name


class Quotient:
    """`floor(numerator / denominator)` or the remainder, when it does not divide exactly; the smaller or
    larger of two sizes that ranges do not tell apart; or, of kind "*", a size times a float, rounded down.
    """

    __slots__ = ("kind", "numerator", "denominator")

    def __init__(self, kind: str, numerator: Dim | int, denominator: Dim | int | float):
        self.kind, self.numerator, self.denominator = kind, numerator, denominator

    def evaluate(self, sizes: dict[str, int]) -> int:
        if isinstance(self.denominator, float):
            return floor(evaluate(self.numerator, sizes) * self.denominator)
        a, b = evaluate(self.numerator, sizes), evaluate(self.denominator, sizes)
        if self.kind in ("min", "max"):
            return min(a, b) if self.kind == "min" else max(a, b)
        return a // b if self.kind == "//" else a % b

    def symbols(self) -> set[Symbol]:
        return symbols(self.numerator) | symbols(self.denominator)

    def bounds(self) -> tuple[int | None, int | None]:
        low, high = bounds(self.numerator)
        if isinstance(self.denominator, float):
            ends = [None if end is None else floor(end * self.denominator) for end in (low, high)]
            return ends[0], ends[1]
        if self.kind == "min":
            other_low, other_high = bounds(self.denominator)
            known = [h for h in (high, other_high) if h is not None]
            lows = (low, other_low)
            return None if None in lows else min(lows), min(known) if known else None
        if self.kind == "max":
            other_low, other_high = bounds(self.denominator)
            lows = [v for v in (low, other_low) if v is not None]
            highs = (high, other_high)
            return max(lows) if lows else None, None if None in highs else max(highs)
        if not isinstance(self.denominator, int) or self.denominator <= 0:
            return 0, None
        if self.kind == "%":
            return 0, self.denominator - 1
        return None if low is None else low // self.denominator, None if high is None else high // self.denominator

    def _key(self) -> tuple:
        return (self.kind, self.numerator, self.denominator)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quotient) and other._key() == self._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        if self.kind in ("min", "max"):
            return f"{self.kind}({self.numerator}, {self.denominator})"
        if self.kind == "*":
            return f"floor({self.numerator} * {self.denominator})"
        a, b = (f"({v})" if isinstance(v, Dim) and len(v.terms) > 1 else v for v in (self.numerator, self.denominator))
        return f"({a} {self.kind} {b})"


class Dim:
    """A symbolic size. `Dim("batch", min=1, max=512)` declares a symbol; arithmetic makes expressions.

    Args:
        name: what errors call it. min, max: the sizes it may take (max None: any).

    Example:
        >>> n = Dim("n", min=1)
        >>> 2 * n + n, (4 * n) // 2, n - n
        (3*n, 2*n, 0)
    """

    __slots__ = ("terms", "_hash")

    def __init__(self, name: str, min: int = 0, max: int | None = None):
        self.terms: dict[Monomial, int] = {(Symbol(name, min, max),): 1}
        self._hash = None

    @staticmethod
    def of(terms: dict[Monomial, int]) -> Dim | int:
        """The normal form of a sum of terms: an int when it is constant."""
        terms = {m: c for m, c in terms.items() if c}
        if not terms:
            return 0
        if len(terms) == 1 and () in terms:
            return terms[()]
        made = object.__new__(Dim)
        made.terms, made._hash = terms, None
        return made

    @property
    def symbol(self) -> Symbol | None:
        """The symbol when this is one alone, else None."""
        if len(self.terms) == 1:
            (monomial, coefficient), = self.terms.items()
            if coefficient == 1 and len(monomial) == 1 and isinstance(monomial[0], Symbol):
                return monomial[0]
        return None

    def __add__(self, other: object) -> Dim | int:
        theirs = _terms(other)
        if theirs is None:
            return NotImplemented
        out = dict(self.terms)
        for monomial, c in theirs.items():
            out[monomial] = out.get(monomial, 0) + c
        return Dim.of(out)

    __radd__ = __add__

    def __neg__(self) -> Dim | int:
        return Dim.of({m: -c for m, c in self.terms.items()})

    def __sub__(self, other: object) -> Dim | int:
        theirs = _terms(other)
        return NotImplemented if theirs is None else self + Dim.of({m: -c for m, c in theirs.items()})

    def __rsub__(self, other: object) -> Dim | int:
        return (-self) + other

    def __mul__(self, other: object) -> Dim | int:
        theirs = _terms(other)
        if theirs is None:
            return NotImplemented
        out: dict[Monomial, int] = {}
        for m, c in self.terms.items():
            for n, d in theirs.items():
                key = tuple(sorted(m + n, key=repr))
                out[key] = out.get(key, 0) + c * d
        return Dim.of(out)

    __rmul__ = __mul__

    def __floordiv__(self, other: object) -> Dim | int:
        return divide(self, other)

    def __rfloordiv__(self, other: object) -> Dim | int:
        return divide(other, self)

    def __mod__(self, other: object) -> Dim | int:
        exact = _exact(self, other)
        if exact is None and isinstance(other, Dim):
            least, room = bounds(self)[0], bounds(other - self)[0]
            if least is not None and least >= 0 and room is not None and room > 0:
                return self
        return 0 if exact is not None else Dim.of({(Quotient("%", self, other),): 1})  # type: ignore[arg-type]

    def __rmod__(self, other: object) -> Dim | int:
        low = bounds(self)[0]
        if isinstance(other, int) and low is not None and 0 <= other < low:
            return other
        return Dim.of({(Quotient("%", other, self),): 1})  # type: ignore[arg-type]

    def __eq__(self, other: object) -> bool:
        if self is other or (isinstance(other, Dim) and self.terms == other.terms):
            return True
        return isinstance(other, (int, Dim)) and bool(ask(self, "==", other))

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash(frozenset(self.terms.items()))
        return self._hash

    def _compare(self, other: object, name: str, most: int) -> tuple[int | None, int | None]:
        low, high = bounds(self - other)  # type: ignore[operator]
        if low is None and (high is None or high > most):
            raise TraceError(f"the symbolic size {self} cannot be compared ({name} {other}) while tracing: "
                             "declare its range with Dim(name, min=, max=)")
        return low, high

    def _is_below(self, other: object, name: str, most: int) -> bool:
        """Whether self - other is at most so much for all sizes; False as well where that varies."""
        _, high = self._compare(other, name, most)
        return high is not None and high <= most

    def __lt__(self, other: object) -> bool:
        answer = ask(self, "<", other)
        return self._is_below(other, "<", -1) if answer is None else answer

    def __le__(self, other: object) -> bool:
        answer = ask(self, "<=", other)
        return self._is_below(other, "<=", 0) if answer is None else answer

    def __gt__(self, other: object) -> bool:
        answer = ask(self, ">", other)
        return not self._is_below(other, "<=", 0) if answer is None else answer

    def __ge__(self, other: object) -> bool:
        answer = ask(self, ">=", other)
        return not self._is_below(other, "<", -1) if answer is None else answer

    def __bool__(self) -> bool:
        answer = ask(self, "!=", 0)
        return True if answer is None else answer

    def value(self, sizes: dict[str, int]) -> int:
        """What this is when each symbol has the given value."""
        return evaluate(self, sizes)

    def __index__(self) -> int:
        raise TraceError(f"the value of the symbolic size {self} was asked for while tracing; "
                         "use it only in shapes, or pass a concrete size")

    def __reduce__(self):
        return (_rebuild, (tuple(self.terms.items()),))

    def __repr__(self) -> str:
        parts = []
        for monomial, c in sorted(self.terms.items(), key=lambda t: (-len(t[0]), repr(t[0]))):
            atoms = "*".join(map(repr, monomial))
            parts.append(str(c) if not atoms else atoms if c == 1 else f"{c}*{atoms}")
        return " + ".join(parts).replace("+ -", "- ")


def _rebuild(items: tuple) -> Dim | int:
    return Dim.of(dict(items))


def _terms(value: object) -> dict[Monomial, int] | None:
    if isinstance(value, Dim):
        return value.terms
    if isinstance(value, int):
        return {(): value} if value else {}
    return None


def _exact(a: object, b: object) -> Dim | int | None:
    """The quotient when `b` divides `a` without a rest as polynomials of the sizes, else None."""
    top, bottom = _terms(a), _terms(b)
    if top is None or not bottom:
        return None
    if len(bottom) > 1:
        return _long_division(a, b)  # type: ignore[arg-type]
    (divisor, scale), = bottom.items()
    out = {}
    for monomial, c in top.items():
        rest = list(monomial)
        for atom in divisor:
            if atom not in rest:
                return None
            rest.remove(atom)
        if c % scale:
            return None
        out[tuple(rest)] = c // scale
    return Dim.of(out)


def _long_division(a: Dim | int, b: Dim) -> Dim | int | None:
    """The quotient of polynomials, leading term by leading term; None where a rest is left."""
    quotient: Dim | int = 0
    for _ in range(MOST_TERMS):
        if isinstance(a, int) and a == 0:
            return quotient
        part = _exact(_leading(a), _leading(b))
        if part is None:
            return None
        quotient, a = part + quotient, a - part * b
    return None


def _leading(size: Dim | int) -> Dim | int:
    terms = _terms(size) or {}
    most = max(terms, key=lambda monomial: (len(monomial), sorted(map(repr, monomial))))
    return Dim.of({most: terms[most]})


def divide(a: object, b: object) -> Dim | int:
    """`a // b`, exact where the terms allow, else an opaque quotient."""
    if a == b:
        return 1
    if isinstance(b, int) and b == 1:
        return a  # type: ignore[return-value]
    exact = _exact(a, b)
    return exact if exact is not None else Dim.of({(Quotient("//", a, b),): 1})  # type: ignore[arg-type]


def scaled(size: Dim | int, factor: float) -> Dim | int:
    """A size times a positive factor, rounded down; the product rounds as Python's floats do.

    Example:
        >>> scaled(Dim("n"), 2.0), scaled(Dim("n"), 1.5), scaled(Dim("n"), 0.1), scaled(7, 1.5)
        (2*n, (3*n // 2), floor(n * 0.1), 10)
    """
    if isinstance(size, int):
        return floor(size * float(factor))
    top, bottom = float(factor).as_integer_ratio()
    if max(top, bottom) <= MOST_EXACT:
        return size * top // bottom  # type: ignore[operator]
    return Dim.of({(Quotient("*", size, float(factor)),): 1})


def parts(total: Dim | int, size: Dim | int) -> int | None:
    """Into how many pieces of a size a total falls, the last of which may be smaller; None where that varies.

    Example:
        >>> parts(10, 4), parts(3 * Dim("n", min=1), Dim("n", min=1)), parts(Dim("n"), 4)
        (3, 3, None)
    """
    count: Dim | int = -(-total // size)
    if isinstance(count, int):
        return count
    low, high = bounds(count)
    return low if low == high else None


def smaller(a: Dim | int, b: Dim | int) -> Dim | int:
    """The smaller of two sizes, also where only their values at run time will tell.

    Example:
        >>> smaller(Dim("n", min=1), 4), smaller(Dim("n", min=4), 4)
        (min(n, 4), 4)
    """
    if isinstance(a, int) and isinstance(b, int):
        return min(a, b)
    low, high = bounds(a - b)
    if high is not None and high <= 0:
        return a
    if low is not None and low >= 0:
        return b
    return Dim.of({(Quotient("min", a, b),): 1})


def larger(a: Dim | int, b: Dim | int) -> Dim | int:
    """The larger of two sizes, as `smaller`.

    Example:
        >>> larger(Dim("n", min=1) - 1, 0), larger(Dim("n") - 3, 0)
        (n - 1, max(n - 3, 0))
    """
    least = smaller(a, b)
    if not isinstance(least, Dim) or least in (a, b):
        return a + b - least
    return Dim.of({(Quotient("max", a, b),): 1})


def evaluate(size: Dim | int, sizes: dict[str, int]) -> int:
    """The int a size is when each symbol has the given value."""
    if isinstance(size, int):
        return size
    total = 0
    for monomial, c in size.terms.items():
        for atom in monomial:
            c *= atom.evaluate(sizes)  # type: ignore[attr-defined]
        total += c
    return total


def symbols(size: object) -> set[Symbol]:
    """The symbols in a size, or in a tuple of sizes."""
    if isinstance(size, tuple):
        return set().union(*map(symbols, size))
    if not isinstance(size, Dim):
        return set()
    return {s for monomial in size.terms for atom in monomial for s in atom.symbols()}  # type: ignore[attr-defined]


def bounds(size: Dim | int) -> tuple[int | None, int | None]:
    """The least and greatest value a size can take, by the ranges of its symbols; None where unknown.

    Example:
        >>> n = Dim("n", min=1)
        >>> bounds(n + 2), bounds(n - n // 2), bounds(n // 2 - n)
        ((3, None), (1, None), (None, -1))
    """
    if isinstance(size, int):
        return size, size
    low, high = _bounds_by_term(size)
    if any(isinstance(m[0], Quotient) for m in size.terms if len(m) == 1):
        least, most = _loosened(size, False), _loosened(size, True)
        low = least if low is None or (least is not None and least > low) else low
        high = most if high is None or (most is not None and most < high) else high
    return low, high


def _loosened(size: Dim, up: bool) -> int | None:
    """The greatest (or least) value when each quotient by a number is as large (or small) as what it rounds may be, in
    terms of the same symbols: n - n // 2 is never less than n / 2."""
    rounded = _rounded(size)
    scale = lcm(*(q.denominator for q in rounded))  # type: ignore[arg-type]  # they are ints
    total: Dim | int = 0
    for monomial, c in size.terms.items():
        atom = monomial[0] if len(monomial) == 1 else None
        if isinstance(atom, Quotient) and atom in rounded:
            rest = 0 if (c > 0) == up else atom.denominator - 1
            total = total + (atom.numerator - rest) * (c * scale // atom.denominator)  # type: ignore[operator]
        elif isinstance(atom, Quotient) and atom.kind == "%" and (c > 0) == up and isinstance(atom.denominator, Dim):
            total = total + (atom.denominator - 1) * (c * scale)  # what is left is smaller than the divisor
        else:
            total = total + Dim.of({monomial: c * scale})
    if isinstance(total, Dim) and total != size * scale:
        low, high = bounds(total)
    else:
        low, high = (total, total) if isinstance(total, int) else _bounds_by_term(total)
    if up:
        return None if high is None else high // scale
    return None if low is None else -(-low // scale)


def _rounded(size: Dim) -> list[Quotient]:
    """The quotients by a number that a sum has as terms of their own."""
    atoms = [m[0] for m in size.terms if len(m) == 1]
    return [a for a in atoms if isinstance(a, Quotient) and a.kind == "//" and isinstance(a.denominator, int)
            and a.denominator > 0]


def _bounds_by_term(size: Dim) -> tuple[int | None, int | None]:
    """The bounds that the sum of each term's bounds gives."""
    low: int | None = 0
    high: int | None = 0
    for monomial, c in size.terms.items():
        least: int | None = 1
        most: int | None = 1
        for atom in monomial:
            atom_low, atom_high = atom.bounds()  # type: ignore[attr-defined]
            least = None if least is None or atom_low is None else least * atom_low
            most = None if most is None or atom_high is None else most * atom_high
        ends = None if least is None else c * least, None if most is None else c * most
        first, second = ends if c > 0 else ends[::-1]
        low = None if low is None or first is None else low + first
        high = None if high is None or second is None else high + second
    return low, high
