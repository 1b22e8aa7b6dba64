"""Elementwise ops and the operators of Tensor as native code: `core.unary` and `core.binary`.

See `engine/native_walk.py` for the language, and `native_record.py` for what records.
"""
# ruff: noqa: F821
# pyright: reportUndefinedVariable=false, reportAttributeAccessIssue=false


def apply_unary(op, x):
    """An elementwise op that keeps floating dtypes; 0 as `recorded` gives it."""
    node = node_of(x)
    if node == 0 or PyDict_GetItemWithError(KEEPING, op) != TRUE:
        return 0
    type = node.Node_type
    if type.ob_type != TENSOR_TYPE or type.TensorType_dtype.DType_category != TWO:
        return 0
    state_new = thread_state()
    if state_new == 0:
        return 0
    made_new = 0
    if everyday(state_new):
        nodes_new = PyTuple_New(1)
        types_new = PyTuple_New(1)
        operands_new = PyTuple_New(1)
        set_item(nodes_new, 0, node)
        set_item(types_new, 0, type)
        set_item(operands_new, 0, x)
        differentiable = op.Op_grad != NON_DIFFERENTIABLE
        made_new = recorded(state_new, op, operands_new, nodes_new, EMPTY_TUPLE, type, types_new, differentiable)
        Py_DecRef(types_new)
        Py_DecRef(operands_new)
    Py_DecRef(state_new)
    return made_new


def unary(module, arguments, count):
    """unary(op, x) -> a Tensor, or None where Python must do it."""
    return none_for(apply_unary(arguments[0], arguments[1]))


def pair_of(first, second, reverse):
    """A new tuple of two, the other way round for reflected operators."""
    made_new = PyTuple_New(2)
    set_item(made_new, reverse, first)
    set_item(made_new, 1 - reverse, second)
    return made_new


def operate(state, a_tensor, other, op, reverse):
    """A floating Tensor and a number or Tensor of its type; 0 as `recorded` gives it."""
    a = node_of(a_tensor)
    if a == 0:
        return 0
    type = a.Node_type
    if type.ob_type != TENSOR_TYPE or type.TensorType_dtype.DType_category != TWO:
        return 0
    if not everyday(state):
        return 0
    b_tensor = other
    b_type = type
    if (other.ob_type == FLOAT) + (other.ob_type == INT):
        b_type = PyDict_GetItemWithError(SCALAR_TYPES, type.TensorType_dtype)
        if b_type == 0:
            return 0
        Py_IncRef(EMPTY_TUPLE)
        b = new_node(SCALAR, EMPTY_TUPLE, EMPTY_TUPLE, b_type, other)
        b_tensor = NONE
    else:
        if (other.ob_type == TENSOR) + (other.ob_type == a_tensor.ob_type) == 0:
            return 0
        b = node_of(other)
        if b == 0 or b.Node_type != type:
            return 0
        Py_IncRef(b)
    if b == 0:
        return 0
    nodes_new = pair_of(a, b, reverse)
    Py_DecRef(b)
    operands_new = pair_of(a_tensor, b_tensor, reverse)
    types_new = pair_of(type, b_type, reverse)
    made_new = recorded(state, op, operands_new, nodes_new, EMPTY_TUPLE, type, types_new, 1)
    Py_DecRef(operands_new)
    Py_DecRef(types_new)
    return made_new


def binary(tensor, other, op, reverse, python):
    """An operator of two; `python` is the method it stands for."""
    state_new = thread_state()
    if state_new == 0:
        return 0
    made_new = operate(state_new, tensor, other, op, reverse)
    Py_DecRef(state_new)
    if made_new != 0 or PyErr_Occurred() != 0:
        return made_new
    both = space(2)
    both[0] = tensor
    both[1] = other
    return PyObject_Vectorcall(python, both, 2, 0)


def add(tensor, other):
    """`Tensor.__add__`."""
    return binary(tensor, other, OP_ADD, 0, PYTHON_ADD)


def radd(tensor, other):
    """`Tensor.__radd__`."""
    return binary(tensor, other, OP_ADD, 1, PYTHON_RADD)


def sub(tensor, other):
    """`Tensor.__sub__`."""
    return binary(tensor, other, OP_SUB, 0, PYTHON_SUB)


def rsub(tensor, other):
    """`Tensor.__rsub__`."""
    return binary(tensor, other, OP_SUB, 1, PYTHON_RSUB)


def mul(tensor, other):
    """`Tensor.__mul__`."""
    return binary(tensor, other, OP_MUL, 0, PYTHON_MUL)


def rmul(tensor, other):
    """`Tensor.__rmul__`."""
    return binary(tensor, other, OP_MUL, 1, PYTHON_RMUL)


def div(tensor, other):
    """`Tensor.__truediv__`."""
    return binary(tensor, other, OP_DIV, 0, PYTHON_DIV)


def rdiv(tensor, other):
    """`Tensor.__rtruediv__`."""
    return binary(tensor, other, OP_DIV, 1, PYTHON_RDIV)
