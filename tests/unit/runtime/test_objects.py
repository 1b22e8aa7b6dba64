"""Kernels to addresses: each cache answers when it should, and only then."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

from squall.base.errors import CompileError
from squall.runtime import host, objects
from squall.runtime.machine_code import CodeTarget
from squall.runtime.objects import ObjectStore, Request


def text(number, name="answer"):
    return (f"define internal i64 @helper() noinline {{\n  ret i64 {number}\n}}\n"
            f"define i64 @{name}() {{\n  %x = call i64 @helper()\n  ret i64 %x\n}}\n")


def request(number):
    return Request(text(number), ("answer",))


def call(address):
    return ctypes.CFUNCTYPE(ctypes.c_int64)(address)()


def new_store(**options):
    return ObjectStore("test", CodeTarget(host.facts().triple), **options)


def test_many_kernels_of_equal_names_in_one_object(cache_folder):
    store = new_store()
    found = store.functions({number: request(number) for number in range(20)})
    assert [call(found[number]["answer"]) for number in range(20)] == list(range(20))
    assert store.compiled == 20
    assert store.from_disk == 0


def test_memory_answers_without_looking_at_the_request(cache_folder):
    store = new_store()
    first = store.functions({"one": request(1)})

    def never():
        raise AssertionError("asked for the text of a kernel that is in memory")

    assert store.functions({"one": Request(never, ("answer",))}) == first
    assert store.memory.hits == 1


def test_the_same_batch_is_one_read_from_disk(cache_folder):
    new_store().functions({number: request(number) for number in range(5)})
    store = new_store()
    found = store.functions({number: request(number) for number in (4, 2, 0, 1, 3)})
    assert (store.compiled, store.from_disk) == (0, 1)
    assert call(found[3]["answer"]) == 3


def test_some_of_a_batch_and_new_ones(cache_folder):
    new_store().functions({number: request(number) for number in range(5)})
    new_store().functions({7: request(7)})
    store = new_store()
    found = store.functions({number: request(number) for number in (1, 7, 3, 99)})
    assert (store.compiled, store.from_disk) == (1, 2)
    assert [call(found[number]["answer"]) for number in (1, 7, 3, 99)] == [1, 7, 3, 99]
    store.functions({0: request(0)})  # came with its pack
    assert (store.compiled, store.from_disk) == (1, 2)


def test_lazy_text_is_found_on_disk_by_its_key(cache_folder):
    made = []

    def make():
        made.append(1)
        return text(5)

    new_store().functions({("kernel", 5): Request(make, ("answer",))})
    found = new_store().functions({("kernel", 5): Request(make, ("answer",))})
    assert made == [1]
    assert call(found["kernel", 5]["answer"]) == 5


def test_lazy_text_is_made_again_when_its_generator_changes(cache_folder):
    for version, compiled in (("1", 1), ("2", 1), ("1", 0)):
        store = new_store(generator=lambda version=version: version)
        store.functions({"key": Request(lambda: text(5), ("answer",))})
        assert store.compiled == compiled


@pytest.mark.parametrize("changed", [{"salt": ("other",)}, {"passes": ("sroa",)}, {"level": 0}])
def test_everything_that_changes_code_is_in_the_key(cache_folder, changed):
    new_store().functions({1: request(1)})
    store = new_store(**changed)
    store.functions({1: request(1)})
    assert store.compiled == 1


def test_damaged_packs_are_compiled_anew(cache_folder):
    new_store().functions({number: request(number) for number in range(3)})
    for path in cache_folder.rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:-5])
    store = new_store()
    found = store.functions({number: request(number) for number in range(3)})
    assert (store.compiled, store.from_disk) == (3, 0)
    assert call(found[2]["answer"]) == 2
    again = new_store()
    again.functions({number: request(number) for number in range(3)})
    assert again.compiled == 0


def test_foreign_content_with_a_right_checksum_is_compiled_anew(cache_folder):
    store = new_store()
    digest = store.digest(1, request(1))
    for payload in (b"not json\nnot an object", b"{}\n", b'{"x": {"f": "g"}}\n\x7fELF', b"[1]\n"):
        objects.disk().put(objects._pack_name([digest]), payload)
        fresh = new_store()
        assert call(fresh.functions({1: request(1)})[1]["answer"]) == 1
        assert fresh.compiled == 1


def test_an_unwritable_folder_is_tolerated(cache_folder):
    (cache_folder / "objects").write_text("in the way")
    with pytest.warns(RuntimeWarning, match="cannot be kept"):
        assert call(new_store().functions({1: request(1)})[1]["answer"]) == 1


def test_errors_name_what_is_wrong(cache_folder):
    store = new_store()
    with pytest.raises(CompileError, match="bad_one"):
        store.functions({1: Request("define void @bad_one( {", ("bad_one",))})
    with pytest.raises(CompileError, match="defines no other; it defines helper, answer"):
        store.functions({2: Request(text(1), ("other",))})
    unknown = "declare void @no_such_function()\ndefine void @f() {\n  call void @no_such_function()\n  ret void\n}\n"
    with pytest.raises(CompileError, match="does not load"):
        store.functions({3: Request(unknown, ("f",))})
    assert call(store.functions({4: request(4)})[4]["answer"]) == 4


def test_process_functions_may_be_called(cache_folder):
    source = ("declare double @fmod(double, double)\ndefine double @f(double %x) {\n"
              "  %y = call double @fmod(double %x, double 3.0)\n  ret double %y\n}\n")
    address = new_store().functions({1: Request(source, ("f",))})[1]["f"]
    assert ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(address)(7.5) == 1.5


def test_constants_and_calls_survive_the_disk(cache_folder):
    source = ("@table = private constant [4 x i64] [i64 10, i64 20, i64 30, i64 40]\n"
              "define i64 @f(i64 %i) {\n  %p = getelementptr [4 x i64], ptr @table, i64 0, i64 %i\n"
              "  %x = load i64, ptr %p\n  ret i64 %x\n}\n")
    for _ in range(2):
        address = new_store().functions({1: Request(source, ("f",))})[1]["f"]
        function = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(address)
        assert [function(i) for i in range(4)] == [10, 20, 30, 40]


def test_processes_share_a_folder(cache_folder):
    script = ("import ctypes, sys\nfrom squall.runtime import host, machine_code, objects\n"
              "store = objects.ObjectStore('s', machine_code.CodeTarget(host.facts().triple))\n"
              "text = 'define i64 @f() {{\\n  ret i64 {}\\n}}\\n'\n"
              "for turn in range(4):\n"
              "    wanted = {i: objects.Request(text.format(i), ('f',)) for i in range(turn * 3, turn * 3 + 5)}\n"
              "    for i, found in store.functions(wanted).items():\n"
              "        assert ctypes.CFUNCTYPE(ctypes.c_int64)(found['f'])() == i\n"
              "print(store.compiled)\n")
    command = [sys.executable, "-W", "error", "-c", script]
    environment = {**os.environ, "SQUALL_CACHE_DIR": str(cache_folder), "SQUALL_CACHE": "1"}
    root = Path(__file__).parents[3]
    running = [subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.PIPE) for _ in range(3)]
    assert all(process.communicate(timeout=600)[0] for process in running)
    assert [process.returncode for process in running] == [0, 0, 0]
    last = subprocess.run(command, cwd=root, env=environment, stdout=subprocess.PIPE, timeout=600, check=True)
    assert last.stdout.strip() == b"0"
