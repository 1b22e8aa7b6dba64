"""Fixtures of the runtime tests: a private disk cache, a thread count that is put back, small kernels."""

from __future__ import annotations

import pytest

from squall.base import config
from squall.runtime import host, machine_code, native, objects

# args: pointer to f64 results, pointer to i64 thread marks or null. Unit i becomes a value that takes time to compute.
WORK = """
define void @work(ptr %args, i64 %begin, i64 %end, ptr %scratch) nounwind {
entry:
  %results = load ptr, ptr %args
  br label %head
head:
  %i = phi i64 [%begin, %entry], [%next, %store]
  %more = icmp slt i64 %i, %end
  br i1 %more, label %start, label %out
start:
  %x0 = sitofp i64 %i to double
  br label %loop
loop:
  %j = phi i64 [0, %start], [%up, %loop]
  %x = phi double [%x0, %start], [%y, %loop]
  %scaled = fmul double %x, 0x3FEFFFFFE0000000
  %y = fadd double %scaled, 1.0
  %up = add i64 %j, 1
  %again = icmp slt i64 %up, 200
  br i1 %again, label %loop, label %store
store:
  %at = getelementptr double, ptr %results, i64 %i
  store double %y, ptr %at
  %next = add i64 %i, 1
  br label %head
out:
  ret void
}
"""

# Unit i adds i to result i, after a trip through the scratch memory; a null or unaligned scratch gives -1.
SCRATCH = """
define void @use_scratch(ptr %args, i64 %begin, i64 %end, ptr %scratch) nounwind {
entry:
  %results = load ptr, ptr %args
  %bytes.at = getelementptr i64, ptr %args, i64 1
  %bytes = load i64, ptr %bytes.at
  %last = sub i64 %bytes, 8
  %far = getelementptr i8, ptr %scratch, i64 %last
  %bits = ptrtoint ptr %scratch to i64
  %low = and i64 %bits, 63
  %aligned = icmp eq i64 %low, 0
  %there = icmp ne i64 %bits, 0
  %good = and i1 %aligned, %there
  br label %head
head:
  %i = phi i64 [%begin, %entry], [%next, %store]
  %more = icmp slt i64 %i, %end
  br i1 %more, label %check, label %out
check:
  br i1 %good, label %use, label %store
use:
  store volatile i64 %i, ptr %scratch
  store volatile i64 %i, ptr %far
  %back = load volatile i64, ptr %far
  br label %store
store:
  %value = phi i64 [-1, %check], [%back, %use]
  %at = getelementptr i64, ptr %results, i64 %i
  %old = load i64, ptr %at
  %new = add i64 %old, %value
  store i64 %new, ptr %at
  %next = add i64 %i, 1
  br label %head
out:
  ret void
}
"""

# Stores argument 1 at the address in argument 0; used to fail (a status word) and to see that a step ran.
STORE = """
define void @store(ptr %args, i64 %begin, i64 %end, ptr %scratch) nounwind {
  %target = load ptr, ptr %args
  %value.at = getelementptr i64, ptr %args, i64 1
  %value = load i64, ptr %value.at
  store i64 %value, ptr %target
  ret void
}
"""


@pytest.fixture(scope="session")
def kernels():
    """Addresses of the kernels above, by name."""
    store = objects.ObjectStore("test kernels", machine_code.CodeTarget(host.facts().triple))
    texts = {"work": WORK, "use_scratch": SCRATCH, "store": STORE}
    found = store.functions({name: objects.Request(text, (name,)) for name, text in texts.items()})
    return {name: found[name][name] for name in texts}


@pytest.fixture(autouse=True)
def same_threads():
    """Put the number of threads back after each test."""
    before = native.get_num_threads()
    yield
    native.set_num_threads(before)


@pytest.fixture
def cache_folder(tmp_path):
    """An empty disk cache of this test's own."""
    with config.options(cache_dir=str(tmp_path), cache=True):
        objects.reopen_disk()
        yield tmp_path
    objects.reopen_disk()
