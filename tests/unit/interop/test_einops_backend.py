"""The operations einops asks for, without einops: against NumPy's; registration when einops is there or not."""

import subprocess
import sys

import numpy as np
import pytest

import squall as sq
from squall.interop.einops_backend import _Operations

X = np.arange(24.0).reshape(2, 3, 4)


def test_operations():
    t, own = sq.tensor(X), _Operations()
    assert own.is_appropriate_type(t) and not own.is_appropriate_type(X)
    for operation in ("min", "max", "sum", "mean", "prod"):
        np.testing.assert_allclose(own.reduce(t, operation, (0, 2)).numpy(), getattr(X, operation)((0, 2)))
    assert own.reduce(t > 0, "all", (0, 1)).tolist() == (X > 0).all((0, 1)).tolist()
    assert own.reduce(t > 22, "any", (1, 2)).tolist() == [False, True]
    with pytest.raises(ValueError, match="'median'"):
        own.reduce(t, "median", (0,))
    assert own.transpose(t, (2, 0, 1)).shape == (4, 2, 3) and own.reshape(t, (6, 4)).shape == (6, 4)
    added = own.add_axes(t, 5, {0: 2, 3: 5})
    assert added.shape == (2, 2, 3, 5, 4) and (added[1, :, :, 4] == t).all()
    assert own.tile(t, (1, 2, 1)).tolist() == np.tile(X, (1, 2, 1)).tolist()
    assert own.concat([t, t], 1).shape == (2, 6, 4) and own.stack_on_zeroth_dimension([t, t]).shape == (2, 2, 3, 4)
    assert own.is_float_type(t) and own.is_float_type(t.half()) and not own.is_float_type(t.long())
    assert own.einsum("ijk->ki", t).tolist() == np.einsum("ijk->ki", X).tolist()
    assert own.arange(1, 3).tolist() == [1, 2] and own.to_numpy(own.from_numpy(X)) is not None


STAND_IN = """
import sys, types
einops, backends = types.ModuleType("einops"), types.ModuleType("einops._backends")
class AbstractBackend: pass
backends.AbstractBackend = AbstractBackend
{first}
sys.modules.update({{"einops": einops, "einops._backends": backends}})
import squall as sq
sq.tensor
(found,) = AbstractBackend.__subclasses__()
sq.ones
assert AbstractBackend.__subclasses__() == [found] and found.framework_name == "squall"
assert found().is_appropriate_type(sq.ones(1))
"""


@pytest.mark.parametrize("first", ["", "import squall as sq; sq.Tensor"])
def test_it_registers_itself(first):
    """As soon as a name of the package is touched after einops was imported, in whatever order."""
    subprocess.run([sys.executable, "-c", STAND_IN.format(first=first)], check=True)


def test_without_einops():
    code = ("import sys; sys.modules['einops'] = None; import squall as sq\n"
            "try: sq.interop.register_einops()\n"
            "except ModuleNotFoundError as error: assert 'pip install einops' in str(error)\n"
            "else: raise SystemExit(1)")
    subprocess.run([sys.executable, "-c", code], check=True)
