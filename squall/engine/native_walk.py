"""The flush as native code, first half: what is live, and the key of its graph.

Written in the language of `runtime.native_language`, never run by Python, compiled once a machine. Read the Python
first: `signature` and `_donatable` in `keys.py`, `_live` and `saved_nodes` in the frontend say what is done and why.
The key made here is the same tuple.

Counting references: a name ending in `_new` is owned. What is borrowed stays while the graph keeps it: under the lock
of graphs nobody cuts an edge.
"""
# ruff: noqa: F821
# pyright: reportUndefinedVariable=false, reportAttributeAccessIssue=false


# ---------------------------------------------------------------- vectors: data, length, capacity, on the heap
def begin(vector, data, capacity):
    """An empty vector over memory of the caller's."""
    vector[0] = data
    vector[1] = 0
    vector[2] = capacity
    vector[3] = 0


def push(vector, value):
    """Append; 0 when there is no memory."""
    length = vector[1]
    if length == vector[2]:
        wider = PyMem_RawMalloc(length * 32)
        if wider == 0:
            return 0
        old = vector[0]
        for i in range(length):
            wider[i] = old[i]
        if vector[3]:
            PyMem_RawFree(old)
        vector[0] = wider
        vector[2] = length * 4
        vector[3] = 1
    data = vector[0]
    data[length] = value
    vector[1] = length + 1
    return 1


def close(vector):
    """Give memory of a vector back."""
    if vector[3]:
        PyMem_RawFree(vector[0])


def put_flag(place, value):
    """Store an object in a slot."""
    old = place[0]
    Py_IncRef(value)
    place[0] = value
    Py_DecRef(old)


# ---------------------------------------------------------------- what is live: `evaluation._live`, `tape.saved_nodes`
def add_pending(roots, node):
    """List a Node that is not computed; 0 when there is no memory."""
    if node != NONE and node.Node_buffer == NONE:
        if PyList_Append(roots, node) < 0:
            return 0
    return 1


def add_saved(roots, node):
    """`add_pending` of what a rule reads; constants stay what they are."""
    if node != NONE and node.Node_op != CONSTANT:
        return add_pending(roots, node)
    return 1


def add_all(roots, nodes):
    """`add_saved` of a tuple."""
    for i in range(PyTuple_Size(nodes)):
        if not add_saved(roots, PyTuple_GetItem(nodes, i)):
            return 0
    return 1


def live(pending, count, roots, records):
    """List what is live among `pending` and what its history saved, and the records that were WALKED."""
    edges = space(4)
    begin(edges, space(64), 64)
    done = DONE
    for i in range(count):
        held_new = PyObject_CallNoArgs(PyList_GetItem(pending, i))
        if held_new == 0:
            done = ERROR
            break
        node = NONE
        if held_new.ob_type == CELL:
            node = held_new.Cell__node
        elif held_new != NONE:
            edge = held_new.Handle__edge
            if edge.ob_type == GRAD_RECORD and edge.GradRecord_state == NEW:
                if not push(edges, edge):
                    done = ERROR
            if held_new.Handle__cell == NONE:
                node = held_new.Handle__node
        if not add_pending(roots, node):
            done = ERROR
        Py_DecRef(held_new)
    while done == DONE and edges[1] > 0:
        edges[1] -= 1
        stack = edges[0]
        record = stack[edges[1]]
        if record.GradRecord_state != NEW:
            continue
        if PyList_Append(records, record) < 0:
            done = ERROR
            break
        put_flag(record + GradRecord_state, WALKED)
        if record.GradRecord_inputs != NONE and not add_all(roots, record.GradRecord_inputs):
            done = ERROR
        output = record.GradRecord_output
        if output.ob_type == TUPLE:
            if not add_all(roots, output):
                done = ERROR
        elif not add_saved(roots, output):
            done = ERROR
        inner = record.GradRecord_edges
        for k in range(PyTuple_Size(inner)):
            edge = PyTuple_GetItem(inner, k)
            if edge.ob_type == GRAD_RECORD and edge.GradRecord_state == NEW:
                if not push(edges, edge):
                    done = ERROR
    close(edges)
    if done == ERROR and PyErr_Occurred() == 0:
        PyErr_NoMemory()
    return done


# ---------------------------------------------------------------- the key: `keys.signature`
def find(table, mask, node):
    """The place of a node in a table of (node, number + 1, with ROOT for roots), or where it belongs."""
    at = ((node >> 4) * 11400714819323198485 >> 20) & mask
    while table[2 * at] != 0 and table[2 * at] != node:
        at = (at + 1) & mask
    return at


def number_of(f, node):
    """The number of a node, -1 when it has none yet."""
    table = f[TABLE]
    return (table[2 * find(table, f[MASK], node) + 1] & NUMBER) - 1


def list_roots(f, roots):
    """Roots that are not computed, each once, into TARGETS; how many, more than CAPACITY for too many."""
    table = f[TABLE]
    targets = f[TARGETS]
    wanted = 0
    for i in range(PyList_Size(roots)):
        node = PyList_GetItem(roots, i)
        at = find(table, f[MASK], node)
        if node.Node_buffer == NONE and table[2 * at] == 0:
            if wanted == f[CAPACITY]:
                return wanted + 1
            table[2 * at] = node
            table[2 * at + 1] = ROOT
            targets[wanted] = node
            wanted += 1
    return wanted


def all_numbered(f, operands, n):
    """Whether all operands have numbers."""
    for i in range(n):
        if number_of(f, PyTuple_GetItem(operands, i)) < 0:
            return 0
    return 1


def walk(f, roots):
    """Nodes in order, operands first, with numbers, and roots without those computed already."""
    table = f[TABLE]
    mask = f[MASK]
    order = f[ORDER]
    stack = f[STACK]
    targets = f[TARGETS]
    most = f[CAPACITY]
    count = 0
    size = 0
    inputs = 0
    scalars = 0
    strided = 0
    wanted = list_roots(f, roots)
    if wanted > most:
        return MORE
    for i in range(wanted):
        stack[i] = targets[wanted - 1 - i]
    depth = wanted
    while depth > 0:
        depth -= 1
        node = stack[depth]
        at = find(table, mask, node)
        if table[2 * at + 1] & NUMBER:
            continue
        buffer = node.Node_buffer
        if buffer == NONE:
            operands = node.Node_inputs
            n = PyTuple_Size(operands)
            if not all_numbered(f, operands, n):
                if depth + n + 1 > 4 * most:
                    return MORE
                stack[depth] = node
                for i in range(n):
                    stack[depth + n - i] = PyTuple_GetItem(operands, i)
                depth += n + 1
                continue
            size += 2 + n
        elif node.Node_op == SCALAR:
            size += 2
            scalars += 1
        else:
            size += 3
            inputs += 1
            strided += buffer.Buffer_strides != NONE
        if count == most:
            return MORE
        table[2 * at] = node
        count += 1
        table[2 * at + 1] = table[2 * at + 1] | count
        order[count - 1] = node
    f[COUNT] = count
    f[SIZE] = size
    f[WANTED] = wanted
    f[INPUTS] = inputs
    f[SCALARS] = scalars
    f[STRIDED] = strided
    return DONE


def set_item(tuple, at, item):
    """Put an object, of which the caller keeps its own reference, into a new tuple."""
    Py_IncRef(item)
    PyTuple_SetItem(tuple, at, item)


def pair(first, second_new):
    """A new tuple of two; takes over the second."""
    made_new = PyTuple_New(2)
    set_item(made_new, 0, first)
    PyTuple_SetItem(made_new, 1, second_new)
    return made_new


def changes_in_key(type):
    """Whether an attribute of this class enters keys as something else."""
    return (type == TUPLE) + (type == FLOAT) + (type == BOOL)


def attrs_key(attrs):
    """`keys.attrs_key`; a new reference, or 0."""
    n = PyTuple_Size(attrs)
    plain = 1
    for i in range(n):
        type = PyTuple_GetItem(attrs, i).ob_type
        if changes_in_key(type):
            plain = 0
    if plain:
        Py_IncRef(attrs)
        return attrs
    made_new = PyTuple_New(n)
    for i in range(n):
        item = PyTuple_GetItem(attrs, i)
        type = item.ob_type
        part_new = 0
        if type == FLOAT:
            hex_new = PyObject_CallOneArg(FLOAT_HEX, item)
            if hex_new:
                part_new = pair(TEXT_FLOAT, hex_new)
        elif type == BOOL:
            part_new = pair(TEXT_BOOL, item)
            Py_IncRef(item)
        elif type == TUPLE:
            part_new = attrs_key(item)
        else:
            part_new = item
            Py_IncRef(item)
        if part_new == 0:
            Py_DecRef(made_new)
            return 0
        PyTuple_SetItem(made_new, i, part_new)
    return made_new


def layout_of(node, buffer):
    """"rows", or what the key says of a leaf of another layout; a new reference, or 0."""
    if buffer.Buffer_strides != NONE:
        return PyObject_CallOneArg(DENSE_DIM, node)
    Py_IncRef(TEXT_ROWS)
    return TEXT_ROWS


def entries(f):
    """The first part of the key, and how often each node is an operand; a new reference, or 0."""
    made_new = PyTuple_New(f[SIZE])
    if made_new == 0:
        return 0
    order = f[ORDER]
    uses = f[USES]
    at = 0
    for i in range(f[COUNT]):
        node = order[i]
        buffer = node.Node_buffer
        if buffer == NONE:
            part_new = attrs_key(node.Node_attrs)
            if part_new == 0:
                Py_DecRef(made_new)
                return 0
            set_item(made_new, at, node.Node_op)
            PyTuple_SetItem(made_new, at + 1, part_new)
            at += 2
            operands = node.Node_inputs
            for k in range(PyTuple_Size(operands)):
                number = number_of(f, PyTuple_GetItem(operands, k))
                uses[number] += 1
                PyTuple_SetItem(made_new, at, PyLong_FromLongLong(number))
                at += 1
        elif node.Node_op == SCALAR:
            type = node.Node_type
            set_item(made_new, at, TEXT_SCALAR)
            set_item(made_new, at + 1, type.TensorType_dtype)
            at += 2
        else:
            type = node.Node_type
            layout_new = layout_of(node, buffer)
            if layout_new == 0:
                Py_DecRef(made_new)
                return 0
            PyTuple_SetItem(made_new, at, layout_new)
            set_item(made_new, at + 1, type.TensorType_dtype)
            set_item(made_new, at + 2, type.TensorType_shape)
            at += 3
    return made_new


def references(x):
    """How many references there are to an object."""
    return load32(x)


def may_donate(f):
    """Whether an input may be overwritten at all: no inner node would have to be computed again from it."""
    if PyDict_GetItemWithError(KNOBS, TEXT_DONATE) != TRUE:
        return 0
    order = f[ORDER]
    uses = f[USES]
    table = f[TABLE]
    some = 0
    for i in range(f[COUNT]):
        node = order[i]
        if node.Node_buffer != NONE and node.Node_op != SCALAR and references(node) <= uses[i]:
            some = 1
            break
    if not some:
        return 0
    for i in range(f[COUNT]):
        node = order[i]
        if node.Node_buffer == NONE and references(node) > uses[i]:
            if not table[2 * find(table, f[MASK], node) + 1] & ROOT:
                return 0
    return 1


def donatable(f):
    """`keys._donatable`; lists the inputs' buffers on its way."""
    made_new = PyTuple_New(f[INPUTS])
    if made_new == 0:
        return 0
    possible = may_donate(f)
    order = f[ORDER]
    uses = f[USES]
    buffers = f[STACK]
    at = 0
    for i in range(f[COUNT]):
        node = order[i]
        buffer = node.Node_buffer
        if buffer == NONE or node.Node_op == SCALAR:
            continue
        given = FALSE
        if possible and references(node) <= uses[i] and node.Node_type.ob_type != SHARED_TYPE:
            if references(buffer) <= 1 and buffer.Buffer_shared == FALSE and references(buffer.Buffer_block) <= 1:
                given = TRUE
        set_item(made_new, at, given)
        buffers[at] = buffer
        at += 1
    return made_new


def strides_of(f):
    """The strides of the inputs that have some; a new reference, or 0."""
    made_new = PyTuple_New(f[STRIDED])
    buffers = f[STACK]
    at = 0
    for i in range(f[INPUTS]):
        strides = buffers[i].Buffer_strides
        if made_new != 0 and strides != NONE:
            set_item(made_new, at, strides)
            at += 1
    return made_new


def key_of(f):
    """The key, and after it the strides of inputs that have some; a new reference, or 0."""
    parts_new = entries(f)
    if parts_new == 0:
        return 0
    key_new = PyTuple_New(4 + (f[STRIDED] > 0))
    roots_new = PyTuple_New(f[WANTED])
    given_new = donatable(f)
    targets = f[TARGETS]
    for i in range(f[WANTED]):
        PyTuple_SetItem(roots_new, i, PyLong_FromLongLong(number_of(f, targets[i])))
    PyTuple_SetItem(key_new, 0, parts_new)
    PyTuple_SetItem(key_new, 1, roots_new)
    PyTuple_SetItem(key_new, 2, given_new)
    set_item(key_new, 3, PyList_GetItem(CODE_KEY, 0))
    if f[STRIDED] > 0 and given_new != 0:
        PyTuple_SetItem(key_new, 4, strides_of(f))
    if given_new == 0:
        Py_DecRef(key_new)
        return 0
    return key_new


def key(module, arguments, count):
    """key(roots) -> the key of `keys.signature`, and strides; None for a large graph. For tests."""
    f = space(24)
    memory = space(768)
    capacity = 64
    f[CAPACITY] = capacity
    f[TABLE] = memory
    f[MASK] = 2 * capacity - 1
    f[USES] = memory + 32 * capacity
    f[ORDER] = memory + 40 * capacity
    f[TARGETS] = memory + 48 * capacity
    f[STACK] = memory + 64 * capacity
    for i in range(5 * capacity):
        memory[i] = 0
    if walk(f, arguments[0]) != DONE:
        Py_IncRef(NONE)
        return NONE
    return key_of(f)
