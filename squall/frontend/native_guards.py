"""Whether a captured program fits a call, as native code: `pytree.flatten`, `Arguments.fit`, `Watch.holds` and the rest
of what `Program.attempt` asks first.

See `engine/native_walk.py` for the language, and `calling.py` for the descriptions of programs (`Call`) that are read
here. A guard that does not hold, or whose comparison takes more than looking at an object, answers no, and Python
decides anew.
"""
# ruff: noqa: F821
# pyright: reportUndefinedVariable=false, reportAttributeAccessIssue=false


# ---------------------------------------------------------------- arguments
def is_leaf(value):
    """Whether a value is known to be a leaf of every pytree."""
    type = value.ob_type
    known_leaf = (type == TENSOR) + (type == INT) + (type == FLOAT) + (type == BOOL) + (type == STR)
    return known_leaf or PyDict_GetItemWithError(LEAF_CLASSES, type) == TRUE


def flattened(structure, value, leaves, count):
    """List the leaves of a value of a structure after `count` others: how many there are then; -1 for another value."""
    if PyTuple_GetItem(structure, 0) == NONE:
        if count > 249 or not is_leaf(value):
            return -1
        leaves[count] = value
        return count + 1
    type = PyTuple_GetItem(structure, 0)
    children = PyTuple_GetItem(structure, 2)
    n = PyTuple_Size(children)
    if value.ob_type != type:
        return -1
    if type == TUPLE:
        if PyTuple_Size(value) != n:
            return -1
        for i in range(n):
            count = flattened(PyTuple_GetItem(children, i), PyTuple_GetItem(value, i), leaves, count)
            if count < 0:
                return -1
        return count
    if type == LIST:
        if PyList_Size(value) != n:
            return -1
        for i in range(n):
            count = flattened(PyTuple_GetItem(children, i), PyList_GetItem(value, i), leaves, count)
            if count < 0:
                return -1
        return count
    if type == DICT:
        names = PyTuple_GetItem(structure, 1)
        if PyDict_Size(value) != n:
            return -1
        at = space(3)
        at[0] = 0
        for i in range(n):
            if PyDict_Next(value, at, at + 8, at + 16) == 0 or at[1] != PyTuple_GetItem(names, i):
                return -1
            count = flattened(PyTuple_GetItem(children, i), at[2], leaves, count)
            if count < 0:
                return -1
        return count
    if value == NONE:
        return count
    return -1


def flat_arguments(structure, arguments, count, names, leaves):
    """List the leaves of a call's arguments: how many; -1 for arguments of another structure."""
    if structure.ob_type == INT:
        if names != 0 or PyLong_AsLongLong(structure) != count or count > 249:
            return -1
        for i in range(count):
            if not is_leaf(arguments[i]):
                return -1
            leaves[i] = arguments[i]
        return count
    both = PyTuple_GetItem(structure, 2)
    positional = PyTuple_GetItem(PyTuple_GetItem(both, 0), 2)
    named = PyTuple_GetItem(both, 1)
    more = 0
    if names != 0:
        more = PyTuple_Size(names)
    if PyTuple_Size(positional) != count or PyTuple_Size(PyTuple_GetItem(named, 2)) != more:
        return -1
    n = 0
    for i in range(count + more):
        if i < count:
            inner = PyTuple_GetItem(positional, i)
        else:
            inner = PyTuple_GetItem(PyTuple_GetItem(named, 2), i - count)
            if PyTuple_GetItem(PyTuple_GetItem(named, 1), i - count) != PyTuple_GetItem(names, i - count):
                return -1
        n = flattened(inner, arguments[i], leaves, n)
        if n < 0:
            return -1
    return n


def same_plain(now, value):
    """Whether two values are one, or numbers of one class and bits that native code can compare."""
    if now == value:
        return 1
    if now.ob_type != value.ob_type:
        return 0
    if now.ob_type == FLOAT:
        return PyFloat_AsDouble(now) == PyFloat_AsDouble(value)
    if now.ob_type == INT:
        first = PyLong_AsLongLong(now)
        second = PyLong_AsLongLong(value)
        if PyErr_Occurred() != 0:
            PyErr_Clear()
            return 0
        return first == second
    return 0


def edge_fits(edge, kind):
    """Whether a Tensor has the history of a kind: None, Leaf or GradRecord."""
    if kind == NONE:
        return edge == NONE
    return edge.ob_type == kind


def tensor_fits(leaf, spec):
    """Whether a Tensor is what (class, type, row-major, kind of history, the very object or None) says."""
    if leaf.ob_type != PyTuple_GetItem(spec, 0):
        return 0
    node = node_of(leaf)
    if node == 0 or node.Node_type != PyTuple_GetItem(spec, 1):
        return 0
    if not edge_fits(leaf.Handle__edge, PyTuple_GetItem(spec, 3)):
        return 0
    plain = TRUE
    if node.Node_buffer != NONE:
        if node.Node_buffer.ob_type != BUFFER:
            return 0
        if node.Node_buffer.Buffer_strides != NONE:
            plain = FALSE
    pinned = PyTuple_GetItem(spec, 4)
    if pinned != NONE and pinned != leaf:
        return 0
    return plain == PyTuple_GetItem(spec, 2)


def apart(call, leaves, count):
    """Whether no two Tensors among the leaves are one (or share storage, where the program writes arguments), and none
    is among the outside ones it must not meet."""
    table = space(1024)
    tensors = PyLong_AsLongLong(call.Call_tensors)
    if tensors > 1:
        mask = 511
        if tensors <= 8:
            mask = 15
        for i in range(2 * mask + 2):
            table[i] = 0
        specs = call.Call_arguments
        for i in range(count):
            if PyTuple_Size(PyTuple_GetItem(specs, i)) == 5:
                key = leaves[i]
                if call.Call_by_storage == TRUE and key.Handle__cell != NONE:
                    key = key.Handle__cell
                at = find(table, mask, key)
                if table[2 * at] != 0:
                    return 0
                table[2 * at] = key
    if call.Call_outside == NONE:
        return 1
    for i in range(count):
        spec = PyTuple_GetItem(call.Call_arguments, i)
        if PyTuple_Size(spec) == 5 and PyTuple_GetItem(spec, 4) == NONE:
            if outside(call.Call_outside, leaves[i]) or outside(call.Call_outside, leaves[i].Handle__cell):
                return 0
    return 1


def outside(ids, held):
    """Whether an object's number is in a set."""
    number_new = PyLong_FromLongLong(held)
    found = PySet_Contains(ids, number_new)
    Py_DecRef(number_new)
    return found


def arguments_fit(call, leaves, count):
    """`Arguments.fit` of a program without symbols."""
    specs = call.Call_arguments
    if PyTuple_Size(specs) != count:
        return 0
    for i in range(count):
        spec = PyTuple_GetItem(specs, i)
        leaf = leaves[i]
        kind = PyTuple_Size(spec)
        if kind == 5:
            if not tensor_fits(leaf, spec):
                return 0
        elif kind == 2:
            if not same_plain(leaf, PyTuple_GetItem(spec, 1)):
                return 0
        elif leaf.ob_type != PyTuple_GetItem(spec, 0):
            return 0
    return apart(call, leaves, count)


# ---------------------------------------------------------------- guards
def reads_same(entry):
    """Whether a value read from outside is as it was: (code, owner, key, value). `key` of a slot: its offset."""
    code = PyTuple_GetItem(entry, 0)
    owner = PyTuple_GetItem(entry, 1)
    key = PyTuple_GetItem(entry, 2)
    value = PyTuple_GetItem(entry, 3)
    if code == READ_DICT:
        now = PyDict_GetItemWithError(owner, key)
        return now != 0 and same_plain(now, value)
    if code == READ_SLOT:
        place = owner + PyLong_AsLongLong(key)
        return place[0] == value
    if code == READ_CELL:
        now = PyCell_Get(owner)
    elif code == READ_ATTRIBUTE:
        now = PyObject_GetAttr(owner, key)
    else:
        both = space(2)
        both[0] = key
        both[1] = MISSING
        now = PyObject_Vectorcall(owner, both, 2, 0)
    if now == 0:
        PyErr_Clear()
        return 0
    same = same_plain(now, value)
    Py_DecRef(now)
    return same


def container_same(entry):
    """Whether (container, items or length) is as it was."""
    container = PyTuple_GetItem(entry, 0)
    items = PyTuple_GetItem(entry, 1)
    if items.ob_type == INT:
        return PyObject_Size(container) == PyLong_AsLongLong(items)
    n = PyTuple_Size(items)
    if container.ob_type == LIST:
        if PyList_Size(container) != n:
            return 0
        for i in range(n):
            if PyList_GetItem(container, i) != PyTuple_GetItem(items, i):
                return 0
        return 1
    if 2 * PyDict_Size(container) != n:
        return 0
    at = space(3)
    at[0] = 0
    for i in range(n >> 1):
        if PyDict_Next(container, at, at + 8, at + 16) == 0:
            return 0
        if at[1] != PyTuple_GetItem(items, i) or at[2] != PyTuple_GetItem(items, (n >> 1) + i):
            return 0
    return 1


def watch_holds(call):
    """`Watch.holds`; what native code cannot tell is told by Python."""
    readers = call.Call_readers
    for i in range(PyTuple_Size(readers)):
        if not reads_same(PyTuple_GetItem(readers, i)):
            return 0
    watch = call.Call_watch
    if watch.Watch_epoch != PyDict_GetItemWithError(EPOCH, TEXT_STRUCTURE):
        holds_new = PyObject_CallOneArg(WATCH_HOLDS, watch)
        if holds_new == 0:
            PyErr_Clear()
            return 0
        Py_DecRef(holds_new)
        if holds_new != TRUE:
            return 0
    containers = call.Call_containers
    for i in range(PyTuple_Size(containers)):
        if not container_same(PyTuple_GetItem(containers, i)):
            return 0
    if call.Call_slow == FALSE:
        return 1
    changed_new = PyObject_CallOneArg(CHANGED_CONTAINER, watch)
    if changed_new == 0:
        PyErr_Clear()
        return 0
    Py_DecRef(changed_new)
    return changed_new == NONE


def handles_hold(call):
    """Whether Tensors from outside have the history and storage they had, and leaves a gradient or none."""
    handles = call.Call_handles
    for i in range(PyTuple_Size(handles)):
        entry = PyTuple_GetItem(handles, i)
        handle = PyTuple_GetItem(entry, 0)
        edge = PyTuple_GetItem(entry, 1)
        cell = PyTuple_GetItem(entry, 2)
        if handle.Handle__edge != edge:
            if edge != GRAD_RECORD or handle.Handle__edge.ob_type != GRAD_RECORD:
                return 0
        if cell != NONE and handle.Handle__cell != cell:
            return 0
    leaves = call.Call_leaf_states
    for i in range(PyTuple_Size(leaves)):
        entry = PyTuple_GetItem(leaves, i)
        missing = FALSE
        if PyTuple_GetItem(entry, 0).Leaf_grad == NONE:
            missing = TRUE
        if missing != PyTuple_GetItem(entry, 1):
            return 0
    return 1


def mode_holds(state, mode):
    """Whether the modes are (grad, inference, default dtype)."""
    if state.ThreadState_grad != PyTuple_GetItem(mode, 0) or state.ThreadState_inference != PyTuple_GetItem(mode, 1):
        return 0
    return state.ThreadState_autocast == NONE and PyList_GetItem(DEFAULT_DTYPE, 0) == PyTuple_GetItem(mode, 2)
