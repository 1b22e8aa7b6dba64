"""Indexing by Tensors and lists as native code, and values read out as lists.

See `engine/native_walk.py` for the language. The Python it stands for: `indexing.getitem` of one int64 Tensor, one
list of ints or one boolean mask, and `Tensor.tolist`, which do whatever is not everyday. Positions that are known
already are checked at once, as `indexing._check_known` does; others when they are read.
"""
# ruff: noqa: F821
# pyright: reportUndefinedVariable=false, reportAttributeAccessIssue=false


def elements_of(type):
    """How many elements a type without symbols has; -1 for one with symbols."""
    shape = type.TensorType_shape
    count = 1
    for i in range(PyTuple_Size(shape)):
        size = PyTuple_GetItem(shape, i)
        if size.ob_type != INT:
            return -1
        count = count * PyLong_AsLongLong(size)
    return count


def known_value(state, tensor):
    """The Node of a Tensor with its value in row-major memory, which is computed if need be; 0 with an error, or
    without one where Python must see to it."""
    node = node_of(tensor)
    if node == 0 or state.ThreadState_trace != NONE or PyDict_Size(GATES) != 0:
        return 0
    if node.Node_buffer == NONE:
        if tensor.Handle__cell != NONE:
            return 0
        roots_new = PyList_New(0)
        if roots_new == 0 or PyList_Append(roots_new, node) < 0:
            return 0
        done = evaluate(state, roots_new)
        Py_DecRef(roots_new)
        if done != DONE or tensor.Handle__cell != NONE:
            return 0
        node = tensor.Handle__node
    buffer = node.Node_buffer
    if node.Node_op == SCALAR or buffer.ob_type != BUFFER or buffer.Buffer_strides != NONE:
        return 0
    return node


# ---------------------------------------------------------------- x[positions]
def first_size(node):
    """The size of a Node's first dimension; -1 where Python must see to it."""
    if node == 0 or node.Node_type.ob_type != TENSOR_TYPE or PyTuple_Size(node.Node_type.TensorType_shape) == 0:
        return -1
    size = PyTuple_GetItem(node.Node_type.TensorType_shape, 0)
    if size.ob_type != INT:
        return -1
    return PyLong_AsLongLong(size)


def all_inside(node, size):
    """Whether positions are inside of a dimension, as far as they are few and known."""
    buffer = node.Node_buffer
    if buffer == NONE:
        return 1
    count = elements_of(node.Node_type)
    if count < 0 or buffer.ob_type != BUFFER:
        return 0
    if count > 64:
        return 1
    if buffer.Buffer_strides != NONE:
        return 0
    values = PyLong_AsLongLong(buffer.Buffer_pointer)
    for i in range(count):
        if values[i] < 0 - size or values[i] >= size:
            return 0
    return 1


def taken(state, tensor, index):
    """`take` along the first dimension; 0 as `recorded` gives it."""
    operands_new = pair_of(tensor, index, 0)
    made_new = record_with(state, OP_TAKE, operands_new, FIRST_DIM)
    Py_DecRef(operands_new)
    return made_new


def index_over(memory_new, type):
    """A new Tensor over new memory; takes over the block. 0 with an error."""
    buffer_new = buffer_over(memory_new, memory_new.Block_pointer)
    if buffer_new == 0:
        return 0
    Py_IncRef(EMPTY_TUPLE)
    node_new = new_node(BUFFER_OP, EMPTY_TUPLE, EMPTY_TUPLE, type, buffer_new)
    Py_DecRef(buffer_new)
    if node_new == 0:
        return 0
    made_new = fresh_tensor(node_new)
    Py_DecRef(node_new)
    return made_new


def positions_of(count):
    """The type of so many positions; 0 for none or many."""
    number_new = PyLong_FromLongLong(count)
    type = PyDict_GetItemWithError(POSITION_TYPES, number_new)
    Py_DecRef(number_new)
    return type


def by_list(state, tensor, items, size):
    """`x[[1, 2]]`; 0 with an error, or without one where Python must do it."""
    n = PyList_Size(items)
    type = positions_of(n)
    if type == 0:
        return 0
    for i in range(n):
        if PyList_GetItem(items, i).ob_type != INT:
            return 0
    memory_new = block_of(8 * n)
    if memory_new == 0:
        return 0
    values = PyLong_AsLongLong(memory_new.Block_pointer)
    for i in range(n):
        values[i] = PyLong_AsLongLong(PyList_GetItem(items, i))
        if PyErr_Occurred() != 0 or values[i] < 0 - size or values[i] >= size:
            PyErr_Clear()
            Py_DecRef(memory_new)
            return 0
    index_new = index_over(memory_new, type)
    if index_new == 0:
        return 0
    made_new = taken(state, tensor, index_new)
    Py_DecRef(index_new)
    return made_new


def fill_positions(flags, shape, rank, total, parts):
    """The position of every true element into an array a dimension, whose addresses are in `parts`."""
    place = space(4)
    for d in range(rank):
        place[d] = 0
    at = 0
    for i in range(total):
        if load8(flags + i):
            for d in range(rank):
                values = parts[d]
                values[at] = place[d]
            at += 1
        d = rank - 1
        place[d] += 1
        while d > 0 and place[d] == PyLong_AsLongLong(PyTuple_GetItem(shape, d)):
            place[d] = 0
            d -= 1
            place[d] += 1


def fits_in_front(type, wanted):
    """Whether a mask's shape is how another shape begins, of at most four dimensions."""
    shape = type.TensorType_shape
    rank = PyTuple_Size(shape)
    if rank == 0 or rank > 4 or rank > PyTuple_Size(wanted):
        return 0
    for d in range(rank):
        size = PyTuple_GetItem(wanted, d)
        if size.ob_type != INT or PyLong_AsLongLong(size) != PyLong_AsLongLong(PyTuple_GetItem(shape, d)):
            return 0
    return 1


def mask_operands(tensor, node, rank, count):
    """A new tuple: a Tensor, and the positions of a mask's true elements, a Tensor a dimension; 0 with an error."""
    made_new = PyTuple_New(1 + rank)
    set_item(made_new, 0, tensor)
    parts = space(4)
    for d in range(rank):
        memory_new = block_of(8 * count)
        if memory_new == 0:
            Py_DecRef(made_new)
            return 0
        parts[d] = PyLong_AsLongLong(memory_new.Block_pointer)
        index_new = index_over(memory_new, positions_of(count))
        if index_new == 0:
            Py_DecRef(made_new)
            return 0
        PyTuple_SetItem(made_new, 1 + d, index_new)
    type = node.Node_type
    flags = PyLong_AsLongLong(node.Node_buffer.Buffer_pointer)
    fill_positions(flags, type.TensorType_shape, rank, elements_of(type), parts)
    return made_new


def by_mask(state, tensor, mask):
    """`x[mask]`; 0 with an error, or without one where Python must do it: that tells who listens (`by_values.py`)."""
    if PyList_Size(LISTENERS) != 0:
        return 0
    node = known_value(state, mask)
    target = node_of(tensor)
    if node == 0 or target == 0 or node.Node_type.ob_type != TENSOR_TYPE or elements_of(node.Node_type) < 1:
        return 0
    if not fits_in_front(node.Node_type, target.Node_type.TensorType_shape):
        return 0
    flags = PyLong_AsLongLong(node.Node_buffer.Buffer_pointer)
    count = 0
    for i in range(elements_of(node.Node_type)):
        count += load8(flags + i)
    if positions_of(count) == 0:
        return 0
    rank = PyTuple_Size(node.Node_type.TensorType_shape)
    Py_IncRef(node)
    operands_new = mask_operands(tensor, node, rank, count)
    Py_DecRef(node)
    if operands_new == 0:
        return 0
    if rank == 1:
        made_new = record_with(state, OP_TAKE, operands_new, FIRST_DIM)
    else:
        made_new = record_with(state, OP_INDEX, operands_new, PyTuple_GetItem(FIRST_DIMS, rank))
    Py_DecRef(operands_new)
    return made_new


def gathered(tensor, items):
    """`indexing.getitem` by positions; 0 with an error, or without one where Python must do it."""
    state_new = thread_state()
    if state_new == 0:
        return 0
    made_new = 0
    size = first_size(node_of(tensor))
    if everyday(state_new) and size >= 0:
        if items.ob_type == LIST:
            made_new = by_list(state_new, tensor, items, size)
        else:
            node = node_of(items)
            if node != 0 and node.Node_op != SCALAR and node.Node_type.ob_type == TENSOR_TYPE:
                if PyTuple_Size(node.Node_type.TensorType_shape) != 0:
                    dtype = node.Node_type.TensorType_dtype
                    if dtype == INT64 and all_inside(node, size):
                        made_new = taken(state_new, tensor, items)
                    elif dtype == BOOL_TYPE:
                        made_new = by_mask(state_new, tensor, items)
    Py_DecRef(state_new)
    return made_new


# ---------------------------------------------------------------- tolist
def bytes_of(dtype):
    """The bytes of an element of the types `read_number` reads, else 0."""
    if dtype == FLOAT32:
        return 4
    if (dtype == INT64) + (dtype == FLOAT64):
        return 8
    return dtype == BOOL_TYPE


def nested(tensor, type, at, place, width):
    """The values from a dimension on as lists; `place` holds the address of the next one. 0 with an error."""
    shape = type.TensorType_shape
    if at == PyTuple_Size(shape):
        number_new = read_number(tensor, type, place[0])
        place[0] += width
        return number_new
    n = PyLong_AsLongLong(PyTuple_GetItem(shape, at))
    made_new = PyList_New(n)
    for i in range(n):
        if made_new != 0:
            part_new = nested(tensor, type, at + 1, place, width)
            if part_new == 0:
                Py_DecRef(made_new)
                return 0
            PyList_SetItem(made_new, i, part_new)
    return made_new


def tolist(tensor, arguments):
    """`Tensor.tolist`."""
    state_new = thread_state()
    if state_new == 0:
        return 0
    made_new = 0
    node = known_value(state_new, tensor)
    Py_DecRef(state_new)
    if node != 0 and node.Node_type.ob_type == TENSOR_TYPE and elements_of(node.Node_type) >= 0:
        type = node.Node_type
        width = bytes_of(type.TensorType_dtype)
        if width:
            place = space(1)
            buffer = node.Node_buffer
            Py_IncRef(buffer)
            Py_IncRef(type)
            place[0] = PyLong_AsLongLong(buffer.Buffer_pointer)
            made_new = nested(tensor, type, 0, place, width)
            Py_DecRef(type)
            Py_DecRef(buffer)
    return otherwise(made_new, PYTHON_TOLIST, tensor)
