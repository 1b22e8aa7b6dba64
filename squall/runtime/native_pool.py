"""LLVM text of the thread pool: the native half that every parallel step goes through.

One caller at a time owns the pool (`@busy`); whoever finds it taken runs its units alone, so two Python threads
never wait for each other. The owner writes `@job`, then publishes `@work` = generation << 32 | chunks left. Workers
and the owner claim chunks by a compare-and-swap that lowers the low half; the job is read only *after* a claim
succeeded, and the owner returns only when every claimed chunk is finished, so a claimed job never changes under
its reader. The owner works too and waits for nothing but chunks a worker really took: a worker that the
operating system does not run costs nothing.

Idle workers spin for `@spins` pauses on the generation, then sleep on it. On Linux they sleep in a futex; on other
POSIX systems in one shared condition variable (`waiting="condition"`, tested on Linux, not on macOS); elsewhere
(`waiting="none"`, Windows) there are no workers and every step runs on its caller.

Chunk bounds depend on the number of threads, so kernels must give the same bits however units are grouped: the ABI
says so, and it is what keeps results independent of the number of threads.
"""

from __future__ import annotations

from squall.runtime.native_waiting import Platform

MAX_THREADS = 1024
CALLER_SLOTS = 64
CHUNKS_PER_THREAD = 8
PAUSES_PER_LOOK = 64  # a power of two


STATE = f"""
%job_type = type {{ ptr, ptr, i64, i64, i64 }}
%slot_type = type {{ i64, ptr, i64, [5 x i64] }}
@work = internal global [16 x i64] zeroinitializer, align 128
@finished = internal global [16 x i64] zeroinitializer, align 128
@sleepers = internal global [16 x i64] zeroinitializer, align 128
@busy = internal global [16 x i64] zeroinitializer, align 128
@job = internal global %job_type zeroinitializer, align 128
@threads = internal global i64 1, align 128
@processors = internal global i64 1
@caller_processor = internal global i32 -1
@spins = internal global i64 1000
@resizes = internal global i32 0
@started = internal global i64 0
@worker_scratch_bytes = internal global i64 0
@worker_scratch = internal global [{MAX_THREADS} x ptr] zeroinitializer, align 64
@callers = internal global [{CALLER_SLOTS} x %slot_type] zeroinitializer, align 64
@no_scratch = internal global ptr null
declare ptr @malloc(i64)
declare void @free(ptr)
declare i64 @llvm.smin.i64(i64, i64)
declare i64 @llvm.smax.i64(i64, i64)
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
"""


# Claims and runs chunks until none are left; returns how many it ran.
DRAIN = """
define internal i64 @drain(ptr %scratch.at) nounwind {
entry:
  br label %look
look:
  %count = phi i64 [0, %entry], [%count, %try], [%counted, %run]
  %seen = load atomic i64, ptr @work acquire, align 8
  %left = and i64 %seen, 4294967295
  %none = icmp eq i64 %left, 0
  br i1 %none, label %out, label %try
try:
  %lower = sub i64 %seen, 1
  %swap = cmpxchg ptr @work, i64 %seen, i64 %lower acq_rel acquire
  %mine = extractvalue {i64, i1} %swap, 1
  br i1 %mine, label %run, label %look
run:
  %kernel = load ptr, ptr @job
  %args = load ptr, ptr getelementptr (%job_type, ptr @job, i64 0, i32 1)
  %units = load i64, ptr getelementptr (%job_type, ptr @job, i64 0, i32 2)
  %chunk = load i64, ptr getelementptr (%job_type, ptr @job, i64 0, i32 3)
  %chunks = load i64, ptr getelementptr (%job_type, ptr @job, i64 0, i32 4)
  %index = sub i64 %chunks, %left
  %begin = mul i64 %index, %chunk
  %reach = add i64 %begin, %chunk
  %end = call i64 @llvm.smin.i64(i64 %reach, i64 %units)
  %raw = load ptr, ptr %scratch.at
  %scratch = call ptr @aligned(ptr %raw)
  call void %kernel(ptr %args, i64 %begin, i64 %end, ptr %scratch)
  %counted = add i64 %count, 1
  br label %look
out:
  ret i64 %count
}
"""

# A worker rests while its number is not below the threads wanted; else it drains, spins, then sleeps. Where it finds
# itself on the caller's processor it leaves: spinning there, it made each call last as long as the spinning.
WORKER = """
define internal ptr @worker(ptr %number) nounwind {
entry:
  %index = ptrtoint ptr %number to i64
  %scratch.at = getelementptr ptr, ptr @worker_scratch, i64 %index
  br label %again
again:
  %resize = load atomic i32, ptr @resizes acquire, align 4
  %threads = load atomic i64, ptr @threads acquire, align 8
  %workers = sub i64 %threads, 1
  %wanted = icmp slt i64 %index, %workers
  br i1 %wanted, label %active, label %rest
rest:
  call void @wait_word(ptr @resizes, i32 %resize)
  br label %again
active:
  %generation = load atomic i32, ptr getelementptr (i32, ptr @work, i64 1) acquire, align 4
  %count = call i64 @drain(ptr %scratch.at)
  %worked = icmp ne i64 %count, 0
  br i1 %worked, label %report, label %spin
report:
  %before = atomicrmw add ptr @finished, i64 %count release
  br label %again
spin:
  %i = phi i64 [0, %active], [%up, %on], [%up, %look]
  %now = load atomic i32, ptr getelementptr (i32, ptr @work, i64 1) monotonic, align 4
  %changed = icmp ne i32 %now, %generation
  br i1 %changed, label %again, label %turn
turn:
  call void @pause()
  %up = add i64 %i, 1
  %limit = load atomic i64, ptr @spins monotonic, align 8
  %more = icmp slt i64 %up, %limit
  %phase = and i64 %up, {pauses_per_look_mask}
  %due = icmp eq i64 %phase, 0
  br i1 %more, label %on, label %sleep
on:
  br i1 %due, label %look, label %spin
look:
  call void @avoid_caller()
  br label %spin
sleep:
  %in = atomicrmw add ptr @sleepers, i64 1 seq_cst
  call void @wait_word(ptr getelementptr (i32, ptr @work, i64 1), i32 %generation)
  %gone = atomicrmw sub ptr @sleepers, i64 1 seq_cst
  call void @avoid_caller()
  br label %again
}
"""

# Runs one step: on the caller when it is small, alone, or the pool is taken; else in chunks over the pool.
DISPATCH = """
define internal void @dispatch(ptr %kernel, ptr %args, i64 %units, i64 %grain, i64 %bytes, ptr %scratch.at) nounwind {{
entry:
  %some = icmp sgt i64 %units, 0
  br i1 %some, label %size, label %out
size:
  %small = icmp sle i64 %units, %grain
  br i1 %small, label %alone, label %many
many:
  %threads = load atomic i64, ptr @threads monotonic, align 8
  %single = icmp sle i64 %threads, 1
  br i1 %single, label %alone, label %own
own:
  %swap = cmpxchg ptr @busy, i64 0, i64 1 acquire monotonic
  %mine = extractvalue {{i64, i1}} %swap, 1
  br i1 %mine, label %staff, label %alone
staff:
  %workers = sub i64 %threads, 1
  %have = load i64, ptr @started
  %enough = icmp sge i64 %have, %workers
  br i1 %enough, label %room, label %start
start:
  call void @start_workers(i64 %workers)
  br label %room
room:
  %held = load i64, ptr @worker_scratch_bytes
  %fits = icmp sle i64 %bytes, %held
  br i1 %fits, label %share, label %grow
grow:
  %grown = call i1 @grow_worker_scratch(i64 %bytes)
  br i1 %grown, label %share, label %yield
yield:
  store atomic i64 0, ptr @busy release, align 8
  br label %alone
share:
  %pieces = mul i64 %threads, {chunks_per_thread}
  %pieces1 = sub i64 %pieces, 1
  %sum = add i64 %units, %pieces1
  %even = udiv i64 %sum, %pieces
  %grain3 = add i64 %grain, 3
  %least = udiv i64 %grain3, 4
  %chunk = call i64 @llvm.smax.i64(i64 %even, i64 %least)
  %chunk1 = sub i64 %chunk, 1
  %sum2 = add i64 %units, %chunk1
  %chunks = udiv i64 %sum2, %chunk
  store ptr %kernel, ptr @job
  store ptr %args, ptr getelementptr (%job_type, ptr @job, i64 0, i32 1)
  store i64 %units, ptr getelementptr (%job_type, ptr @job, i64 0, i32 2)
  store i64 %chunk, ptr getelementptr (%job_type, ptr @job, i64 0, i32 3)
  store i64 %chunks, ptr getelementptr (%job_type, ptr @job, i64 0, i32 4)
  call void @note_caller()
  store atomic i64 0, ptr @finished monotonic, align 8
  %old = load atomic i64, ptr @work monotonic, align 8
  %cleared = and i64 %old, -4294967296
  %next = add i64 %cleared, 4294967296
  %new = or i64 %next, %chunks
  %before = atomicrmw xchg ptr @work, i64 %new seq_cst
  %asleep = load atomic i64, ptr @sleepers seq_cst, align 8
  %nobody = icmp eq i64 %asleep, 0
  br i1 %nobody, label %help, label %wake
wake:
  %others = sub i64 %chunks, 1
  %few = call i64 @llvm.smin.i64(i64 %others, i64 %workers)
  %few32 = trunc i64 %few to i32
  call void @wake_word(ptr getelementptr (i32, ptr @work, i64 1), i32 %few32)
  br label %help
help:
  %ran = call i64 @drain(ptr %scratch.at)
  %taken = sub i64 %chunks, %ran
  br label %wait
wait:
  %turn = phi i64 [0, %help], [%up, %still], [0, %pass]
  %done = load atomic i64, ptr @finished acquire, align 8
  %all = icmp eq i64 %done, %taken
  br i1 %all, label %end, label %still
still:
  call void @pause()
  %up = add i64 %turn, 1
  %patient = icmp slt i64 %up, 5000
  br i1 %patient, label %wait, label %pass
pass:
  %r = call i32 @sched_yield()
  br label %wait
end:
  store atomic i64 0, ptr @busy release, align 8
  br label %out
alone:
  %raw = load ptr, ptr %scratch.at
  %scratch = call ptr @aligned(ptr %raw)
  call void %kernel(ptr %args, i64 0, i64 %units, ptr %scratch)
  br label %out
out:
  ret void
}}
"""

DISPATCH_ALONE = """
define internal void @dispatch(ptr %kernel, ptr %args, i64 %units, i64 %grain, i64 %bytes, ptr %scratch.at) nounwind {
entry:
  %some = icmp sgt i64 %units, 0
  br i1 %some, label %alone, label %out
alone:
  %raw = load ptr, ptr %scratch.at
  %scratch = call ptr @aligned(ptr %raw)
  call void %kernel(ptr %args, i64 0, i64 %units, ptr %scratch)
  br label %out
out:
  ret void
}
"""

def pool_text(platform: Platform) -> str:
    """The pool's own text, to stand after `native_waiting.waiting_text` and beside `native_control`'s."""
    if platform.waiting == "none":
        return STATE + DISPATCH_ALONE
    worker = WORKER.replace("{pauses_per_look_mask}", str(PAUSES_PER_LOOK - 1))
    return "".join((STATE, DRAIN, worker, DISPATCH.format(chunks_per_thread=CHUNKS_PER_THREAD)))
