"""Views as native code: what `views.see_through` does, by what `known_views.py` has learned of them.

See `engine/native_walk.py` for the language. A view of a kind met before (method, arguments, layouts) is made here;
the first of a kind, and whatever is not everyday, is made by the Python method this stands for.
"""
# ruff: noqa: F821
# pyright: reportUndefinedVariable=false, reportAttributeAccessIssue=false


def viewable(tensor):
    """The current Node of a Tensor whose views native code can make, else 0."""
    node = node_of(tensor)
    if node == 0 or node.Node_op == SCALAR or node.Node_type.ob_type != TENSOR_TYPE:
        return 0
    view = tensor.Handle__view
    if view != NONE and (view.View_offset.ob_type != INT or (view.View_origin != TEXT_EMPTY and
                                                             view.View_origin != TEXT_NO_GRAD)):
        return 0
    return node


def view_key(method, tensor, node, count):
    """A new key of `known_views.known` with room for `count` further parts."""
    key_new = PyTuple_New(4 + count)
    set_item(key_new, 0, method)
    PyTuple_SetItem(key_new, 1, PyLong_FromLongLong(node.Node_type))
    strides = NONE
    if tensor.Handle__view != NONE:
        strides = tensor.Handle__view.View_strides
    set_item(key_new, 2, strides)
    lies = FALSE
    if node.Node_buffer != NONE:
        lies = node.Node_buffer.Buffer_strides
    set_item(key_new, 3, lies)
    return key_new


def cell_of(state, tensor):
    """`core.ensure_cell`; 0 with an error."""
    cell = tensor.Handle__cell
    if cell != NONE:
        return cell
    made_new = PyType_GenericAlloc(CELL, 0)
    if made_new == 0:
        return 0
    put_new(made_new + Cell__node, tensor.Handle__node)
    put_new(made_new + Cell_version, ZERO)
    put_new(made_new + Cell_shared, NONE)
    reference_new = PyWeakref_NewRef(made_new, 0)
    if reference_new == 0 or PyList_Append(state.ThreadState_pending, reference_new) < 0:
        Py_DecRef(made_new)
        return 0
    Py_DecRef(reference_new)
    edge = tensor.Handle__edge
    if edge.ob_type == GRAD_RECORD and not note_cell(edge, made_new, ZERO):
        Py_DecRef(made_new)
        return 0
    put_flag(tensor + Handle__view, NONE)
    tensor.Handle__cell = made_new
    Py_DecRef(NONE)
    put_flag(tensor + Handle__node, NONE)
    return made_new


def start_nodes(starts, count):
    """A new tuple of scalar leaves."""
    made_new = PyTuple_New(count)
    for i in range(count):
        Py_IncRef(EMPTY_TUPLE)
        number_new = PyLong_FromLongLong(starts[i])
        PyTuple_SetItem(made_new, i, new_node(SCALAR, EMPTY_TUPLE, EMPTY_TUPLE, INT64_TYPE, number_new))
        Py_DecRef(number_new)
    return made_new


def before_all(first, rest, count):
    """A new tuple: an object and then `count` of a tuple, or None as often."""
    made_new = PyTuple_New(1 + count)
    set_item(made_new, 0, first)
    for i in range(count):
        item = NONE
        if rest != NONE:
            item = PyTuple_GetItem(rest, i)
        set_item(made_new, 1 + i, item)
    return made_new


def moved(offset, factors, starts, count):
    """An offset that starts move, each by its factor."""
    at = PyLong_AsLongLong(offset)
    for i in range(count):
        at += starts[i] * PyLong_AsLongLong(PyTuple_GetItem(factors, i))
    return at


def window_of(node, type, window, starts, count):
    """A new Node over part of a computed one's memory."""
    buffer = node.Node_buffer
    made_new = PyType_GenericAlloc(BUFFER, 0)
    if made_new == 0:
        return 0
    pointer = PyLong_AsLongLong(buffer.Buffer_pointer)
    put_new(made_new + Buffer_block, buffer.Buffer_block)
    made_new.Buffer_pointer = PyLong_FromLongLong(
        pointer + moved(PyTuple_GetItem(window, 0), PyTuple_GetItem(window, 1), starts, count))
    put_new(made_new + Buffer_strides, PyTuple_GetItem(window, 2))
    put_new(made_new + Buffer_shared, buffer.Buffer_shared)
    Py_IncRef(EMPTY_TUPLE)
    node_new = new_node(BUFFER_OP, EMPTY_TUPLE, EMPTY_TUPLE, type, made_new)
    Py_DecRef(made_new)
    return node_new


def steps_on(node, steps, types, extra_new, count):
    """The Node of view steps on one that is not computed."""
    Py_IncRef(node)
    made_new = node
    for k in range(PyTuple_Size(steps)):
        step = PyTuple_GetItem(steps, k)
        if k == 0:
            inputs_new = before_all(made_new, extra_new, count)
        else:
            inputs_new = before_all(made_new, EMPTY_TUPLE, 0)
        Py_DecRef(made_new)
        made_new = new_node(PyTuple_GetItem(step, 0), inputs_new, PyTuple_GetItem(step, 1), PyTuple_GetItem(types, k),
                            NONE)
        if made_new == 0:
            return 0
    return made_new


def history_through(edge, memo, extra_new, count):
    """The history of view steps, as `views._view_record` makes it; takes the edge's place."""
    steps = PyTuple_GetItem(memo, 0)
    reads = PyTuple_GetItem(memo, 2)
    Py_IncRef(edge)
    if edge == NONE:
        return edge
    for k in range(PyTuple_Size(steps)):
        step = PyTuple_GetItem(steps, k)
        more = 0
        if k == 0:
            more = count
        made = PyType_GenericAlloc(GRAD_RECORD, 0)
        if made == 0:
            Py_DecRef(edge)
            return 0
        made.GradRecord_edges = before_all(edge, NONE, more)
        Py_DecRef(edge)
        put_new(made + GradRecord_op, PyTuple_GetItem(step, 0))
        put_new(made + GradRecord_attrs, PyTuple_GetItem(step, 1))
        put_new(made + GradRecord_types, PyTuple_GetItem(PyTuple_GetItem(memo, 8), k))
        put_new(made + GradRecord_out_type, PyTuple_GetItem(PyTuple_GetItem(memo, 3), k))
        put_new(made + GradRecord_state, NEW)
        put_new(made + GradRecord_cells, EMPTY_TUPLE)
        put_new(made + GradRecord__rare, NONE)
        put_new(made + GradRecord_where, NONE)
        put_new(made + GradRecord_output, NONE)
        put_new(made + GradRecord_versions, NONE)
        if PyTuple_GetItem(reads, k) == TRUE:
            made.GradRecord_inputs = before_all(NONE, extra_new, more)
            made.GradRecord_holders = before_all(NONE, NONE, more)
        else:
            put_new(made + GradRecord_inputs, NONE)
            put_new(made + GradRecord_holders, NONE)
        edge = made
    return edge


def new_view(state, tensor, cell, memo, steps_new, starts, count):
    """The View of a new handle; takes over the steps."""
    made = PyType_GenericAlloc(VIEW, 0)
    if made == 0:
        Py_DecRef(steps_new)
        return 0
    view = tensor.Handle__view
    base = tensor
    origin = TEXT_EMPTY
    offset = moved(PyTuple_GetItem(memo, 5), PyTuple_GetItem(memo, 6), starts, count)
    if view != NONE:
        if view.View_base != NONE:
            base = view.View_base
        origin = view.View_origin
        offset += PyLong_AsLongLong(view.View_offset)
        whole_new = PySequence_Concat(view.View_steps, steps_new)
        Py_DecRef(steps_new)
        steps_new = whole_new
    if state.ThreadState_level == ZERO:
        origin = TEXT_NO_GRAD
    made.View_steps = steps_new
    put_new(made + View_base, base)
    put_new(made + View_epoch, cell.Cell_version)
    put_new(made + View_source, cell.Cell__node)
    put_new(made + View_strides, PyTuple_GetItem(memo, 4))
    made.View_offset = PyLong_FromLongLong(offset)
    put_new(made + View_origin, origin)
    return made


def see(state, tensor, node, memo, starts, count):
    """`views.see_through` of what is known; 0 with an error."""
    cell = cell_of(state, tensor)
    if cell == 0:
        return 0
    edge = NONE
    if state.ThreadState_level == ONE:
        edge = tensor.Handle__edge
    steps = PyTuple_GetItem(memo, 0)
    types = PyTuple_GetItem(memo, 3)
    extra_new = start_nodes(starts, count)
    if PyTuple_GetItem(memo, 7) == NONE:
        node_new = steps_on(node, steps, types, extra_new, count)
    else:
        node_new = window_of(node, PyTuple_GetItem(types, PyTuple_Size(types) - 1), PyTuple_GetItem(memo, 7), starts,
                             count)
    edge_new = history_through(edge, memo, extra_new, count)
    Py_IncRef(steps)
    if count > 0:
        first = PyTuple_GetItem(steps, 0)
        step_new = PyTuple_New(3)
        set_item(step_new, 0, PyTuple_GetItem(first, 0))
        set_item(step_new, 1, PyTuple_GetItem(first, 1))
        set_item(step_new, 2, extra_new)
        with_starts_new = PyTuple_New(PyTuple_Size(steps))
        PyTuple_SetItem(with_starts_new, 0, step_new)
        for k in range(1, PyTuple_Size(steps)):
            set_item(with_starts_new, k, PyTuple_GetItem(steps, k))
        Py_DecRef(steps)
        steps = with_starts_new
    Py_DecRef(extra_new)
    made_new = PyType_GenericAlloc(TENSOR, 0)
    made_new.Handle__node = node_new
    made_new.Handle__edge = edge_new
    put_new(made_new + Handle__cell, cell)
    made_new.Handle__view = new_view(state, tensor, cell, memo, steps, starts, count)
    reference_new = PyWeakref_NewRef(cell, 0)
    if node_new == 0 or edge_new == 0 or made_new.Handle__view == 0 or reference_new == 0:
        Py_DecRef(made_new)
        return 0
    PyList_Append(state.ThreadState_pending, reference_new)
    Py_DecRef(reference_new)
    return made_new


def seen(tensor, node, key_new, starts, count, method, arguments, given):
    """A view of a kind; of one not known yet Python makes it and says what it comes to. Takes over the key."""
    memo = PyDict_GetItemWithError(VIEWS, key_new)
    if memo == 0:
        if PyErr_Occurred() != 0:
            Py_DecRef(key_new)
            return 0
        all = space(24)
        all[0] = key_new
        all[1] = method
        all[2] = tensor
        for i in range(given):
            all[3 + i] = arguments[i]
        made_new = PyObject_Vectorcall(LEARN_VIEW, all, 3 + given, 0)
        Py_DecRef(key_new)
        return made_new
    Py_DecRef(key_new)
    if memo == NONE or PyLong_AsLongLong(PyTuple_GetItem(memo, 1)) != count:
        return 0
    state_new = thread_state()
    if state_new == 0:
        return 0
    made_new = 0
    if everyday(state_new):
        Py_IncRef(memo)
        Py_IncRef(node)
        made_new = see(state_new, tensor, node, memo, starts, count)
        Py_DecRef(node)
        Py_DecRef(memo)
    Py_DecRef(state_new)
    return made_new
