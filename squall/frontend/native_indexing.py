"""Indexing by ints and slices, and the methods that give views, as native code over `native_views.py`.

See `engine/native_walk.py` for the language. The Python they stand for: `indexing.getitem` and the methods of the same
names, which they call for whatever is not everyday.
"""
# ruff: noqa: F821
# pyright: reportUndefinedVariable=false, reportAttributeAccessIssue=false


# ---------------------------------------------------------------- x[...]
def plain_slice(item):
    """Whether a slice is of ints."""
    for i in range(2, 5):
        if item[i] != NONE and item[i].ob_type != INT:
            return 0
    return 1


def consumed(items, n):
    """How many dimensions an index of ints, slices, None and at most one ellipsis reads; -1 for any other."""
    used = 0
    dots = 0
    for i in range(n):
        item = items[i]
        if item.ob_type == INT:
            used += 1
        elif item.ob_type == SLICE:
            used += 1
            if not plain_slice(item):
                return -1
        elif item == ELLIPSIS:
            dots += 1
        elif item != NONE:
            return -1
    if dots > 1:
        return -1
    return used


def cut(item, size, codes, at, start):
    """Say in two codes what an int or a slice makes of a dimension: -1 a position, -2 all of it, else size and step.

    Gives 1 when something is cut out, from `start[0]`; 0 when all is kept; -1 where Python must see to it."""
    if item.ob_type == INT:
        index = PyLong_AsLongLong(item)
        if index < 0 - size or index >= size:
            return -1
        if index == -1 and PyErr_Occurred() != 0:
            PyErr_Clear()
            return -1
        if index < 0:
            index += size
        codes[at] = -1
        start[0] = index
        return 1
    ends = space(3)
    if PySlice_Unpack(item, ends, ends + 8, ends + 16) < 0:
        PyErr_Clear()
        return -1
    if ends[2] < 1:
        return -1
    count = PySlice_AdjustIndices(size, ends, ends + 8, ends[2])
    if ends[0] == 0 and ends[2] == 1 and count == size:
        codes[at] = -2
        return 0
    codes[at] = count
    codes[at + 1] = ends[2]
    start[0] = ends[0]
    return 1


def indexed(tensor, items):
    """`indexing.getitem`; 0 with an error, or without one where Python must do it."""
    node = viewable(tensor)
    if node == 0:
        return 0
    shape = node.Node_type.TensorType_shape
    rank = PyTuple_Size(shape)
    each = space(16)
    n = 1
    each[0] = items
    if items.ob_type == TUPLE:
        n = PyTuple_Size(items)
        if n > 16:
            return 0
        for i in range(n):
            each[i] = PyTuple_GetItem(items, i)
    used = consumed(each, n)
    if used < 0 or used > rank:
        return 0
    codes = space(40)
    starts = space(16)
    count = 0
    at = 0
    d = 0
    for i in range(n):
        item = each[i]
        if item == NONE:
            codes[at] = -3
            at += 1
        elif item == ELLIPSIS:
            codes[at] = -4
            at += 1
            d += rank - used
        else:
            size = PyTuple_GetItem(shape, d)
            if size.ob_type != INT:
                return 0
            found = cut(item, PyLong_AsLongLong(size), codes, at, starts + 8 * count)
            if found < 0:
                return 0
            if found > 0:
                count += 1
            if codes[at] >= 0:
                at += 1
            at += 1
            d += 1
    key_new = view_key(PYTHON_GETITEM, tensor, node, at)
    for i in range(at):
        PyTuple_SetItem(key_new, 4 + i, PyLong_FromLongLong(codes[i]))
    given = space(1)
    given[0] = items
    return seen(tensor, node, key_new, starts, count, PYTHON_GETITEM, given, 1)


def getitem(tensor, items):
    """`Tensor.__getitem__`."""
    if items.ob_type == TENSOR or items.ob_type == LIST:
        made_new = gathered(tensor, items)
    else:
        made_new = indexed(tensor, items)
    if made_new != 0 or PyErr_Occurred() != 0:
        return made_new
    both = space(2)
    both[0] = tensor
    both[1] = items
    return PyObject_Vectorcall(PYTHON_GETITEM, both, 2, 0)


# ---------------------------------------------------------------- methods
def plain_arguments(arguments, count):
    """Whether arguments are ints, or tuples of ints."""
    for i in range(count):
        item = arguments[i]
        if item.ob_type == TUPLE or item.ob_type == SIZE:
            for k in range(PyTuple_Size(item)):
                if PyTuple_GetItem(item, k).ob_type != INT:
                    return 0
        elif item.ob_type != INT:
            return 0
    return 1


def view_method(tensor, arguments, count, names, python):
    """A method that gives a view by ints; `python` is the one it stands for."""
    made_new = 0
    if names == 0 and count < 9 and plain_arguments(arguments, count):
        node = viewable(tensor)
        if node != 0:
            key_new = view_key(python, tensor, node, count)
            for i in range(count):
                set_item(key_new, 4 + i, arguments[i])
            made_new = seen(tensor, node, key_new, 0, 0, python, arguments, count)
    if made_new != 0 or PyErr_Occurred() != 0:
        return made_new
    more = 0
    if names != 0:
        more = PyTuple_Size(names)
    if count + more > 20:
        wide = PyMem_RawMalloc(8 * (count + more + 1))
    else:
        wide = space(24)
    wide[0] = tensor
    for i in range(count + more):
        wide[1 + i] = arguments[i]
    made_new = PyObject_Vectorcall(python, wide, 1 + count, names)
    if count + more > 20:
        PyMem_RawFree(wide)
    return made_new


def reshape(tensor, arguments, count, names):
    """`Tensor.reshape`."""
    return view_method(tensor, arguments, count, names, PYTHON_RESHAPE)


def view(tensor, arguments, count, names):
    """`Tensor.view`."""
    return view_method(tensor, arguments, count, names, PYTHON_VIEW)


def permute(tensor, arguments, count, names):
    """`Tensor.permute`."""
    return view_method(tensor, arguments, count, names, PYTHON_PERMUTE)


def transpose(tensor, arguments, count, names):
    """`Tensor.transpose`."""
    return view_method(tensor, arguments, count, names, PYTHON_TRANSPOSE)


def unsqueeze(tensor, arguments, count, names):
    """`Tensor.unsqueeze`."""
    return view_method(tensor, arguments, count, names, PYTHON_UNSQUEEZE)


def squeeze(tensor, arguments, count, names):
    """`Tensor.squeeze`."""
    return view_method(tensor, arguments, count, names, PYTHON_SQUEEZE)


def flatten(tensor, arguments, count, names):
    """`Tensor.flatten`."""
    return view_method(tensor, arguments, count, names, PYTHON_FLATTEN)


def expand(tensor, arguments, count, names):
    """`Tensor.expand`."""
    return view_method(tensor, arguments, count, names, PYTHON_EXPAND)


def unfold(tensor, arguments, count, names):
    """`Tensor.unfold`."""
    return view_method(tensor, arguments, count, names, PYTHON_UNFOLD)


def transposed(tensor, nothing):
    """`Tensor.T`."""
    return view_method(tensor, 0, 0, 0, PYTHON_TRANSPOSED)


def matrix_transposed(tensor, nothing):
    """`Tensor.mT`."""
    return view_method(tensor, 0, 0, 0, PYTHON_MATRIX_TRANSPOSED)
