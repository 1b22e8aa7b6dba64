"""Imports go only to a lower rank, and heavy packages are imported where they are used."""

import sys

from tests.meta import tree

# Loaded only when a value or a compile needs them.
HEAVY = {"numpy", "llvmlite", "ml_dtypes"}
# What `pip install squall` brings beside the standard library; the rest belongs to extras.
CORE = HEAVY
LAZY_HOOKS = {"__getattr__", "__dir__"}


def package_imports():
    for source in tree.sources(tree.PACKAGE):
        for item in tree.imports(source):
            yield source, item


def test_every_room_has_a_rank():
    known = set(tree.RANKS) | {tree.FACADE}
    found = [source.at(1) for source in tree.sources(tree.PACKAGE) if source.room not in known]
    assert not found, tree.report("a room that DESIGN's table of ranks does not know", found)


def test_imports_go_to_lower_ranks():
    found = []
    for source, item in package_imports():
        if source.room == tree.FACADE or not tree.is_own(item.target):
            continue
        target = tree.room_of(item.target)
        if target == source.room:
            continue
        here, there = tree.RANKS[source.room], tree.RANKS.get(target, tree.FACADE_RANK)
        if there >= here:
            found.append(f"{source.at(item.line)}: {source.room} ({here}) imports {item.target} ({there})")
    assert not found, tree.report("imports go only to a room of lower rank", found)


def test_own_modules_are_not_imported_inside_functions():
    found = []
    for source, item in package_imports():
        lazy = source.path.name == "__init__.py" and (
            item.function in LAZY_HOOKS or source.room == tree.FACADE
        )
        if item.function is not None and tree.is_own(item.target) and not lazy and not item.type_checking:
            found.append(f"{source.at(item.line)}: {item.function}() imports {item.target}")
    assert not found, tree.report("imports inside functions are for third-party packages only", found)


def third_party(item: tree.Import) -> str | None:
    """The top-level package of an import that neither squall nor Python itself brings."""
    top = item.target.split(".")[0]
    return None if top in sys.stdlib_module_names or top == tree.PACKAGE else top


def test_what_import_squall_loads_has_no_heavy_import():
    found = []
    for source, item in package_imports():
        if source.module not in tree.loaded_by_import() or item.function or item.type_checking:
            continue
        if third_party(item):
            found.append(f"{source.at(item.line)}: {item.target} at module level")
    assert not found, tree.report("`import squall` loads nothing but Python's own library and squall", found)


def test_optional_packages_are_imported_where_they_are_used():
    found = []
    for source, item in package_imports():
        package = third_party(item)
        if package and package not in CORE and item.function is None and not item.type_checking:
            found.append(f"{source.at(item.line)}: {item.target} at module level")
    assert not found, tree.report(
        "a package of an extra is imported inside the function that needs it", found
    )


def test_nobody_imports_the_tools_or_the_tests():
    found = []
    for source, item in package_imports():
        if source.room != "tools" and item.target.split(".")[0] in {"tests", "benchmarks", "tools"}:
            found.append(f"{source.at(item.line)}: {item.target}")
    assert not found, tree.report("the package does not import tests, benchmarks or tools", found)


def test_peers_stay_out_of_the_tests():
    peers = {"torch", "jax", "tensorflow", "onnxruntime"}
    found = []
    for source in tree.sources("tests"):
        if source.name.startswith("tests/conformance/"):
            continue
        found += [
            f"{source.at(item.line)}: {item.target}"
            for item in tree.imports(source)
            if item.target.split(".")[0] in peers
        ]
    assert not found, tree.report("only tests/conformance may import a peer", found)
