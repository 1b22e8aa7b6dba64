"""Other names that PyTorch has for an argument: those of its overloads and of its older functions.

A function of PyTorch is often several, which call one argument by several names: `pow(self=2, exponent=x)`,
`cholesky_solve(input=b, input2=factor)`. The names here are taken as keywords beside those in the signature.
"""

_SELF = {"self": "input"}
# Of functions in `squall`: by function, PyTorch's other name and ours.
FUNCTIONS: dict[str, dict[str, str]] = {
    **dict.fromkeys((
        "bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_left_shift", "bitwise_right_shift", "bucketize",
        "float_power", "pow", "remainder", "searchsorted", "xlogy",
    ), _SELF),
    "broadcast_to": {"size": "shape"},
    "cholesky_solve": {"input": "B", "input2": "L"},
    "cholesky_inverse": {"input": "L"},
    "compile": {"model": "function"},
    "from_dlpack": {"ext_tensor": "source"},
    "isin": {"element": "elements", "test_element": "test_elements"},
    "load": {"f": "path"},
    "lu_solve": {"input": "b"},
    "orgqr": {"input": "A", "input2": "tau"},
    "ormqr": {"input2": "tau", "input3": "other"},
    "result_type": {"tensor": "tensor1", "scalar1": "tensor1", "scalar": "tensor2", "other": "tensor2",
                    "scalar2": "tensor2"},  # the order does not matter
    "save": {"f": "path"},
    "set_rng_state": {"new_state": "state"},
    "triangular_solve": {"input": "b"},
}  # fmt: skip
# Of methods of Tensor.
METHODS: dict[str, dict[str, str]] = {
    "cholesky_solve": {"input2": "L"},
    "copy_": {"other": "src"},
    "map_": {"other": "tensor"},
    "orgqr": {"input2": "tau"},
    "ormqr": {"input2": "tau", "input3": "other"},
    "swapaxes_": {"axis0": "dim0", "axis1": "dim1"},
}
