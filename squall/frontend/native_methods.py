"""Native methods of Tensor: numbers read out.

See `engine/native_walk.py` for the language. The Python they stand for: `Tensor.item`, `__float__` and `__bool__`,
which they call for whatever is not everyday.
"""
# ruff: noqa: F821
# pyright: reportUndefinedVariable=false, reportAttributeAccessIssue=false


def read_number(tensor, type, pointer):
    """The element at an address as a Python number, or 0 without an error for types Python reads."""
    dtype = type.TensorType_dtype
    if dtype == FLOAT32:
        return PyFloat_FromDouble(widened(load32(pointer)))
    if dtype == INT64:
        return PyLong_FromLongLong(pointer[0])
    if dtype == BOOL_TYPE:
        return PyBool_FromLong(load8(pointer))
    if dtype == FLOAT64:
        return PyFloat_FromDouble(pointer[0])
    return 0


def value_of(tensor):
    """The number a Tensor without dimensions holds; 0 with an error, or without one where Python reads it."""
    node = tensor.Handle__node
    if tensor.Handle__cell != NONE or node.Node_op == SCALAR or PyDict_Size(GATES) != 0:
        return 0
    if PyTuple_Size(node.Node_type.TensorType_shape) != 0:
        return 0
    state_new = thread_state()
    if state_new == 0:
        return 0
    done = UNHANDLED
    if state_new.ThreadState_trace == NONE:
        done = DONE
        if node.Node_buffer == NONE:
            roots_new = PyList_New(0)
            if roots_new == 0 or PyList_Append(roots_new, node) < 0:
                return 0
            done = evaluate(state_new, roots_new)
            Py_DecRef(roots_new)
    Py_DecRef(state_new)
    node = tensor.Handle__node
    if done != DONE or tensor.Handle__cell != NONE or node.Node_buffer == NONE:
        return 0
    return read_number(tensor, node.Node_type, PyLong_AsLongLong(node.Node_buffer.Buffer_pointer))


def otherwise(number_new, python, tensor):
    """The number, or its error, or what Python says."""
    if number_new != 0 or PyErr_Occurred() != 0:
        return number_new
    return PyObject_CallOneArg(python, tensor)


def item(tensor, arguments):
    """`Tensor.item`."""
    return otherwise(value_of(tensor), PYTHON_ITEM, tensor)


def as_float(tensor, arguments):
    """`Tensor.__float__`."""
    number_new = value_of(tensor)
    if number_new != 0:
        float_new = PyNumber_Float(number_new)
        Py_DecRef(number_new)
        return float_new
    return otherwise(0, PYTHON_FLOAT, tensor)


def as_bool(tensor, arguments):
    """`Tensor.__bool__`."""
    number_new = value_of(tensor)
    if number_new != 0:
        truth = PyObject_IsTrue(number_new)
        Py_DecRef(number_new)
        return PyBool_FromLong(truth)
    return otherwise(0, PYTHON_BOOL, tensor)
