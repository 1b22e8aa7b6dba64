"""The text of a graph: printed for people, `SQUALL_DEBUG` and golden tests, and parsed back to the same graph.

One line a node, operands first, numbered in order:

    graph affine(%0: f32[2, 3], %1: f32[3]) {
      %2 = constant(2.0) : f32[]
      %3 = mul(%0, %2) : f32[2, 3]
      %4 = sum(%3; dims=(1,), keepdim=False) : f32[2]
      return %4
    }

Graphs that a node carries come before it and are named `graph.<name>`; symbolic sizes are declared with `dim`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from math import inf, nan
from typing import Any

from squall.base.dim import Dim, symbols
from squall.base.dtypes import BY_SHORT, DType
from squall.base.errors import CompileError
from squall.ir.graph import Graph
from squall.ir.node import Node, TensorType, toposort
from squall.ir.op import constant, constant_value, ops

_LINE = re.compile(r"  %(\d+) = (\w+)\(((?:%\d+(?:, )?)*)(?:(?:; )?(.*?))?\) : (.+?)(?: = (.+))?")
_HEAD = re.compile(r"graph (\w+)\((.*)\) \{")
_TYPE = re.compile(r"(\w+)\[([^\]]*)\](?:@(\S+))?")


def names(roots: Iterable[Node]) -> tuple[list[Node], dict[int, int]]:
    """The nodes of a graph in the order they are printed, and the number of each by id."""
    order = toposort(list(roots), lambda n: n.buffer is not None)
    return order, {id(n): i for i, n in enumerate(order)}


def _value_text(value: Any, graphs: dict[int, str]) -> str:
    if isinstance(value, DType):
        return value.short
    if isinstance(value, Graph):
        return f"graph.{graphs[id(value)]}"
    if value.__class__ is tuple:
        inner = ", ".join(_value_text(v, graphs) for v in value)
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if isinstance(value, (bool, int, float, str, Dim)) or value is None:
        return repr(value)
    raise CompileError(f"an attribute value of {type(value).__name__} has no text: {value!r}")


def _type_text(type: Any) -> str:
    return f"({', '.join(map(repr, type))})" if type.__class__ is tuple else repr(type)


def node_text(node: Node, number: dict[int, int], graphs: dict[int, str] | None = None) -> str:
    """One line: number, op, operands, attributes and type."""
    head, tail = f"%{number[id(node)]} = ", f" : {_type_text(node.type)}"
    if node.op is ops.constant:
        return f"{head}constant({constant_value(node)!r}){tail}"
    if node.op is ops.scalar:
        return f"{head}scalar(){tail}" + ("" if node.buffer is None else f" = {node.buffer!r}")
    if node.buffer is not None or node.op is ops.buffer:
        return f"{head}buffer(){tail}"
    operands = ", ".join(f"%{number[id(n)]}" for n in node.inputs)
    attributes = ", ".join(
        f"{k}={_value_text(v, graphs or {})}" for k, v in node.op.named(node.attrs).items()
    )
    between = "; " if operands and attributes else ""
    return f"{head}{node.op.name}({operands}{between}{attributes}){tail}"


def graph_text(what: Graph | Iterable[Node]) -> str:
    """The text of a graph, or of the nodes that some roots need.

    Example:
        >>> import squall.ops
        >>> from squall.base.dtypes import float32
        >>> from squall.ir.graph import trace
        >>> print(graph_text(trace(lambda a: ops.add(a, 1.0), [TensorType((2,), float32)], "next")))
        graph next(%0: f32[2]) {
          %1 = constant(1.0) : f32[]
          %2 = add(%0, %1) : f32[2]
          return %2
        }
    """
    graph = what if isinstance(what, Graph) else Graph((), what, "roots")
    blocks: list[str] = []
    named: dict[int, str] = {}
    found: dict[str, Dim] = {}
    _print(graph, blocks, named, found)
    declared = [f"dim {_symbol_text(d)}" for d in found.values()]
    return "\n".join(declared + blocks)


def _symbol_text(dim: Dim) -> str:
    symbol = dim.symbol
    assert symbol is not None
    high = "" if symbol.maximum is None else symbol.maximum
    return f"{symbol.name}: {symbol.minimum}..{high}"


def _collect(value: Any, found: dict[str, Dim]) -> None:
    """Remember the symbols of every size in a type or attribute."""
    if value.__class__ is tuple:
        for v in value:
            _collect(v, found)
    elif isinstance(value, TensorType):
        _collect(value.shape, found)
    elif isinstance(value, Dim):
        for s in sorted(symbols(value), key=lambda s: s.name):
            found.setdefault(s.name, Dim(s.name, s.minimum, s.maximum))


def _print(graph: Graph, blocks: list[str], named: dict[int, str], found: dict[str, Dim]) -> None:
    if id(graph) in named:
        return
    order, _ = names(graph.outputs)
    body = [n for n in order if not any(n is p for p in graph.inputs)]
    number = {id(n): i for i, n in enumerate((*graph.inputs, *body))}
    for node in (*graph.inputs, *body):
        _collect(node.type, found)
        _collect(node.attrs, found)
        for value in node.attrs:
            if isinstance(value, Graph):
                _print(value, blocks, named, found)
    name = graph.name if graph.name.isidentifier() else "graph"
    while name in named.values():
        name += "_"
    named[id(graph)] = name
    arguments = ", ".join(f"%{i}: {n.type!r}" for i, n in enumerate(graph.inputs))
    lines = [f"  {node_text(n, number, named)}" for n in body]
    results = ", ".join(f"%{number[id(n)]}" for n in graph.outputs)
    blocks.append("\n".join([f"graph {name}({arguments}) {{", *lines, f"  return {results}".rstrip(), "}"]))


class _Reader:
    """Reads text line by line; knows the symbols declared and the graphs read so far."""

    def __init__(self) -> None:
        self.environment: dict[str, Any] = {"inf": inf, "nan": nan, **BY_SHORT}
        self.graphs: dict[str, Graph] = {}

    def value(self, text: str) -> Any:
        return self._evaluate(ast.parse(text.strip(), mode="eval").body)

    def attributes(self, text: str) -> dict[str, Any]:
        call = ast.parse(f"f({text})", mode="eval").body
        assert isinstance(call, ast.Call)
        return {str(k.arg): self._evaluate(k.value) for k in call.keywords}

    def _evaluate(self, tree: ast.expr) -> Any:
        match tree:
            case ast.Constant(value=value):
                return value
            case ast.Tuple(elts=parts):
                return tuple(map(self._evaluate, parts))
            case ast.UnaryOp(op=ast.USub(), operand=inner):
                return -self._evaluate(inner)
            case ast.Name(id=name) if name in self.environment:
                return self.environment[name]
            case ast.Attribute(value=ast.Name(id="graph"), attr=name) if name in self.graphs:
                return self.graphs[name]
            case ast.BinOp(left=left, op=op, right=right):
                a, b = self._evaluate(left), self._evaluate(right)
                match op:
                    case ast.Add():
                        return a + b
                    case ast.Sub():
                        return a - b
                    case ast.Mult():
                        return a * b
                    case ast.FloorDiv():
                        return a // b
                    case ast.Mod():
                        return a % b
        raise CompileError(f"graph text: {ast.unparse(tree)!r} means nothing here")

    def types(self, text: str) -> Any:
        found = []
        for short, sizes, device in _TYPE.findall(text):
            shape = self.value(f"({sizes},)") if sizes else ()
            found.append(TensorType(shape, BY_SHORT[short], device.rstrip(",)") or "cpu"))
        return tuple(found) if text.startswith("(") else found[0]

    def declare(self, line: str) -> None:
        name, _, span = line.removeprefix("dim ").partition(": ")
        low, _, high = span.partition("..")
        self.environment[name] = Dim(name, int(low), int(high) if high else None)

    def node(self, line: str, nodes: dict[int, Node]) -> None:
        match = _LINE.fullmatch(line)
        if match is None:
            raise CompileError(f"graph text: line {line!r} is not a node")
        number, name, operands, attributes, type_text, slot = match.groups()
        op, type = ops.get(name), self.types(type_text)
        if op is None:
            raise CompileError(f"graph text: no op is called {name!r} in {line!r}")
        if op is ops.constant:
            nodes[int(number)] = constant(self.value(attributes), type.dtype, type.device)
            return
        inputs = tuple(nodes[int(n)] for n in re.findall(r"%(\d+)", operands))
        attrs = op.pack(self.attributes(attributes or ""))
        is_leaf = op in (ops.buffer, ops.scalar, ops.input)
        if not is_leaf and op.result_type(tuple(n.type for n in inputs), attrs) != type:
            raise CompileError(
                f"graph text: {line.strip()!r} should have type "
                f"{_type_text(op.result_type(tuple(n.type for n in inputs), attrs))}"
            )
        nodes[int(number)] = Node(op, inputs, attrs, type, self.value(slot) if slot else None)

    def graph(self, lines: list[str]) -> Graph:
        match = _HEAD.fullmatch(lines[0])
        if match is None or not lines[-1].startswith("  return"):
            raise CompileError(f"graph text: {lines[0]!r} does not begin a graph that returns")
        nodes: dict[int, Node] = {}
        arguments = re.split(r", (?=%)", match[2]) if match[2] else []
        for i, argument in enumerate(arguments):
            nodes[i] = Node(ops.input, (), (i,), self.types(argument.partition(": ")[2]))
        inputs = tuple(nodes.values())
        for line in lines[1:-1]:
            self.node(line, nodes)
        outputs = [nodes[int(n)] for n in re.findall(r"%(\d+)", lines[-1])]
        made = self.graphs[match[1]] = Graph(inputs, outputs, match[1])
        return made


def parse_graph(text: str) -> Graph:
    """The graph of a text; of several graphs the last, which carries the others.

    Raises:
        CompileError: when the text is not a graph's, or a type is not what its op infers.
    """
    reader, lines, last = _Reader(), [], None
    for line in text.splitlines():
        if line.startswith("dim "):
            reader.declare(line)
        elif line == "}":
            last, lines = reader.graph(lines), []
        elif line.strip():
            lines.append(line)
    if last is None or lines:
        raise CompileError("graph text: no complete graph found")
    return last
