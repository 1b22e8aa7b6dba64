"""Recording as native code: what `core.record`, `core.binary` and `tape.make_record` do for everyday operands.

See `engine/native_walk.py` for the language. Read the Python first. Whatever is not everyday (views, tracing, several
results, types met for the first time) is given back to Python before anything has changed.
"""
# ruff: noqa: F821
# pyright: reportUndefinedVariable=false, reportAttributeAccessIssue=false


def node_of(tensor):
    """The current Node of a Tensor, but 0 for a view whose Node or history must be made again."""
    cell = tensor.Handle__cell
    if cell == NONE:
        return tensor.Handle__node
    view = tensor.Handle__view
    source = cell.Cell__node
    if view == NONE:
        return source
    node = tensor.Handle__node
    if view.View_source != source or (node.Node_buffer == NONE and source.Node_buffer != NONE):
        return 0
    if view.View_base != NONE and view.View_epoch != cell.Cell_version:
        return 0
    return node


def thread_state():
    """A new reference to `state.local.state`, which is remembered for the thread that asked last; 0 with an error."""
    number = PyThreadState_GetID(PyThreadState_Get())
    state_new = THREAD_CACHE[1]
    if THREAD_CACHE[0] == number:
        Py_IncRef(state_new)
        return state_new
    state_new = PyObject_GetAttr(LOCAL, TEXT_STATE)
    if state_new != 0:
        before = THREAD_CACHE[1]
        Py_IncRef(state_new)
        THREAD_CACHE[0] = number
        THREAD_CACHE[1] = state_new
        if before != 0:
            Py_DecRef(before)
    return state_new


def everyday(state):
    """Whether nothing special goes on in this thread: `level` is 0 or 1."""
    return (state.ThreadState_level == ZERO) + (state.ThreadState_level == ONE)


def new_node(op, inputs_new, attrs, type, buffer):
    """A Node; takes over the tuple of its operands."""
    made_new = PyType_GenericAlloc(NODE, 0)
    if made_new == 0:
        Py_DecRef(inputs_new)
        return 0
    Py_IncRef(op)
    Py_IncRef(attrs)
    Py_IncRef(type)
    Py_IncRef(buffer)
    made_new.Node_op = op
    made_new.Node_inputs = inputs_new
    made_new.Node_attrs = attrs
    made_new.Node_type = type
    made_new.Node_buffer = buffer
    return made_new


def edges_of(operands):
    """A new tuple of histories, None for numbers; 0 without an error when there is none."""
    n = PyTuple_Size(operands)
    some = 0
    for i in range(n):
        operand = PyTuple_GetItem(operands, i)
        if operand != NONE and operand.Handle__edge != NONE:
            some = 1
    if not some:
        return 0
    made_new = PyTuple_New(n)
    for i in range(n):
        operand = PyTuple_GetItem(operands, i)
        edge = NONE
        if operand != NONE:
            edge = operand.Handle__edge
        set_item(made_new, i, edge)
    return made_new


def saving_of(op, edges):
    """What `tape._savings` knows of an op with these edges; 0 when that has to be learned, `op` when it saves none."""
    saves = op.Op_saves
    if saves == EMPTY_TUPLE:
        return op
    if saves.ob_type == TUPLE:
        return PyDict_GetItemWithError(SAVINGS, op)
    n = PyTuple_Size(edges)
    key_new = PyTuple_New(n + 1)
    set_item(key_new, 0, op)
    for i in range(n):
        absent = FALSE
        if PyTuple_GetItem(edges, i) == NONE:
            absent = TRUE
        set_item(key_new, i + 1, absent)
    found = PyDict_GetItemWithError(SAVINGS, key_new)
    Py_DecRef(key_new)
    return found


def chosen(all, positions):
    """A new tuple with None but at some positions."""
    n = PyTuple_Size(all)
    made_new = PyTuple_New(n)
    for i in range(n):
        item = NONE
        for k in range(PyTuple_Size(positions)):
            if PyLong_AsLongLong(PyTuple_GetItem(positions, k)) == i:
                item = PyTuple_GetItem(all, i)
        set_item(made_new, i, item)
    return made_new


def versions_of(holders):
    """A new tuple of the holders' versions, or None when all are 0."""
    n = PyTuple_Size(holders)
    shared = 0
    for i in range(n):
        holder = PyTuple_GetItem(holders, i)
        if holder != NONE and holder.Handle__cell != NONE:
            shared = 1
    if not shared:
        Py_IncRef(NONE)
        return NONE
    made_new = PyTuple_New(n)
    for i in range(n):
        holder = PyTuple_GetItem(holders, i)
        version = ZERO
        if holder != NONE and holder.Handle__cell != NONE:
            version = holder.Handle__cell.Cell_version
        set_item(made_new, i, version)
    return made_new


def put_new(place, value):
    """Store an object in a slot of a new object."""
    Py_IncRef(value)
    place[0] = value


def new_history(op, attrs, operands, node, edges_new, types, saving):
    """`tape.make_record`; takes over the edges."""
    made = PyType_GenericAlloc(GRAD_RECORD, 0)
    if made == 0:
        Py_DecRef(edges_new)
        return 0
    made.GradRecord_edges = edges_new
    put_new(made + GradRecord_op, op)
    put_new(made + GradRecord_attrs, attrs)
    put_new(made + GradRecord_types, types)
    put_new(made + GradRecord_out_type, node.Node_type)
    put_new(made + GradRecord_state, NEW)
    put_new(made + GradRecord_cells, EMPTY_TUPLE)
    put_new(made + GradRecord__rare, NONE)
    put_new(made + GradRecord_where, NONE)
    output = NONE
    inputs_new = 0
    if saving != op:
        if PyTuple_GetItem(saving, 2) == TRUE:
            output = node
        positions = PyTuple_GetItem(saving, 0)
        if PyTuple_GetItem(saving, 1) == TRUE and positions != EMPTY_TUPLE:
            inputs_new = node.Node_inputs
            holders_new = operands
            Py_IncRef(inputs_new)
            Py_IncRef(holders_new)
        elif positions != EMPTY_TUPLE:
            inputs_new = chosen(node.Node_inputs, positions)
            holders_new = chosen(operands, positions)
    put_new(made + GradRecord_output, output)
    if inputs_new == 0:
        put_new(made + GradRecord_inputs, NONE)
        put_new(made + GradRecord_holders, NONE)
        put_new(made + GradRecord_versions, NONE)
        return made
    made.GradRecord_inputs = inputs_new
    made.GradRecord_holders = holders_new
    made.GradRecord_versions = versions_of(holders_new)
    return made


def listed(state, made_new):
    """List a new Tensor as pending; 0 with an error, without the Tensor, when that fails."""
    pending = state.ThreadState_pending
    reference_new = PyWeakref_NewRef(made_new, 0)
    if reference_new == 0 or PyList_Append(pending, reference_new) < 0:
        Py_DecRef(made_new)
        return 0
    Py_DecRef(reference_new)
    if PyList_Size(pending) > PyLong_AsLongLong(state.ThreadState_limit):
        done_new = PyObject_CallOneArg(PRESSURE, state)
        if done_new == 0:
            Py_DecRef(made_new)
            return 0
        Py_DecRef(done_new)
    return made_new


def recorded(state, op, operands, nodes_new, attrs, type, types, differentiable):
    """The new Tensor; 0 with an error, or without one where Python must learn what the op saves.

    Takes over the nodes."""
    edges_new = 0
    saving = op
    if differentiable and state.ThreadState_level == ONE:
        edges_new = edges_of(operands)
        if edges_new != 0:
            saving = saving_of(op, edges_new)
            if saving == 0:
                Py_DecRef(edges_new)
                Py_DecRef(nodes_new)
                return 0
    return written_down(state, op, operands, nodes_new, attrs, type, types, edges_new, saving)


def written_down(state, op, operands, nodes_new, attrs, type, types, edges_new, saving):
    """The new Tensor with a history if there are edges; 0 with an error. Takes over nodes and edges."""
    node_new = new_node(op, nodes_new, attrs, type, NONE)
    made_new = 0
    if node_new != 0:
        made_new = PyType_GenericAlloc(TENSOR, 0)
    if made_new == 0:
        if node_new != 0:
            Py_DecRef(node_new)
        if edges_new != 0:
            Py_DecRef(edges_new)
        return 0
    made_new.Handle__node = node_new
    put_new(made_new + Handle__cell, NONE)
    put_new(made_new + Handle__view, NONE)
    edge_new = NONE
    if edges_new != 0:
        edge_new = new_history(op, attrs, operands, node_new, edges_new, types, saving)
    else:
        Py_IncRef(NONE)
    made_new.Handle__edge = edge_new
    if edge_new == 0:
        Py_DecRef(made_new)
        return 0
    return listed(state, made_new)


def known(op, operands, attrs, nodes):
    """What `core._known` has for operands of these types, whose Nodes are put into a new tuple; 0 without an error
    where Python must see to it."""
    n = PyTuple_Size(operands)
    key_new = PyTuple_New(n + 2)
    set_item(key_new, 0, op)
    set_item(key_new, 1, attrs)
    found = 0
    plain = 1
    for i in range(n):
        node = node_of(PyTuple_GetItem(operands, i))
        if node == 0:
            plain = 0
            break
        set_item(nodes, i, node)
        PyTuple_SetItem(key_new, i + 2, PyLong_FromLongLong(node.Node_type))
    if plain:
        found = PyDict_GetItemWithError(KNOWN, key_new)
    Py_DecRef(key_new)
    if found != 0 and PyTuple_GetItem(found, 4) != TRUE:
        return 0
    return found


def record_with(state, op, operands, attrs):
    """`core.record` with what is known; 0 as `recorded` gives it."""
    if not everyday(state):
        return 0
    nodes_new = PyTuple_New(PyTuple_Size(operands))
    found = known(op, operands, attrs, nodes_new)
    if found == 0:
        Py_DecRef(nodes_new)
        return 0
    Py_IncRef(found)  # what is allocated may run finalizers, and they record too
    differentiable = PyTuple_GetItem(found, 3) == TRUE
    made_new = recorded(state, op, operands, nodes_new, attrs, PyTuple_GetItem(found, 0), PyTuple_GetItem(found, 1),
                        differentiable)
    if made_new != 0 and PyTuple_GetItem(found, 2) != TRUE and not located(made_new):
        Py_DecRef(made_new)
        made_new = 0
    Py_DecRef(found)
    return made_new


def user_place():
    """A new `evaluation.Place`, or None; 0 with an error."""
    frame_new = PyEval_GetFrame()
    if frame_new != 0:
        Py_IncRef(frame_new)
    while frame_new != 0:
        code_new = PyFrame_GetCode(frame_new)
        file_new = PyObject_GetAttr(code_new, TEXT_FILE)
        own = 0
        if file_new != 0:
            own = PyDict_GetItemWithError(OWN_FILES, file_new)
            Py_DecRef(file_new)
        if own != TRUE:
            place_new = 0
            if own != 0:
                place_new = PyType_GenericAlloc(PLACE, 2)
            if place_new != 0:
                PyTuple_SetItem(place_new, 0, code_new)
                PyTuple_SetItem(place_new, 1, PyLong_FromLongLong(PyFrame_GetLasti(frame_new)))
            else:
                Py_DecRef(code_new)
            Py_DecRef(frame_new)
            if own == 0 and PyErr_Occurred() == 0:  # a file met for the first time
                return PyObject_CallNoArgs(USER_PLACE)
            return place_new
        back_new = PyFrame_GetBack(frame_new)
        Py_DecRef(code_new)
        Py_DecRef(frame_new)
        frame_new = back_new
    Py_IncRef(NONE)
    return NONE


def located(made):
    """Note the user's line at an op whose values are checked; 0 with an error."""
    place_new = user_place()
    if place_new == 0:
        return 0
    edge = made.Handle__edge
    if place_new != NONE and edge.ob_type == GRAD_RECORD:
        put_flag(edge + GradRecord_where, place_new)
    node = made.Handle__node
    node.Node_where = place_new
    return 1


def none_for(made_new):
    """The result, or None where Python must do it."""
    if made_new == 0 and PyErr_Occurred() == 0:
        Py_IncRef(NONE)
        return NONE
    return made_new


def record(module, arguments, count):
    """record(op, operands, attrs) -> a Tensor, or None where Python must do it."""
    state_new = thread_state()
    if state_new == 0:
        return 0
    made_new = record_with(state_new, arguments[0], arguments[1], arguments[2])
    Py_DecRef(state_new)
    return none_for(made_new)


def given_types(op, operands):
    """Whether `core.prepare` is known to leave operands of these types as they are."""
    n = PyTuple_Size(operands)
    key_new = PyTuple_New(n + 1)
    set_item(key_new, 0, op)
    for i in range(n):
        operand = PyTuple_GetItem(operands, i)
        node = 0
        if operand.ob_type == TENSOR or PyObject_IsInstance(operand, TENSOR) == 1:
            node = node_of(operand)
        if node == 0:
            Py_DecRef(key_new)
            return 0
        PyTuple_SetItem(key_new, i + 1, PyLong_FromLongLong(node.Node_type))
    found = PyDict_GetItemWithError(AS_GIVEN, key_new)
    Py_DecRef(key_new)
    return found


def apply(module, arguments, count):
    """apply(op, operands, attrs) -> `core.apply` of Tensors that need no cast, or None where Python must do it."""
    if given_types(arguments[0], arguments[1]) == 0:
        if PyErr_Occurred() == 0:
            Py_IncRef(NONE)
            return NONE
        return 0
    return record(module, arguments, count)


def write(module, arguments, count):
    """write(targets, nodes) -> whether `views.write` of each was done; not where history is recorded or ends."""
    targets = arguments[0]
    nodes = arguments[1]
    state_new = thread_state()
    if state_new == 0:
        return 0
    good = everyday(state_new)
    history = state_new.ThreadState_level == ONE
    n = PyTuple_Size(targets)
    for i in range(n):
        target = PyTuple_GetItem(targets, i)
        cell = target.Handle__cell
        if cell == NONE or target.Handle__view != NONE or cell.Cell_shared != NONE:
            good = 0
        if history and target.Handle__edge != NONE:
            good = 0
    done = FALSE
    if good:
        done = TRUE
        for i in range(n):
            cell = PyTuple_GetItem(targets, i).Handle__cell
            reference_new = PyWeakref_NewRef(cell, 0)
            sum_new = PyNumber_Add(cell.Cell_version, ONE)
            if reference_new == 0 or sum_new == 0:
                Py_DecRef(state_new)
                return 0
            PyList_Append(state_new.ThreadState_pending, reference_new)
            Py_DecRef(reference_new)
            put_flag(cell + Cell__node, PyTuple_GetItem(nodes, i))
            put_flag(cell + Cell_version, sum_new)
            Py_DecRef(sum_new)
    Py_DecRef(state_new)
    Py_IncRef(done)
    return done
