"""One call of a captured program as native code: `Program._gather`, `Executable.prepare`, the end of `Program._run`.

See `engine/native_walk.py` for the language, `engine/native_memory.py` and `engine/native_run.py` for memory and the
runner. Inputs that must be computed or copied, storages NumPy sees, other threads' gates: Python does it, before
anything has changed. Running, re-pointing storages and gradients are one call of C, which no signal handler splits.
"""
# ruff: noqa: F821
# pyright: reportUndefinedVariable=false, reportAttributeAccessIssue=false


def input_of(entry, leaves):
    """The Node an input is bound to; 0 where Python must see to it. `leaves` are words."""
    code = PyTuple_GetItem(entry, 0)
    where = PyTuple_GetItem(entry, 1)
    if code == INPUT_ARGUMENT:
        return node_of(leaves[PyLong_AsLongLong(where)])
    if code == INPUT_CELL:
        return where.Cell__node
    if code == INPUT_OBJECT:
        return node_of(where)
    if code == INPUT_CONSTANT:
        return where
    return 0


def gather(f, inputs, leaves):
    """The inputs' buffers into STACK; 0 where Python must see to it."""
    buffers = f[STACK]
    for i in range(f[INPUTS]):
        entry = PyTuple_GetItem(inputs, i)
        node = input_of(entry, leaves)
        if node == 0 or node.Node_buffer.ob_type != BUFFER:
            return 0
        type = PyTuple_GetItem(entry, 2)
        if type != NONE and node.Node_type != type:
            return 0
        buffer = node.Node_buffer
        if PyTuple_GetItem(entry, 3) != FALSE and buffer.Buffer_strides != NONE:
            return 0
        if PyTuple_GetItem(entry, 4) != FALSE:
            if references(node) > 1 or references(buffer) > 1 or references(buffer.Buffer_block) > 1:
                return 0
            if buffer.Buffer_shared != FALSE:
                return 0
        buffers[i] = buffer
    return 1


def fill_numbers(ready, numbers, values):
    """Run-time numbers into the values block; 0 where Python must see to it."""
    kinds = ready + 8 * (READY_REST + ready[READY_IMAGES] + 2 * ready[READY_OUTPUTS])
    for i in range(PyList_Size(numbers)):
        if kinds[i]:
            values[i] = PyFloat_AsDouble(PyList_GetItem(numbers, i))
        else:
            values[i] = PyLong_AsLongLong(PyList_GetItem(numbers, i))
    if PyErr_Occurred() != 0:
        PyErr_Clear()
        return 0
    return 1


def memory_of_result(f, told, nbytes):
    """A new Buffer for a result as `told`: over a donor's memory, in the block that results share, or its own."""
    if told <= PLACED:
        return output_within(f[SHARED], nbytes, PLACED - told)
    donor = 0
    if told >= 0:
        buffers = f[STACK]
        donor = buffers[told]
    return output_of(nbytes, donor)


def make_results(f, ready, types, values):
    """New Nodes over new or donated memory in a new list, and the arena; 0 with an error."""
    f[SHARED] = 0
    if ready[READY_SHARED] > 0:
        f[SHARED] = block_of(ready[READY_SHARED])
        if f[SHARED] == 0:
            return 0
    nodes_new = fill_results(f, ready, types, values)
    if f[SHARED] != 0:
        Py_DecRef(f[SHARED])
    return nodes_new


def fill_results(f, ready, types, values):
    """`make_results`, the block that results share being there."""
    spec = ready + 8 * (READY_REST + ready[READY_IMAGES])
    nodes_new = PyList_New(f[WANTED])
    if nodes_new == 0:
        return 0
    for i in range(f[WANTED]):
        output_new = memory_of_result(f, spec[2 * i], spec[2 * i + 1])
        if output_new == 0:
            Py_DecRef(nodes_new)
            return 0
        values[f[INPUTS] + i] = PyLong_AsLongLong(output_new.Buffer_pointer)
        Py_IncRef(EMPTY_TUPLE)
        node_new = new_node(BUFFER_OP, EMPTY_TUPLE, EMPTY_TUPLE, PyTuple_GetItem(types, i), output_new)
        Py_DecRef(output_new)
        if node_new == 0:
            Py_DecRef(nodes_new)
            return 0
        PyList_SetItem(nodes_new, i, node_new)
    if not take_arena(f, ready[READY_ARENA]):
        Py_DecRef(nodes_new)
        return 0
    values[f[INPUTS] + f[WANTED]] = f[ARENA_AT]
    return nodes_new


def gradient_tensors(gradients, nodes):
    """New Tensors around the gradients, None where there is none; a tuple, or 0 with an error."""
    n = PyTuple_Size(gradients)
    made_new = PyTuple_New(n)
    for i in range(n):
        index = PyTuple_GetItem(PyTuple_GetItem(gradients, i), 1)
        if index == NONE:
            set_item(made_new, i, NONE)
            continue
        tensor_new = PyType_GenericAlloc(TENSOR, 0)
        if tensor_new == 0:
            Py_DecRef(made_new)
            return 0
        put_new(tensor_new + Handle__node, PyList_GetItem(nodes, PyLong_AsLongLong(index)))
        put_new(tensor_new + Handle__edge, NONE)
        put_new(tensor_new + Handle__cell, NONE)
        put_new(tensor_new + Handle__view, NONE)
        PyTuple_SetItem(made_new, i, tensor_new)
    return made_new


def store(writes, gradients, tensors, nodes):
    """Storages and gradients get what was computed."""
    for i in range(PyTuple_Size(writes)):
        entry = PyTuple_GetItem(writes, i)
        cell = PyTuple_GetItem(entry, 0)
        put_flag(cell + Cell__node, PyList_GetItem(nodes, PyLong_AsLongLong(PyTuple_GetItem(entry, 1))))
        version_new = PyNumber_Add(cell.Cell_version, PyTuple_GetItem(entry, 2))
        if version_new != 0:
            put_flag(cell + Cell_version, version_new)
            Py_DecRef(version_new)
    for i in range(PyTuple_Size(gradients)):
        leaf = PyTuple_GetItem(PyTuple_GetItem(gradients, i), 0)
        put_flag(leaf + Leaf_grad, PyTuple_GetItem(tensors, i))


def forget(gradients):
    """Gradients that will be others are let go, so that the new ones may take their memory."""
    for i in range(PyTuple_Size(gradients)):
        put_flag(PyTuple_GetItem(PyTuple_GetItem(gradients, i), 0) + Leaf_grad, NONE)


def shared_with_others(writes):
    """Whether a storage to write is seen by NumPy."""
    for i in range(PyTuple_Size(writes)):
        cell = PyTuple_GetItem(PyTuple_GetItem(writes, i), 0)
        if cell.Cell_shared != NONE:
            return 1
    return 0


def run_captured(f, spec, numbers, values):
    """With the inputs held: the results' Nodes in a list, None, or what stopped the plan, as a tuple."""
    ready = f[READY_AT]
    status = values + 8 * (ready[READY_WORDS] - 2)
    status[0] = 0
    status[1] = 0
    writes = PyTuple_GetItem(spec, 3)
    gradients = PyTuple_GetItem(spec, 4)
    for i in range(f[INPUTS]):
        buffers = f[STACK]
        values[i] = PyLong_AsLongLong(buffers[i].Buffer_pointer)
    values[f[INPUTS] + f[WANTED] + 1] = status
    if not fill_numbers(ready, numbers, values + 8 * (f[INPUTS] + f[WANTED] + 2)):
        Py_IncRef(NONE)
        return NONE
    forget(gradients)
    nodes_new = make_results(f, ready, PyTuple_GetItem(spec, 2), values)
    if nodes_new == 0:
        return 0
    tensors_new = gradient_tensors(gradients, nodes_new)
    if tensors_new == 0:
        Py_DecRef(nodes_new)
        give_arena(f)
        return 0
    code = execute(f)
    if code == 0 and status[0] == 0:
        store(writes, gradients, tensors_new, nodes_new)
    else:
        Py_DecRef(nodes_new)
        nodes_new = PyTuple_New(2)
        PyTuple_SetItem(nodes_new, 0, PyLong_FromLongLong(status[0]))
        PyTuple_SetItem(nodes_new, 1, PyLong_FromLongLong(status[1]))
    Py_DecRef(tensors_new)
    give_arena(f)
    return nodes_new


def run_call(f, spec, leaves, numbers):
    """Nodes of the results in a list; (status, detail) of a plan that stopped; or None where Python must do it.

    `f` has room for 600 inputs in STACK and 1200 words in VALUES; `leaves` are words."""
    inputs = PyTuple_GetItem(spec, 1)
    holder = PyTuple_GetItem(spec, 0)
    ready = PyLong_AsLongLong(holder.Ready_address)
    f[INPUTS] = PyTuple_Size(inputs)
    f[WANTED] = ready[READY_OUTPUTS]
    f[READY_AT] = ready
    if f[INPUTS] > 600 or ready[READY_WORDS] > 1200 or PyDict_Size(GATES) != 0 or LEAVING[0]:
        Py_IncRef(NONE)
        return NONE
    if shared_with_others(PyTuple_GetItem(spec, 3)) or not gather(f, inputs, leaves):
        Py_IncRef(NONE)
        return NONE
    buffers = f[STACK]
    Py_IncRef(spec)
    for i in range(f[INPUTS]):
        Py_IncRef(buffers[i])
    LEAVING[1] += 1  # see `leaving.py`
    call_int(NOTE, 3, 0)  # see `recording.py`
    made_new = run_captured(f, spec, numbers, f[VALUES])
    call_int(NOTE, 4, 0)
    LEAVING[1] -= 1
    drop(buffers, f[INPUTS])
    Py_DecRef(spec)
    return made_new


def captured(module, arguments, count):
    """captured(spec, leaves, numbers) -> what `run_call` gives. `spec` is (Ready, inputs, types, writes, gradients)."""
    f = space(24)
    f[STACK] = space(600)
    f[VALUES] = space(1200)
    f[BRIEF] = 0
    n = PyList_Size(arguments[1])
    inside = space(256)
    leaves = inside
    if n > 256:
        leaves = PyMem_RawMalloc(8 * n)
        if leaves == 0:
            return PyErr_NoMemory()
    for i in range(n):
        leaves[i] = PyList_GetItem(arguments[1], i)
    made_new = run_call(f, arguments[0], leaves, arguments[2])
    if leaves != inside:
        PyMem_RawFree(leaves)
    return made_new
