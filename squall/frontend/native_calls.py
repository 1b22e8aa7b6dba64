"""Functions of Tensors as native code: one op recorded, by what `known_calls.py` has learned of the function.

See `engine/native_walk.py` for the language. The first call of a kind (function, types, other arguments), and whatever
is not everyday, is done by the function in Python.
"""
# ruff: noqa: F821
# pyright: reportUndefinedVariable=false, reportAttributeAccessIssue=false


def is_tensor(value):
    """Whether a value is a Tensor."""
    return value.ob_type == TENSOR or PyObject_IsInstance(value, TENSOR) == 1


def only_ints(items):
    """Whether a tuple has nothing but ints."""
    for i in range(PyTuple_Size(items)):
        if PyTuple_GetItem(items, i).ob_type != INT:
            return 0
    return 1


def tensor_part(state, tensor, given, at):
    """A Tensor's part of the key, which is listed in `given`; 0 where Python must see to it."""
    node = node_of(tensor)
    if node == 0 or at > 30:
        return 0
    given[2 * at] = tensor
    given[2 * at + 1] = node
    counts = 0
    if state.ThreadState_level == ONE and tensor.Handle__edge != NONE:
        counts = 1
    return PyLong_FromLongLong(node.Node_type + counts)


def plain_part(value):
    """The part of the key of an argument that is no Tensor, as a new reference; 0 where Python must see to it."""
    type = value.ob_type
    plain = (value == NONE) + (type == INT) + (type == STR)
    if plain or (type == TUPLE and only_ints(value)):
        Py_IncRef(value)
        return value
    if type == FLOAT:
        return pair(FLOAT, PyLong_FromLongLong(PyFloat_AsDouble(value)))  # its bits
    if type == BOOL:
        Py_IncRef(value)
        return pair(BOOL, value)
    return 0


def length_of(items):
    """How many Tensors a list or tuple of such has; -1 for anything else."""
    if items.ob_type == LIST:
        n = PyList_Size(items)
        if n > 0 and is_tensor(PyList_GetItem(items, 0)):
            return n
    if items.ob_type == TUPLE:
        n = PyTuple_Size(items)
        if n > 0 and is_tensor(PyTuple_GetItem(items, 0)):
            return n
    return -1


def item_of(items, at):
    """An item of a list or tuple."""
    if items.ob_type == LIST:
        return PyList_GetItem(items, at)
    return PyTuple_GetItem(items, at)


def call_key(state, arguments, count, given, found):
    """A new key of `known_calls.known`; the Tensors and their Nodes into `given`, how many into `found[0]`. 0 without
    an error where Python must see to it."""
    size = count
    for i in range(count):
        n = length_of(arguments[i])
        if n > 0:
            size += n
    tensors = 0
    at = 0
    key_new = PyTuple_New(size)
    if key_new == 0:
        return 0
    for i in range(count):
        value = arguments[i]
        n = length_of(value)
        if n > 0:
            set_item(key_new, at, value.ob_type)
            at += 1
            for k in range(n):
                part_new = 0
                if is_tensor(item_of(value, k)):
                    part_new = tensor_part(state, item_of(value, k), given, tensors)
                    tensors += 1
                if part_new == 0:
                    Py_DecRef(key_new)
                    return 0
                PyTuple_SetItem(key_new, at, part_new)
                at += 1
        else:
            if i > 0 and is_tensor(value):
                part_new = tensor_part(state, value, given, tensors)
                tensors += 1
            elif i == 0:
                part_new = value  # the function itself
                Py_IncRef(value)
            else:
                part_new = plain_part(value)
            if part_new == 0:
                Py_DecRef(key_new)
                return 0
            PyTuple_SetItem(key_new, at, part_new)
            at += 1
    found[0] = tensors
    return key_new


def new_number(place):
    """A Node for a number among the operands: of a pair of its type and its value."""
    Py_IncRef(EMPTY_TUPLE)
    return new_node(SCALAR, EMPTY_TUPLE, EMPTY_TUPLE, PyTuple_GetItem(place, 0), PyTuple_GetItem(place, 1))


def record_known(state, memo, given):
    """Record what is known of a call; 0 as `recorded` gives it."""
    places = PyTuple_GetItem(memo, 2)
    found = PyTuple_GetItem(memo, 3)
    n = PyTuple_Size(places)
    nodes_new = PyTuple_New(n)
    operands_new = PyTuple_New(n)
    for i in range(n):
        place = PyTuple_GetItem(places, i)
        if place.ob_type == TUPLE:
            number_new = new_number(place)
            if number_new == 0:
                Py_DecRef(operands_new)
                Py_DecRef(nodes_new)
                return 0
            set_item(operands_new, i, NONE)
            PyTuple_SetItem(nodes_new, i, number_new)
        else:
            at = PyLong_AsLongLong(place)
            set_item(operands_new, i, given[2 * at])
            set_item(nodes_new, i, given[2 * at + 1])
    edges_new = 0
    if PyTuple_GetItem(memo, 5) != NONE:
        edges_new = edges_of(operands_new)
    made_new = written_down(state, PyTuple_GetItem(memo, 0), operands_new, nodes_new, PyTuple_GetItem(memo, 1),
                            PyTuple_GetItem(found, 0), PyTuple_GetItem(found, 1), edges_new, PyTuple_GetItem(memo, 5))
    Py_DecRef(operands_new)
    if made_new != 0 and PyTuple_GetItem(found, 2) != TRUE and not located(made_new):
        Py_DecRef(made_new)
        made_new = 0
    return made_new


# ---------------------------------------------------------------- calls met again
# A call that was found by its key is remembered under what its arguments are to native code, one or two words each:
# there it is found without making a key. A slot has, in words: what keeps all it names alive (a tuple, of which the
# first item is the memo; 0 when the slot is free), how many words follow, and those words.
def plain_words(value, words, at):
    """Put down an argument that is no Tensor; gives where to go on, 0 where only a key can tell it."""
    type = value.ob_type
    if type == INT:
        number = PyLong_AsLongLong(value)
        if number == -1 and PyErr_Occurred() != 0:
            PyErr_Clear()
            return 0
        if number >= 1 << 40 or number <= 0 - (1 << 40):
            return 0
        words[at] = (number << 3) | 3
        return at + 1
    if type == FLOAT:
        words[at] = 4
        words[at + 1] = PyFloat_AsDouble(value)  # its bits
        return at + 2
    if (value == NONE) + (type == STR) + (type == BOOL) or (type == TUPLE and only_ints(value)):
        words[at] = value | 2
        return at + 1
    return 0


def call_words(state, arguments, count, given, words, kept):
    """The words of a call, how many of them as result, 0 where only a key can tell it; Tensors and Nodes into `given`.

    What the words stand for goes into `kept`."""
    words[0] = arguments[0]
    kept[0] = arguments[0]
    at = 1
    tensors = 0
    for i in range(1, count):
        value = arguments[i]
        if value == 0 or at > 11:
            return 0
        next = 0
        if value.ob_type != TENSOR:
            next = plain_words(value, words, at)
            kept[i] = value
        if next == 0:
            if not is_tensor(value):
                return 0
            node = node_of(value)
            if node == 0:
                return 0
            given[2 * tensors] = value
            given[2 * tensors + 1] = node
            tensors += 1
            words[at] = node.Node_type + (state.ThreadState_level == ONE and value.Handle__edge != NONE)
            kept[i] = node.Node_type
            next = at + 1
        at = next
    return at


def slot_of(words, n):
    """The address of the slot of a call."""
    mixed = n
    for i in range(n):
        mixed = (mixed ^ words[i]) * 11400714819323198485
        mixed = mixed ^ (mixed >> 29)
    return CALL_CACHE + 8 * CALL_SLOT * ((mixed >> 20) & (CALL_SLOTS - 1))


def met_before(words, n):
    """The memo of a call that a slot has; 0 without one."""
    slot = slot_of(words, n)
    if slot[0] == 0 or slot[1] != n:
        return 0
    for i in range(n):
        if slot[2 + i] != words[i]:
            return 0
    return PyTuple_GetItem(slot[0], 0)


def remember(memo, words, n, kept, count):
    """Put a call into its slot, in the place of another."""
    all_new = PyTuple_New(count + 1)
    if all_new == 0:
        PyErr_Clear()
        return 0
    set_item(all_new, 0, memo)
    for i in range(count):
        set_item(all_new, i + 1, kept[i])
    slot = slot_of(words, n)
    before = slot[0]
    slot[0] = all_new
    slot[1] = n
    for i in range(n):
        slot[2 + i] = words[i]
    if before != 0:
        Py_DecRef(before)
    return 0


def learn_call(key, arguments, count):
    """A call of a kind met for the first time, which Python makes and describes."""
    all = space(34)
    all[0] = key
    for i in range(count):
        all[1 + i] = arguments[i]
    return PyObject_Vectorcall(LEARN_CALL, all, 1 + count, 0)


def called(state, arguments, count):
    """The result of a call; 0 with an error, or without one where Python must do it."""
    given = space(64)
    found = space(1)
    if not everyday(state) or count > 32:
        return 0
    words = space(16)
    kept = space(16)
    n = 0
    if count <= 12:
        n = call_words(state, arguments, count, given, words, kept)
    if n != 0:
        memo = met_before(words, n)
        if memo != 0:
            Py_IncRef(memo)
            made_new = record_known(state, memo, given)
            Py_DecRef(memo)
            return made_new
    key_new = call_key(state, arguments, count, given, found)
    if key_new == 0:
        return 0
    memo = PyDict_GetItemWithError(CALLS, key_new)
    made_new = 0
    if memo == 0:
        if PyErr_Occurred() == 0:
            made_new = learn_call(key_new, arguments, count)
    elif memo != NONE and PyLong_AsLongLong(PyTuple_GetItem(memo, 4)) == found[0]:
        Py_IncRef(memo)
        if n != 0:
            remember(memo, words, n, kept, count)
        made_new = record_known(state, memo, given)
        Py_DecRef(memo)
    Py_DecRef(key_new)
    return made_new


def call_function(module, arguments, count):
    """call_function(function, *arguments) -> function(*arguments)."""
    state_new = thread_state()
    if state_new == 0:
        return 0
    made_new = called(state_new, arguments, count)
    Py_DecRef(state_new)
    if made_new != 0 or PyErr_Occurred() != 0:
        return made_new
    return PyObject_Vectorcall(arguments[0], arguments + 8, count - 1, 0)
