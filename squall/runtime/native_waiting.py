"""LLVM text of how a thread pauses, sleeps on a word, and wakes others: the part that differs between systems.

Each way of waiting defines `@init_waiting()`, `@wait_word(ptr word, i32 expected)`, which returns at once when the
word has another value and may return for no reason, and `@wake_word(ptr word, i32 count)`.

* "futex": Linux, by libc's `syscall`.
* "condition": any POSIX system; one mutex and one condition variable wake everybody. Tested on Linux only.
* "none": nobody ever waits, because there are no workers (Windows).
"""

from __future__ import annotations

from typing import NamedTuple


class Platform(NamedTuple):
    """What the text depends on: "linux" | "darwin" | "windows", "x86_64" | "aarch64", how idle workers wait."""

    system: str
    machine: str
    waiting: str


FUTEX = """
declare i64 @syscall(i64, ...)

define internal void @init_waiting() nounwind {{
  ret void
}}

define internal void @wait_word(ptr %word, i32 %expected) nounwind {{
  %r = call i64 (i64, ...) @syscall(i64 {number}, ptr %word, i32 128, i32 %expected, ptr null, ptr null, i32 0)
  ret void
}}

define internal void @wake_word(ptr %word, i32 %count) nounwind {{
  %r = call i64 (i64, ...) @syscall(i64 {number}, ptr %word, i32 129, i32 %count, ptr null, ptr null, i32 0)
  ret void
}}
"""

CONDITION = """
@mutex = internal global [32 x i64] zeroinitializer, align 64
@condition = internal global [32 x i64] zeroinitializer, align 64
declare i32 @pthread_mutex_init(ptr, ptr)
declare i32 @pthread_mutex_lock(ptr)
declare i32 @pthread_mutex_unlock(ptr)
declare i32 @pthread_cond_init(ptr, ptr)
declare i32 @pthread_cond_wait(ptr, ptr)
declare i32 @pthread_cond_broadcast(ptr)

define internal void @init_waiting() nounwind {
  call void @llvm.memset.p0.i64(ptr @mutex, i8 0, i64 256, i1 false)
  call void @llvm.memset.p0.i64(ptr @condition, i8 0, i64 256, i1 false)
  %r0 = call i32 @pthread_mutex_init(ptr @mutex, ptr null)
  %r1 = call i32 @pthread_cond_init(ptr @condition, ptr null)
  ret void
}

define internal void @wait_word(ptr %word, i32 %expected) nounwind {
entry:
  %r0 = call i32 @pthread_mutex_lock(ptr @mutex)
  %now = load atomic i32, ptr %word seq_cst, align 4
  %same = icmp eq i32 %now, %expected
  br i1 %same, label %block, label %out
block:
  %r1 = call i32 @pthread_cond_wait(ptr @condition, ptr @mutex)
  br label %out
out:
  %r2 = call i32 @pthread_mutex_unlock(ptr @mutex)
  ret void
}

define internal void @wake_word(ptr %word, i32 %count) nounwind {
  %r0 = call i32 @pthread_mutex_lock(ptr @mutex)
  %r1 = call i32 @pthread_cond_broadcast(ptr @condition)
  %r2 = call i32 @pthread_mutex_unlock(ptr @mutex)
  ret void
}
"""

# Linux may leave a worker on the processor of the caller that woke it while another one idles, for as long as the
# process lives. A worker that finds itself there forbids itself that processor, which moves it at once, and then
# allows it again: threads are never pinned. With more threads than processors it only yields. It never yields for
# other processes: the system would then let them have the processor for milliseconds.
PLACES = """
declare i32 @sched_getcpu()
declare i32 @sched_getaffinity(i32, i64, ptr)
declare i32 @sched_setaffinity(i32, i64, ptr)

define internal void @note_caller() nounwind {
  %now = call i32 @sched_getcpu()
  store atomic i32 %now, ptr @caller_processor monotonic, align 4
  ret void
}

define internal void @avoid_caller() nounwind {
entry:
  %theirs = load atomic i32, ptr @caller_processor monotonic, align 4
  %mine = call i32 @sched_getcpu()
  %shared = icmp eq i32 %theirs, %mine
  br i1 %shared, label %count, label %out
count:
  %threads = load atomic i64, ptr @threads monotonic, align 8
  %processors = load atomic i64, ptr @processors monotonic, align 8
  %room = icmp sle i64 %threads, %processors
  br i1 %room, label %move, label %yield
move:
  call void @leave_processor(i32 %mine)
  br label %out
yield:
  %r = call i32 @sched_yield()
  br label %out
out:
  ret void
}

define internal void @leave_processor(i32 %number) noinline nounwind {
entry:
  %allowed = alloca [128 x i64]
  %failed = call i32 @sched_getaffinity(i32 0, i64 1024, ptr %allowed)
  %fine = icmp eq i32 %failed, 0
  br i1 %fine, label %change, label %out
change:
  %wide = zext i32 %number to i64
  %word = lshr i64 %wide, 6
  %at = getelementptr i64, ptr %allowed, i64 %word
  %before = load i64, ptr %at
  %place = and i64 %wide, 63
  %bit = shl i64 1, %place
  %others = xor i64 %bit, -1
  %after = and i64 %before, %others
  store i64 %after, ptr %at
  %r0 = call i32 @sched_setaffinity(i32 0, i64 1024, ptr %allowed)
  store i64 %before, ptr %at
  %r1 = call i32 @sched_setaffinity(i32 0, i64 1024, ptr %allowed)
  br label %out
out:
  ret void
}
"""

NO_PLACES = """
define internal void @note_caller() alwaysinline nounwind {
  ret void
}

define internal void @avoid_caller() alwaysinline nounwind {
  ret void
}
"""

NO_WAITING = """
define internal void @init_waiting() nounwind {
  ret void
}

define internal void @wake_word(ptr %word, i32 %count) nounwind {
  ret void
}
"""

_PAUSE = {
    "x86_64": "declare void @llvm.x86.sse2.pause()\n\ndefine internal void @pause() alwaysinline nounwind {\n"
              "  call void @llvm.x86.sse2.pause()\n  ret void\n}\n",
    "aarch64": "declare void @llvm.aarch64.isb(i32)\n\ndefine internal void @pause() alwaysinline nounwind {\n"
               "  call void @llvm.aarch64.isb(i32 15)\n  ret void\n}\n",
}
_FUTEX_NUMBER = {"x86_64": 202, "aarch64": 98}


def waiting_text(platform: Platform) -> str:
    """The text of `@pause`, `@init_waiting`, `@wait_word`, `@wake_word`, `@note_caller` and `@avoid_caller`.

    Raises:
        ValueError: for a machine or a way of waiting there is no text for.
    """
    if platform.machine not in _PAUSE or platform.waiting not in ("futex", "condition", "none"):
        raise ValueError(f"no thread pool for {platform}")
    ways = {"futex": FUTEX.format(number=_FUTEX_NUMBER[platform.machine]), "condition": CONDITION, "none": NO_WAITING}
    places = PLACES if platform.system == "linux" and platform.waiting != "none" else NO_PLACES
    passing = "" if platform.waiting == "none" else "declare i32 @sched_yield()\n"
    return passing + _PAUSE[platform.machine] + ways[platform.waiting] + places
