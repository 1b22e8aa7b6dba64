"""Arrays in files and texts, under NumPy's names; NumPy reads and writes the formats."""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import numpy_dtype
from squall.numpy.core import arr, fresh, is_array, lift, plain_array
from squall.numpy.kinds import dtype_of


def _plain(value: Any) -> Any:
    return arr(value).detach_array() if is_array(value) else value


def save(file: Any, arr: Any, allow_pickle: bool = False) -> None:
    """Write an array to a `.npy` file.

    Example:
        >>> import io
        >>> import squall.numpy as snp
        >>> file = io.BytesIO()
        >>> snp.save(file, [1, 2])
        >>> snp.load(io.BytesIO(file.getvalue()))
        array([1, 2])
    """
    import numpy

    numpy.save(file, _plain(arr), allow_pickle=allow_pickle)


def savez(file: Any, *args: Any, **kwds: Any) -> None:
    """Write several arrays to a `.npz` file: `arr_0`, `arr_1` and so on, or under given names.

    Example:
        >>> import io
        >>> import squall.numpy as snp
        >>> file = io.BytesIO()
        >>> snp.savez(file, x=snp.ones(2))
        >>> snp.load(io.BytesIO(file.getvalue()))
        {'x': array([1., 1.])}
    """
    import numpy

    numpy.savez(file, *map(_plain, args), **{name: _plain(value) for name, value in kwds.items()})


def savez_compressed(file: Any, *args: Any, **kwds: Any) -> None:
    """`savez`, in less space.

    Example:
        >>> import io
        >>> import squall.numpy as snp
        >>> file = io.BytesIO()
        >>> snp.savez_compressed(file, snp.zeros(1000))
        >>> len(file.getvalue()) < 1000
        True
    """
    import numpy

    numpy.savez_compressed(file, *map(_plain, args), **{name: _plain(value) for name, value in kwds.items()})


def load(file: Any, mmap_mode: str | None = None) -> Any:
    """The array of a `.npy` file, or the arrays of a `.npz` file by name; Python objects are not read.

    Raises:
        ValueError: for a file that holds Python objects, or is no such file.

    Example:
        >>> import io
        >>> import squall.numpy as snp
        >>> file = io.BytesIO()
        >>> snp.save(file, snp.arange(3))
        >>> snp.load(io.BytesIO(file.getvalue())).sum()
        array(3)
    """
    import numpy

    found = numpy.load(file, mmap_mode=mmap_mode, allow_pickle=False)
    if isinstance(found, numpy.ndarray):
        return lift(fresh(plain_array(found)))
    with found:
        return {name: lift(fresh(plain_array(found[name]))) for name in found.files}


def _read(function: str, args: tuple, options: dict) -> Any:
    import numpy

    if "dtype" in options and options["dtype"] is not None:
        options["dtype"] = numpy_dtype(dtype_of(options["dtype"]))
    found = getattr(numpy, function)(*args, **options)
    return tuple(lift(fresh(plain_array(f))) for f in found) if isinstance(found, (tuple, list)) else lift(
        fresh(plain_array(found))
    )  # fmt: skip


def loadtxt(fname: Any, *args: Any, **options: Any) -> Any:
    """Numbers from a text file, one row a line; arguments as NumPy's.

    Example:
        >>> import io
        >>> import squall.numpy as snp
        >>> snp.loadtxt(io.StringIO("1 2\\n3 4"))
        array([[1., 2.],
               [3., 4.]])
    """
    return _read("loadtxt", (fname, *args), options)


def genfromtxt(fname: Any, *args: Any, **options: Any) -> Any:
    """Numbers from a text file with gaps; arguments as NumPy's.

    Example:
        >>> import io
        >>> import squall.numpy as snp
        >>> snp.genfromtxt(io.StringIO("1,,3"), delimiter=",")
        array([ 1., nan,  3.])
    """
    return _read("genfromtxt", (fname, *args), options)


def fromstring(string: str, *args: Any, **options: Any) -> Any:
    """Numbers from a text; arguments as NumPy's.

    Example:
        >>> import squall.numpy as snp
        >>> snp.fromstring("1 2 3", dtype=int, sep=" ")
        array([1, 2, 3])
    """
    return _read("fromstring", (string, *args), options)


def fromfile(file: Any, *args: Any, **options: Any) -> Any:
    """Numbers as `tofile` left them in a file; arguments as NumPy's.

    Example:
        >>> import os, tempfile
        >>> import squall.numpy as snp
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     snp.arange(3).tofile(os.path.join(folder, "numbers"))
        ...     found = snp.fromfile(os.path.join(folder, "numbers"), dtype=int)
        >>> found
        array([0, 1, 2])
    """
    return _read("fromfile", (file, *args), options)


def savetxt(fname: Any, X: Any, *args: Any, **options: Any) -> None:
    """Write a vector or matrix as text, one row a line; arguments as NumPy's.

    Example:
        >>> import io
        >>> import squall.numpy as snp
        >>> file = io.StringIO()
        >>> snp.savetxt(file, [[1, 2]], fmt="%d")
        >>> file.getvalue()
        '1 2\\n'
    """
    import numpy

    numpy.savetxt(fname, _plain(X), *args, **options)
