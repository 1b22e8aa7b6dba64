"""Files as PyTorch writes them, made with Python's own pickle: for tests of what reads them."""

import io
import pickle
import sys
import types
import zipfile
from collections import OrderedDict

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


def stand_in(module, name):
    """A function that pickles as a global of a module that is not there."""

    def function(*arguments):
        raise AssertionError

    function.__module__, function.__qualname__, function.__name__ = module, name, name
    return function


class Reduced:
    """Pickles as a call."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


class Saved:
    """Pickles as a storage's persistent id."""

    def __init__(self, identifier):
        self.identifier = identifier


class Pickler(pickle.Pickler):
    """Writes `Saved` by persistent id."""

    def persistent_id(self, value):
        return value.identifier if isinstance(value, Saved) else None


class Modules:
    """Puts modules of the wanted names in place while pickling, since pickle looks its globals up."""

    def __init__(self, functions):
        self.functions, self.before = functions, {}

    def __enter__(self):
        for function in self.functions:
            parts = function.__module__.split(".")
            for end in range(1, len(parts) + 1):
                name = ".".join(parts[:end])
                if name not in self.before:
                    self.before[name] = sys.modules.get(name)
                    sys.modules[name] = types.ModuleType(name)
            setattr(sys.modules[function.__module__], function.__qualname__, function)
        return self

    def __exit__(self, *error):
        for name, module in self.before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


class Writer:
    """Collects storages while an object is described."""

    def __init__(self, order):
        self.order, self.storages, self.functions = order, [], {}

    def name(self, module, name):
        """The stand-in of a global."""
        return self.functions.setdefault((module, name), stand_in(module, name))

    def tensor(self, storage, array, size=None, stride=None, offset=0, location="cpu", count=None):
        """A Tensor over an array of its own, contiguous unless told."""
        number, item = len(self.storages), array.dtype.itemsize
        self.storages.append(array)
        count = array.size if count is None else count
        identifier = ("storage", self.name("torch", storage), str(number), location, count)
        size = array.shape if size is None else size
        stride = tuple(s // item for s in array.strides) if stride is None else stride
        rebuild = self.name("torch._utils", "_rebuild_tensor_v2")
        return Reduced(rebuild, Saved(identifier), offset, size, stride, False, OrderedDict())

    def raw(self, array):
        """An array's bytes in the file's order."""
        return array.astype(array.dtype.newbyteorder("<" if self.order == "little" else ">")).tobytes()

    def pickled(self, make, classes, protocol, legacy):
        """The pickle of what `make(tensor)` gives."""
        out = io.BytesIO()
        pickler = Pickler(out, protocol)
        value = make(self.tensor)
        with Modules([*self.functions.values(), *classes]):
            if legacy:
                pickler.persistent_id = lambda v: (*v.identifier, None) if isinstance(v, Saved) else None
            pickler.dump(value)
        return out.getvalue()


def zip_file(make, order="little", *, extra=None, classes=(), protocol=2, compress=zipfile.ZIP_STORED):
    """A zip archive of what `make(tensor)` gives."""
    writer, out = Writer(order), io.BytesIO()
    body = writer.pickled(make, classes, protocol, False)
    with zipfile.ZipFile(out, "w", compress) as file:
        file.writestr("archive/data.pkl", body)
        file.writestr("archive/byteorder", order)
        for name, data in (extra or {}).items():
            file.writestr(f"archive/{name}", data)
        for number, array in enumerate(writer.storages):
            file.writestr(f"archive/data/{number}", writer.raw(array))
        file.writestr("archive/version", "3\n")
    return out.getvalue()


def legacy_file(make, order="little", *, classes=(), protocol=2):
    """The older run of pickles."""
    writer = Writer(order)
    body = writer.pickled(make, classes, protocol, True)
    head = b"".join(pickle.dumps(v, 2) for v in (MAGIC, PROTOCOL, {"little_endian": order == "little"}))
    data = head + body + pickle.dumps([str(n) for n in range(len(writer.storages))], 2)
    for array in writer.storages:
        data += array.size.to_bytes(8, order) + writer.raw(array)
    return data
