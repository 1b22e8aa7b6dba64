"""A small language for native code: functions written in a few forms of Python, translated to LLVM text.

For native code with much logic and little arithmetic, such as a walk over Python objects, which nobody could read as
LLVM text. The functions are never run by Python; a module of them is data for `translate`. Every value is a 64-bit
integer: a number, an address, or a reference to a Python object, counted by hand as in C.

What there is: assignment, `if`, `while`, `for i in range(...)`, `break`, `continue`, `return`, integer arithmetic,
comparisons (signed), `and`, `or`, `not`, and

    at[i]               the word at address `at + 8 * i`, also as a target
    x.Node_op           the word at the offset that `names` gives for "Node_op", also as a target
    NAME                a number from `names`, or a word from the table of the module (see `table`)
    space(n)            `n` words on the stack; `n` is written as a number
    f(x, y)             a function of the module, of `EXTERNAL`, or one of `load8`, `load16`, `load32`
                        and `widened` (a float's bits as a double's)
    call(f, x, y)       the function at an address, taking and giving words; `call_int` for one that gives a C int

Where `names` says how tuples and lists lie in memory ("VAR_SIZE", "TUPLE_ITEMS", "LIST_ITEMS", see
`python_native.layouts`), their sizes and items are loaded without a call, and without a check.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping

# C functions by name: what they give (w a word, i a C int, v nothing, d a double) and what they take. A double is
# held as its bits.
EXTERNAL = {
    "PyBool_FromLong": "w w", "PyCell_Get": "w w", "PyCapsule_GetContext": "w w", "PyCapsule_GetPointer": "w ww",
    "PyCapsule_New": "w www", "PyCapsule_SetContext": "i ww", "PyDict_GetItemWithError": "w ww",
    "PyDict_SetItem": "i www", "PyDict_New": "w ", "PyDict_Next": "i wwww", "PyDict_Size": "w w",
    "PyErr_Clear": "v ", "PyErr_ExceptionMatches": "i w", "PyErr_Fetch": "v www", "PyErr_NoMemory": "w ",
    "PyErr_Occurred": "w ", "PyErr_Restore": "v www", "PyEval_GetFrame": "w ", "PyEval_RestoreThread": "v w",
    "PyEval_SaveThread": "w ", "PyFloat_AsDouble": "d w", "PyFloat_FromDouble": "w d", "PyFrame_GetBack": "w w",
    "PyFrame_GetCode": "w w", "PyFrame_GetLasti": "i w", "PyGC_Disable": "i ", "PyGC_Enable": "i ",
    "PyList_Append": "i ww", "PyList_GetItem": "w ww", "PyList_New": "w w", "PyList_SetItem": "i www",
    "PyList_SetSlice": "i wwww", "PyList_Size": "w w",
    "PyLong_AsLongLong": "w w", "PyLong_FromLongLong": "w w", "PyMem_RawFree": "v w",
    "PyMem_RawMalloc": "w w", "PyNumber_Add": "w ww", "PyNumber_Float": "w w", "PyObject_CallNoArgs": "w w",
    "PyObject_CallOneArg": "w ww", "PyObject_GetAttr": "w ww", "PyObject_IsInstance": "i ww",
    "PyObject_IsTrue": "i w", "PyObject_Size": "w w", "PyObject_Vectorcall": "w wwww", "PySequence_Concat": "w ww",
    "PySet_Contains": "i ww", "PySlice_AdjustIndices": "w wwww", "PySlice_Unpack": "i wwww",
    "PyThreadState_Get": "w ", "PyThreadState_GetID": "w w",
    "PyTuple_GetItem": "w ww", "PyTuple_New": "w w", "PyTuple_SetItem": "i www", "PyTuple_Size": "w w",
    "PyType_GenericAlloc": "w ww", "PyWeakref_NewRef": "w ww", "Py_DecRef": "v w", "Py_IncRef": "v w",
}  # fmt: skip
_LOADS = {"PyTuple_Size": ("VAR_SIZE",), "PyList_Size": ("VAR_SIZE",), "PyTuple_GetItem": ("TUPLE_ITEMS",),
          "PyList_GetItem": ("LIST_ITEMS",)}
_TYPES = {"w": "i64", "i": "i32", "v": "void", "d": "double"}
_ARITHMETIC = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.BitAnd: "and", ast.BitOr: "or", ast.BitXor: "xor",
               ast.LShift: "shl", ast.RShift: "lshr"}
_COMPARISONS = {ast.Eq: "eq", ast.NotEq: "ne", ast.Lt: "slt", ast.LtE: "sle", ast.Gt: "sgt", ast.GtE: "sge"}


def translate(sources: Iterable[str], names: Mapping[str, int], table: Iterable[str], entries: Iterable[str]) -> str:
    """LLVM text of all functions of some modules.

    Args:
        sources: of the modules, taken together. names: numbers, and offsets for attributes.
        table: names of the words of `@table`, which another function of the text, `set_table(from)`, copies in.
        entries: functions that are called from outside.

    Raises:
        SyntaxError: for what the language lacks, naming function and line.
    """
    functions = [f for source in sources for f in ast.parse(source).body if isinstance(f, ast.FunctionDef)]
    known = {f.name: len(f.args.args) for f in functions}
    words = {name: i for i, name in enumerate(table)}
    written = [_Function(f, known, names, words, f.name in set(entries)) for f in functions]
    used = sorted(set().union(*(f.used for f in written)))
    declared = [f"declare {_signature(name)[0]} @{name}({', '.join(_signature(name)[1])})" for name in used]
    size = 8 * len(words)
    head = [
        f"@table = internal global [{max(len(words), 1)} x i64] zeroinitializer",
        "declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)",
        f"define void @set_table(ptr %from) {{\n  call void @llvm.memcpy.p0.p0.i64(ptr @table, ptr %from, i64 {size}, "
        "i1 false)\n  ret void\n}",
    ]
    return "\n".join((*head, *declared, *(f.text for f in written))) + "\n"


def _signature(name: str) -> tuple[str, list[str]]:
    result, _, arguments = EXTERNAL[name].partition(" ")
    return _TYPES[result], [_TYPES[a] for a in arguments]


class _Function:
    """One function as text."""

    def __init__(self, source: ast.FunctionDef, known: dict, names: Mapping[str, int], words: dict, exported: bool):
        self.name, self.known, self.names, self.words = source.name, known, names, words
        self.used: set[str] = set()
        self.lines: list[str] = []
        self.locals: dict[str, str] = {}
        self.allocated: list[str] = []
        self.count = 0
        self.loops: list[tuple[str, str]] = []
        arguments = [a.arg for a in source.args.args]
        for a in arguments:
            self._store(f"%{a}.in", self._local(a))
        self._body(source.body)
        self._line("ret i64 0")
        opening = ", ".join(f"i64 %{a}.in" for a in arguments)
        linkage = "" if exported else "internal "
        self.text = "\n".join((f"define {linkage}i64 @{self.name}({opening}) nounwind {{", *self.allocated,
                               *self.lines, "}"))

    def _fail(self, node: ast.AST, what: str) -> SyntaxError:
        return SyntaxError(f"{self.name}, line {getattr(node, 'lineno', '?')}: {what}")

    def _line(self, text: str) -> None:
        self.lines.append("  " + text)

    def _new(self, text: str) -> str:
        self.count += 1
        self._line(f"%v{self.count} = {text}")
        return f"%v{self.count}"

    def _label(self) -> str:
        self.count += 1
        return f"l{self.count}"

    def _start(self, label: str) -> None:
        self.lines.append(f"{label}:")

    def _local(self, name: str) -> str:
        if name not in self.locals:
            self.locals[name] = f"%{name}.at"
            self.allocated.append(f"  %{name}.at = alloca i64")
        return self.locals[name]

    def _store(self, value: str, at: str) -> None:
        self._line(f"store i64 {value}, ptr {at}")

    # ------------------------------------------------------------ statements
    def _body(self, statements: list[ast.stmt]) -> None:
        for s in statements:
            self._statement(s)

    def _statement(self, s: ast.stmt) -> None:
        if isinstance(s, ast.Expr):
            if not isinstance(s.value, ast.Constant):  # a docstring
                self._value(s.value)
        elif isinstance(s, ast.Assign) and len(s.targets) == 1:
            value = self._value(s.value)
            self._store(value, self._place(s.targets[0]))
        elif isinstance(s, ast.AugAssign):
            value = self._value(ast.BinOp(s.target, s.op, s.value, lineno=s.lineno))  # type: ignore[arg-type]
            self._store(value, self._place(s.target))
        elif isinstance(s, ast.If):
            self._if(s)
        elif isinstance(s, ast.While):
            self._while(s.test, s.body, None)
        elif isinstance(s, ast.For):
            self._for(s)
        elif isinstance(s, ast.Return):
            self._line(f"ret i64 {self._value(s.value) if s.value is not None else '0'}")
            self._start(self._label())
        elif isinstance(s, (ast.Break, ast.Continue)):
            self._line(f"br label %{self.loops[-1][isinstance(s, ast.Break)]}")
            self._start(self._label())
        elif not isinstance(s, ast.Pass):
            raise self._fail(s, f"no {type(s).__name__} in this language")

    def _if(self, s: ast.If) -> None:
        then, other, end = self._label(), self._label(), self._label()
        self._branch(s.test, then, other)
        self._start(then)
        self._body(s.body)
        self._line(f"br label %{end}")
        self._start(other)
        self._body(s.orelse)
        self._line(f"br label %{end}")
        self._start(end)

    def _while(self, test: ast.expr, body: list[ast.stmt], step: ast.stmt | None) -> None:
        head, inside, again, end = (self._label() for _ in range(4))
        self._line(f"br label %{head}")
        self._start(head)
        self._branch(test, inside, end)
        self._start(inside)
        self.loops.append((again, end))
        self._body(body)
        self.loops.pop()
        self._line(f"br label %{again}")
        self._start(again)
        if step is not None:
            self._statement(step)
        self._line(f"br label %{head}")
        self._start(end)

    def _for(self, s: ast.For) -> None:
        bounds = s.iter.args if isinstance(s.iter, ast.Call) else []
        if not isinstance(s.target, ast.Name) or not 1 <= len(bounds) <= 2:
            raise self._fail(s, "a loop is `for name in range(end)` or `range(begin, end)`")
        self._store(self._value(bounds[0]) if len(bounds) == 2 else "0", self._local(s.target.id))
        test = ast.Compare(s.target, [ast.Lt()], [bounds[-1]], lineno=s.lineno)
        step = ast.AugAssign(s.target, ast.Add(), ast.Constant(1), lineno=s.lineno)
        self._while(test, s.body, step)

    # ------------------------------------------------------------ values
    def _place(self, target: ast.expr) -> str:
        """A pointer to what is assigned or read."""
        if isinstance(target, ast.Name):
            return self._local(target.id)
        if isinstance(target, ast.Subscript):
            base = self._new(f"inttoptr i64 {self._value(target.value)} to ptr")
            return self._new(f"getelementptr i64, ptr {base}, i64 {self._value(target.slice)}")
        if isinstance(target, ast.Attribute) and target.attr in self.names:
            base = self._new(f"inttoptr i64 {self._value(target.value)} to ptr")
            return self._new(f"getelementptr i8, ptr {base}, i64 {self.names[target.attr]}")
        raise self._fail(target, f"cannot be read or assigned: {ast.unparse(target)}")

    def _branch(self, test: ast.expr, yes: str, no: str) -> None:
        """Go to `yes` or `no`; `and`, `or` and `not` ask no more than they need."""
        if isinstance(test, ast.BoolOp):
            both = isinstance(test.op, ast.And)
            for part in test.values[:-1]:
                more = self._label()
                self._branch(part, *((more, no) if both else (yes, more)))
                self._start(more)
            self._branch(test.values[-1], yes, no)
        elif isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            self._branch(test.operand, no, yes)
        else:
            bit = self._new(f"icmp ne i64 {self._value(test)}, 0")
            self._line(f"br i1 {bit}, label %{yes}, label %{no}")

    def _value(self, e: ast.expr) -> str:
        if isinstance(e, ast.Constant) and isinstance(e.value, int):
            return str(int(e.value))
        if isinstance(e, ast.Name):
            if e.id in self.names:
                return str(self.names[e.id])
            if e.id in self.words:
                return self._new(f"load i64, ptr getelementptr (i64, ptr @table, i64 {self.words[e.id]})")
            if e.id not in self.locals:
                raise self._fail(e, f"{e.id} has no value")
        if isinstance(e, (ast.Name, ast.Subscript, ast.Attribute)):
            return self._new(f"load i64, ptr {self._place(e)}")
        if isinstance(e, ast.BinOp) and type(e.op) in _ARITHMETIC:
            a, b = self._value(e.left), self._value(e.right)
            return self._new(f"{_ARITHMETIC[type(e.op)]} i64 {a}, {b}")
        if isinstance(e, ast.Compare) and len(e.ops) == 1:
            a, b = self._value(e.left), self._value(e.comparators[0])
            return self._new(f"zext i1 {self._new(f'icmp {_COMPARISONS[type(e.ops[0])]} i64 {a}, {b}')} to i64")
        if isinstance(e, ast.UnaryOp) and isinstance(e.op, ast.USub):
            return self._new(f"sub i64 0, {self._value(e.operand)}")
        if isinstance(e, (ast.BoolOp, ast.UnaryOp)):
            return self._truth(e)
        if isinstance(e, ast.Call) and isinstance(e.func, ast.Name):
            return self._call(e, e.func.id, e.args)
        raise self._fail(e, f"not in this language: {ast.unparse(e)}")

    def _truth(self, e: ast.expr) -> str:
        yes, no, end = self._label(), self._label(), self._label()
        self._branch(e, yes, no)
        self._start(yes)
        self._line(f"br label %{end}")
        self._start(no)
        self._line(f"br label %{end}")
        self._start(end)
        return self._new(f"phi i64 [1, %{yes}], [0, %{no}]")

    def _call(self, e: ast.Call, name: str, arguments: list[ast.expr]) -> str:
        if name == "space":
            self.count += 1
            self.allocated.append(f"  %s{self.count} = alloca [{ast.literal_eval(arguments[0])} x i64], align 16")
            return self._new(f"ptrtoint ptr %s{self.count} to i64")
        values = [self._value(a) for a in arguments]
        if name in ("load8", "load16", "load32"):
            bits = name[4:]
            at = self._new(f"inttoptr i64 {values[0]} to ptr")
            return self._new(f"zext i{bits} {self._new(f'load i{bits}, ptr {at}, align 1')} to i64")
        if name == "widened":
            single = self._new(f"bitcast i32 {self._new(f'trunc i64 {values[0]} to i32')} to float")
            return self._new(f"bitcast double {self._new(f'fpext float {single} to double')} to i64")
        if name in ("call", "call_int"):
            at = self._new(f"inttoptr i64 {values[0]} to ptr")
            return self._result("w" if name == "call" else "i", at, [f"i64 {v}" for v in values[1:]])
        if name in _LOADS and all(n in self.names for n in _LOADS[name]):
            return self._loaded(name, values)
        if name in self.known:
            if self.known[name] != len(values):
                raise self._fail(e, f"{name} takes {self.known[name]} values")
            return self._new(f"call i64 @{name}({', '.join('i64 ' + v for v in values)})")
        if name not in EXTERNAL or len(_signature(name)[1]) != len(values):
            raise self._fail(e, f"no function {name} of {len(values)} values")
        self.used.add(name)
        typed = []
        for type, value in zip(_signature(name)[1], values, strict=True):
            typed.append(f"double {self._new(f'bitcast i64 {value} to double')}" if type == "double" else
                         f"{type} {value}")
        return self._result(EXTERNAL[name][0], f"@{name}", typed)

    def _loaded(self, name: str, values: list[str]) -> str:
        """What `_LOADS` has words for, without a call."""
        offset = self.names[_LOADS[name][0]]
        place = self._new(f"getelementptr i8, ptr {self._new(f'inttoptr i64 {values[0]} to ptr')}, i64 {offset}")
        if name == "PyList_GetItem":
            place = self._new(f"load ptr, ptr {place}")
        if len(values) == 2:
            place = self._new(f"getelementptr i64, ptr {place}, i64 {values[1]}")
        return self._new(f"load i64, ptr {place}")

    def _result(self, kind: str, function: str, typed: list[str]) -> str:
        call = f"call {_TYPES[kind]} {function}({', '.join(typed)})"
        if kind == "v":
            self._line(call)
            return "0"
        value = self._new(call)
        if kind == "i":
            return self._new(f"sext i32 {value} to i64")
        return self._new(f"bitcast double {value} to i64") if kind == "d" else value
