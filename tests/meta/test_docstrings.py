"""Every public name says what it is for."""

import ast

from tests.meta import tree

FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef
# A layer is described where its class is; how it is called is part of that.
DESCRIBED_BY_THE_CLASS = {"forward"}


def public(name: str) -> bool:
    return not name.startswith("_")


def test_every_module_says_what_it_is_for():
    bare = [source for source in tree.sources() if source.text.strip() and not ast.get_docstring(source.tree)]
    found = [source.at(1) for source in bare]
    assert not found, tree.report("a module opens with a docstring", found)


def test_public_functions_and_classes_are_documented():
    found = []
    for source in tree.sources(tree.PACKAGE):
        named = [node for node in source.tree.body if isinstance(node, FUNCTIONS | ast.ClassDef)]
        for node in named:
            if public(node.name) and not is_overload_or_setter(node) and not ast.get_docstring(node):
                found.append(f"{source.at(node.lineno)}: {node.name}")
    assert not found, tree.report("a public function or class has a docstring", found)


def is_overload_or_setter(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    decorators = {ast.unparse(item).split(".")[-1] for item in node.decorator_list}
    return bool(decorators & {"setter", "deleter", "overload"})


def test_public_methods_of_the_user_rooms_are_documented():
    found = []
    for source in tree.sources(tree.PACKAGE):
        if source.room not in tree.USER_ROOMS:
            continue
        for owner in source.tree.body:
            if not (isinstance(owner, ast.ClassDef) and public(owner.name)):
                continue
            for node in owner.body:
                if not (isinstance(node, FUNCTIONS) and public(node.name)) or is_overload_or_setter(node):
                    continue
                if node.name not in DESCRIBED_BY_THE_CLASS and not ast.get_docstring(node):
                    found.append(f"{source.at(node.lineno)}: {owner.name}.{node.name}")
    assert not found, tree.report("a public method that users call has a docstring", found)


LIST_UNDOCUMENTED = """
import squall
names = getattr(squall, "__all__", [])
print(len(names))
for name in names:
    value = getattr(squall, name)
    if callable(value) and not (getattr(value, "__doc__", None) or "").strip():
        print(name)
"""


def test_names_squall_exports_exist_and_are_documented():
    count, *found = tree.run_python(LIST_UNDOCUMENTED).split()
    assert not found, tree.report(
        f"each function and class of the {count} names squall exports has a docstring", found
    )
