"""A run of a bound function as native code: what `bound.Bound.run` calls.

See `engine/native_walk.py` for the language, and `bound.py` for the words that are read here.
"""
# ruff: noqa: F821
# pyright: reportUndefinedVariable=false, reportAttributeAccessIssue=false


def bound_holds(bound, words):
    """Whether everything read from outside is as it was when the function was bound."""
    watched = words + 8 * (BOUND_REST + words[BOUND_IMAGES])
    for i in range(words[BOUND_WATCHED]):
        place = watched[2 * i]
        if place[0] != watched[2 * i + 1]:
            return 0
    return watch_holds(bound.Bound_call)


def start_bound(words):
    """The kernels; gives the runner's code."""
    code = 0
    for i in range(words[BOUND_IMAGES]):
        code = call_int(RUN, words[BOUND_REST + i], words[BOUND_VALUES_AT])
        if code != 0:
            break
    return code


def run_bound(bound, nothing):
    """`Bound.run`."""
    words = PyLong_AsLongLong(bound.Bound_address)
    if words == 0 or tracing(0):
        return PyObject_CallOneArg(BOUND_AGAIN, bound)
    if words[BOUND_BUSY] or LEAVING[0]:
        return PyObject_CallOneArg(BOUND_BUSY_ERROR, bound)
    if not bound_holds(bound, words):
        return PyObject_CallOneArg(BOUND_AGAIN, bound)
    words[BOUND_BUSY] = 1
    status = words[BOUND_STATUS_AT]
    status[0] = 0
    status[1] = 0
    Py_IncRef(bound)
    LEAVING[1] += 1
    call_int(NOTE, 3, 0)  # see `recording.py`
    if words[BOUND_WITH_LOCK]:
        thread = PyEval_SaveThread()
        code = start_bound(words)
        PyEval_RestoreThread(thread)
    else:
        code = start_bound(words)
    call_int(NOTE, 4, 0)
    LEAVING[1] -= 1
    words[BOUND_BUSY] = 0
    if code != 0 or status[0] != 0:
        all = space(3)
        all[0] = bound
        all[1] = PyLong_FromLongLong(status[0])
        all[2] = PyLong_FromLongLong(status[1])
        raised_new = PyObject_Vectorcall(BOUND_STOPPED, all, 3, 0)
        Py_DecRef(all[1])
        Py_DecRef(all[2])
        Py_DecRef(bound)
        return raised_new
    out = bound.Bound_out
    Py_IncRef(out)
    Py_DecRef(bound)
    return out


def tracing(nothing):
    """Whether this thread is capturing a function."""
    state_new = thread_state()
    if state_new == 0:
        PyErr_Clear()
        return 1
    found = state_new.ThreadState_trace != NONE
    Py_DecRef(state_new)
    return found
