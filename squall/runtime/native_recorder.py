"""LLVM text of the recorder: what the plan runner notes while a profile is taken.

`squall_run` looks once per plan whether `@recorder` is set; if so `squall_run_recorded` runs the plan instead and notes
each step and the whole run. The recorder is a block of 8-byte words: how many events were noted, how many there is room
for, six zeros, then the events, four words each: what (the address of a step in its plan image, of the image, or a
small number from `squall_note`), when it began, when it ended (ticks of `squall_tick`), and the thread.
"""

from __future__ import annotations

RECORDER_HEADER, EVENT_WORDS = 8, 4

_THREAD = {
    "posix": "declare i64 @pthread_self()\n",
    "windows": "declare i32 @GetCurrentThreadId()\n\ndefine internal i64 @pthread_self() nounwind {\n"
               "  %short = call i32 @GetCurrentThreadId()\n  %id = zext i32 %short to i64\n  ret i64 %id\n}\n",
}

_NOTES = f"""
@recorder = internal global ptr null, align 64

define internal void @note_event(ptr %recorder, ptr %what, i64 %begin, i64 %end) noinline nounwind {{
  %index = atomicrmw add ptr %recorder, i64 1 monotonic
  %capacity.at = getelementptr i64, ptr %recorder, i64 1
  %capacity = load i64, ptr %capacity.at
  %fits = icmp slt i64 %index, %capacity
  br i1 %fits, label %write, label %out
write:
  %words = mul i64 %index, {EVENT_WORDS}
  %from = add i64 %words, {RECORDER_HEADER}
  %at = getelementptr i64, ptr %recorder, i64 %from
  store ptr %what, ptr %at
  %begin.at = getelementptr i64, ptr %at, i64 1
  store i64 %begin, ptr %begin.at
  %end.at = getelementptr i64, ptr %at, i64 2
  store i64 %end, ptr %end.at
  %thread.at = getelementptr i64, ptr %at, i64 3
  %thread = call i64 @pthread_self()
  store i64 %thread, ptr %thread.at
  br label %out
out:
  ret void
}}

define i64 @squall_tick() nounwind {{
  %now = call i64 @tick()
  ret i64 %now
}}

define void @squall_set_recorder(ptr %recorder) nounwind {{
  store atomic ptr %recorder, ptr @recorder release, align 8
  ret void
}}

define i32 @squall_note(i64 %kind, i64 %unused) nounwind {{
  %recorder = load atomic ptr, ptr @recorder acquire, align 8
  %none = icmp eq ptr %recorder, null
  br i1 %none, label %out, label %note
note:
  %now = call i64 @tick()
  %what = inttoptr i64 %kind to ptr
  call void @note_event(ptr %recorder, ptr %what, i64 %now, i64 %now)
  br label %out
out:
  ret i32 0
}}
"""

# What `native_runner.RUN` is filled with: for the everyday runner, and for the one that notes its steps.
PLAIN = {
    "name": "squall_run", "parameter": "", "attributes": "",
    "enter": "%recorder = load atomic ptr, ptr @recorder acquire, align 8\n  %off = icmp eq ptr %recorder, null\n"
             "  br i1 %off, label %begin, label %elsewhere\nelsewhere:\n"
             "  %recorded = call i32 @squall_run_recorded(ptr %plan, ptr %values, ptr %recorder)\n"
             "  ret i32 %recorded",
    "first_tick": "", "tick_phi": "", "step_tick": "", "last_tick": "",
}
RECORDED = {
    "name": "squall_run_recorded", "parameter": ", ptr %recorder", "attributes": "noinline ",
    "enter": "br label %begin",
    "first_tick": "%tick0 = call i64 @tick()",
    "tick_phi": "%tick = phi i64 [%tick0, %ready], [%tick1, %next]",
    "step_tick": "%tick1 = call i64 @tick()\n"
                 "  call void @note_event(ptr %recorder, ptr %step, i64 %tick, i64 %tick1)",
    "last_tick": "%tick2 = call i64 @tick()\n"
                 "  call void @note_event(ptr %recorder, ptr %plan, i64 %tick0, i64 %tick2)",
}


def recorder_text(system: str) -> str:
    """The recorder's own functions, to stand behind `@tick`."""
    return _THREAD["windows" if system == "windows" else "posix"] + _NOTES
