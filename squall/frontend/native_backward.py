"""The backward pass of a known forward as native code: what `tape.run_backward` records, from a template.

See `engine/native_walk.py` for the language. The tape is walked breadth first and put into a key: ops, attributes,
types, which values are the same, and what is saved. `known_backward.py` has what the rules made of a tape with this
key. Hooks, freed history, values written since, shared memory: Python does it, before anything has changed.
"""
# ruff: noqa: F821
# pyright: reportUndefinedVariable=false, reportAttributeAccessIssue=false


def numbered(t, object):
    """The number of an object in the walk, given when it is first met; -1 when there are too many."""
    table = t[TABLE]
    at = find(table, t[MASK], object)
    if table[2 * at] == 0:
        if t[COUNT] == t[CAPACITY]:
            return -1
        order = t[ORDER]
        order[t[COUNT]] = object
        t[COUNT] += 1
        table[2 * at] = object
        table[2 * at + 1] = t[COUNT]
    return table[2 * at + 1] - 1


def push_number(parts, value):
    """Append an int to the key."""
    return push(parts, PyLong_FromLongLong(value))


def push_object(parts, value):
    """Append an object to the key."""
    Py_IncRef(value)
    return push(parts, value)


def push_type(parts, type):
    """Append what a type is known by: its address, of several results each one's."""
    if type.ob_type != TUPLE:
        return push_number(parts, type)
    n = PyTuple_Size(type)
    push_number(parts, -n)
    for i in range(n):
        push_number(parts, PyTuple_GetItem(type, i))
    return 1


def push_saved(t, parts, node):
    """Append the number of a saved value; 0 where Python must do it."""
    if node == NONE:
        return push_object(parts, NONE)
    if node.Node_type.ob_type != TENSOR_TYPE:
        return 0
    number = numbered(t, node)
    if number < 0:
        return 0
    return push_number(parts, number)


def push_all_saved(t, parts, nodes):
    """Append the numbers of a tuple of saved values."""
    if nodes == NONE:
        return push_object(parts, FALSE)
    for i in range(PyTuple_Size(nodes)):
        if not push_saved(t, parts, PyTuple_GetItem(nodes, i)):
            return 0
    return 1


def version_of(holder):
    """The present version of a Tensor or a cell."""
    if holder.ob_type == CELL:
        return holder.Cell_version
    if holder.Handle__cell == NONE:
        return ZERO
    return holder.Handle__cell.Cell_version


def unwritten(record):
    """`GradRecord.check_versions`: whether nothing saved was written since."""
    holders = record.GradRecord_holders
    versions = record.GradRecord_versions
    if holders != NONE:
        for i in range(PyTuple_Size(holders)):
            holder = PyTuple_GetItem(holders, i)
            expected = ZERO
            if versions != NONE:
                expected = PyTuple_GetItem(versions, i)
            if holder != NONE and version_of(holder) != expected:
                return 0
    cells = record.GradRecord_cells
    for i in range(PyTuple_Size(cells)):
        entry = PyTuple_GetItem(cells, i)
        if version_of(PyTuple_GetItem(entry, 0)) != PyTuple_GetItem(entry, 1):
            return 0
    return 1


def ordinary(record):
    """Whether a record has an op's rule, values that are still there, and no hooks."""
    if record.GradRecord_state == FREED or record.GradRecord_op == NONE:
        return 0
    if record.GradRecord__rare != NONE:
        return 0
    return unwritten(record)


def push_record(t, parts, queue, record):
    """Append what a record says; 0 where Python must do it."""
    if not ordinary(record):
        return 0
    attrs_new = attrs_key(record.GradRecord_attrs)
    if attrs_new == 0:
        return 0
    push_object(parts, record.GradRecord_op)
    push(parts, attrs_new)
    edges = record.GradRecord_edges
    types = record.GradRecord_types
    push_type(parts, record.GradRecord_out_type)
    for i in range(PyTuple_Size(edges)):
        edge = PyTuple_GetItem(edges, i)
        push_number(parts, PyTuple_GetItem(types, i))
        if edge == NONE:
            push_object(parts, NONE)
            continue
        before = t[COUNT]
        number = numbered(t, edge)
        if number < 0:
            return 0
        if t[COUNT] > before:
            push(queue, edge)
        push_number(parts, number)
    if not push_all_saved(t, parts, record.GradRecord_inputs):
        return 0
    output = record.GradRecord_output
    if output.ob_type == TUPLE:
        return push_all_saved(t, parts, output)
    return push_saved(t, parts, output)


def walk_tape(t, parts, root, seed):
    """The key of a tape; 0 where Python must do it."""
    queue = space(4)
    begin(queue, space(256), 256)
    numbered(t, seed)
    numbered(t, root)
    push(queue, root)
    at = 0
    good = 1
    while good and at < queue[1]:
        waiting = queue[0]
        edge = waiting[at]
        at += 1
        if edge.ob_type == LEAF:
            good = edge.Leaf_hooks == NONE
            push_number(parts, edge.Leaf_type)
        elif edge.ob_type == GRAD_RECORD:
            good = push_record(t, parts, queue, edge)
        else:
            good = 0
    close(queue)
    return good


def made_of(parts):
    """A new tuple of the parts of a key, which it takes over."""
    made_new = PyTuple_New(parts[1])
    data = parts[0]
    for i in range(parts[1]):
        PyTuple_SetItem(made_new, i, data[i])
    parts[1] = 0
    return made_new


def released(record):
    """`GradRecord.release` of one that saved something."""
    put_flag(record + GradRecord_state, FREED)
    put_flag(record + GradRecord_inputs, NONE)
    put_flag(record + GradRecord_output, NONE)
    put_flag(record + GradRecord_holders, NONE)
    put_flag(record + GradRecord_versions, NONE)
    put_flag(record + GradRecord_cells, EMPTY_TUPLE)


def create(order, count, template):
    """Make a template's Nodes behind the objects of the walk; how many were made."""
    entries = PyTuple_GetItem(template, 0)
    n = PyTuple_Size(entries)
    for i in range(n):
        entry = PyTuple_GetItem(entries, i)
        refs = PyTuple_GetItem(entry, 3)
        many = PyTuple_Size(refs)
        inputs_new = PyTuple_New(many)
        for k in range(many):
            set_item(inputs_new, k, order[PyLong_AsLongLong(PyTuple_GetItem(refs, k))])
        made_new = new_node(PyTuple_GetItem(entry, 0), inputs_new, PyTuple_GetItem(entry, 1), PyTuple_GetItem(entry, 2),
                            NONE)
        if made_new == 0:
            return i
        order[count + i] = made_new
        located = PyTuple_GetItem(entry, 4)
        if located != NONE:
            place_new = PyObject_CallOneArg(GRADIENT_PLACE, order[PyLong_AsLongLong(located)])
            if place_new == 0:
                return i + 1
            made_new.Node_where = place_new
    return n


def replay(t, template, retain):
    """The leaves and their gradients in a new list; what is saved is let go."""
    order = t[ORDER]
    count = t[COUNT]
    total = PyTuple_Size(PyTuple_GetItem(template, 0))
    if count + total > t[CAPACITY] * 4:
        Py_IncRef(NONE)
        return NONE
    made = create(order, count, template)
    out_new = 0
    if made == total:
        out_new = PyList_New(0)
        gradients = PyTuple_GetItem(template, 1)
        for i in range(PyTuple_Size(gradients)):
            PyList_Append(out_new, order[PyLong_AsLongLong(PyTuple_GetItem(gradients, i))])
        if retain == FALSE:
            freed = PyTuple_GetItem(template, 2)
            for i in range(PyTuple_Size(freed)):
                released(order[PyLong_AsLongLong(PyTuple_GetItem(freed, i))])
    drop(order + 8 * count, made)
    return out_new


def unknown(t, key_new):
    """(key, objects in order), for Python to learn; takes over the key."""
    made_new = PyTuple_New(2)
    PyTuple_SetItem(made_new, 0, key_new)
    objects_new = PyList_New(0)
    order = t[ORDER]
    for i in range(t[COUNT]):
        PyList_Append(objects_new, order[i])
    PyTuple_SetItem(made_new, 1, objects_new)
    return made_new


def attempt_backward(t, root, seed, retain, memory, capacity):
    """With room for `capacity` objects: what `backward` gives, or MORE."""
    t[CAPACITY] = capacity
    t[TABLE] = memory
    t[MASK] = 2 * capacity - 1
    t[ORDER] = memory + 32 * capacity
    t[COUNT] = 0
    for i in range(4 * capacity):
        memory[i] = 0
    parts = space(4)
    begin(parts, space(1024), 1024)
    good = walk_tape(t, parts, root, seed)
    key_new = made_of(parts)
    close(parts)
    if not good:
        Py_DecRef(key_new)
        PyErr_Clear()
        if t[COUNT] == capacity:
            return MORE
        Py_IncRef(NONE)
        return NONE
    template = PyDict_GetItemWithError(KNOWN_BACKWARD, key_new)
    if template == 0:
        if PyErr_Occurred() != 0:
            Py_DecRef(key_new)
            return 0
        return unknown(t, key_new)
    Py_DecRef(key_new)
    Py_IncRef(template)
    if template == NONE:
        return template
    out_new = replay(t, template, retain)
    Py_DecRef(template)
    return out_new


def backward(module, arguments, count):
    """backward(edge, seed, retain) -> [leaf, gradient, leaf, ...], (key, objects) for a tape not known, or None."""
    t = space(24)
    capacity = 256
    done = attempt_backward(t, arguments[0], arguments[1], arguments[2], space(2048), capacity)
    while done == MORE and capacity < 200000:
        capacity = capacity * 8
        memory = PyMem_RawMalloc(64 * capacity)
        if memory == 0:
            return PyErr_NoMemory()
        done = attempt_backward(t, arguments[0], arguments[1], arguments[2], memory, capacity)
        PyMem_RawFree(memory)
    if done == MORE:
        Py_IncRef(NONE)
        return NONE
    return done
