"""What may not stand in the tree: unfinished work, paths of one machine, hosts of one network."""

import ast
import re

from tests.meta import tree

# Spelled in halves, so that this file keeps its own rule.
UNFINISHED = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X"]) + r")\b")
RAISED = "NotImplemented" + "Error"

# Raising it is part of what the name promises: file and qualified name, with the reason.
RAISES_BY_CONTRACT = {
    ("squall/nn/module.py", "Module.forward"): "PyTorch's error for a module whose class gives no forward",
    ("squall/frontend/custom.py", "Function.forward"): "PyTorch's error for a Function without forward",
    ("squall/frontend/custom.py", "Function.backward"): "PyTorch's error for a Function without backward",
}

HOME = r"(?<![\w.~$}])/(tmp|root|work|farm|home/\w+|Users/\w+|usr/local|opt|mnt|srv)/"
MACHINE_PATH = re.compile(HOME)
HOST = re.compile(
    "|".join(
        ["py" + r"pi\.org", "python" + r"hosted\.org", r"registry\.npm" + "js", r"download\.py" + "torch"]
    )
)
ADDRESS = re.compile(r"\b(?:10|127|172|192)\.\d{1,3}\.\d{1,3}\.\d{1,3}\b")
LOOPBACK = "127." + "0.0.1"


def text_lines():
    for path in tree.committed_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        name = path.relative_to(tree.ROOT).as_posix()
        for number, line in enumerate(text.splitlines(), 1):
            yield name, number, line


def matches(pattern: re.Pattern, lines) -> list[str]:
    return [f"{name}:{number}: {line.strip()[:90]}" for name, number, line in lines if pattern.search(line)]


def test_nothing_is_marked_unfinished():
    found = matches(UNFINISHED, text_lines())
    assert not found, tree.report("no marks of unfinished work", found)


def test_no_machine_paths():
    found = matches(MACHINE_PATH, text_lines())
    assert not found, tree.report("no path of one machine", found)


def test_no_hosts_of_one_network():
    found = matches(HOST, text_lines())
    found += [line for line in matches(ADDRESS, text_lines()) if LOOPBACK not in line]
    assert not found, tree.report("no registry host and no network address", found)


def raising_functions(source: tree.Source):
    stack = [(source.tree, "")]
    while stack:
        node, name = stack.pop()
        if isinstance(node, ast.Raise) and node.exc is not None and RAISED in ast.unparse(node.exc):
            yield name, node.lineno
        for child in ast.iter_child_nodes(node):
            named = isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            stack.append((child, f"{name}.{child.name}".lstrip(".") if named else name))


def test_nothing_raises_that_it_is_not_implemented():
    found = []
    for source in tree.sources(tree.PACKAGE):
        for name, line in raising_functions(source):
            if (source.name, name) not in RAISES_BY_CONTRACT:
                found.append(f"{source.at(line)}: {name}")
    assert not found, tree.report(
        "an operation that is absent has a named error saying what to do instead", found
    )
