"""Contraction: sums of products over named indices.

The compiler lowers `contract` to one nest; every gradient of a contraction is a contraction of the same letters.
"""

from __future__ import annotations

from string import ascii_letters
from typing import Any

from squall.base.dtypes import DType, int8, int32, uint8
from squall.base.errors import DtypeError, ShapeError
from squall.ir.families import common_device, contraction
from squall.ir.node import TensorType
from squall.ir.op import Context, Nest, Sample, declare, ops
from squall.ops import parts
from squall.ops.samples import floats
from squall.ops.slicing import with_batch

TRIANGLE_BLOCK = 48  # a multiple of every tile of the compiler's nest; a value, not a choice, since zeros depend on it


def split_equation(equation: str) -> tuple[str, str, str]:
    """The letters of both operands and of the result of "ab,bc->ac".

    Raises:
        ShapeError: for an equation of another form, a letter twice in one operand, or one summed in one operand alone.
    """
    operands, arrow, out = equation.partition("->")
    a, comma, b = operands.partition(",")
    letters = a + b + out
    if not arrow or not comma or (letters and not letters.isalpha()):
        raise ShapeError(f'contract: equation {equation!r} is not of the form "ab,bc->ac"')
    for part in (a, b, out):
        if len(set(part)) != len(part):
            raise ShapeError(f"contract: a letter stands twice in {part!r} of {equation!r}")
    for part, rest in ((a, b + out), (b, a + out), (out, a + b)):
        missing = set(part) - set(rest)
        if missing:
            raise ShapeError(f"contract: {sorted(missing)} of {part!r} is nowhere else in {equation!r}")
    return a, b, out


def letter_sizes(types: tuple, equation: str) -> dict[str, Any]:
    """The size of each letter; ShapeError when an operand has another rank or two sizes differ."""
    sizes: dict[str, Any] = {}
    for letters, t in zip(split_equation(equation)[:2], types, strict=True):
        if len(letters) != len(t.shape):
            raise ShapeError(
                f"contract: {letters!r} of {equation!r} does not name the dimensions of shape {tuple(t.shape)}"
            )
        for letter, size in zip(letters, t.shape, strict=True):
            if sizes.setdefault(letter, size) != size:
                raise ShapeError(
                    f"contract: {letter!r} is {sizes[letter]} and {size} for shapes "
                    f"{tuple(types[0].shape)} and {tuple(types[1].shape)} of {equation!r}"
                )
    return sizes


def check_numbers(name: str, types: tuple) -> DType:
    """The one dtype of operands that are multiplied and added; DtypeError for bool and for two dtypes."""
    dtype = types[0].dtype
    for t in types:
        if t.dtype is not dtype:
            raise DtypeError(f"{name}: expected operands of one dtype, got {dtype} and {t.dtype}")
    if dtype.category == 0:
        raise DtypeError(
            f"{name}: bool operands cannot be multiplied and added; cast them to an integer dtype"
        )
    return dtype


def _contract_type(types: tuple, attrs: tuple) -> TensorType:
    equation, triangle, wide = attrs
    sizes = letter_sizes(types, equation)
    check_triangle(equation, triangle)
    dtype, device = check_numbers("contract", types), common_device(contract, types)
    if wide and dtype not in (int8, uint8):
        raise DtypeError(f"contract: only sums of int8 and of uint8 have a wide result, not those of {dtype}")
    dtype = int32 if wide else dtype
    return TensorType(tuple(sizes[c] for c in split_equation(equation)[2]), dtype, device)


def check_triangle(equation: str, triangle: str) -> None:
    """ShapeError unless both letters of a triangle are there and each is the only one of its kind: in the first operand
    and the result, in the second and the result, or summed."""
    if not triangle:
        return
    a, b, out = split_equation(equation)
    kinds = [{c for c in x if c in y and c not in z} for x, y, z in ((a, out, b), (b, out, a), (a, b, out))]
    found = [kind for kind in kinds for c in triangle if c in kind]
    if len(set(triangle)) != 2 or len(triangle) != 2 or len(found) != 2 or any(len(kind) != 1 for kind in found):
        raise ShapeError(f"contract: triangle {triangle!r} must name two letters of {equation!r}, each the only one "
                         "that is summed, or that one operand alone shares with the result")


def _contract_grad(context: Context, g: Any) -> tuple:
    (a, b), (needs_a, needs_b), (equation, triangle) = context.inputs, context.needs, context.attrs[:2]
    x, y, out = split_equation(equation)
    return (
        ops.contract(g, b, equation=f"{out},{y}->{x}", triangle=triangle) if needs_a else None,
        ops.contract(a, g, equation=f"{x},{out}->{y}", triangle=triangle) if needs_b else None,
    )


def product_saves(needs: tuple[bool, ...]) -> tuple:
    """Each gradient of a product reads the other operand."""
    return (1,) * needs[0] + (0,) * needs[1]


def _contract_reference(a: Any, b: Any, equation: str, triangle: str, wide: bool) -> Any:
    import numpy

    if wide:
        a, b = a.astype(numpy.int32), b.astype(numpy.int32)
    if not triangle:
        return numpy.einsum(equation, a, b, optimize=True)

    def trimmed(x: Any, letters: str) -> Any:
        """The operand or result with zeros where its indices lie in products that are left out."""
        if not set(triangle) <= set(letters):
            return x
        row, column = (numpy.arange(x.shape[letters.index(c)]).reshape(
            [-1 if d == c else 1 for d in letters]) // TRIANGLE_BLOCK for c in triangle)
        return numpy.where(row >= column, x, numpy.zeros((), x.dtype))

    x, y, out = split_equation(equation)
    return trimmed(numpy.einsum(equation, trimmed(a, x), trimmed(b, y), optimize=True), out)


def fresh(used: str, count: int = 1) -> str:
    """Letters that an equation does not use yet."""
    return "".join([c for c in ascii_letters if c not in used][:count])


def contract_batch(op: Any, operands: tuple, batched: tuple, size: Any, attrs: tuple) -> tuple:
    """A letter for the batch, in front of the operands that have it and of the result."""
    a, b, out = split_equation(attrs[0])
    triangle, wide = attrs[1:] if len(attrs) > 1 else ("", False)
    letter = fresh(a + b + out)
    if triangle:  # the letter must not become one of rows or of columns
        operands, batched = tuple(with_batch(o, s, size) for o, s in zip(operands, batched, strict=True)), (True, True)
    equation = f"{letter * batched[0]}{a},{letter * batched[1]}{b}->{letter}{out}"
    return ops.contract(*operands, equation=equation, triangle=triangle, wide=wide), True


def _contract_samples() -> list[Sample]:
    cases = [
        ("mk,kn->mn", (3, 4), (4, 5)),
        ("bmk,bkn->bmn", (2, 3, 4), (2, 4, 2)),
        ("km,nk->nm", (4, 3), (2, 4)),
        ("k,k->", (5,), (5,)),
        ("m,n->mn", (3,), (4,)),
        ("mk,kn->mn", (3, 0), (0, 2)),
        ("mk,kn->mn", (0, 3), (3, 2)),
        ("abk,kn->abn", (2, 3, 4), (4, 5)),
        ("nopq,ncpqxy->ocxy", (2, 3, 2, 2), (2, 2, 2, 2, 3, 1)),
        ("mk,kn->mn", (17, 33), (33, 19)),
        ("a,->a", (3,), ()),
    ]
    halves = [
        ("ble,bse->bls", (2, 70, 3), (2, 101, 3), "ls"),
        ("ls,sv->lv", (101, 70), (70, 5), "ls"),
        ("bls,blv->bsv", (2, 60, 99), (2, 60, 4), "ls"),
    ]
    plain = [Sample((floats(a, i), floats(b, i + 30)), {"equation": e}, e) for i, (e, a, b) in enumerate(cases)]
    return plain + [
        Sample((floats(a, i), floats(b, i + 60)), {"equation": e, "triangle": t}, f"{e}, triangle {t}")
        for i, (e, a, b, t) in enumerate(halves)
    ]


contract = declare(
    "contract",
    contraction, parts=parts.contract,
    attributes=("equation", "triangle", "wide"),
    defaults={"triangle": "", "wide": False},
    infer=_contract_type,
    saves=product_saves,
    grad=_contract_grad,
    lowering=Nest(lambda types, attrs: letter_sizes(types, attrs[0])),
    reference=_contract_reference,
    vmap=contract_batch,
    samples=_contract_samples,
    doc="Products summed over the letters that the result lacks. Each letter of an operand is in the other or in the "
    "result, and none is repeated. 16-bit floats accumulate in float32, integers exactly. A `triangle` of two letters "
    "leaves out the products where the first letter's index lies in an earlier block of 48 than the second's: in the "
    "result they are zeros, in a sum nothing. Causal attention is made of such contractions. `wide`: int8 or "
    "uint8 operands give int32.",
)
