"""LLVM text of regions: a kernel of the ABI that runs several kernels which do not wait for each other.

`squall_region(args, begin, end, scratch)`: its units are estimated cycles. Each part takes up as many as it has work
units times cycles of one, one part after the other, and a call runs the units that begin in [begin, end): so the pool
shares all parts out at once, by weight, and one wake and one join serve them all. Its args, in 8-byte words:

    head (1): number of parts
    part (5 each): kernel, word at which its args begin, first cycle, work units, cycles of a unit (at least 1)
    then the args of the parts
"""

from __future__ import annotations

HEAD, PART = 1, 5

REGION = """
define internal i64 @unit_from(i64 %cycle, i64 %first, i64 %cost, i64 %units) alwaysinline nounwind {
  %into = sub i64 %cycle, %first
  %inside = call i64 @llvm.smax.i64(i64 %into, i64 0)
  %less = sub i64 %cost, 1
  %more = add i64 %inside, %less
  %unit = sdiv i64 %more, %cost
  %found = call i64 @llvm.smin.i64(i64 %unit, i64 %units)
  ret i64 %found
}

define void @squall_region(ptr %args, i64 %begin, i64 %end, ptr %scratch) nounwind {
entry:
  %parts = load i64, ptr %args
  br label %head
head:
  %i = phi i64 [0, %entry], [%up, %next]
  %more = icmp slt i64 %i, %parts
  br i1 %more, label %body, label %out
body:
  %skip = mul i64 %i, PART_WORDS
  %at = add i64 %skip, HEAD_WORDS
  %part = getelementptr i64, ptr %args, i64 %at
  %first.at = getelementptr i64, ptr %part, i64 2
  %first = load i64, ptr %first.at
  %late = icmp sge i64 %first, %end
  br i1 %late, label %out, label %range
range:
  %units.at = getelementptr i64, ptr %part, i64 3
  %units = load i64, ptr %units.at
  %cost.at = getelementptr i64, ptr %part, i64 4
  %cost = load i64, ptr %cost.at
  %whole = mul i64 %units, %cost
  %last = add i64 %first, %whole
  %early = icmp sle i64 %last, %begin
  br i1 %early, label %next, label %some
some:
  %low = call i64 @unit_from(i64 %begin, i64 %first, i64 %cost, i64 %units)
  %high = call i64 @unit_from(i64 %end, i64 %first, i64 %cost, i64 %units)
  %any = icmp slt i64 %low, %high
  br i1 %any, label %run, label %next
run:
  %kernel = load ptr, ptr %part
  %own.at = getelementptr i64, ptr %part, i64 1
  %own = load i64, ptr %own.at
  %own.args = getelementptr i64, ptr %args, i64 %own
  call void %kernel(ptr %own.args, i64 %low, i64 %high, ptr %scratch)
  br label %next
next:
  %up = add i64 %i, 1
  br label %head
out:
  ret void
}
"""


def region_text() -> str:
    """`squall_region`, to stand beside the runner."""
    return REGION.replace("PART_WORDS", str(PART)).replace("HEAD_WORDS", str(HEAD))
