"""Files and functions stay small enough to be read in one sitting."""

import ast
import warnings

from tests.meta import tree

FILE_LIMIT = 500
FILE_SOFT_LIMIT = 300
FUNCTION_LIMIT = 60


def test_files_are_short():
    lengths = {source.name: source.text.count("\n") for source in tree.sources()}
    found = [f"{name}:{length}: {length} lines" for name, length in lengths.items() if length > FILE_LIMIT]
    long = [
        f"{name} ({length})" for name, length in lengths.items() if FILE_SOFT_LIMIT < length <= FILE_LIMIT
    ]
    if long:
        warnings.warn(
            f"files over the soft limit of {FILE_SOFT_LIMIT} lines: " + ", ".join(long), stacklevel=1
        )
    assert not found, tree.report(f"no file is longer than {FILE_LIMIT} lines", found)


def test_functions_are_short():
    found = []
    for source in tree.sources():
        for node in ast.walk(source.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > FUNCTION_LIMIT:
                    found.append(f"{source.at(node.lineno)}: {node.name} has {length} lines")
    assert not found, tree.report(f"no function is longer than {FUNCTION_LIMIT} lines", found)


def test_files_parse_as_python_3_11():
    # `tree.sources` parsed each of them with that grammar; this says how many, so that none are lost unseen.
    assert len(tree.sources()) >= len(list((tree.ROOT / tree.PACKAGE).rglob("*.py")))
