"""Objects linked by squall itself: what runs is what LLVM's loader would run."""

from __future__ import annotations

import ctypes
import os
import sys

import pytest

from squall.base.errors import CompileError
from squall.runtime import host, linking, machine_code
from squall.runtime.machine_code import CodeTarget, Unit, compile_objects

pytestmark = pytest.mark.skipif(not host.facts().triple.startswith("x86_64") or sys.platform != "linux",
                                reason="links x86-64 ELF objects")

COUNTER = """
@count = internal global i64 0
@big = internal global [9000 x i64] zeroinitializer, align 64
@table = private constant [4 x i64] [i64 10, i64 20, i64 30, i64 40], align 64
@first = internal global ptr @table
declare i32 @getpid()

define i64 @next() {
  %old = load i64, ptr @count
  %new = add i64 %old, 1
  store volatile i64 %new, ptr @count
  %last = getelementptr i64, ptr @big, i64 8999
  store volatile i64 %new, ptr %last
  ret i64 %new
}

define i64 @entry_of(i64 %i) {
  %where = load volatile ptr, ptr @first
  %at = getelementptr i64, ptr %where, i64 %i
  %x = load i64, ptr %at
  ret i64 %x
}

define i64 @process(i64 %x) {
  %y = call i32 @getpid()
  %z = sext i32 %y to i64
  ret i64 %z
}
"""


def blobs_of(*units):
    return [compile_objects([unit], CodeTarget(host.facts().triple))[0] for unit in units]


def functions(image):
    word = ctypes.c_int64
    return {name: ctypes.CFUNCTYPE(word, word)(at) for name, at in linking.load(image).items()}


def counter():
    names = ("next", "entry_of", "process")
    return linking.link(blobs_of(Unit(COUNTER, {name: name for name in names})))


def test_variables_constants_and_functions_of_the_process():
    image = counter()
    assert [name for _, name in image.externals] == ["getpid"]
    assert len(image.addresses) == 1
    assert image.size - image.executable > 9000 * 8 > len(image.data) - image.executable
    found = functions(image)
    assert [found["next"](0) for _ in range(3)] == [1, 2, 3]
    assert [found["entry_of"](i) for i in range(4)] == [10, 20, 30, 40]
    assert found["process"](0) == os.getpid()


def test_an_image_may_be_loaded_twice():
    image = counter()
    one, other = functions(image), functions(image)
    assert (one["next"](0), one["next"](0), other["next"](0)) == (1, 2, 1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_has_variables_of_its_own():
    found = functions(counter())
    found["next"](0)
    child = os.fork()
    if child == 0:
        found["next"](0)
        os._exit(found["next"](0))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
    assert found["next"](0) == 2


def test_objects_refer_to_each_other():
    one = Unit("define i64 @one(i64 %x) { ret i64 41 }", {"one": "one"})
    two = Unit("declare i64 @one(i64)\ndefine i64 @two(i64 %x) {\n  %y = call i64 @one(i64 %x)\n"
               "  %z = add i64 %y, 1\n  ret i64 %z\n}\n", {"two": "two"})
    image = linking.link(blobs_of(two, one))
    assert image.externals == ()
    assert functions(image)["two"](0) == 42


def kind_of(address):
    """The protection of the memory at an address, as the system writes it."""
    with open("/proc/self/maps") as file:
        for line in file:
            span, kind = line.split()[:2]
            start, end = (int(word, 16) for word in span.split("-"))
            if start <= address < end:
                return kind
    return ""


def test_code_is_not_writable_and_variables_are():
    image = counter()
    base = linking.load(image)["next"] - image.symbols["next"]
    assert kind_of(base) == kind_of(base + image.executable - 1) == "r-xp"
    assert kind_of(base + image.executable) == kind_of(base + image.size - 1) == "rw-p"


@pytest.mark.parametrize("blob", [b"", b"no object", b"\x7fELF\x02\x01" + bytes(200), b"\xcf\xfa\xed\xfe" * 40])
def test_what_it_does_not_know_is_left_to_llvm(blob):
    assert linking.link([blob]) is None


def test_thread_local_variables_are_left_to_llvm():
    text = "@v = thread_local global i64 3\ndefine i64 @f() {\n  %x = load i64, ptr @v\n  ret i64 %x\n}\n"
    assert linking.link(blobs_of(Unit(text, {"f": "f"}))) is None


def test_other_processors_are_left_to_llvm():
    unit = Unit("define i64 @f() { ret i64 3 }", {"f": "f"})
    blob, = compile_objects([unit], CodeTarget("aarch64-unknown-linux-gnu"))
    assert linking.link([blob]) is None


def test_truncated_objects_do_not_load():
    blob, = blobs_of(Unit(COUNTER, {"next": "next"}))
    for length in range(0, len(blob), 97):
        image = linking.link([blob[:length]])
        if image is not None:
            with pytest.raises(CompileError):
                machine_code.chosen(linking.load(image), ["next"])


@pytest.mark.parametrize("change", [
    {"externals": ((1 << 40, "getpid"),)}, {"addresses": (-8,)}, {"size": 0}, {"executable": 1 << 40},
    {"externals": ((0, "no_such_function_anywhere"),)},
])
def test_damaged_images_do_not_load(change):
    with pytest.raises(CompileError, match="does not load"):
        linking.load(counter()._replace(**change))


def test_llvm_loads_the_same_object():
    blobs = blobs_of(Unit(COUNTER, {"process": "process"}))
    word = ctypes.c_int64
    address = machine_code.load_by_llvm(blobs, ["process"])["process"]
    assert ctypes.CFUNCTYPE(word, word)(address)(0) == os.getpid()
