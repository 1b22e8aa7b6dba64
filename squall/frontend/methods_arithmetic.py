"""Tensor methods: operators and arithmetic of two operands, and their in-place forms. One documented line each;
the work is in the functions they call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from squall.frontend import arithmetic
from squall.frontend.core import apply, binary, unary
from squall.frontend.entries import Native
from squall.ir.op import ops

if TYPE_CHECKING:
    from squall.frontend.tensor import Tensor


class ArithmeticMethods:
    """Mixed into Tensor."""

    __slots__ = ()

    __add__ = binary(ops.add)
    __radd__ = binary(ops.add, reverse=True)

    __sub__ = binary(ops.sub)
    __rsub__ = binary(ops.sub, reverse=True)

    __mul__ = binary(ops.mul)
    __rmul__ = binary(ops.mul, reverse=True)

    __truediv__ = binary(ops.div, floating=True)
    __rtruediv__ = binary(ops.div, floating=True, reverse=True)
    __rdiv__ = __rtruediv__

    __floordiv__ = binary(ops.floor_divide)
    __rfloordiv__ = binary(ops.floor_divide, reverse=True)
    __mod__ = binary(ops.remainder)
    __rmod__ = binary(ops.remainder, reverse=True)
    __and__ = binary(ops.bitwise_and)
    __rand__ = binary(ops.bitwise_and, reverse=True)
    __or__ = binary(ops.bitwise_or)
    __ror__ = binary(ops.bitwise_or, reverse=True)
    __xor__ = binary(ops.bitwise_xor)
    __rxor__ = binary(ops.bitwise_xor, reverse=True)
    __lshift__ = binary(ops.shift_left)
    __rlshift__ = binary(ops.shift_left, reverse=True)
    __rshift__ = binary(ops.shift_right)
    __rrshift__ = binary(ops.shift_right, reverse=True)
    __eq__ = binary(ops.eq)  # type: ignore[assignment]
    __ne__ = binary(ops.ne)  # type: ignore[assignment]
    __lt__ = binary(ops.lt)
    __le__ = binary(ops.le)
    __gt__ = binary(ops.gt)
    __ge__ = binary(ops.ge)

    def __hash__(self) -> int:
        """Identity: tensors are keys by object."""
        return id(self)

    def __neg__(self) -> Tensor:
        """Negative."""
        return unary(ops.neg, self)

    def __pos__(self) -> Tensor:
        """The tensor itself."""
        return self  # type: ignore[return-value]

    def __abs__(self) -> Tensor:
        """Absolute value."""
        return unary(ops.abs, self)

    def __invert__(self) -> Tensor:
        """Every bit flipped; logical not for bool."""
        return apply(ops.bitwise_not, (self,))

    def __pow__(self, other: Any) -> Tensor:
        """Power; a Python exponent is structural."""
        return arithmetic.power(self, other)

    def __rpow__(self, other: Any) -> Tensor:
        """A number to the power of each element."""
        return apply(ops.pow, (other, self))

    def __matmul__(self, other: Any) -> Tensor:
        """Matrix product."""
        return arithmetic.matmul(self, other)

    def __rmatmul__(self, other: Any) -> Tensor:
        """Matrix product with an array on the left."""
        return arithmetic.matmul(other, self)

    def __iadd__(self, other: Any) -> Tensor:
        """In place."""
        return self.add_(other)

    def __isub__(self, other: Any) -> Tensor:
        """In place."""
        return self.sub_(other)

    def __imul__(self, other: Any) -> Tensor:
        """In place."""
        return self.mul_(other)

    def __itruediv__(self, other: Any) -> Tensor:
        """In place."""
        return self.div_(other)

    def __ifloordiv__(self, other: Any) -> Tensor:
        """In place."""
        return self.floor_divide_(other)

    def __imod__(self, other: Any) -> Tensor:
        """In place."""
        return self.remainder_(other)

    def __ipow__(self, other: Any) -> Tensor:
        """In place."""
        return self.pow_(other)

    def __ilshift__(self, other: Any) -> Tensor:
        """In place."""
        return arithmetic.in_place(self, self << other, "__ilshift__")

    def __irshift__(self, other: Any) -> Tensor:
        """In place."""
        return arithmetic.in_place(self, self >> other, "__irshift__")

    def __reversed__(self) -> Tensor:
        """All dimensions reversed."""
        whole: Any = self
        return whole.flip(tuple(range(whole.dim())))

    def __iand__(self, other: Any) -> Tensor:
        """In place."""
        return self.bitwise_and_(other)

    def __ior__(self, other: Any) -> Tensor:
        """In place."""
        return self.bitwise_or_(other)

    def __ixor__(self, other: Any) -> Tensor:
        """In place."""
        return self.bitwise_xor_(other)

    def add(self, other: Any, *, alpha: float = 1) -> Tensor:
        """self + alpha * other."""
        return arithmetic.add(self, other, alpha)

    def sub(self, other: Any, *, alpha: float = 1) -> Tensor:
        """self - alpha * other."""
        return arithmetic.sub(self, other, alpha)

    def div(self, other: Any, *, rounding_mode: str | None = None) -> Tensor:
        """Quotient: true, "floor" or "trunc"."""
        return arithmetic.div(self, other, rounding_mode)

    def pow(self, exponent: Any) -> Tensor:
        """Power; a Python exponent is structural."""
        return arithmetic.power(self, exponent)

    def add_(self, other: Any, *, alpha: float = 1) -> Tensor:
        """self += alpha * other."""
        return arithmetic.in_place(self, arithmetic.add(self, other, alpha), "add_")

    def sub_(self, other: Any, *, alpha: float = 1) -> Tensor:
        """self -= alpha * other."""
        return arithmetic.in_place(self, arithmetic.sub(self, other, alpha), "sub_")

    def div_(self, other: Any, *, rounding_mode: str | None = None) -> Tensor:
        """self /= other."""
        return arithmetic.in_place(self, arithmetic.div(self, other, rounding_mode), "div_")

    def pow_(self, exponent: Any) -> Tensor:
        """In place: power."""
        return arithmetic.in_place(self, arithmetic.power(self, exponent), "pow_")

    def mul(self, other: Any) -> Tensor:
        """Product."""
        return self * other

    def mul_(self, other: Any) -> Tensor:
        """In place: product."""
        return arithmetic.in_place(self, self.mul(other), "mul_")

    def maximum(self, other: Any) -> Tensor:
        """The larger of two, elementwise; NaN wins."""
        return Native.call(arithmetic.maximum, self, other)

    def maximum_(self, other: Any) -> Tensor:
        """In place: the larger of two, elementwise; NaN wins."""
        return arithmetic.in_place(self, self.maximum(other), "maximum_")

    def minimum(self, other: Any) -> Tensor:
        """The smaller of two, elementwise; NaN wins."""
        return Native.call(arithmetic.minimum, self, other)

    def minimum_(self, other: Any) -> Tensor:
        """In place: the smaller of two, elementwise; NaN wins."""
        return arithmetic.in_place(self, self.minimum(other), "minimum_")

    def fmod(self, other: Any) -> Tensor:
        """C remainder: the sign of the dividend."""
        return apply(ops.fmod, (self, other))

    def fmod_(self, other: Any) -> Tensor:
        """In place: c remainder: the sign of the dividend."""
        return arithmetic.in_place(self, self.fmod(other), "fmod_")

    def remainder(self, other: Any) -> Tensor:
        """Python remainder: the sign of the divisor."""
        return apply(ops.remainder, (self, other))

    def remainder_(self, other: Any) -> Tensor:
        """In place: python remainder: the sign of the divisor."""
        return arithmetic.in_place(self, self.remainder(other), "remainder_")

    def floor_divide(self, other: Any) -> Tensor:
        """Quotient rounded down."""
        return apply(ops.floor_divide, (self, other))

    def floor_divide_(self, other: Any) -> Tensor:
        """In place: quotient rounded down."""
        return arithmetic.in_place(self, self.floor_divide(other), "floor_divide_")

    def atan2(self, other: Any) -> Tensor:
        """Angle of the point (other, self)."""
        return apply(ops.atan2, (self, other))

    def atan2_(self, other: Any) -> Tensor:
        """In place: angle of the point (other, self)."""
        return arithmetic.in_place(self, self.atan2(other), "atan2_")

    def copysign(self, other: Any) -> Tensor:
        """Magnitude of self, sign of other."""
        return apply(ops.copysign, (self, other))

    def copysign_(self, other: Any) -> Tensor:
        """In place: magnitude of self, sign of other."""
        return arithmetic.in_place(self, self.copysign(other), "copysign_")

    def bitwise_and(self, other: Any) -> Tensor:
        """Bits set in both."""
        return apply(ops.bitwise_and, (self, other))

    def bitwise_and_(self, other: Any) -> Tensor:
        """In place: bits set in both."""
        return arithmetic.in_place(self, self.bitwise_and(other), "bitwise_and_")

    def bitwise_or(self, other: Any) -> Tensor:
        """Bits set in either."""
        return apply(ops.bitwise_or, (self, other))

    def bitwise_or_(self, other: Any) -> Tensor:
        """In place: bits set in either."""
        return arithmetic.in_place(self, self.bitwise_or(other), "bitwise_or_")

    def bitwise_xor(self, other: Any) -> Tensor:
        """Bits set in one."""
        return apply(ops.bitwise_xor, (self, other))

    def bitwise_xor_(self, other: Any) -> Tensor:
        """In place: bits set in one."""
        return arithmetic.in_place(self, self.bitwise_xor(other), "bitwise_xor_")

    def logical_and(self, other: Any) -> Tensor:
        """True where both are nonzero."""
        return arithmetic.logical(ops.logical_and, self, other)

    def logical_and_(self, other: Any) -> Tensor:
        """In place: true where both are nonzero."""
        return arithmetic.in_place(self, self.logical_and(other), "logical_and_")

    def logical_or(self, other: Any) -> Tensor:
        """True where either is."""
        return arithmetic.logical(ops.logical_or, self, other)

    def logical_or_(self, other: Any) -> Tensor:
        """In place: true where either is."""
        return arithmetic.in_place(self, self.logical_or(other), "logical_or_")

    def logical_xor(self, other: Any) -> Tensor:
        """True where exactly one is."""
        return arithmetic.logical(ops.logical_xor, self, other)

    def logical_xor_(self, other: Any) -> Tensor:
        """In place: true where exactly one is."""
        return arithmetic.in_place(self, self.logical_xor(other), "logical_xor_")

    def eq(self, other: Any) -> Tensor:
        """Equal."""
        return apply(ops.eq, (self, other))

    def eq_(self, other: Any) -> Tensor:
        """In place: equal."""
        return arithmetic.in_place(self, self.eq(other), "eq_")

    def ne(self, other: Any) -> Tensor:
        """Not equal."""
        return apply(ops.ne, (self, other))

    def ne_(self, other: Any) -> Tensor:
        """In place: not equal."""
        return arithmetic.in_place(self, self.ne(other), "ne_")

    def lt(self, other: Any) -> Tensor:
        """Less."""
        return apply(ops.lt, (self, other))

    def lt_(self, other: Any) -> Tensor:
        """In place: less."""
        return arithmetic.in_place(self, self.lt(other), "lt_")

    def le(self, other: Any) -> Tensor:
        """Less or equal."""
        return apply(ops.le, (self, other))

    def le_(self, other: Any) -> Tensor:
        """In place: less or equal."""
        return arithmetic.in_place(self, self.le(other), "le_")

    def gt(self, other: Any) -> Tensor:
        """Greater."""
        return apply(ops.gt, (self, other))

    def gt_(self, other: Any) -> Tensor:
        """In place: greater."""
        return arithmetic.in_place(self, self.gt(other), "gt_")

    def ge(self, other: Any) -> Tensor:
        """Greater or equal."""
        return apply(ops.ge, (self, other))

    def ge_(self, other: Any) -> Tensor:
        """In place: greater or equal."""
        return arithmetic.in_place(self, self.ge(other), "ge_")

    multiply, multiply_ = mul, mul_
    divide, divide_, true_divide, true_divide_ = div, div_, div, div_
    arctan2, arctan2_ = atan2, atan2_
    greater_, greater_equal_, less_, less_equal_, not_equal_ = gt_, ge_, lt_, le_, ne_
    subtract, subtract_ = sub, sub_
    greater, greater_equal, less, less_equal, not_equal = gt, ge, lt, le, ne

    def matmul(self, other: Tensor) -> Tensor:
        """Matrix product by NumPy's rules."""
        return arithmetic.matmul(self, other)

    def mm(self, mat2: Tensor) -> Tensor:
        """Product of two matrices."""
        return arithmetic.mm(self, mat2)

    def bmm(self, mat2: Tensor) -> Tensor:
        """Products of two batches of matrices."""
        return arithmetic.bmm(self, mat2)

    def mv(self, vec: Tensor) -> Tensor:
        """Matrix times vector."""
        return arithmetic.product(self, vec)

    def dot(self, tensor: Tensor) -> Tensor:
        """Inner product of two vectors."""
        return arithmetic.dot(self, tensor)

    def outer(self, vec2: Tensor) -> Tensor:
        """Outer product of two vectors."""
        return arithmetic.outer(self, vec2)

    def addmm(self, mat1: Tensor, mat2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
        """beta * self + alpha * mat1 @ mat2."""
        return arithmetic.addmm(self, mat1, mat2, beta, alpha)

    def addcmul(self, tensor1: Tensor, tensor2: Tensor, *, value: float = 1) -> Tensor:
        """self + value * tensor1 * tensor2."""
        return arithmetic.addcmul(self, tensor1, tensor2, value)

    def addcdiv(self, tensor1: Tensor, tensor2: Tensor, *, value: float = 1) -> Tensor:
        """self + value * tensor1 / tensor2."""
        return arithmetic.addcdiv(self, tensor1, tensor2, value)

    def addcmul_(self, tensor1: Tensor, tensor2: Tensor, *, value: float = 1) -> Tensor:
        """In place: self + value * tensor1 * tensor2."""
        return arithmetic.in_place(self, self.addcmul(tensor1, tensor2, value=value), "addcmul_")

    def addcdiv_(self, tensor1: Tensor, tensor2: Tensor, *, value: float = 1) -> Tensor:
        """In place: self + value * tensor1 / tensor2."""
        return arithmetic.in_place(self, self.addcdiv(tensor1, tensor2, value=value), "addcdiv_")

    def lerp(self, end: Tensor, weight: Any) -> Tensor:
        """self + weight * (end - self)."""
        return arithmetic.lerp(self, end, weight)

    def lerp_(self, end: Tensor, weight: Any) -> Tensor:
        """In place: self + weight * (end - self)."""
        return arithmetic.in_place(self, self.lerp(end, weight), "lerp_")

    def clamp(self, min: Any = None, max: Any = None) -> Tensor:
        """Limited to [min, max]; NaN stays."""
        return Native.call(arithmetic.clamp, self, min, max)

    def clamp_(self, min: Any = None, max: Any = None) -> Tensor:
        """In place: limited to [min, max]."""
        return arithmetic.in_place(self, self.clamp(min, max), "clamp_")

    def where(self, condition: Tensor, other: Any) -> Tensor:
        """self where condition, else other."""
        return Native.call(arithmetic.where, condition, self, other)

    def masked_fill(self, mask: Tensor, value: Any) -> Tensor:
        """value where mask, else self."""
        return Native.call(arithmetic.masked_fill, self, mask, value)

    def masked_fill_(self, mask: Tensor, value: Any) -> Tensor:
        """In place: value where mask."""
        return arithmetic.in_place(self, self.masked_fill(mask, value), "masked_fill_")

    clip, clip_ = clamp, clamp_
