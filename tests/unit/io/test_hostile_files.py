"""Files that are truncated, damaged or made to harm: always a CheckpointError, never code, a crash or a huge
allocation."""

import io as textio
import json
import os
import pickle
import random
import struct
import tracemalloc
import zipfile
import zlib
from collections import OrderedDict

import numpy as np
import pytest

import squall as sq
from squall import io
from squall.base.errors import CheckpointError
from squall.io import pickle_reader
from squall.io.zip_files import ZipReader
from tests.unit.io.torch_writer import MAGIC, legacy_file, zip_file

W = np.arange(6, dtype="f4").reshape(2, 3)


STORAGE = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\n"


def state(tensor):
    return OrderedDict(w=tensor("FloatStorage", W), b=tensor("LongStorage", np.arange(4), (2,), (2,), 1), n=[1, "two"])


def bare(body):
    """A zip archive around the bytes of a pickle."""
    out = textio.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr("a/data.pkl", body)
        file.writestr("a/data/0", bytes(64))
        file.writestr("a/version", "3\n")
    return out.getvalue()


def load(data, **options):
    return sq.load(textio.BytesIO(data), **options)


def refused(data, words="."):
    """The message of the refusal, which comes without a large allocation."""
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match=words) as caught:
            load(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 50_000_000 + 20 * len(data), f"{peak} bytes were allocated"
    return str(caught.value)


# ---------------------------------------------------------------- code
class Command:
    """Runs a command where it is unpickled."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("weights_only", [True, False])
@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_a_pickle_that_runs_a_command_runs_nothing(tmp_path, protocol, weights_only):
    path = tmp_path / "proof"
    body = pickle.dumps({"w": Command(os.system, f"touch {path}")}, protocol)
    for data in (bare(body), pickle.dumps(MAGIC, 2) + pickle.dumps(1001, 2) + pickle.dumps({}, 2) + body, body):
        try:
            load(data, weights_only=weights_only)
        except CheckpointError as error:
            assert "system" in str(error) or "before the object" in str(error) or data is not body
            if weights_only and data is not body:
                assert f"'{os.system.__module__}.system'" in str(error)
    assert not path.exists()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("builtins", "eval"), ("builtins", "exec"), ("builtins", "getattr"), ("builtins", "__import__"),
        ("builtins", "open"), ("os", "system"), ("subprocess", "Popen"), ("operator", "attrgetter"),
        ("importlib", "import_module"), ("torch", "load"), ("torch.storage", "_load_from_bytes"),
        ("torch._utils", "_rebuild_sparse_tensor"), ("torch._utils", "_rebuild_meta_tensor_no_storage"),
        ("numpy", "load"), ("numpy.f2py.diagnose", "run"), ("squall.io", "load"), ("builtins", "range"),
        ("torch.serialization", "os.system"), ("collections", "OrderedDict.fromkeys"), ("functools", "partial"),
    ],
)  # fmt: skip
def test_globals_are_refused_by_name(module, name):
    texts = b"".join(b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, name))
    for code in (
        f"c{module}\n{name}\n(tR.".encode(),
        b"\x80\x04" + texts + b"\x93)R.",
        f"c{module}\n{name}\n.".encode(),
        f"c{module}\n{name}\n)\x81".encode("latin-1") + b"}b.",
    ):
        assert f"'{module}.{name}'" in refused(bare(code))


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (b"(cos\nsystem\nX\x01\x00\x00\x00ao.", "system"),
        (b"(X\x01\x00\x00\x00aios\nsystem\n.", "opcode 0x69"),
        (b"(ccollections\nOrderedDict\no.", "opcode 0x6f"),
        (b"\x82\x01.", "opcode 0x82"),
        (b"K\x01)R.", "it calls a int"),
        (b"ccollections\nOrderedDict\nK\x01R.", "not a tuple"),
        (b"ccollections\nOrderedDict\n(K\x01tR.", "a mapping is a int"),
        (b"ccollections\nOrderedDict\n)R(X\x09\x00\x00\x00__class__cos\nsystem\ndb.", "system"),
        (b"]K\x01b.", "puts a state into a list"),
        (b"cbuiltins\nset\n.", "holds <builtins.set> itself"),
        (b"ctorch\nFloatStorage\n.", "itself"),
        (STORAGE + b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x10tQ.", "itself"),
        (STORAGE + b"X\x03\x00\x00\x00../X\x03\x00\x00\x00cpuK\x10tQ.", "not in the"),
        (STORAGE + b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuJ\xff\xff\xff\x7ftQ.", "64 bytes"),
        (b"Pplain\n.", "persistent id"),
        (b"K\x01Q.", "persistent id"),
        (b"}(]K\x01u.", "a list is used as a dictionary key"),
        (b"}(K\x01u.", "a key has no value"),
        (b"\x8f(]\x90.", "a list is used"),
        (b"K\x01K\x02a.", "appends to a int"),
        (b"K\x01K\x02K\x03s.", "sets an entry of a int"),
        (b"K\x01(K\x02\x90.", "adds to a int"),
        (b"K\x01K\x02.", "before what it began is finished"),
        (b"(K\x01.", "before what it began is finished"),
        (b".", "its stack is empty"),
        (b"a.", "its stack is empty"),
        (b"\x86.", "its stack is empty"),
        (b"h\x05.", "memo 5"),
        (b"\x80\x09.", "protocol 9"),
        (b"\xff.", "opcode 0xff"),
        (b"I12x\n.", "invalid literal"),
        (b"L" + b"9" * 4200 + b"\n.", "has no end"),
        (b"\x8b\xff\xff\xff\x7f.", "an integer of"),
        (b"\x8b\xff\xff\xff\xff.", "an integer of"),
        (b"X\x02\x00\x00\x00\xff\xff.", "utf-8"),
        (b"c\xff\xff\nx\n.", "utf-8"),
        (b"Sabc\n.", "no quotes"),
        (b"ccollections\ndefaultdict\n(cos\nsystem\ntR.", "system"),
        (b"cbuiltins\nbytearray\n(J\x00\x00\x00\x7ftR.", "a bytearray is made of is a int"),
        (b"cbuiltins\nlist\n(J\x00\x00\x00\x7ftR.", "is a int"),
        (b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x05\x00\x00\x00rot13tR.", "encoding 'rot13'"),
        (b"cnumpy\ndtype\n(X\x01\x00\x00\x00OtR.", "itself"),
        (b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(X\x01\x00\x00\x00OtRC\x08" + bytes(8) + b"tR.", "'O'"),
        (b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(X\x02\x00\x00\x00f8tRC\x02abtR.", "2 bytes"),
        (b"cnumpy\ndtype\n(X\x02\x00\x00\x00f8tR(K\x03X\x01\x00\x00\x00<K\x05tb.", "state of a dtype"),
    ],
)  # fmt: skip
def test_tricks_are_refused_at_their_byte(code, words):
    message = refused(bare(b"\x80\x02" + code), words)
    assert "byte" in message or "itself" in message


def array_pickle(shape, fortran=False, raw=b"\0" * 16, kind=b"f4"):
    body = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85C\x01btR(K\x01" + shape
    body += b"cnumpy\ndtype\n(X" + struct.pack("<I", len(kind)) + kind + b"\x89\x88tR"
    body += (b"\x88" if fortran else b"\x89") + b"B" + struct.pack("<I", len(raw)) + raw
    return bare(b"\x80\x03" + body + b"tb.")


def test_arrays_of_wrong_sizes_are_refused():
    assert load(array_pickle(b"K\x02K\x02\x86")).shape == (2, 2)
    assert load(array_pickle(b"K\x02K\x02\x86", fortran=True)).shape == (2, 2)
    for shape in (b"K\x05\x85", b"J\xff\xff\xff\xff\x85", b"J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86", b"K\x01", b"]"):
        refused(array_pickle(shape), "shape")
    for kind in (b"O", b"V4", b"M8[s]", b"f4,f4", b"S99999999", b"x", b""):
        refused(array_pickle(b"K\x04\x85", kind=kind), "dtype")


# ---------------------------------------------------------------- bombs
def test_references_that_double_are_not_unfolded():
    code = b"\x80\x02]q\x00" + b"".join(b"0](h%ch%ceq%c" % (i, i, i + 1) for i in range(200)) + b"."
    got = load(bare(code))
    assert len(got) == 2 and got[0] is got[1]


def test_keys_that_double_are_refused_before_they_are_hashed():
    code = b"\x80\x02}K\x01\x85q\x00" + b"".join(b"0h%ch%c\x86q%c" % (i, i, i + 1) for i in range(100)) + b"K\x01s."
    refused(bare(code), "more than 1000 parts")


def test_large_values_are_not_copied_again_and_again():
    big = b"B" + struct.pack("<I", 1 << 20) + bytes(1 << 20) + b"\x85q\x000cbuiltins\nbytearray\nq\x010]"
    refused(bare(b"\x80\x03" + big + b"h\x01h\x00Ra" * 5000 + b"."), "more often than any real file")


def test_depth_is_no_danger():
    got = load(bare(b"\x80\x02]" + b"\x85" * 100_000 + b"."))
    assert isinstance(got, tuple)
    while isinstance(got, tuple):
        (got,) = got
    refused(bare(b"(" * 2000 + b"."), "more than 1000 containers")


@pytest.mark.parametrize("code", [b"X", b"T", b"B", b"\x8d", b"\x8e", b"\x96", b"\x95"])
def test_lengths_are_compared_with_what_is_there(code):
    wide = code in (b"\x8d", b"\x8e", b"\x96", b"\x95")
    for size in (100, (1 << 31) - 1, (1 << 63) - 1 if wide else (1 << 32) - 1):
        message = refused(bare(b"\x80\x04" + code + struct.pack("<Q" if wide else "<I", size) + b"ab."))
        assert "at byte 2" in message


def test_memo_numbers_cost_nothing():
    assert load(bare(b"\x80\x02K\x07r\xfe\xff\xff\xff0j\xfe\xff\xff\xff.")) == 7


@pytest.mark.parametrize(
    ("size", "stride", "offset"),
    [
        ((7,), (1,), 0), ((6,), (1,), 1), ((2, 3), (4, 1), 0), ((1 << 62,), (0,), 0), ((1 << 40, 1 << 40), (0, 0), 0),
        ((-1,), (1,), 0), ((2,), (-1,), 1), ((2,), (1,), -1), ((2, 3), (1,), 0), ((2.0,), (1,), 0), ((True,), (1,), 0),
        ((1,) * 65, (1,) * 65, 0), ("ab", (1, 1), 0),
    ],
)  # fmt: skip
def test_tensors_beyond_their_storage_are_refused(size, stride, offset):
    for make in (zip_file, legacy_file):
        refused(make(lambda tensor: tensor("FloatStorage", W, size, stride, offset)), "tensor")


def test_counts_that_do_not_fit_the_file_are_refused():
    for count in (5, 7, 1 << 40, -1):
        for make in (zip_file, legacy_file):
            refused(make(lambda tensor, count=count: tensor("FloatStorage", W, count=count)), "storage")


# ---------------------------------------------------------------- archives
def test_compressed_storages_and_bombs_are_refused():
    refused(zip_file(state, compress=zipfile.ZIP_DEFLATED), "compressed")
    out = textio.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("x.npy", bytes(30_000_000))
    bomb = bytearray(out.getvalue())
    at = bomb.rfind(b"PK\x01\x02")
    bomb[at + 24 : at + 28] = struct.pack("<I", 4_000_000_000)
    with pytest.raises(CheckpointError, match="too many"):
        archive = ZipReader(bytes(bomb))
        archive.read(archive.members["x.npy"])
    bomb[at + 24 : at + 28] = struct.pack("<I", 1000)
    archive = ZipReader(bytes(bomb))
    with pytest.raises(CheckpointError, match="does not have the 1000 bytes"):
        archive.read(archive.members["x.npy"])


def test_members_that_overlap_are_refused():
    body, name = bytes(100), b"a/data.pkl"
    local = struct.pack("<4sHHHHHIIIHH", b"PK\x03\x04", 20, 0, 0, 0, 33, zlib.crc32(body), 100, 100, len(name), 0)
    data = local + name + body
    start, entries = len(data), b""
    for other in (name, b"a/data/00x"):
        entries += struct.pack(
            "<4sHHHHHHIIIHHHHHII", b"PK\x01\x02", 20, 20, 0, 0, 0, 33, zlib.crc32(body), 100, 100, len(other), 0, 0, 0,
            0, 0, 0,
        ) + other  # fmt: skip
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 2, 2, len(entries), start, 0)
    refused(data + entries + end, "overlap")


def test_names_that_lead_elsewhere_are_only_names(tmp_path):
    out = textio.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr("../../outside/data.pkl", b"\x80\x02K\x01.")
    assert load(out.getvalue()) == 1 and not (tmp_path.parent.parent / "outside").exists()


def test_damaged_bytes_of_a_member_are_noticed():
    data = bytearray(zip_file(state))
    at = data.find(W.tobytes())
    data[at] ^= 1
    message = refused(bytes(data), "checksum")
    assert f"bytes {at} to {at + 24}" in message


# ---------------------------------------------------------------- every cut, many flips
def newer(tensor):
    return {"a": [1, 2.5, "x", b"y", {3}], "w": tensor("FloatStorage", W)}


FILES = {
    "zip": (lambda: zip_file(state), load),
    "legacy": (lambda: legacy_file(state), load),
    "protocol 4": (lambda: zip_file(newer, protocol=4), load),
}


@pytest.mark.parametrize("kind", FILES)
def test_every_truncation_is_an_error(kind):
    make, read = FILES[kind]
    data = make()
    for end in range(len(data)):
        with pytest.raises(CheckpointError):
            read(data[:end])


@pytest.mark.parametrize("kind", FILES)
def test_flipped_bits_give_an_error_or_data(kind):
    make, read = FILES[kind]
    data, chance = make(), random.Random(7)
    tracemalloc.start()
    for _ in range(800):
        broken = bytearray(data)
        for _ in range(chance.choice([1, 1, 1, 2, 8])):
            broken[chance.randrange(len(broken))] ^= 1 << chance.randrange(8)
        try:
            read(bytes(broken))
        except CheckpointError as error:
            assert len(str(error)) < 2000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000_000


def test_random_opcodes_give_an_error_or_data():
    chance, codes = random.Random(3), [bytes([code]) for code in pickle_reader._ACTIONS] + [b"."]
    pieces = [
        b"ctorch._utils\n_rebuild_tensor_v2\n", b"ccollections\nOrderedDict\n", b"cnumpy\ndtype\n", b"cbuiltins\nset\n",
        b"cnumpy.core.multiarray\n_reconstruct\n", b"K\x01", b"X\x01\x00\x00\x00a", b"C\x01b", b"]", b"}", b")", b"(",
        b"t", b"R",
    ]  # fmt: skip
    good = 0
    for _ in range(5000):
        kinds = (pieces if chance.random() < 0.6 else codes for _ in range(chance.randrange(1, 14)))
        body = b"".join(chance.choice(kind) for kind in kinds)
        try:
            load(bare(b"\x80\x02" + body + b"."))
            good += 1
        except CheckpointError:
            pass
    assert good > 10


# ---------------------------------------------------------------- safetensors, NumPy
def safetensors(header, size=8):
    text = header if isinstance(header, bytes) else str(header).replace("'", '"').encode()
    return len(text).to_bytes(8, "little") + text + bytes(size)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "truncated"), (b"\xff" * 8, "truncated"), ((1 << 40).to_bytes(8, "little") + b"{}", "truncated"),
        (safetensors(b"[]", 0), "not a JSON object"), (safetensors(b"{", 0), "not JSON"),
        (safetensors(b"[" * 100_000, 0), "not JSON"), (safetensors(b"\xff\xfe", 0), "not JSON"),
        (safetensors({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, "b": {"dtype": "F32", "shape": [1],
                     "data_offsets": [4, 8]}}), "overlap at byte"),
        (safetensors({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}), "gap"),
        (safetensors({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}), "4 bytes after"),
        (safetensors({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 16]}}), "truncated or damaged"),
        (safetensors({"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}), "should be 12"),
        (safetensors({"a": {"dtype": "F99", "shape": [2], "data_offsets": [0, 8]}}), "unknown dtype 'F99'"),
        (safetensors({"a": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}}), "make no sense"),
        (safetensors({"a": {"dtype": "F32", "shape": [2.0], "data_offsets": [0, 8]}}), "make no sense"),
        (safetensors({"a": {"dtype": "F32", "shape": [4294967296, 4294967296, 4294967296], "data_offsets": [0, 8]}}),
         "should be"),
        (safetensors({"a": {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}}), "damaged"),
        (safetensors({"a": {"dtype": "F32", "shape": [2]}}), "dtype, shape and data_offsets"),
        (safetensors({"a": 3}), "dtype, shape and data_offsets"),
        (safetensors(b'{"a": {}, "a": {}}'), "twice"), (safetensors({"__metadata__": {"a": 1}}, 0), "not strings"),
    ],
)  # fmt: skip
def test_damaged_safetensors_say_where(tmp_path, data, words):
    (tmp_path / "x").write_bytes(data)
    for mmap in (True, False):
        with pytest.raises(CheckpointError, match=words):
            io.load_safetensors(tmp_path / "x", mmap=mmap)


def fuzz(path, data, read, rounds=200):
    chance = random.Random(11)
    for number in range(rounds):
        broken = bytearray(data)
        if number % 3:
            broken[chance.randrange(min(len(broken), 300))] ^= 1 << chance.randrange(8)
        else:
            del broken[chance.randrange(len(broken)) :]
        path.write_bytes(broken)
        try:
            read(path)
        except CheckpointError:
            pass


def test_damaged_safetensors_and_arrays_give_an_error_or_data(tmp_path):
    path = io.save_safetensors({"a": sq.ones(3), "b": sq.arange(4)}, tmp_path / "s", {"by": "test"})
    fuzz(tmp_path / "x", path.read_bytes(), lambda p: [t.sum().item() for t in io.load_safetensors(p).values()])
    path = io.save_npy(tmp_path / "n", sq.arange(5.0))
    fuzz(tmp_path / "x", path.read_bytes(), io.load_npy)
    path = io.save_npz(tmp_path / "z", {"a": sq.arange(5.0)}, compress=True)
    fuzz(tmp_path / "x", path.read_bytes(), io.load_npz)


def npy(header, body=b""):
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + body


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"), (b"nothing at all", "not a .npy"), (b"\x93NUMPY\x09\x00\x00\x00", "version 9"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff", "truncated"),
        (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}", bytes(8)), "12 bytes"),
        (npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", bytes(8)), "not plain numbers"),
        (npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}", bytes(8)), "not plain numbers"),
        (npy("{'descr': '<c32', 'fortran_order': False, 'shape': (1,)}", bytes(32)), "squall does not have"),
        (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}", bytes(8)), "shape"),
        (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999, 99999999999)}", bytes(8)), "truncated"),
        (npy("{'descr': '<f4', 'shape': (1,)}"), "does not have"), (npy("__import__('os')"), "damaged"),
        (npy("(" * 9000), "damaged"), (npy("[" + "1," * 10), "damaged"),
    ],
)  # fmt: skip
def test_damaged_arrays_say_where(tmp_path, data, words):
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(CheckpointError, match=words):
        io.load_npy(tmp_path / "x")


def test_members_of_npz_that_are_no_arrays(tmp_path):
    np.savez(tmp_path / "o.npz", a=np.array([{}], object))
    with pytest.raises(CheckpointError, match=r"in 'a\.npy' it holds values of dtype"):
        io.load_npz(tmp_path / "o.npz")
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as file:
        file.writestr("../a.txt", b"")
    with pytest.raises(CheckpointError, match=r"holds '\.\./a\.txt'"):
        io.load_npz(tmp_path / "x.npz")


@pytest.mark.parametrize("file", ["../w.safetensors", "/w.safetensors", "sub/w.safetensors", "..", "", 3])
def test_an_index_names_only_files_beside_it(tmp_path, file):
    (tmp_path / "m.safetensors.index.json").write_text(json.dumps({"weight_map": {"w": file}}))
    with pytest.raises(CheckpointError, match="not a file beside it"):
        io.load_safetensors(tmp_path / "m.safetensors.index.json")
