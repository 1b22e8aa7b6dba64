"""LLVM text of the pool's workspace memory, of starting its workers, and of what Python may ask of it."""

from __future__ import annotations

from squall.runtime.native_pool import CALLER_SLOTS, MAX_THREADS
from squall.runtime.native_waiting import Platform

# Scratch: malloc'ed with room to align; slots hold the unaligned pointer and are read again for every chunk.
SCRATCH = f"""
define internal ptr @aligned(ptr %raw) alwaysinline nounwind {{
  %bits = ptrtoint ptr %raw to i64
  %up = add i64 %bits, 63
  %down = and i64 %up, -64
  %result = inttoptr i64 %down to ptr
  ret ptr %result
}}

define internal ptr @claim_slot(i64 %bytes) noinline nounwind {{
entry:
  br label %look
look:
  %i = phi i64 [0, %entry], [%wrapped, %next]
  %slot = getelementptr %slot_type, ptr @callers, i64 %i
  %swap = cmpxchg ptr %slot, i64 0, i64 1 acquire monotonic
  %mine = extractvalue {{i64, i1}} %swap, 1
  br i1 %mine, label %check, label %next
next:
  %up = add i64 %i, 1
  %wrapped = urem i64 %up, {CALLER_SLOTS}
  call void @pause()
  br label %look
check:
  %raw.at = getelementptr %slot_type, ptr %slot, i64 0, i32 1
  %bytes.at = getelementptr %slot_type, ptr %slot, i64 0, i32 2
  %have = load i64, ptr %bytes.at
  %enough = icmp sge i64 %have, %bytes
  br i1 %enough, label %done, label %grow
grow:
  %old = load ptr, ptr %raw.at
  call void @free(ptr %old)
  %padded = add i64 %bytes, 64
  %raw = call ptr @malloc(i64 %padded)
  store ptr %raw, ptr %raw.at
  %failed = icmp eq ptr %raw, null
  %kept = select i1 %failed, i64 0, i64 %bytes
  store i64 %kept, ptr %bytes.at
  br i1 %failed, label %fail, label %done
fail:
  store atomic i64 0, ptr %slot release, align 8
  ret ptr null
done:
  ret ptr %slot
}}

define internal i1 @grow_worker_scratch(i64 %bytes) noinline nounwind {{
entry:
  %count = load i64, ptr @started
  store i64 0, ptr @worker_scratch_bytes
  br label %head
head:
  %i = phi i64 [0, %entry], [%up, %next]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %body, label %good
body:
  %at = getelementptr ptr, ptr @worker_scratch, i64 %i
  %fine = call i1 @new_scratch(ptr %at, i64 %bytes)
  br i1 %fine, label %next, label %bad
next:
  %up = add i64 %i, 1
  br label %head
good:
  store i64 %bytes, ptr @worker_scratch_bytes
  ret i1 true
bad:
  ret i1 false
}}

define internal i1 @new_scratch(ptr %at, i64 %bytes) nounwind {{
  %old = load ptr, ptr %at
  call void @free(ptr %old)
  %padded = add i64 %bytes, 64
  %raw = call ptr @malloc(i64 %padded)
  store ptr %raw, ptr %at
  %fine = icmp ne ptr %raw, null
  ret i1 %fine
}}
"""

# Called by the owner of @busy. All signals stay blocked in workers: Python's handlers belong to its main thread.
START = """
declare i32 @pthread_create(ptr, ptr, ptr, ptr)
declare i32 @pthread_detach(ptr)
declare i32 @pthread_sigmask(i32, ptr, ptr)
declare i32 @sigfillset(ptr)

define internal void @start_workers(i64 %wanted) noinline nounwind {{
entry:
  %all = alloca [16 x i64]
  %old = alloca [16 x i64]
  %thread = alloca ptr
  %r0 = call i32 @sigfillset(ptr %all)
  %r1 = call i32 @pthread_sigmask(i32 {setmask}, ptr %all, ptr %old)
  %bytes = load i64, ptr @worker_scratch_bytes
  br label %head
head:
  %i = load i64, ptr @started
  %more = icmp slt i64 %i, %wanted
  br i1 %more, label %room, label %out
room:
  %at = getelementptr ptr, ptr @worker_scratch, i64 %i
  %none = icmp eq i64 %bytes, 0
  br i1 %none, label %create, label %scratch
scratch:
  %fine = call i1 @new_scratch(ptr %at, i64 %bytes)
  br i1 %fine, label %create, label %fail
create:
  %number = inttoptr i64 %i to ptr
  %r2 = call i32 @pthread_create(ptr %thread, ptr null, ptr @worker, ptr %number)
  %bad = icmp ne i32 %r2, 0
  br i1 %bad, label %fail, label %next
next:
  %handle = load ptr, ptr %thread
  %r3 = call i32 @pthread_detach(ptr %handle)
  %up = add i64 %i, 1
  store atomic i64 %up, ptr @started release, align 8
  br label %head
fail:
  %fewer = add i64 %i, 1
  store atomic i64 %fewer, ptr @threads release, align 8
  br label %out
out:
  %r4 = call i32 @pthread_sigmask(i32 {setmask}, ptr %old, ptr null)
  ret void
}}
"""

# squall_pool_reset: in a fork's child the workers are gone and whatever another thread held is unknown, so scratch
# pointers are dropped, not freed. squall_pool_state: threads, workers, sleepers, parallel steps so far, scratch bytes.
CONTROL = f"""
define void @squall_pool_reset() nounwind {{
  store i64 0, ptr @work
  store i64 0, ptr @finished
  store i64 0, ptr @sleepers
  store i64 0, ptr @started
  store i64 0, ptr @worker_scratch_bytes
  call void @llvm.memset.p0.i64(ptr @worker_scratch, i8 0, i64 {8 * MAX_THREADS}, i1 false)
  call void @llvm.memset.p0.i64(ptr @callers, i8 0, i64 {64 * CALLER_SLOTS}, i1 false)
  call void @init_waiting()
  store atomic i64 0, ptr @busy seq_cst, align 8
  ret void
}}

define void @squall_set_threads(i64 %count) nounwind {{
  %low = call i64 @llvm.smax.i64(i64 %count, i64 1)
  %valid = call i64 @llvm.smin.i64(i64 %low, i64 {{limit}})
  store atomic i64 %valid, ptr @threads seq_cst, align 8
  %r = atomicrmw add ptr @resizes, i32 1 seq_cst
  call void @wake_word(ptr @resizes, i32 2147483647)
  call void @wake_word(ptr getelementptr (i32, ptr @work, i64 1), i32 2147483647)
  ret void
}}

define void @squall_set_spins(i64 %count, i64 %processors) nounwind {{
  store atomic i64 %count, ptr @spins seq_cst, align 8
  store atomic i64 %processors, ptr @processors seq_cst, align 8
  ret void
}}

define void @squall_pause_many(i64 %count) nounwind {{
entry:
  br label %loop
loop:
  %i = phi i64 [0, %entry], [%up, %loop]
  call void @pause()
  %up = add i64 %i, 1
  %more = icmp slt i64 %up, %count
  br i1 %more, label %loop, label %out
out:
  ret void
}}

define void @squall_pool_state(ptr %out) nounwind {{
  %threads = load atomic i64, ptr @threads seq_cst, align 8
  %started = load atomic i64, ptr @started seq_cst, align 8
  %asleep = load atomic i64, ptr @sleepers seq_cst, align 8
  %work = load atomic i64, ptr @work seq_cst, align 8
  %runs = lshr i64 %work, 32
  %bytes = load i64, ptr @worker_scratch_bytes
  store i64 %threads, ptr %out
  %at1 = getelementptr i64, ptr %out, i64 1
  store i64 %started, ptr %at1
  %at2 = getelementptr i64, ptr %out, i64 2
  store i64 %asleep, ptr %at2
  %at3 = getelementptr i64, ptr %out, i64 3
  store i64 %runs, ptr %at3
  %at4 = getelementptr i64, ptr %out, i64 4
  store i64 %bytes, ptr %at4
  ret void
}}
"""


def control_text(platform: Platform) -> str:
    """Scratch memory, `@start_workers`, and the exported `squall_pool_*` and `squall_set_*` functions."""
    if platform.waiting == "none":
        return SCRATCH + CONTROL.replace("{limit}", "1")
    setmask = 3 if platform.system == "darwin" else 2  # SIG_SETMASK
    return SCRATCH + START.format(setmask=setmask) + CONTROL.replace("{limit}", str(MAX_THREADS))
