"""The flush as native code, second half: a plan met before is bound, run, and the slots of its results filled.

See `native_walk.py` for the language and `native_memory.py` for memory. The Python it stands for: `realize.evaluate`,
`Executable.prepare`, `Binding.prepare`, and `evaluate` in the frontend. Whatever is not everyday (a new plan, host
steps, tracing) answers UNHANDLED before anything has changed, and Python does it.

A call is one call of C: no signal handler runs in it, so Ctrl-C leaves every tensor as it was before or after. Between
`PyGC_Disable` and `PyGC_Enable` nothing is called that runs Python code, but for memory that the pool must be asked for
when all that is still needed is held. The interpreter's lock is given up while kernels run.
"""
# ruff: noqa: F821
# pyright: reportUndefinedVariable=false, reportAttributeAccessIssue=false


def output_of(nbytes, donor):
    """A new Buffer for a result: over the donor's memory, if there is one."""
    if donor != 0:
        Py_IncRef(donor.Buffer_block)
        return buffer_over(donor.Buffer_block, donor.Buffer_pointer)
    block_new = block_of(nbytes)
    if block_new == 0:
        return 0
    return buffer_over(block_new, block_new.Block_pointer)


# ---------------------------------------------------------------- one run: `execute` and `bind`
def drop(objects, count):
    """Let go of objects."""
    for i in range(count):
        Py_DecRef(objects[i])


def fill_scalars(f, ready, values):
    """Numbers of scalar leaves into the values block."""
    order = f[ORDER]
    kinds = ready + 8 * (READY_REST + ready[READY_IMAGES] + 2 * ready[READY_OUTPUTS])
    at = 0
    for i in range(f[COUNT]):
        node = order[i]
        if node.Node_op == SCALAR and node.Node_buffer != NONE:
            if kinds[at]:
                values[at] = PyFloat_AsDouble(node.Node_buffer)
            else:
                values[at] = PyLong_AsLongLong(node.Node_buffer)
            at += 1
    if PyErr_Occurred() != 0:
        PyErr_Clear()
        return UNHANDLED
    return DONE


def hold_inputs(f, values):
    """Hold the inputs' buffers; 0 when another thread overwrites memory or has done so since the key was made."""
    buffers = f[STACK]
    order = f[ORDER]
    at = 0
    if PyDict_Size(GATES) != 0:
        return 0
    for i in range(f[COUNT]):
        node = order[i]
        if node.Node_op != SCALAR and node.Node_buffer != NONE:
            if node.Node_buffer != buffers[at]:
                return 0
            at += 1
    for i in range(at):
        Py_IncRef(buffers[i])
        values[i] = PyLong_AsLongLong(buffers[i].Buffer_pointer)
    return 1


def prepare(f, ready, values):
    """Results' buffers into OUTPUTS, and the values block filled; the inputs' buffers are held from here on."""
    buffers = f[STACK]
    outputs = f[OUTPUTS]
    n = f[INPUTS]
    if not hold_inputs(f, values):
        return UNHANDLED
    spec = ready + 8 * (READY_REST + ready[READY_IMAGES])
    made = 0
    done = fill_scalars(f, ready, values + 8 * (n + f[WANTED] + 2))
    while done == DONE and made < f[WANTED]:
        donor = 0
        if spec[2 * made] >= 0:
            donor = buffers[spec[2 * made]]
        output_new = output_of(spec[2 * made + 1], donor)
        if output_new == 0:
            done = ERROR
            break
        outputs[made] = output_new
        values[n + made] = PyLong_AsLongLong(output_new.Buffer_pointer)
        made += 1
    if done == DONE:
        if take_arena(f, ready[READY_ARENA]):
            values[n + made] = f[ARENA_AT]
        else:
            done = ERROR
    if done != DONE:
        drop(outputs, made)
        drop(buffers, n)
    return done


def lock():
    """Take the lock of graphs; 0 with an error when a signal handler raised one."""
    done_new = PyObject_CallNoArgs(ACQUIRE)
    if done_new == 0:
        return 0
    Py_DecRef(done_new)
    return 1


def unlock():
    """Give the lock of graphs back, also while an error is on its way."""
    error = space(3)
    PyErr_Fetch(error, error + 8, error + 16)
    done_new = PyObject_CallNoArgs(RELEASE)
    if done_new != 0:
        Py_DecRef(done_new)
    PyErr_Restore(error[0], error[1], error[2])


def alone(key):
    """DONE when no input may be overwritten or there is no other thread; those need a gate (`overwriting.py`)."""
    given = PyTuple_GetItem(key, 2)
    for i in range(PyTuple_Size(given)):
        if PyTuple_GetItem(given, i) == TRUE:
            threads_new = PyObject_CallNoArgs(BESIDE_OTHERS)
            if threads_new == 0:
                return ERROR
            count = PyLong_AsLongLong(threads_new)
            Py_DecRef(threads_new)
            if count > 1:
                return UNHANDLED
            return DONE
    return DONE


def begin_run(f, roots, plan):
    """Under the lock: the key, the plan, and everything the run needs. Gives DONE with `plan[0]` the Ready held."""
    done = walk(f, roots)
    if done != DONE:
        return done
    if f[WANTED] == 0:
        return EMPTY
    if PyList_GetItem(CODE_KEY, 0) == NONE:
        return UNHANDLED
    key_new = key_of(f)
    if key_new == 0:
        return ERROR
    holder = PyDict_GetItemWithError(READY, key_new)
    if holder == 0:
        Py_DecRef(key_new)
        if PyErr_Occurred() != 0:
            return ERROR
        return UNHANDLED
    Py_IncRef(holder)
    done = alone(key_new)
    Py_DecRef(key_new)
    if done != DONE:
        Py_DecRef(holder)
        return done
    ready = PyLong_AsLongLong(holder.Ready_address)
    values = plan + 8
    if ready[READY_WORDS] > 250:
        values = PyMem_RawMalloc(8 * ready[READY_WORDS])
        if values == 0:
            Py_DecRef(holder)
            return UNHANDLED
    plan[0] = holder
    f[VALUES] = values
    f[READY_AT] = ready
    status = values + 8 * (ready[READY_WORDS] - 2)
    status[0] = 0
    status[1] = 0
    values[f[INPUTS] + f[WANTED] + 1] = status
    done = prepare(f, ready, values)
    if done != DONE:
        end_run(f, plan)
    return done


def end_run(f, plan):
    """Let go of the plan."""
    if f[VALUES] != plan + 8:
        PyMem_RawFree(f[VALUES])
    Py_DecRef(plan[0])


def execute(f):
    """The kernels, without the interpreter's lock unless they are brief; gives the runner's code."""
    ready = f[READY_AT]
    values = f[VALUES]
    code = 0
    thread = 0
    if not f[BRIEF]:
        thread = PyEval_SaveThread()
    for i in range(ready[READY_IMAGES]):
        code = call_int(RUN, ready[READY_REST + i], values)
        if code != 0:
            break
    if thread != 0:
        PyEval_RestoreThread(thread)
    return code


def finish(f):
    """Fill the slots of the roots and make them leaves; what they held goes to STACK after the inputs' buffers."""
    targets = f[TARGETS]
    outputs = f[OUTPUTS]
    garbage = f[STACK] + 8 * f[INPUTS]
    n = f[WANTED]
    for i in range(n):
        root = targets[i]
        garbage[i] = root.Node_buffer
        root.Node_buffer = outputs[i]
    for i in range(n):
        root = targets[i]
        put_flag(root + Node_op, BUFFER_OP)
        put_flag(root + Node_attrs, EMPTY_TUPLE)
        garbage[n + i] = root.Node_inputs
        Py_IncRef(EMPTY_TUPLE)
        root.Node_inputs = EMPTY_TUPLE
    f[GARBAGE] = 2 * n


def failure(f, plan, roots, code):
    """Raise what stopped a plan."""
    ready = f[READY_AT]
    status = f[VALUES] + 8 * (ready[READY_WORDS] - 2)
    told_new = PyTuple_New(4)
    set_item(told_new, 0, roots)
    PyTuple_SetItem(told_new, 1, PyLong_FromLongLong(code))
    PyTuple_SetItem(told_new, 2, PyLong_FromLongLong(status[0]))
    PyTuple_SetItem(told_new, 3, PyLong_FromLongLong(status[1]))
    raised_new = PyObject_CallOneArg(plan[0].Ready_failed, told_new)
    Py_DecRef(told_new)
    if raised_new != 0:
        Py_DecRef(raised_new)


def attempt(roots, f, memory, capacity):
    """Compute roots with room for `capacity` nodes."""
    plan = space(260)
    f[CAPACITY] = capacity
    f[TABLE] = memory
    f[MASK] = 2 * capacity - 1
    f[USES] = memory + 32 * capacity
    f[ORDER] = memory + 40 * capacity
    f[TARGETS] = memory + 48 * capacity
    f[OUTPUTS] = memory + 56 * capacity
    f[STACK] = memory + 64 * capacity
    for i in range(5 * capacity):
        memory[i] = 0
    if not lock():
        return ERROR
    collecting = PyGC_Disable()
    done = begin_run(f, roots, plan)
    if collecting:
        PyGC_Enable()
    unlock()
    if done != DONE:
        return done
    code = execute(f)
    ready = f[READY_AT]
    status = f[VALUES] + 8 * (ready[READY_WORDS] - 2)
    f[GARBAGE] = 0
    if code == 0 and status[0] == 0:
        interrupt = space(3)
        interrupt[0] = 0
        while not lock():  # Ctrl-C while another thread has it: raised when the slots are filled
            PyErr_Fetch(interrupt, interrupt + 8, interrupt + 16)
        finish(f)
        unlock()
        if interrupt[0] != 0:
            PyErr_Restore(interrupt[0], interrupt[1], interrupt[2])
            done = ERROR
    else:
        done = ERROR
        drop(f[OUTPUTS], f[WANTED])
        failure(f, plan, roots, code)
    give_arena(f)
    end_run(f, plan)
    drop(f[STACK], f[INPUTS] + f[GARBAGE])
    return done


def compute(roots):
    """Compute the Nodes of a list: DONE, EMPTY, UNHANDLED or ERROR."""
    f = space(24)
    f[BRIEF] = 0
    done = attempt(roots, f, space(768), 64)
    capacity = 1024
    while done == MORE and capacity < 4000000:
        memory = PyMem_RawMalloc(96 * capacity)
        if memory == 0:
            return UNHANDLED
        done = attempt(roots, f, memory, capacity)
        PyMem_RawFree(memory)
        capacity = capacity * 8
    if done == MORE:
        return UNHANDLED
    return done


def count_flush():
    """`trace.count("flushes")`; without memory it is not counted."""
    before = PyDict_GetItemWithError(COUNTERS, TEXT_FLUSHES)
    if before == 0:
        before = ZERO
    sum_new = PyNumber_Add(before, ONE)
    if sum_new == 0:
        PyErr_Clear()
    else:
        PyDict_SetItem(COUNTERS, TEXT_FLUSHES, sum_new)
        Py_DecRef(sum_new)


def evaluate(state, roots):
    """`evaluation.evaluate` of a list of Nodes, which is changed."""
    if state.ThreadState_trace != NONE or state.ThreadState_flushing != FALSE:
        return UNHANDLED
    if state.ThreadState_broken != FALSE or LEAVING[0]:
        return UNHANDLED
    pending = state.ThreadState_pending
    count = PyList_Size(pending)
    records_new = PyList_New(0)
    if records_new == 0:
        return ERROR
    LEAVING[1] += 1  # see `leaving.py`
    call_int(NOTE, 1, 0)  # see `recording.py`
    put_flag(state + ThreadState_flushing, TRUE)
    done = live(pending, count, roots, records_new)
    if done == DONE:
        done = compute(roots)
    put_flag(state + ThreadState_flushing, FALSE)
    if done != UNHANDLED and done != ERROR:
        PyList_SetSlice(pending, 0, count, 0)
        put_flag(state + ThreadState_retained, ZERO)
        if done == DONE:
            count_flush()
        done = DONE
    else:
        for i in range(PyList_Size(records_new)):
            record = PyList_GetItem(records_new, i)
            if record.GradRecord_state == WALKED:
                put_flag(record + GradRecord_state, NEW)
        if done == ERROR and PyErr_ExceptionMatches(EXCEPTION):
            put_flag(state + ThreadState_broken, TRUE)
    Py_DecRef(records_new)
    call_int(NOTE, 2, 0)
    LEAVING[1] -= 1
    return done


def answer(done):
    """True, False or the error, as a new reference."""
    if done == ERROR:
        return 0
    if done == DONE:
        Py_IncRef(TRUE)
        return TRUE
    Py_IncRef(FALSE)
    return FALSE


def flush(module, arguments, count):
    """flush(state, roots) -> whether it was done; `roots` is a list, which is changed."""
    return answer(evaluate(arguments[0], arguments[1]))
