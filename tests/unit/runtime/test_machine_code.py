"""Compiling in parts, and what LLVM is told and left with."""

from __future__ import annotations

import ctypes
import gc

import pytest

from squall.base.errors import CompileError
from squall.runtime.dealing import Unit, deal, taken_apart
from squall.runtime.host import facts
from squall.runtime.machine_code import CodeTarget, assembly, compile_objects, load_by_llvm, load_objects


def unit(number):
    text = (f"@constant = private constant i64 {number}\n"
            "define internal i64 @helper() noinline {\n  %x = load i64, ptr @constant\n  ret i64 %x\n}\n"
            "define i64 @f() {\n  %x = call i64 @helper()\n  ret i64 %x\n}\n")
    return Unit(text, {"f": f"f{number}"})


def host():
    return CodeTarget(facts().triple)


@pytest.mark.parametrize("parts", [1, 2, 3, 100])
def test_parts_hold_all_functions(parts):
    units = [unit(number) for number in range(13)]
    blobs = compile_objects(units, host(), parts=parts)
    assert len(blobs) == min(parts, 3)
    found = load_objects(blobs, [f"f{number}" for number in range(13)])
    values = [ctypes.CFUNCTYPE(ctypes.c_int64)(found[f"f{number}"])() for number in range(13)]
    assert values == list(range(13))


def library(number, functions=40):
    """A long unit of functions that call each other: f adds up what the others give, and reaches one by its address."""
    others = []
    for i in range(functions):
        below = f"  %y = call i64 @part{i - 1}(i64 %x)\n" if i else f"  %y = add i64 %x, {number}\n"
        blocks = "".join(f"  br label %b{k}\nb{k}:\n" for k in range(5))
        others.append(f"define internal i64 @part{i}(i64 %x) nounwind {{\nentry:\n{blocks}{below}  ret i64 %y\n}}\n")
    own = (f"define i64 @f() nounwind {{\nentry:\n  %p = alloca ptr\n  store ptr @part{functions - 1}, ptr %p\n"
           "  %q = load volatile ptr, ptr %p\n  %x = call i64 %q(i64 1000)\n"
           "  %t = call i64 @llvm.smax.i64(i64 %x, i64 0)\n  ret i64 %t\n}\n")
    return Unit("declare i64 @llvm.smax.i64(i64, i64)\n" + "".join((*others, own)), {"f": f"f{number}"})


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_long_units_are_taken_apart(parts):
    units = [library(7), library(8), unit(5)]
    blobs = compile_objects(units, host(), parts=parts, verify=True)
    assert len(blobs) == parts
    assert max(len(blob) for blob in blobs) < 1.5 * min(len(blob) for blob in blobs)
    for load in (load_objects, load_by_llvm):
        found = load(blobs, ["f7", "f8", "f5"])
        assert [ctypes.CFUNCTYPE(ctypes.c_int64)(found[name])() for name in ("f7", "f8", "f5")] == [1007, 1008, 5]


def test_units_with_more_than_functions_stay_whole():
    one = library(7)
    assert len(taken_apart(one, 2)) == 2
    assert taken_apart(Unit("@word = internal global i64 0\n" + one.text, one.names), 2)[0].names == one.names
    assert len(deal([unit(1)], 2)) == 1


def test_compiling_again_gives_the_same_bytes():
    units = [unit(number) for number in range(9)]
    assert compile_objects(units, host(), parts=2) == compile_objects(units, host(), parts=2)


@pytest.mark.parametrize("bad", [0, 5, 11])
def test_an_error_in_any_part_is_raised_and_leaves_llvm_usable(bad):
    units = [unit(number) for number in range(12)]
    units[bad] = Unit("define i64 @f() { this is not LLVM }", {"f": "f"})
    for _ in range(3):
        with pytest.raises(CompileError, match="LLVM rejects the text of f"):
            compile_objects(units, host(), parts=3)
        gc.collect()
    assert compile_objects([unit(1)], host())


def test_invalid_modules_are_found_when_asked():
    # The value is used before it is made: the parser takes it, the verifier does not.
    text = "define i64 @f() {\n  %a = add i64 %b, 1\n  %b = add i64 %a, 1\n  ret i64 %b\n}\n"
    with pytest.raises(CompileError, match="not valid"):
        compile_objects([Unit(text, {"f": "f"})], host(), verify=True)


def test_objects_hold_no_addresses_of_this_process():
    text = "declare ptr @malloc(i64)\ndefine ptr @f() {\n  %p = call ptr @malloc(i64 8)\n  ret ptr %p\n}\n"
    (blob,) = compile_objects([Unit(text, {"f": "f"})], host())
    address = ctypes.cast(ctypes.CDLL(None).malloc, ctypes.c_void_p).value
    assert address.to_bytes(8, "little") not in blob
    assert load_objects([blob], ["f"])["f"]


def test_assembly_shows_the_renamed_function():
    assert "f7:" in assembly([unit(7)], host())


def test_passes_are_named_as_llvmlite_names_them():
    plain, short = assembly([unit(1)], host(), passes=()), assembly([unit(1)], host())
    assert "f1" in plain
    assert len(short) <= len(plain)
    with pytest.raises(AttributeError, match="no_such"):
        compile_objects([unit(1)], host(), passes=("no_such",))
