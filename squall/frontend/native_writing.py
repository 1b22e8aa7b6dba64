"""Writes in place as native code: `arithmetic.in_place`, `views.write` and `views.overwrite` of a whole storage.

See `engine/native_walk.py` for the language. The Python they stand for: `Tensor.add_`, `sub_`, `mul_`, `div_`, the
operators of the same kind, `zero_`, `fill_`, `copy_`, and every other method that ends in `in_place`. Writes through
views, to memory NumPy sees, to leaves that want gradients (an error), and of another type or shape: Python does them,
before anything has changed.
"""
# ruff: noqa: F821
# pyright: reportUndefinedVariable=false, reportAttributeAccessIssue=false


def note_cell(edge, cell, version):
    """`core.note_cell`: the saved result of a record is in a storage at a version; 0 with an error."""
    record = edge
    if record.GradRecord_op == OP_PICK:
        record = PyTuple_GetItem(record.GradRecord_edges, 0)
    if record.GradRecord_output == NONE:
        return 1
    entry_new = PyTuple_New(2)
    set_item(entry_new, 0, cell)
    set_item(entry_new, 1, version)
    more_new = PyTuple_New(1)
    PyTuple_SetItem(more_new, 0, entry_new)
    cells_new = PySequence_Concat(record.GradRecord_cells, more_new)
    Py_DecRef(more_new)
    if cells_new == 0:
        return 0
    put_flag(record + GradRecord_cells, cells_new)
    Py_DecRef(cells_new)
    return 1


def list_pending(state, held):
    """List a Tensor or a storage as pending; 0 with an error."""
    reference_new = PyWeakref_NewRef(held, 0)
    if reference_new == 0:
        return 0
    done = PyList_Append(state.ThreadState_pending, reference_new)
    Py_DecRef(reference_new)
    return done == 0


def writable(state, target):
    """The Node of a Tensor whose whole storage native code may write now, else 0."""
    if not everyday(state) or target.Handle__view != NONE:
        return 0
    cell = target.Handle__cell
    if cell != NONE and cell.Cell_shared != NONE:
        return 0
    if state.ThreadState_level == ONE and target.Handle__edge.ob_type == LEAF:
        return 0
    node = node_of(target)
    if node == 0 or node.Node_type.ob_type != TENSOR_TYPE:
        return 0
    return node


def put_in_place(state, target, node, edge):
    """`views.write` of a Node with a history, or None, to a Tensor that is `writable`; 0 with an error.

    What can fail comes first: the storage changes in stores that nothing comes between."""
    cell = cell_of(state, target)
    if cell == 0:
        return 0
    sum_new = PyNumber_Add(cell.Cell_version, ONE)
    if sum_new == 0:
        return 0
    changes = 0
    if state.ThreadState_level == ONE and (edge != NONE or target.Handle__edge != NONE):
        changes = 1
    good = list_pending(state, cell)
    if good and changes:
        good = list_pending(state, target)
    if good and edge.ob_type == GRAD_RECORD:
        good = note_cell(edge, cell, sum_new)
    if good:
        put_flag(cell + Cell__node, node)
        put_flag(cell + Cell_version, sum_new)
        if changes:
            put_flag(target + Handle__edge, edge)
    Py_DecRef(sum_new)
    return good


def forget_target(edge, target):
    """What a rule reads of the target is the value as it was, which nobody can change; 0 with an error."""
    if edge.ob_type != GRAD_RECORD or edge.GradRecord_holders == NONE:
        return 1
    holders = edge.GradRecord_holders
    if PyTuple_Size(holders) == 0 or PyTuple_GetItem(holders, 0) != target:
        return 1
    n = PyTuple_Size(holders)
    made_new = PyTuple_New(n)
    if made_new == 0:
        return 0
    set_item(made_new, 0, NONE)
    for i in range(1, n):
        set_item(made_new, i, PyTuple_GetItem(holders, i))
    put_flag(edge + GradRecord_holders, made_new)
    Py_DecRef(made_new)
    return 1


def finish_write(state, target, value):
    """`views.write_op` of a new result: 1 when it was done, 0 with an error, 2 where Python must do it."""
    before = writable(state, target)
    if before == 0 or value == target or value.Handle__cell != NONE:
        return 2
    node = value.Handle__node
    if node.Node_type != before.Node_type:
        return 2
    if not forget_target(value.Handle__edge, target):
        return 0
    return put_in_place(state, target, node, value.Handle__edge)


def in_place(module, arguments, count):
    """in_place(target, result) -> whether `arithmetic.in_place` of a new result was done."""
    state_new = thread_state()
    if state_new == 0:
        return 0
    done = 2
    if arguments[1].ob_type == TENSOR:
        done = finish_write(state_new, arguments[0], arguments[1])
    Py_DecRef(state_new)
    if done == 0:
        return 0
    answered = FALSE
    if done == 1:
        answered = TRUE
    Py_IncRef(answered)
    return answered


# ---------------------------------------------------------------- add_, sub_, mul_, div_ and their operators
def changed(target, other, op, factor):
    """`target op= other`, or of `factor` times a Tensor unless that is 0: a new reference to the target; 0 with an
    error, or without one where Python must do it."""
    state_new = thread_state()
    if state_new == 0:
        return 0
    done = 2
    if writable(state_new, target) != 0:
        Py_IncRef(other)
        scaled_new = other
        if factor != 0:
            scaled_new = 0
            if other.ob_type == TENSOR or other.ob_type == target.ob_type:
                scaled_new = operate(state_new, other, factor, OP_MUL, 0)
            Py_DecRef(other)
        if scaled_new != 0:
            value_new = operate(state_new, target, scaled_new, op, 0)
            Py_DecRef(scaled_new)
            if value_new != 0:
                done = finish_write(state_new, target, value_new)
                Py_DecRef(value_new)
    Py_DecRef(state_new)
    if done != 1:
        return 0
    Py_IncRef(target)
    return target


def factor_of(arguments, count, names):
    """The `alpha` of a call of add_ or sub_: 0 for 1 or none, -1 where Python must see to the call."""
    if names == 0:
        if count == 1:
            return 0
        return -1
    if count != 1 or PyTuple_Size(names) != 1 or PyTuple_GetItem(names, 0) != TEXT_ALPHA:
        return -1
    factor = arguments[1]
    if factor.ob_type != FLOAT and factor.ob_type != INT:
        return -1
    if factor == ONE:
        return 0
    if factor.ob_type == FLOAT and PyFloat_AsDouble(factor) == FLOAT_ONE:
        return 0
    return factor


def by_python(target, arguments, count, names, python):
    """What the method in Python gives."""
    more = 0
    if names != 0:
        more = PyTuple_Size(names)
    all = space(16)
    wide = all
    if count + more > 14:
        wide = PyMem_RawMalloc(8 * (count + more + 1))
        if wide == 0:
            return PyErr_NoMemory()
    wide[0] = target
    for i in range(count + more):
        wide[1 + i] = arguments[i]
    made_new = PyObject_Vectorcall(python, wide, 1 + count, names)
    if wide != all:
        PyMem_RawFree(wide)
    return made_new


def written_by(target, arguments, count, names, op, python):
    """A method that changes its tensor by an op."""
    factor = factor_of(arguments, count, names)
    made_new = 0
    if factor != -1:
        made_new = changed(target, arguments[0], op, factor)
    if made_new != 0 or PyErr_Occurred() != 0:
        return made_new
    return by_python(target, arguments, count, names, python)


def operator_of(target, other, op, python):
    """An operator that changes its tensor."""
    made_new = changed(target, other, op, 0)
    if made_new != 0 or PyErr_Occurred() != 0:
        return made_new
    given = space(1)
    given[0] = other
    return by_python(target, given, 1, 0, python)


def add_(target, arguments, count, names):
    """`Tensor.add_`."""
    return written_by(target, arguments, count, names, OP_ADD, PYTHON_ADD_)


def sub_(target, arguments, count, names):
    """`Tensor.sub_`."""
    return written_by(target, arguments, count, names, OP_SUB, PYTHON_SUB_)


def mul_(target, arguments, count, names):
    """`Tensor.mul_`."""
    if names != 0:
        return by_python(target, arguments, count, names, PYTHON_MUL_)
    return written_by(target, arguments, count, names, OP_MUL, PYTHON_MUL_)


def div_(target, arguments, count, names):
    """`Tensor.div_`."""
    if names != 0:
        return by_python(target, arguments, count, names, PYTHON_DIV_)
    return written_by(target, arguments, count, names, OP_DIV, PYTHON_DIV_)


def iadd(target, other):
    """`Tensor.__iadd__`."""
    return operator_of(target, other, OP_ADD, PYTHON_IADD)


def isub(target, other):
    """`Tensor.__isub__`."""
    return operator_of(target, other, OP_SUB, PYTHON_ISUB)


def imul(target, other):
    """`Tensor.__imul__`."""
    return operator_of(target, other, OP_MUL, PYTHON_IMUL)


def idiv(target, other):
    """`Tensor.__itruediv__`."""
    return operator_of(target, other, OP_DIV, PYTHON_IDIV)


# ---------------------------------------------------------------- zero_, fill_ and copy_
def replaced(state, target, node, other):
    """`views.overwrite` by a value with a history, or None; 0 with an error."""
    mine = target.Handle__edge
    if state.ThreadState_level != ONE or (mine == NONE and other == NONE):
        return put_in_place(state, target, node, NONE)
    type = node.Node_type
    made = PyType_GenericAlloc(GRAD_RECORD, 0)
    if made == 0:
        return 0
    made.GradRecord_edges = pair_of(mine, other, 0)
    made.GradRecord_types = pair_of(type, type, 0)
    put_new(made + GradRecord_op, OP_UPDATE_SLICE)
    put_new(made + GradRecord_attrs, TWO_EMPTY)
    put_new(made + GradRecord_out_type, type)
    put_new(made + GradRecord_state, NEW)
    put_new(made + GradRecord_cells, EMPTY_TUPLE)
    put_new(made + GradRecord__rare, NONE)
    put_new(made + GradRecord_where, NONE)
    put_new(made + GradRecord_output, NONE)
    put_new(made + GradRecord_inputs, NONE)
    put_new(made + GradRecord_holders, NONE)
    put_new(made + GradRecord_versions, NONE)
    done = put_in_place(state, target, node, made)
    Py_DecRef(made)
    return done


def everywhere(type, number):
    """A new Node of one number in all places; 0 with an error, or without one where Python must make it."""
    if type.TensorType_dtype.DType_category != TWO or type.TensorType_shape == EMPTY_TUPLE:
        return 0
    scalar_type = PyDict_GetItemWithError(SCALAR_TYPES, type.TensorType_dtype)
    if scalar_type == 0:
        return 0
    Py_IncRef(EMPTY_TUPLE)
    scalar_new = new_node(SCALAR, EMPTY_TUPLE, EMPTY_TUPLE, scalar_type, number)
    if scalar_new == 0:
        return 0
    inputs_new = PyTuple_New(1)
    PyTuple_SetItem(inputs_new, 0, scalar_new)
    attrs_new = PyTuple_New(1)
    set_item(attrs_new, 0, type.TensorType_shape)
    made_new = new_node(OP_EXPAND, inputs_new, attrs_new, type, NONE)
    Py_DecRef(attrs_new)
    return made_new


def filled(target, value):
    """`conversion.copy_` of a number or of a Tensor of the same type: a new reference to the target; 0 with an error,
    or without one where Python must do it."""
    state_new = thread_state()
    if state_new == 0:
        return 0
    done = 0
    before = writable(state_new, target)
    if before != 0:
        node_new = 0
        other = NONE
        if value.ob_type == FLOAT or value.ob_type == INT:
            node_new = everywhere(before.Node_type, value)
        elif value.ob_type == TENSOR or value.ob_type == target.ob_type:
            node = node_of(value)
            if node != 0 and node.Node_type == before.Node_type:
                node_new = node
                Py_IncRef(node)
                other = value.Handle__edge
        if node_new != 0:
            done = replaced(state_new, target, node_new, other)
            Py_DecRef(node_new)
    Py_DecRef(state_new)
    if not done:
        return 0
    Py_IncRef(target)
    return target


def zero_(target, arguments):
    """`Tensor.zero_`."""
    made_new = filled(target, ZERO)
    if made_new != 0 or PyErr_Occurred() != 0:
        return made_new
    return PyObject_CallOneArg(PYTHON_ZERO_, target)


def fill_(target, arguments, count, names):
    """`Tensor.fill_`."""
    if count == 1 and names == 0 and (arguments[0].ob_type == FLOAT or arguments[0].ob_type == INT):
        made_new = filled(target, arguments[0])
        if made_new != 0 or PyErr_Occurred() != 0:
            return made_new
    return by_python(target, arguments, count, names, PYTHON_FILL_)


def copy_(target, arguments, count, names):
    """`Tensor.copy_`."""
    if count == 1 and names == 0:
        made_new = filled(target, arguments[0])
        if made_new != 0 or PyErr_Occurred() != 0:
            return made_new
    return by_python(target, arguments, count, names, PYTHON_COPY_)
