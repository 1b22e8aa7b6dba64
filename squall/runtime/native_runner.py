"""LLVM text of the plan runner: the native loop that executes all steps of a plan without returning to Python.

`i32 squall_run(ptr plan, ptr values)`, and `i32 squall_run_recorded(ptr plan, ptr values, ptr recorder)`, which notes
how long each step took (`native_recorder.py`) and runs instead while a profile is taken. The plan is read-only, so
several threads may run one plan at once, each with its own values; the argument block lives on the runner's stack and
is made anew for each step: copied as the plan has it, then what depends on values is added to its words. The layout,
in 8-byte words (`plan_image.py` writes it):

    header (8): steps, most arguments of a step, most scratch bytes, status value index (-1: none), status offset,
                three zeros
    step (8 each): kernel, byte offset of its arguments, arguments, units value index, units constant, grain, scratch
                   bytes, flags (1: stop the plan when the status word is not zero after this step) and, from bit
                   BINDS_SHIFT on, binds
    the arguments of a step: their constants, then its binds (2 words each): argument, value index; the value is added

The result is 0, or 1 + the number of the step whose status word stopped the plan, or OUT_OF_SCRATCH.
"""

from __future__ import annotations

from squall.runtime.native_chain import chain_text
from squall.runtime.native_control import control_text
from squall.runtime.native_nested import nested_text
from squall.runtime.native_pool import pool_text
from squall.runtime.native_recorder import PLAIN, RECORDED, recorder_text
from squall.runtime.native_region import region_text
from squall.runtime.native_waiting import Platform, waiting_text

HEADER_WORDS, STEP_WORDS = 8, 8
STOP_ON_STATUS, BINDS_SHIFT = 1, 8
OUT_OF_SCRATCH = 1 << 30

BOUND = """
@zero = internal constant i64 0

define internal i64 @bound(ptr %values, i64 %index, i64 %constant) alwaysinline nounwind {
  %none = icmp slt i64 %index, 0
  %at = getelementptr i64, ptr %values, i64 %index
  %from = select i1 %none, ptr @zero, ptr %at
  %value = load i64, ptr %from
  %sum = add i64 %value, %constant
  ret i64 %sum
}

define internal void @fill_arguments(ptr %from, i64 %count, i64 %binds, ptr %values, ptr %args) nounwind {
entry:
  %bytes = shl i64 %count, 3
  call void @llvm.memcpy.p0.p0.i64(ptr align 64 %args, ptr align 8 %from, i64 %bytes, i1 false)
  %records = getelementptr i64, ptr %from, i64 %count
  br label %head
head:
  %i = phi i64 [0, %entry], [%up, %body]
  %more = icmp slt i64 %i, %binds
  br i1 %more, label %body, label %out
body:
  %bind = getelementptr [2 x i64], ptr %records, i64 %i
  %argument = load i64, ptr %bind
  %index.at = getelementptr i64, ptr %bind, i64 1
  %index = load i64, ptr %index.at
  %value.at = getelementptr i64, ptr %values, i64 %index
  %value = load i64, ptr %value.at
  %at = getelementptr i64, ptr %args, i64 %argument
  %constant = load i64, ptr %at
  %sum = add i64 %value, %constant
  store i64 %sum, ptr %at
  %up = add i64 %i, 1
  br label %head
out:
  ret void
}
"""

RUN = """
define i32 @{name}(ptr %plan, ptr %values{parameter}) {attributes}nounwind {{
entry:
  {enter}
begin:
  %steps = load i64, ptr %plan
  %most.at = getelementptr i64, ptr %plan, i64 1
  %most = load i64, ptr %most.at
  %bytes.at = getelementptr i64, ptr %plan, i64 2
  %bytes = load i64, ptr %bytes.at
  %status.index.at = getelementptr i64, ptr %plan, i64 3
  %status.index = load i64, ptr %status.index.at
  %status.offset.at = getelementptr i64, ptr %plan, i64 4
  %status.offset = load i64, ptr %status.offset.at
  %args = alloca i64, i64 %most, align 64
  %no.scratch = icmp eq i64 %bytes, 0
  br i1 %no.scratch, label %ready, label %claim
claim:
  %claimed = call ptr @claim_slot(i64 %bytes)
  %failed = icmp eq ptr %claimed, null
  br i1 %failed, label %no.memory, label %got
no.memory:
  ret i32 {out_of_scratch}
got:
  %raw.at = getelementptr %slot_type, ptr %claimed, i64 0, i32 1
  br label %ready
ready:
  %slot = phi ptr [null, %begin], [%claimed, %got]
  %scratch.at = phi ptr [@no_scratch, %begin], [%raw.at, %got]
  {first_tick}
  br label %head
head:
  %i = phi i64 [0, %ready], [%up, %next]
  {tick_phi}
  %more = icmp slt i64 %i, %steps
  br i1 %more, label %body, label %finish
body:
  %step.word = mul i64 %i, {step_words}
  %step.from = add i64 %step.word, {header_words}
  %step = getelementptr i64, ptr %plan, i64 %step.from
  %kernel = load ptr, ptr %step
  %from.offset.at = getelementptr i64, ptr %step, i64 1
  %from.offset = load i64, ptr %from.offset.at
  %from = getelementptr i8, ptr %plan, i64 %from.offset
  %count.at = getelementptr i64, ptr %step, i64 2
  %count = load i64, ptr %count.at
  %units.index.at = getelementptr i64, ptr %step, i64 3
  %units.index = load i64, ptr %units.index.at
  %units.constant.at = getelementptr i64, ptr %step, i64 4
  %units.constant = load i64, ptr %units.constant.at
  %grain.at = getelementptr i64, ptr %step, i64 5
  %grain = load i64, ptr %grain.at
  %scratch.bytes.at = getelementptr i64, ptr %step, i64 6
  %scratch.bytes = load i64, ptr %scratch.bytes.at
  %flags.at = getelementptr i64, ptr %step, i64 7
  %flags = load i64, ptr %flags.at
  %binds = lshr i64 %flags, {binds_shift}
  call void @fill_arguments(ptr %from, i64 %count, i64 %binds, ptr %values, ptr %args)
  %units = call i64 @bound(ptr %values, i64 %units.index, i64 %units.constant)
  call void @dispatch(ptr %kernel, ptr %args, i64 %units, i64 %grain, i64 %scratch.bytes, ptr %scratch.at)
  {step_tick}
  %stops = and i64 %flags, {stop_on_status}
  %checked = icmp ne i64 %stops, 0
  br i1 %checked, label %check, label %next
check:
  %status.bits = call i64 @bound(ptr %values, i64 %status.index, i64 %status.offset)
  %status = inttoptr i64 %status.bits to ptr
  %code = load i64, ptr %status
  %wrong = icmp ne i64 %code, 0
  br i1 %wrong, label %finish, label %next
next:
  %up = add i64 %i, 1
  br label %head
finish:
  %outcome = phi i64 [0, %head], [%stopped, %check.stop]
  %claimed.none = icmp eq ptr %slot, null
  br i1 %claimed.none, label %out, label %release
release:
  store atomic i64 0, ptr %slot release, align 8
  br label %out
out:
  {last_tick}
  %result = trunc i64 %outcome to i32
  ret i32 %result
}}
""".replace("br i1 %wrong, label %finish, label %next\n",
            "br i1 %wrong, label %check.stop, label %next\ncheck.stop:\n  %stopped = add i64 %i, 1\n"
            "  br label %finish\n")

TICKS_POSIX = """
declare i32 @clock_gettime(i32, ptr)

define internal i64 @tick() nounwind {{
  %pair = alloca [2 x i64]
  %r = call i32 @clock_gettime(i32 {clock}, ptr %pair)
  %seconds = load i64, ptr %pair
  %rest.at = getelementptr i64, ptr %pair, i64 1
  %rest = load i64, ptr %rest.at
  %scaled = mul i64 %seconds, 1000000000
  %sum = add i64 %scaled, %rest
  ret i64 %sum
}}
"""

TICKS_WINDOWS = """
declare i32 @QueryPerformanceCounter(ptr)

define internal i64 @tick() nounwind {
  %at = alloca i64
  %r = call i32 @QueryPerformanceCounter(ptr %at)
  %value = load i64, ptr %at
  ret i64 %value
}
"""

# Kernels of the ABI that move bytes: squall_copy(target, source, bytes per unit, bytes in all) and
# squall_fill(target, 8-byte pattern, bytes per unit (a multiple of 8), bytes in all).
MOVES = """
define internal i64 @limit(ptr %args, i64 %units, i64 %unit) alwaysinline nounwind {
  %all.at = getelementptr i64, ptr %args, i64 3
  %all = load i64, ptr %all.at
  %want = mul i64 %units, %unit
  %limit = call i64 @llvm.smin.i64(i64 %want, i64 %all)
  ret i64 %limit
}

define void @squall_copy(ptr %args, i64 %begin, i64 %end, ptr %scratch) nounwind {
  %target = load ptr, ptr %args
  %source.at = getelementptr i64, ptr %args, i64 1
  %source = load ptr, ptr %source.at
  %unit.at = getelementptr i64, ptr %args, i64 2
  %unit = load i64, ptr %unit.at
  %from = call i64 @limit(ptr %args, i64 %begin, i64 %unit)
  %to = call i64 @limit(ptr %args, i64 %end, i64 %unit)
  %bytes = sub i64 %to, %from
  %t = getelementptr i8, ptr %target, i64 %from
  %s = getelementptr i8, ptr %source, i64 %from
  call void @llvm.memcpy.p0.p0.i64(ptr %t, ptr %s, i64 %bytes, i1 false)
  ret void
}

define void @squall_fill(ptr %args, i64 %begin, i64 %end, ptr %scratch) nounwind {
entry:
  %target = load ptr, ptr %args
  %pattern.at = getelementptr i64, ptr %args, i64 1
  %pattern = load i64, ptr %pattern.at
  %one = insertelement <8 x i64> poison, i64 %pattern, i64 0
  %wide = shufflevector <8 x i64> %one, <8 x i64> poison, <8 x i32> zeroinitializer
  %unit.at = getelementptr i64, ptr %args, i64 2
  %unit = load i64, ptr %unit.at
  %from = call i64 @limit(ptr %args, i64 %begin, i64 %unit)
  %to = call i64 @limit(ptr %args, i64 %end, i64 %unit)
  br label %head
head:
  %at = phi i64 [%from, %entry], [%reach, %body]
  %reach = add i64 %at, 64
  %whole = icmp sle i64 %reach, %to
  %p = getelementptr i8, ptr %target, i64 %at
  br i1 %whole, label %body, label %tail
body:
  store <8 x i64> %wide, ptr %p, align 1
  br label %head
tail:
  %filled = alloca <8 x i64>, align 64
  store <8 x i64> %wide, ptr %filled, align 64
  %rest = sub i64 %to, %at
  call void @llvm.memcpy.p0.p0.i64(ptr %p, ptr %filled, i64 %rest, i1 false)
  ret void
}
"""


def _run_text(variant: dict[str, str]) -> str:
    return RUN.format(**variant, out_of_scratch=OUT_OF_SCRATCH, stop_on_status=STOP_ON_STATUS,
                      binds_shift=BINDS_SHIFT,                      step_words=STEP_WORDS, header_words=HEADER_WORDS)


def native_text(platform: Platform) -> str:
    """The whole native runtime for one platform: pool, runner, byte kernels.

    Example:
        >>> "squall_run" in native_text(Platform("linux", "x86_64", "futex"))
        True
    """
    if platform.system == "windows":
        ticks, rate = TICKS_WINDOWS, 10_000  # of the performance counter, as Windows has had it since version 10
    else:
        rate = 1_000_000
        ticks = TICKS_POSIX.format(clock=6 if platform.system == "darwin" else 1)
    return "".join((pool_text(platform), waiting_text(platform), control_text(platform), BOUND, ticks,
                    recorder_text(platform.system), _run_text(PLAIN), _run_text(RECORDED),
                    nested_text(OUT_OF_SCRATCH, rate), region_text(), chain_text(), MOVES))
