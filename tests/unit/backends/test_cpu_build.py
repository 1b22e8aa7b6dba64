"""Building kernels for this machine, and looking at other machines' code."""

from __future__ import annotations

import ctypes
import os

import pytest

from squall.backends.cpu import build
from squall.backends.cpu.target import host_target, named_target
from squall.base.errors import DeviceError
from squall.runtime.plan_image import Bind, PlanImage, Step

# result[i] = a * x[i] + y[i] for units of 16 floats, with one explicit fma
AXPY = """
declare <16 x float> @llvm.fma.v16f32(<16 x float>, <16 x float>, <16 x float>)
define void @axpy(ptr %args, i64 %begin, i64 %end, ptr %scratch) nounwind {
entry:
  %r = load ptr, ptr %args
  %x.at = getelementptr i64, ptr %args, i64 1
  %x = load ptr, ptr %x.at
  %y.at = getelementptr i64, ptr %args, i64 2
  %y = load ptr, ptr %y.at
  %a.at = getelementptr i64, ptr %args, i64 3
  %a64 = load double, ptr %a.at
  %a = fptrunc double %a64 to float
  %one = insertelement <16 x float> poison, float %a, i64 0
  %wide = shufflevector <16 x float> %one, <16 x float> poison, <16 x i32> zeroinitializer
  br label %head
head:
  %i = phi i64 [%begin, %entry], [%next, %body]
  %more = icmp slt i64 %i, %end
  br i1 %more, label %body, label %out
body:
  %o = mul i64 %i, 16
  %xp = getelementptr float, ptr %x, i64 %o
  %yp = getelementptr float, ptr %y, i64 %o
  %rp = getelementptr float, ptr %r, i64 %o
  %xv = load <16 x float>, ptr %xp, align 4
  %yv = load <16 x float>, ptr %yp, align 4
  %s = call <16 x float> @llvm.fma.v16f32(<16 x float> %xv, <16 x float> %wide, <16 x float> %yv)
  store <16 x float> %s, ptr %rp, align 4
  %next = add i64 %i, 1
  br label %head
out:
  ret void
}
"""


def test_a_kernel_runs_in_a_plan():
    address = build.compile_functions({"axpy": (AXPY, ["axpy"])})["axpy"]["axpy"]
    x = (ctypes.c_float * 160)(*range(160))
    y = (ctypes.c_float * 160)(*[1.0] * 160)
    r = (ctypes.c_float * 160)()
    step = Step(address, (Bind(0), Bind(1), Bind(2), Bind(3)), units=10)
    PlanImage([step], 4, layout="qqqd").run([*map(ctypes.addressof, (r, x, y)), 0.5])
    assert r[:] == [0.5 * i + 1 for i in range(160)]


def test_passes_do_not_change_results():
    results = []
    for passes in ((), build.SHORT_PASSES, ("O3",)):
        address = build.compile_functions({"axpy": (AXPY, ["axpy"])}, passes=passes)["axpy"]["axpy"]
        x = (ctypes.c_float * 32)(*[0.1 * i for i in range(32)])
        r = (ctypes.c_float * 32)()
        PlanImage([Step(address, (Bind(0), Bind(1), Bind(1), Bind(2)), units=2)], 3, layout="qqd").run(
            [ctypes.addressof(r), ctypes.addressof(x), 1 / 3])
        results.append(r[:])
    assert results[0] == results[1] == results[2]


def test_memory_hits_are_counted():
    build.compile_functions({"axpy": (AXPY, ["axpy"])})
    before = build.statistics()
    build.compile_functions({"axpy": (AXPY, ["axpy"])})
    after = build.statistics()
    assert after["memory hits"] == before["memory hits"] + 1
    assert after["compiled"] == before["compiled"]
    assert set(after["disk"]) >= {"folder", "hits", "damaged"}


def test_text_is_made_only_when_needed():
    made = []

    def make():
        made.append(1)
        return AXPY

    key = ("a kernel of this test", build.generator_version())
    first = build.compile_functions({key: (make, ["axpy"])})
    assert build.compile_functions({key: (make, ["axpy"])}) == first
    assert len(made) <= 1
    assert len(build.generator_version()) == 64


def test_changed_sources_are_another_generator(tmp_path, monkeypatch):
    rooms = tmp_path / "package"
    source = rooms / "compiler" / "deep" / "one.py"
    source.parent.mkdir(parents=True)
    (rooms / "backends" / "cpu").mkdir(parents=True)
    monkeypatch.setattr(build, "__file__", str(rooms / "backends" / "cpu" / "build.py"))
    seen = []
    for text in ("a = 1", "a = 2", "a = 1"):
        source.write_text(text)
        os.utime(source, ns=(len(seen), len(seen)))
        for _ in range(2):  # read, then found on disk
            build.generator_version.cache_clear()
            seen.append(build.generator_version())
    build.generator_version.cache_clear()
    assert seen[0] == seen[1] == seen[4] == seen[5] and seen[2] == seen[3] != seen[0]


@pytest.mark.parametrize(("isa", "seen", "unseen"), [
    ("avx512", ["%zmm", "vfmadd"], []), ("avx2", ["%ymm", "vfmadd"], ["%zmm"]),
    ("sse4", ["%xmm"], ["%ymm", "vfmadd"]), ("neon", ["fmla"], ["%xmm"])])
def test_assembly_of_each_instruction_set(isa, seen, unseen):
    target = named_target(isa, "aarch64-unknown-linux-gnu" if isa == "neon" else "x86_64-unknown-linux-gnu")
    text = build.assembly_of(AXPY, ["axpy"], target)
    assert "axpy" in text
    assert all(word in text for word in seen)
    assert not any(word in text for word in unseen)


def test_objects_for_another_machine_are_made_but_not_loaded():
    other = named_target("neon", "aarch64-unknown-linux-gnu" if host_target().architecture == "x86_64"
                         else "aarch64-apple-darwin")
    blob = build.object_of([(AXPY, ("axpy",))], other)
    assert blob[:4] in (b"\x7fELF", b"\xcf\xfa\xed\xfe")
    assert b"axpy" in blob
    with pytest.raises(DeviceError, match="does not run on"):
        build.compile_functions({"axpy": (AXPY, ["axpy"])}, target=other)
