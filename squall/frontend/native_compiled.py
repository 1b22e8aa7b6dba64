"""A whole call of a compiled function as native code: `Compiled.__call__` and `Program.attempt`.

See `engine/native_walk.py` for the language, `calling.py` for the descriptions of programs (`Call`) that are read here,
`native_guards.py` for what is compared, and `native_captured.py` for the run. Where no program's guards are seen to
hold, `Compiled.__call__` as written in Python decides anew.
"""
# ruff: noqa: F821
# pyright: reportUndefinedVariable=false, reportAttributeAccessIssue=false


# ---------------------------------------------------------------- numbers and results
def listed_leaves(leaves, count):
    """A new list of the leaves."""
    made_new = PyList_New(0)
    for i in range(count):
        if made_new != 0 and PyList_Append(made_new, leaves[i]) < 0:
            Py_DecRef(made_new)
            return 0
    return made_new


def numbers_of(call, leaves, count):
    """The run-time numbers in a new list; 0 with an error."""
    scalars = call.Call_scalars
    n = PyTuple_Size(scalars)
    if n == 0:
        Py_IncRef(NO_NUMBERS)
        return NO_NUMBERS
    made_new = PyList_New(0)
    if made_new == 0:
        return 0
    for i in range(n):
        entry = PyTuple_GetItem(scalars, i)
        code = PyTuple_GetItem(entry, 0)
        source = PyTuple_GetItem(entry, 1)
        if code == NUMBER_FIXED:
            number_new = source
            Py_IncRef(source)
        elif code == NUMBER_ARGUMENT:
            number_new = leaves[PyLong_AsLongLong(source)]
            Py_IncRef(number_new)
        elif code == NUMBER_READ:
            number_new = PyObject_CallNoArgs(source)
        else:
            list_new = listed_leaves(leaves, count)
            if list_new == 0:
                Py_DecRef(made_new)
                return 0
            number_new = PyObject_CallOneArg(source, list_new)
            Py_DecRef(list_new)
        if number_new == 0:
            Py_DecRef(made_new)
            return 0
        done = PyList_Append(made_new, number_new)
        Py_DecRef(number_new)
        if done < 0:
            Py_DecRef(made_new)
            return 0
    return made_new


def fresh_tensor(node):
    """A new Tensor around a computed Node, as `core.wrap` makes it."""
    made_new = PyType_GenericAlloc(TENSOR, 0)
    if made_new != 0:
        put_new(made_new + Handle__node, node)
        put_new(made_new + Handle__edge, NONE)
        put_new(made_new + Handle__cell, NONE)
        put_new(made_new + Handle__view, NONE)
    return made_new


def result_of(call, nodes, leaves, count):
    """What the call gives, from its results' Nodes; 0 with an error."""
    outputs = call.Call_outputs
    if outputs.ob_type == INT:
        return fresh_tensor(PyList_GetItem(nodes, PyLong_AsLongLong(outputs)))
    if outputs.ob_type == TUPLE:
        n = PyTuple_Size(outputs)
        made_new = PyTuple_New(n)
        for i in range(n):
            tensor_new = fresh_tensor(PyList_GetItem(nodes, PyLong_AsLongLong(PyTuple_GetItem(outputs, i))))
            if tensor_new == 0:
                Py_DecRef(made_new)
                return 0
            PyTuple_SetItem(made_new, i, tensor_new)
        return made_new
    list_new = listed_leaves(leaves, count)
    if list_new == 0:
        return 0
    all = space(4)
    all[0] = call
    all[1] = list_new
    all[2] = nodes
    made_new = PyObject_Vectorcall(CALL_RESULTS, all, 3, 0)
    Py_DecRef(list_new)
    return made_new


def stopped(call, leaves, count, told):
    """Raise what stopped a run."""
    list_new = listed_leaves(leaves, count)
    if list_new == 0:
        return 0
    all = space(4)
    all[0] = call
    all[1] = list_new
    all[2] = told
    raised_new = PyObject_Vectorcall(CALL_STOPPED, all, 3, 0)
    Py_DecRef(list_new)
    if raised_new != 0:
        Py_DecRef(raised_new)
    return 0


# ---------------------------------------------------------------- a call
def alone_for(call):
    """Whether a program may overwrite what it takes over: no other thread is there to see it."""
    if call.Call_alone == FALSE:
        return 1
    threads_new = PyObject_CallNoArgs(BESIDE_OTHERS)
    if threads_new == 0:
        PyErr_Clear()
        return 0
    threads = PyLong_AsLongLong(threads_new)
    Py_DecRef(threads_new)
    return threads < 2


def attempt_call(f, state, call, leaves, count):
    """`Program.attempt`: the result; 0 with an error, or without one where another program or Python must do it."""
    if not mode_holds(state, call.Call_mode) or not arguments_fit(call, leaves, count):
        return 0
    if not watch_holds(call) or not handles_hold(call) or not alone_for(call):
        return 0
    f[BRIEF] = call.Call_brief == TRUE
    numbers_new = numbers_of(call, leaves, count)
    if numbers_new == 0:
        if PyErr_ExceptionMatches(OTHER_NUMBER):
            PyErr_Clear()
        return 0
    nodes_new = run_call(f, call.Call_spec, leaves, numbers_new)
    Py_DecRef(numbers_new)
    if nodes_new == 0:
        return 0
    made_new = 0
    if nodes_new.ob_type == LIST:
        made_new = result_of(call, nodes_new, leaves, count)
    elif nodes_new.ob_type == TUPLE:
        stopped(call, leaves, count, nodes_new)
    Py_DecRef(nodes_new)
    return made_new


def attempt_locked(f, state, call, leaves, count):
    """`attempt_call` under the lock of the compiled function, where the program writes anything."""
    if call.Call_lock == NONE:
        return attempt_call(f, state, call, leaves, count)
    done_new = PyObject_CallNoArgs(PyTuple_GetItem(call.Call_lock, 0))
    if done_new == 0:
        return 0
    Py_DecRef(done_new)
    made_new = attempt_call(f, state, call, leaves, count)
    error = space(3)
    PyErr_Fetch(error, error + 8, error + 16)
    done_new = PyObject_CallNoArgs(PyTuple_GetItem(call.Call_lock, 1))
    if done_new != 0:
        Py_DecRef(done_new)
    PyErr_Restore(error[0], error[1], error[2])
    return made_new


def nothing_pending(state):
    """Compute what is pending; 0 with an error, or without one where Python must do it."""
    if PyList_Size(state.ThreadState_pending) == 0:
        return 1
    roots_new = PyList_New(0)
    if roots_new == 0:
        return 0
    done = evaluate(state, roots_new)
    Py_DecRef(roots_new)
    return done == DONE


def call_ready(self, state, arguments, count, names):
    """The result of the first program whose guards hold; 0 with an error, or without one."""
    f = space(24)
    f[STACK] = space(600)
    f[VALUES] = space(1200)
    leaves = space(250)
    if (state.ThreadState_trace != NONE) + (state.ThreadState_eager != FALSE) + (state.ThreadState_anomaly != FALSE):
        return 0
    if not nothing_pending(state):
        return 0
    calls = self.CallSlots_ready
    Py_IncRef(calls)
    made_new = 0
    for i in range(PyTuple_Size(calls)):
        call = PyTuple_GetItem(calls, i)
        n = flat_arguments(call.Call_structure, arguments, count, names, leaves)
        if n >= 0:
            made_new = attempt_locked(f, state, call, leaves, n)
            if made_new != 0 or PyErr_Occurred() != 0:
                break
    Py_DecRef(calls)
    return made_new


def call_compiled(self, arguments, count, names):
    """`Compiled.__call__`."""
    if self.CallSlots_ready != 0 and self.CallSlots_ready != NONE:
        state_new = thread_state()
        if state_new == 0:
            return 0
        made_new = call_ready(self, state_new, arguments, count, names)
        Py_DecRef(state_new)
        if made_new != 0:
            counter = PyLong_AsLongLong(self.CallSlots_counter)
            counter[0] += 1
            return made_new
        if PyErr_Occurred() != 0:
            return 0
    return by_python(self, arguments, count, names, PYTHON_CALL)
