"""LLVM text of chains: a kernel of the ABI that runs kernels one after the other for each of its units.

Unit after unit, each kernel runs its unit of the same number on what the one before left for it. So what lies between
two kernels is only ever a unit long: it is kept in the thread's scratch and never leaves the caches. A kernel finds it
where the whole of it would be, since the word that points there is set for each unit so that the unit's piece lies in
the scratch. `squall_chain(args, begin, end, scratch)`; its args, in 8-byte words:

    head (4): number of parts, number of links, words of the parts' args, bytes of scratch before that of the parts
    part (2 each): kernel, word at which its args begin, counted in the parts' args
    link (3 each): word in the parts' args that points to what is kept, where that is in the scratch, bytes of a unit
    then the args of the parts, of which each thread has a copy at the beginning of its scratch
"""

from __future__ import annotations

CHAIN_HEAD, CHAIN_PART, CHAIN_LINK = 4, 2, 3

CHAIN = """
define void @squall_chain(ptr %args, i64 %begin, i64 %end, ptr %scratch) nounwind {
entry:
  %parts = load i64, ptr %args
  %links.at = getelementptr i64, ptr %args, i64 1
  %links = load i64, ptr %links.at
  %words.at = getelementptr i64, ptr %args, i64 2
  %words = load i64, ptr %words.at
  %before.at = getelementptr i64, ptr %args, i64 3
  %before = load i64, ptr %before.at
  %first.part = getelementptr i64, ptr %args, i64 CHAIN_HEAD
  %part.words = mul i64 %parts, CHAIN_PART
  %first.link = getelementptr i64, ptr %first.part, i64 %part.words
  %link.words = mul i64 %links, CHAIN_LINK
  %given = getelementptr i64, ptr %first.link, i64 %link.words
  %bytes = shl i64 %words, 3
  call void @llvm.memcpy.p0.p0.i64(ptr %scratch, ptr %given, i64 %bytes, i1 false)
  %own = getelementptr i8, ptr %scratch, i64 %before
  %base = ptrtoint ptr %scratch to i64
  br label %head
head:
  %unit = phi i64 [%begin, %entry], [%next, %done]
  %more = icmp slt i64 %unit, %end
  br i1 %more, label %link.head, label %out
link.head:
  %l = phi i64 [0, %head], [%l.up, %link]
  %l.more = icmp slt i64 %l, %links
  br i1 %l.more, label %link, label %part.head
link:
  %l.skip = mul i64 %l, CHAIN_LINK
  %record = getelementptr i64, ptr %first.link, i64 %l.skip
  %word = load i64, ptr %record
  %offset.at = getelementptr i64, ptr %record, i64 1
  %offset = load i64, ptr %offset.at
  %size.at = getelementptr i64, ptr %record, i64 2
  %size = load i64, ptr %size.at
  %earlier = mul i64 %unit, %size
  %piece = add i64 %base, %offset
  %whole = sub i64 %piece, %earlier
  %target = getelementptr i64, ptr %scratch, i64 %word
  store i64 %whole, ptr %target
  %l.up = add i64 %l, 1
  br label %link.head
part.head:
  %p = phi i64 [0, %link.head], [%p.up, %part]
  %p.more = icmp slt i64 %p, %parts
  br i1 %p.more, label %part, label %done
part:
  %p.skip = mul i64 %p, CHAIN_PART
  %part.at = getelementptr i64, ptr %first.part, i64 %p.skip
  %kernel = load ptr, ptr %part.at
  %from.at = getelementptr i64, ptr %part.at, i64 1
  %from = load i64, ptr %from.at
  %own.args = getelementptr i64, ptr %scratch, i64 %from
  %after = add i64 %unit, 1
  call void %kernel(ptr %own.args, i64 %unit, i64 %after, ptr %own)
  %p.up = add i64 %p, 1
  br label %part.head
done:
  %next = add i64 %unit, 1
  br label %head
out:
  ret void
}
"""


def chain_text() -> str:
    """`squall_chain`, to stand beside the runner."""
    return (CHAIN.replace("CHAIN_HEAD", str(CHAIN_HEAD)).replace("CHAIN_PART", str(CHAIN_PART))
            .replace("CHAIN_LINK", str(CHAIN_LINK)))
