"""LLVM text of loops and choices: kernels of the ABI that run plan images.

`squall_loop(args, begin, end, scratch)` runs an image again and again. Its args, in 8-byte words:

    head (6): image, count, words of the image's values, carried records, index of the word, a chain, that points to
    the bool
              that must hold before each step (-1: none), address of the status block
    word (3 each): kind, first, move. STEP: first + move * step. CHAIN: first, from the second step on what word
    number
              `move` was in the step before. TURNS: first in even steps, move in odd ones
    carried (4 each): final, first, after, bytes. `after` of -1: bytes are copied from first to final before the loop;
              else, when it is done, from where word number `after` pointed in the last step (from first if there was
              none)

`squall_choose`: predicate, two images, address of the status block, then the values for either image.

Where a nested run stops, its status word is set already; without memory for its workspace it is set to -1. A loop asks
every 20 ms whether a signal has come whose handler raises, with Python's own functions (`squall_set_poll`); then it
stops with a status of -2, and what was raised is kept for whoever reads that.
"""

from __future__ import annotations

STEP, CHAIN, TURNS = 0, 1, 2
NO_LIMIT = (1 << 63) - 1
HEAD, WORD, CARRIED, CHOICE_HEAD = 6, 3, 4, 4
NO_MEMORY, INTERRUPTED = -1, -2
POLL_MILLISECONDS, READ_MILLISECONDS, MOST_STRIDE = 20, 1, 1 << 16  # the clock is read about so often

_FIELD = """
  %{name}.at = getelementptr i64, ptr {base}, i64 {index}
  %{name} = load {type}, ptr %{name}.at"""


def _fields(base: str, *names: str) -> str:
    """Loads of consecutive words; a name before a colon is followed by its type."""
    parts = [n.partition(":") for n in names]
    return "".join(_FIELD.format(name=n, base=base, index=i, type=t or "i64") for i, (n, _, t) in enumerate(parts))


_CARRY = """
define internal void @settle(i64 %count, ptr %records, ptr %values, i64 %done, i1 %before) nounwind {{
entry:
  br label %head
head:
  %i = phi i64 [0, %entry], [%up, %next]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %body, label %out
body:
  %skip = mul i64 %i, {carried}
  %record = getelementptr i64, ptr %records, i64 %skip
{fields}
  %stays = icmp slt i64 %after, 0
  %due = icmp eq i1 %stays, %before
  br i1 %due, label %which, label %next
which:
  %none = icmp eq i64 %done, 0
  %early = or i1 %none, %before
  br i1 %early, label %copy, label %last
last:
  %at = getelementptr ptr, ptr %values, i64 %after
  %moved = load ptr, ptr %at
  br label %copy
copy:
  %source = phi ptr [%first, %which], [%moved, %last]
  %same = icmp eq ptr %source, %final
  br i1 %same, label %next, label %write
write:
  call void @llvm.memcpy.p0.p0.i64(ptr %final, ptr %source, i64 %bytes, i1 false)
  br label %next
next:
  %up = add i64 %i, 1
  br label %head
out:
  ret void
}}

define internal void @note_code(i32 %code, ptr %status) nounwind {{
  %poor = icmp eq i32 %code, {out_of_scratch}
  br i1 %poor, label %set, label %out
set:
  store i64 {no_memory}, ptr %status
  br label %out
out:
  ret void
}}
"""

# The functions are PyGILState_Ensure, PyErr_CheckSignals, PyErr_Fetch and PyGILState_Release. Where the clock is read,
# what comes of it is how many steps later it is read again: often enough, whatever a step takes.
_POLL = """
@poll.functions = internal global [4 x ptr] zeroinitializer
@poll.raised = internal global ptr null

define void @squall_set_poll(ptr %functions, ptr %raised) nounwind {{
  call void @llvm.memcpy.p0.p0.i64(ptr @poll.functions, ptr %functions, i64 32, i1 false)
  store ptr %raised, ptr @poll.raised
  ret void
}}

define internal i1 @interrupted() noinline nounwind {{
entry:
  %check = load ptr, ptr getelementptr (ptr, ptr @poll.functions, i64 1)
  %none = icmp eq ptr %check, null
  br i1 %none, label %no, label %ask
no:
  ret i1 false
ask:
  %ensure = load ptr, ptr @poll.functions
  %fetch = load ptr, ptr getelementptr (ptr, ptr @poll.functions, i64 2)
  %release = load ptr, ptr getelementptr (ptr, ptr @poll.functions, i64 3)
  %state = call i32 %ensure()
  %code = call i32 %check()
  %raised = icmp ne i32 %code, 0
  br i1 %raised, label %keep, label %out
keep:
  %type = load ptr, ptr @poll.raised
  %value = getelementptr ptr, ptr %type, i64 1
  %trace = getelementptr ptr, ptr %type, i64 2
  call void %fetch(ptr %type, ptr %value, ptr %trace)
  br label %out
out:
  call void %release(i32 %state)
  ret i1 %raised
}}

define internal i1 @poll(ptr %clock) noinline nounwind {{
entry:
  %stride.at = getelementptr i64, ptr %clock, i64 1
  %asked.at = getelementptr i64, ptr %clock, i64 2
  %left.at = getelementptr i64, ptr %clock, i64 3
  %before = load i64, ptr %clock
  %stride = load i64, ptr %stride.at
  %asked = load i64, ptr %asked.at
  %now = call i64 @tick()
  %took = sub i64 %now, %before
  %quick = icmp slt i64 %took, {read}
  %slow = icmp sgt i64 %took, {slow}
  %doubled = shl i64 %stride, 1
  %most = call i64 @llvm.smin.i64(i64 %doubled, i64 {most})
  %halved = lshr i64 %stride, 3
  %least = call i64 @llvm.smax.i64(i64 %halved, i64 1)
  %not.quick = select i1 %slow, i64 %least, i64 %stride
  %next = select i1 %quick, i64 %most, i64 %not.quick
  store i64 %now, ptr %clock
  store i64 %next, ptr %stride.at
  store i64 %next, ptr %left.at
  %since = sub i64 %now, %asked
  %due = icmp sgt i64 %since, {poll}
  br i1 %due, label %ask, label %no
no:
  ret i1 false
ask:
  store i64 %now, ptr %asked.at
  %stop = call i1 @interrupted()
  ret i1 %stop
}}
"""

_LOOP = """
define void @squall_loop(ptr %args, i64 %begin, i64 %end, ptr %scratch) nounwind {{
entry:
{fields}
  %values = alloca i64, i64 %width, align 64
  %clock = alloca [4 x i64]
  %left.at = getelementptr i64, ptr %clock, i64 3
  %started = call i64 @tick()
  store i64 %started, ptr %clock
  %stride.at = getelementptr i64, ptr %clock, i64 1
  store i64 1, ptr %stride.at
  %asked.at = getelementptr i64, ptr %clock, i64 2
  store i64 %started, ptr %asked.at
  store i64 1, ptr %left.at
  %records = getelementptr i64, ptr %args, i64 {head}
  %spread = mul i64 %width, {word}
  %carried = getelementptr i64, ptr %records, i64 %spread
  call void @settle(i64 %carries, ptr %carried, ptr %values, i64 0, i1 true)
  br label %head
head:
  %i = phi i64 [0, %entry], [%up, %next]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %look, label %done
look:
  %left = load i64, ptr %left.at
  %fewer = sub i64 %left, 1
  store i64 %fewer, ptr %left.at
  %reads = icmp sle i64 %fewer, 0
  br i1 %reads, label %read, label %test
read:
  %halt = call i1 @poll(ptr %clock)
  br i1 %halt, label %halted, label %test
halted:
  store i64 {INTERRUPTED}, ptr %status
  ret void
test:
  %always = icmp slt i64 %going, 0
  br i1 %always, label %run.on, label %ask
ask:
  %test.offset = mul i64 %going, {word}
  %tested = getelementptr i64, ptr %records, i64 %test.offset
{test}
  %before = icmp ne i64 %i, 0
  %chained = icmp eq i64 %test.kind, {CHAIN}
  %later = and i1 %before, %chained
  br i1 %later, label %ask.later, label %ask.now
ask.later:
  %result.at = getelementptr ptr, ptr %values, i64 %test.move
  %result = load ptr, ptr %result.at
  br label %ask.now
ask.now:
  %asked = phi ptr [%test.first, %ask], [%result, %ask.later]
  %bool = load i8, ptr %asked
  %holds = icmp ne i8 %bool, 0
  br i1 %holds, label %run.on, label %done
run.on:
  br label %fill
fill:
  %w = phi i64 [0, %run.on], [%w.up, %store]
  %w.more = icmp slt i64 %w, %width
  br i1 %w.more, label %one, label %run
one:
  %offset = mul i64 %w, {word}
  %record = getelementptr i64, ptr %records, i64 %offset
{record}
  %initial = icmp eq i64 %i, 0
  switch i64 %kind, label %steps [ i64 {CHAIN}, label %chains  i64 {TURNS}, label %turns ]
steps:
  %way = mul i64 %move, %i
  %stepped = add i64 %first, %way
  br label %store
chains:
  br i1 %initial, label %store, label %follow
follow:
  %from = getelementptr i64, ptr %values, i64 %move
  %followed = load i64, ptr %from
  br label %store
turns:
  %odd = trunc i64 %i to i1
  %turned = select i1 %odd, i64 %move, i64 %first
  br label %store
store:
  %value = phi i64 [%stepped, %steps], [%first, %chains], [%followed, %follow], [%turned, %turns]
  %at = getelementptr i64, ptr %values, i64 %w
  store i64 %value, ptr %at
  %w.up = add i64 %w, 1
  br label %fill
run:
  %code = call i32 @squall_run(ptr %image, ptr %values)
  %fine = icmp eq i32 %code, 0
  br i1 %fine, label %next, label %stop
next:
  %up = add i64 %i, 1
  br label %head
stop:
  call void @note_code(i32 %code, ptr %status)
  ret void
done:
  call void @settle(i64 %carries, ptr %carried, ptr %values, i64 %i, i1 false)
  ret void
}}

define void @squall_choose(ptr %args, i64 %begin, i64 %end, ptr %scratch) nounwind {{
entry:
{choice}
  %values = getelementptr i64, ptr %args, i64 {choice_head}
  %bool = load i8, ptr %predicate
  %holds = icmp ne i8 %bool, 0
  %image = select i1 %holds, ptr %true, ptr %false
  %code = call i32 @squall_run(ptr %image, ptr %values)
  call void @note_code(i32 %code, ptr %status)
  ret void
}}
"""


def nested_text(out_of_scratch: int, ticks_a_millisecond: int) -> str:
    """`squall_loop` and `squall_choose`, to stand beside `squall_run` and `tick`."""
    return _POLL.format(
        read=READ_MILLISECONDS * ticks_a_millisecond,
        slow=4 * READ_MILLISECONDS * ticks_a_millisecond,
        poll=POLL_MILLISECONDS * ticks_a_millisecond,
        most=MOST_STRIDE,
    ) + _CARRY.format(
        carried=CARRIED,
        out_of_scratch=out_of_scratch,
        no_memory=NO_MEMORY,
        fields=_fields("%record", "final:ptr", "first:ptr", "after", "bytes"),
    ) + _LOOP.format(
        fields=_fields("%args", "image:ptr", "count", "width", "carries", "going", "status:ptr"),
        record=_fields("%record", "kind", "first", "move"),
        test=_fields("%tested", "test.kind", "test.first:ptr", "test.move"),
        choice=_fields("%args", "predicate:ptr", "true:ptr", "false:ptr", "status:ptr"),
        head=HEAD,
        word=WORD,
        choice_head=CHOICE_HEAD,
        CHAIN=CHAIN,
        TURNS=TURNS,
        INTERRUPTED=INTERRUPTED,
    )
