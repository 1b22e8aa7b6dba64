"""Memory of results and arenas in native code: pieces of up to 128 KB from lists by size, larger blocks from the pool.

See `native_walk.py` for the language and `ready.SmallMemory` for the lists: every free piece begins with the address of
the next one. A result's piece is owned by a capsule, whose destructor puts it back on its list without any Python;
arenas take pieces and give them back themselves. Only the holder of the interpreter's lock touches a list.
"""
# ruff: noqa: F821
# pyright: reportUndefinedVariable=false, reportAttributeAccessIssue=false


def free_block(capsule):
    """The destructor of what owns a piece of memory: puts it on the list of its size."""
    memory = PyCapsule_GetPointer(capsule, 0)
    head = SMALL + 8 * PyCapsule_GetContext(capsule)
    memory[0] = head[0]
    head[0] = memory


def kind_of(nbytes):
    """Which list has pieces of so many bytes: steps of 64 bytes up to SMALL_BYTES, then of MIDDLE_STEP."""
    if nbytes == 0:
        return 1
    if nbytes <= SMALL_BYTES:
        return (nbytes + 63) >> 6
    return SMALL_KINDS + ((nbytes + MIDDLE_STEP - 1) >> MIDDLE_SHIFT)


def refill(head, kind):
    """Cut a new slab into small pieces, or take one middle-sized piece; 0 with an error when there is none."""
    size = kind * 64
    if kind > SMALL_KINDS:
        size = (kind - SMALL_KINDS) * MIDDLE_STEP
    size_new = PyLong_FromLongLong(size)
    slab_new = PyObject_CallOneArg(SLAB, size_new)
    Py_DecRef(size_new)
    if slab_new == 0:
        return 0
    piece = PyLong_AsLongLong(slab_new)
    end = piece
    if kind <= SMALL_KINDS:
        end = piece + SLAB_BYTES - size
    Py_DecRef(slab_new)
    while piece <= end:
        piece[0] = head[0]
        head[0] = piece
        piece += size
    return 1


def listed_block(nbytes):
    """A new Block of at most LISTED_BYTES bytes, or 0."""
    kind = kind_of(nbytes)
    head = SMALL + 8 * kind
    if head[0] == 0 and not refill(head, kind):
        return 0
    memory = head[0]
    owner_new = PyCapsule_New(memory, 0, FREE_BLOCK)
    if owner_new == 0:
        return 0
    head[0] = memory[0]
    PyCapsule_SetContext(owner_new, kind)
    block_new = PyType_GenericAlloc(BLOCK, 0)
    if block_new == 0:
        Py_DecRef(owner_new)
        return 0
    block_new.Block_pointer = PyLong_FromLongLong(memory)
    block_new.Block_nbytes = PyLong_FromLongLong(nbytes)
    block_new.Block_owner = owner_new
    return block_new


def buffer_over(block_new, pointer):
    """A new row-major Buffer; takes over the block, not the pointer."""
    made_new = PyType_GenericAlloc(BUFFER, 0)
    if made_new == 0:
        Py_DecRef(block_new)
        return 0
    Py_IncRef(pointer)
    Py_IncRef(NONE)
    Py_IncRef(FALSE)
    made_new.Buffer_block = block_new
    made_new.Buffer_pointer = pointer
    made_new.Buffer_strides = NONE
    made_new.Buffer_shared = FALSE
    return made_new


def block_of(nbytes):
    """A new Block of any size, or 0."""
    if nbytes <= LISTED_BYTES:
        return listed_block(nbytes)
    size_new = PyLong_FromLongLong(nbytes)
    block_new = PyObject_CallOneArg(ALLOCATE, size_new)
    Py_DecRef(size_new)
    return block_new


def output_within(shared, nbytes, place):
    """A new Buffer in the block that results share, which lives as long as any of them."""
    block_new = PyType_GenericAlloc(BLOCK, 0)
    if block_new == 0:
        return 0
    Py_IncRef(shared)
    block_new.Block_pointer = PyLong_FromLongLong(PyLong_AsLongLong(shared.Block_pointer) + place)
    block_new.Block_nbytes = PyLong_FromLongLong(nbytes)
    block_new.Block_owner = shared
    return buffer_over(block_new, block_new.Block_pointer)


def take_arena(f, nbytes):
    """Memory for what lives inside of a run, at f[ARENA_AT]; 0 with an error. A piece of a list needs no Block."""
    f[ARENA] = 0
    f[PIECE] = 0
    if nbytes > LISTED_BYTES:
        f[ARENA] = block_of(nbytes)
        if f[ARENA] == 0:
            return 0
        f[ARENA_AT] = PyLong_AsLongLong(f[ARENA].Block_pointer)
    elif nbytes > 0:
        kind = kind_of(nbytes)
        head = SMALL + 8 * kind
        if head[0] == 0 and not refill(head, kind):
            return 0
        piece = head[0]
        head[0] = piece[0]
        f[PIECE] = piece
        f[PIECE_OF] = head
        f[ARENA_AT] = piece
    return 1


def give_arena(f):
    """Give the memory of `take_arena` back."""
    if f[ARENA] != 0:
        Py_DecRef(f[ARENA])
    if f[PIECE] != 0:
        piece = f[PIECE]
        head = f[PIECE_OF]
        piece[0] = head[0]
        head[0] = piece


def middle_pieces(module, arguments, count):
    """middle_pieces() -> the addresses of all free middle-sized pieces, which are on no list any more."""
    found_new = PyList_New(0)
    if found_new == 0:
        return 0
    for kind in range(SMALL_KINDS + 1, ALL_KINDS):
        head = SMALL + 8 * kind
        piece = head[0]
        head[0] = 0
        while piece != 0:
            after = piece[0]
            number_new = PyLong_FromLongLong(piece)
            PyList_Append(found_new, number_new)
            Py_DecRef(number_new)
            piece = after
    return found_new
