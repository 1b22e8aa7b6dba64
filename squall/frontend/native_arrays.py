"""`Tensor.numpy` as native code: an ndarray over the memory of a value that is known or can be computed now.

See `engine/native_walk.py` for the language. The Python it stands for: `interop.to_numpy`, which does views, memory
that others refer to, and types that it has not described (`exporting.py`) yet. Here the array's base is a capsule
that holds storage and memory, and tells the storage when the array is gone.
"""
# ruff: noqa: F821
# pyright: reportUndefinedVariable=false, reportAttributeAccessIssue=false


def known_export(type):
    """What `exporting.py` says of a type; 0 where it says nothing."""
    number_new = PyLong_FromLongLong(type)
    entry = PyDict_GetItemWithError(EXPORTS, number_new)
    Py_DecRef(number_new)
    return entry


def told_back(cell, buffer):
    """`exporting.take_back` by Python, whatever error is on its way."""
    error = space(3)
    both = space(2)
    PyErr_Fetch(error, error + 8, error + 16)
    both[0] = cell
    both[1] = buffer
    done_new = PyObject_Vectorcall(TAKE_BACK, both, 2, 0)
    if done_new != 0:
        Py_DecRef(done_new)
    else:
        PyErr_Clear()
    PyErr_Restore(error[0], error[1], error[2])


def taken_back(cell, buffer):
    """`exporting.take_back` of a type that is known; 0 where Python must do it."""
    node = cell.Cell__node
    if node == 0 or node == NONE or node.Node_buffer != buffer or node.Node_op != BUFFER_OP:
        return 0
    entry = known_export(node.Node_type)
    if entry == 0:
        return 0
    Py_IncRef(EMPTY_TUPLE)
    node_new = new_node(BUFFER_OP, EMPTY_TUPLE, EMPTY_TUPLE, PyTuple_GetItem(entry, 0), buffer)
    if node_new == 0:
        PyErr_Clear()
        return 0
    put_flag(buffer + Buffer_shared, FALSE)
    put_flag(cell + Cell_shared, NONE)
    put_flag(cell + Cell__node, node_new)
    Py_DecRef(node_new)
    return 1


def held_here_alone(cell, buffer):
    """Whether nobody but an array's base has a storage and what lies in it: both go with the array."""
    node = cell.Cell__node
    if references(cell) != 1 or references(buffer) != 2 or node == 0 or node == NONE:
        return 0
    return references(node) == 1 and node.Node_buffer == buffer


def array_gone(capsule):
    """The destructor of an array's base: one array less shares the storage."""
    buffer = PyCapsule_GetPointer(capsule, 0)
    cell = PyCapsule_GetContext(capsule)
    count = cell.Cell_shared
    if count != 0 and count != NONE and not held_here_alone(cell, buffer):
        left = PyLong_AsLongLong(count) - 1
        if left > 0:
            number_new = PyLong_FromLongLong(left)
            put_flag(cell + Cell_shared, number_new)
            Py_DecRef(number_new)
        elif not taken_back(cell, buffer):
            told_back(cell, buffer)
    Py_DecRef(buffer)
    Py_DecRef(cell)


def shown_cell(state, tensor, node, entry):
    """The storage of a Tensor, with a Node that is marked as shared over memory nobody else refers to; 0 with an
    error, or without one where that memory must be copied first."""
    cell = tensor.Handle__cell
    buffer = node.Node_buffer
    if cell != NONE and cell.Cell_shared != NONE:
        if node.Node_type != PyTuple_GetItem(entry, 1):
            return 0
        return cell
    if node.Node_type != PyTuple_GetItem(entry, 0) or references(node) != 1 or references(buffer) != 1:
        return 0
    if references(buffer.Buffer_block) != 1:
        return 0
    Py_IncRef(EMPTY_TUPLE)
    node_new = new_node(BUFFER_OP, EMPTY_TUPLE, EMPTY_TUPLE, PyTuple_GetItem(entry, 1), buffer)
    if node_new == 0:
        return 0
    listed = PyList_Size(state.ThreadState_pending)
    cell = cell_of(state, tensor)
    if cell != 0:
        PyList_SetSlice(state.ThreadState_pending, listed, PyList_Size(state.ThreadState_pending), 0)  # it is computed
        put_flag(buffer + Buffer_shared, TRUE)
        put_flag(cell + Cell__node, node_new)
    Py_DecRef(node_new)
    return cell


def array_over(cell, entry):
    """An ndarray over a storage's memory; 0 with an error."""
    buffer = cell.Cell__node.Node_buffer
    base_new = PyCapsule_New(buffer, 0, ARRAY_GONE)
    if base_new == 0:
        return 0
    count = 1
    if cell.Cell_shared != NONE:
        count = PyLong_AsLongLong(cell.Cell_shared) + 1
    number_new = PyLong_FromLongLong(count)
    put_flag(cell + Cell_shared, number_new)
    Py_DecRef(number_new)
    Py_IncRef(buffer)
    Py_IncRef(cell)
    PyCapsule_SetContext(base_new, cell)
    dtype = PyTuple_GetItem(entry, 2)
    words = PyLong_AsLongLong(PyTuple_GetItem(entry, 3))
    Py_IncRef(dtype)
    made_new = call(words[EXPORT_NEW_ARRAY], words[EXPORT_CLASS], dtype, words[EXPORT_RANK], words + 8 * EXPORT_DIMS, 0,
                    PyLong_AsLongLong(buffer.Buffer_pointer), ARRAY_FLAGS, 0)
    if made_new == 0:
        Py_DecRef(base_new)
        return 0
    if call_int(words[EXPORT_SET_BASE], made_new, base_new) < 0:  # takes over the base, come what may
        Py_DecRef(made_new)
        return 0
    return made_new


def exported(state, tensor):
    """The array; 0 with an error, or without one where Python must make it."""
    if not everyday(state) or tensor.Handle__edge != NONE or tensor.Handle__view != NONE:
        return 0
    if PyList_Size(state.ThreadState_pending) != 0:
        roots_new = PyList_New(0)
        if roots_new == 0:
            return 0
        done = evaluate(state, roots_new)
        Py_DecRef(roots_new)
        if done != DONE:
            return 0
    node = known_value(state, tensor)
    if node == 0:
        return 0
    entry = known_export(node.Node_type)
    if entry == 0:
        return 0
    cell = shown_cell(state, tensor, node, entry)
    if cell == 0:
        return 0
    return array_over(cell, entry)


def numpy(tensor, arguments, count, names):
    """`Tensor.numpy`."""
    made_new = 0
    if count == 0 and names == 0:
        state_new = thread_state()
        if state_new == 0:
            return 0
        made_new = exported(state_new, tensor)
        Py_DecRef(state_new)
    if made_new != 0 or PyErr_Occurred() != 0:
        return made_new
    return by_python(tensor, arguments, count, names, PYTHON_NUMPY)
